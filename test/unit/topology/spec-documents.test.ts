// A file of several tenants: what is wrong in any of it is said with file, document, key and line, before anything is applied.

import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { readSpecDocuments } from '../../../src/topology/spec-documents.js';
import { recordOf } from '../../fixtures/fleet.js';

const defaults = { rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off', postgres: 17 } as const;

function faults(work: () => unknown): string[] {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof PgsError) || thrown.code !== 'configuration') throw thrown;
    expect(thrown.details.hint).toContain('nothing was changed');
    return thrown.details.found.split('\n');
  }
  return [];
}

const read = (text: string) => readSpecDocuments(text, '/fleet/tenants.yaml');
const readFaults = (text: string) => faults(() => read(text));
const judgeFaults = (text: string, stored = [recordOf('there').spec]) =>
  faults(() => read(text).judge(stored, defaults));

test('documents come in the order of the file, each with where it is', () => {
  const { documents, judge } = read('tenant: acme\n---\n# the second\ntenant: bolt\nreplicas: 1\n---\n');
  expect(documents.map(({ tenant, given, source }) => [tenant, given, source])).toEqual([
    ['acme', { tenant: 'acme' }, '/fleet/tenants.yaml, document 1 (acme, line 1)'],
    ['bolt', { tenant: 'bolt', replicas: 1 }, '/fleet/tenants.yaml, document 2 (bolt, line 4)'],
  ]);
  judge([], defaults);
});

test('a file of one document is as it always was', () => {
  expect(read('---\ntenant: acme\n').documents.map(({ source }) => source)).toEqual(['/fleet/tenants.yaml']);
  expect(readFaults('tenant: acme\nrto: fas\n')).toEqual([
    'tenants.yaml:2:6: rto: must be one of fast, norm, safe, wide, not "fas", did you mean "fast"?',
  ]);
});

describe('is refused, with all that is wrong at once', () => {
  test('by document, key and line', () => {
    expect(readFaults('tenant: acme\nreplica: 2\n---\ntenant: bolt\nrto: quick\n---\ntenant: core\nrpo: -1\n')).toEqual(
      [
        'tenants.yaml:2:1: document 1 (acme): replica: unknown key, did you mean "replicas"?',
        'tenants.yaml:5:6: document 2 (bolt): rto: must be one of fast, norm, safe, wide, not "quick"',
        'tenants.yaml:8:6: document 3 (core): rpo: must be at least 0, not -1',
      ],
    );
  });

  test('a tenant that is there twice', () => {
    expect(readFaults('tenant: acme\n---\ntenant: bolt\n---\ntenant: acme\n')).toEqual([
      'tenants.yaml:5:9: document 3 (acme): tenant: acme is document 1 already',
    ]);
  });

  test('names that are none, and that would be one name if somebody cut them', () => {
    const long = 'a'.repeat(28);
    const found = readFaults(`tenant: Acme\n---\ntenant: ${long}\n---\ntenant: ${long}b\n`);
    expect(found[0]).toMatch(/^tenants.yaml:1:9: document 1 \(Acme\): tenant: cannot be the name of a tenant: /);
    expect(found[1]).toMatch(
      /^tenants.yaml:5:9: document 3 .*29 characters.*; cut to that it would be the name of document 2$/,
    );
    expect(found).toHaveLength(2);
  });

  test('a list, a broken bracket and an empty file', () => {
    expect(readFaults('- tenant: acme\n- tenant: bolt\n')[0]).toMatch(
      /must be a mapping of keys to values, not a list/,
    );
    expect(readFaults('tenant: acme\n---\ntenant: [\n').join('\n')).toMatch(/^tenants.yaml:\d+:\d+: document 2: /m);
    for (const text of ['', '# nothing\n', '---\n---\n'])
      expect(readFaults(text)).toEqual(['tenants.yaml:1:1: the file is empty']);
  });

  test('a document without a tenant', () => {
    expect(readFaults('tenant: acme\n---\nreplicas: 2\n')).toEqual([
      'tenants.yaml:3:1: document 2: tenant: is missing',
    ]);
  });

  test('a key of a newer pgs, with a word about that', () => {
    let hint: string | undefined;
    try {
      read('tenant: acme\nmerge_streams: 4\n');
    } catch (thrown) {
      hint = (thrown as PgsError).details.hint;
    }
    expect(hint).toMatch(/may be one of a newer pgs/);
  });
});

describe('is judged by what the fleet has', () => {
  test('settings and contradictions, at their keys', () => {
    const text = [
      'tenant: acme',
      'settings:',
      '  work_mem: 8MB',
      '  fsync: off',
      '---',
      'tenant: bolt',
      'durability: strict',
      'rpo: 1048576',
      '---',
      'tenant: core',
      'replicas: 0',
    ].join('\n');
    expect(judgeFaults(text)).toEqual([
      expect.stringMatching(/^tenants.yaml:4:10: document 1 \(acme\): settings.fsync: fsync cannot be set: /),
      expect.stringMatching(/^tenants.yaml:7:13: document 2 \(bolt\): durability: strict makes/),
      expect.stringMatching(/^tenants.yaml:11:11: document 3 \(core\): replicas: must be at least 1/),
    ]);
  });

  test('another major of a tenant that is there, and not of one that is new', () => {
    expect(judgeFaults('tenant: there\npostgres: 16\n---\ntenant: fresh\npostgres: 16\n')).toEqual([
      'tenants.yaml:2:11: document 1 (there): postgres: is 17 and cannot become 16 by applying',
    ]);
  });

  test('what is not given is what the tenant has: contradictions with that are found too', () => {
    const strict = [recordOf('there', { durability: 'strict' }).spec];
    expect(judgeFaults('tenant: there\nrpo: 1048576\n', strict)).toHaveLength(1);
    expect(judgeFaults('tenant: there\nreplicas: 0\n', [recordOf('there', { replicas: 0 }).spec])).toEqual([]);
  });
});
