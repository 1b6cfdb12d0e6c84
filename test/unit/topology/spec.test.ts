import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { parseSetting } from '../../../src/topology/settings.js';
import { completeSpec, inventTenantName, specToFile } from '../../../src/topology/spec.js';
import { parseTenantName } from '../../../src/inventory/names.js';

const defaults = { rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off', postgres: 17 } as const;
const complete = (given: Record<string, unknown>) =>
  completeSpec({ tenant: 'acme', ...given }, defaults, 'the options');

test('what is not given comes from the defaults', () => {
  expect(complete({})).toEqual({
    tenant: 'acme',
    replicas: 2,
    postgres: 17,
    rto: 'norm',
    rpoBytes: 0,
    durability: 'available',
    watchdog: 'off',
    pool: 'transaction',
    settings: {},
  });
});

test('a spec written as a file and read again is the same', () => {
  const spec = complete({ replicas: 1, rto: 'fast', production: true, settings: { work_mem: '8MB' } });
  expect(completeSpec(specToFile(spec), defaults, 'a file')).toEqual(spec);
});

describe('is refused', () => {
  test.each([
    ['no replica', { replicas: 0 }, /replicas/],
    ['a negative number of replicas', { replicas: -1 }, /replicas/],
    ['more replicas than Patroni is sized for', { replicas: 99 }, /replicas/],
    ['an unknown preset', { rto: 'quick' }, /rto/],
    ['an unknown key', { replica: 2 }, /replica/],
    ['strict durability without RPO 0', { durability: 'strict', rpo: 1000 }, /strict/],
    ['a name that is no label', { tenant: 'Acme Co' }, /Acme/],
    ['a name that is a command', { tenant: '$(reboot)' }, /reboot/],
    ['weaker synchronous_commit at RPO 0', { settings: { synchronous_commit: 'local' } }, /RPO 0/],
    ['synchronous_commit that YAML read as false', { settings: { synchronous_commit: false } }, /RPO 0/],
    ['a parameter that pgs owns', { settings: { port: 1 } }, /allocates ports/],
    ['a parameter with SQL in its name', { settings: { 'a; DROP TABLE x': 1 } }, /not the name/],
    ['a value with a line break', { settings: { work_mem: '8MB\nfsync = off' } }, /control character/],
  ])('%s', (_what, given, message) => {
    expect(() => complete(given)).toThrowError(PgsError);
    expect(() => complete(given)).toThrowError(message);
  });

  test('several settings at once, all of them named', () => {
    expect(() => complete({ settings: { port: 1, fsync: 'off', ssl: 'off' } })).toThrowError(/port[^]*fsync[^]*ssl/);
  });
});

test('a weaker synchronous_commit is allowed where loss is', () => {
  expect(complete({ rpo: 1_000_000, settings: { synchronous_commit: 'local' } }).settings).toEqual({
    synchronous_commit: 'local',
  });
});

test('a setting keeps everything behind the first equals sign', () => {
  expect(parseSetting("search_path=a=b, 'c'")).toEqual(['search_path', "a=b, 'c'"]);
  expect(() => parseSetting('work_mem')).toThrowError(/name=value/);
});

test('invented names are valid and avoid what is taken', () => {
  const names = Array.from({ length: 200 }, () => inventTenantName([]));
  for (const name of names) expect(parseTenantName(name)).toBe(name);
  expect(inventTenantName(['amber-badger'], () => 0)).not.toBe('amber-badger');
});
