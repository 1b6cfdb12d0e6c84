import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { parseSetting } from '../../../src/topology/settings.js';
import { changeSpecFile, completeSpec, inventTenantName, specToFile } from '../../../src/topology/spec.js';
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

describe('access at the front door', () => {
  const access = { enabled: true, from: ['10.0.0.0/8'] };
  const given = (file: unknown, before = access) =>
    completeSpec({ tenant: 'acme', access: file }, { ...defaults, access: before }, 'a file').access;

  test('is as before where nothing is said, and closed where nothing ever was', () => {
    expect(given(undefined)).toEqual(access);
    expect(complete({})).not.toHaveProperty('access');
    expect(specToFile(complete({})).access).toEqual({ enabled: false, from: [] });
  });

  test('a list that is not given is kept, while it is closed too', () => {
    expect(given({ enabled: false })).toEqual({ ...access, enabled: false });
    expect(given({ enabled: true, from: [] })).toEqual({ enabled: true, from: [] });
  });

  test('networks come in one spelling', () => {
    expect(given({ enabled: true, from: ['192.0.2.7', '2001:0db8::/32'] })?.from).toEqual([
      '192.0.2.7/32',
      '2001:db8::/32',
    ]);
  });
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
    [
      'a network that is none',
      { access: { enabled: true, from: ['10/8'] } },
      /"10\/8" is refused[^]*access\.from\[0\]/,
    ],
    [
      'networks that overlap',
      { access: { enabled: true, from: ['10.0.0.0/8', '10.1.0.0/16'] } },
      /overlaps 10\.0\.0\.0/,
    ],
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

describe('a spec that is changed by name=value', () => {
  const before = complete({ settings: { work_mem: '8MB', jit: 'off' } });
  const changed = (...changes: [string, string][]) =>
    completeSpec(changeSpecFile(before, changes), before, 'the command line');

  test('keeps the rest; an empty value takes a parameter back, and one of its own fields is no parameter', () => {
    expect(changed(['jit', ''], ['max_connections', '300'], ['rto', 'fast'], ['rpo', '1048576'])).toEqual({
      ...before,
      rto: 'fast',
      rpoBytes: 1048576,
      settings: { work_mem: '8MB', max_connections: '300' },
    });
    expect(changed(['production', 'true']).production).toBe(true);
  });

  test.each<[string, string, RegExp]>([
    ['rto', '', /rto always has a value/],
    ['rpo', 'none', /rpo cannot be "none"/],
    ['rto', 'faster', /Invalid option/],
    ['max_connections', '20', /less than the 25 that Patroni takes/],
    ['port', '5432', /pgs allocates ports/],
  ])('is refused with %s=%s', (name, value, why) => {
    expect(() => changed([name, value])).toThrow(why);
  });
});

test('invented names are valid and avoid what is taken', () => {
  const names = Array.from({ length: 200 }, () => inventTenantName([]));
  for (const name of names) expect(parseTenantName(name)).toBe(name);
  expect(inventTenantName(['amber-badger'], () => 0)).not.toBe('amber-badger');
});
