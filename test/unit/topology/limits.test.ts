// Limits in a spec: what can be meant, what systemd is told, and what PostgreSQL gets of it.

import { describe, expect, test } from 'vitest';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import { isLimited, limitFaults, limitsSchema, sliceProperties } from '../../../src/topology/limits.js';
import { placeTenant, type HostSupply } from '../../../src/topology/placement.js';
import { settingsOf } from '../../../src/topology/settings.js';
import { completeSpec, specToFile } from '../../../src/topology/spec.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const all = { cpuWeight: 50, cpuQuota: '150%', memory: '2GB', tasks: 512, openFiles: 32_768 };
const defaults = { rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off', postgres: 17 } as const;
const complete = (given: object, before: object = {}) =>
  completeSpec({ tenant: 'acme', ...given }, { ...defaults, ...before }, 'acme.yaml');

describe('a spec', () => {
  test('keeps limits as they were written, and they are written back', () => {
    const spec = complete({ limits: all });
    expect(spec.limits).toEqual(all);
    expect(completeSpec(specToFile(spec), defaults, 'a file')).toEqual(spec);
  });

  test('without limits has none, and keeps those that the tenant had', () => {
    expect(complete({})).not.toHaveProperty('limits');
    expect(complete({}, { limits: all }).limits).toEqual(all);
  });

  test('that gives limits gives all of them: none takes them away', () => {
    expect(complete({ limits: { tasks: 512 } }, { limits: all }).limits).toEqual({ tasks: 512 });
    expect(complete({ limits: {} }, { limits: all })).not.toHaveProperty('limits');
  });

  test.each([
    ['an unknown one', { disk: '10GB' }],
    ['a weight of nothing', { cpuWeight: 0 }],
    ['a weight that systemd does not know', { cpuWeight: 10_001 }],
    ['a quota without its sign', { cpuQuota: '150' }],
    ['no quota at all', { cpuQuota: '0%' }],
    ['memory without a unit', { memory: 2048 }],
    ['memory in another unit', { memory: '2TB' }],
    ['fewer files than PgBouncer has clients', { openFiles: 1024 }],
  ])('with %s is refused', (_, limits) => {
    expect(limitsSchema.safeParse(limits).success).toBe(false);
    expect(() => complete({ limits })).toThrow(/limits|disk/);
  });
});

describe('a limit that the tenant could not live with is refused at its key', () => {
  test.each([
    ['memory for an idle member', { memory: '256MB' }, {}, /^reading acme.yaml: limits.memory: must be at least 384MB/],
    [
      'memory for its connections',
      { memory: '512MB' },
      { max_connections: 300 },
      /limits.memory: is less than the 856MB/,
    ],
    [
      'memory for its shared buffers',
      { memory: '1GB' },
      { shared_buffers: '1GB' },
      /is less than the 1352MB that 1024 MB of shared_buffers and 100/,
    ],
    ['tasks for its connections', { tasks: 240 }, {}, /limits.tasks: must be at least 250/],
  ])('%s', (_, limits, settings, message) => {
    expect(() => complete({ limits, settings })).toThrow(message);
  });

  test('and one that it can live with is not', () => {
    expect(complete({ limits: { memory: '1GB', tasks: 250 } }).limits).toEqual({ memory: '1GB', tasks: 250 });
    expect(limitFaults(undefined, { sharedBuffersMiB: 1e6, maxConnections: 1e6 })).toEqual([]);
  });
});

test('systemd is told what was asked for, with room before the end of memory', () => {
  expect(sliceProperties(all)).toEqual([
    'CPUWeight=50',
    'CPUQuota=150%',
    'MemoryHigh=1843M',
    'MemoryMax=2048M',
    'TasksMax=512',
  ]);
  expect(sliceProperties({ openFiles: 32_768 })).toEqual([]);
  expect(sliceProperties(undefined)).toEqual([]);
  expect([isLimited({}), isLimited(undefined), isLimited({ tasks: 512 })]).toEqual([false, false, true]);
});

describe('PostgreSQL', () => {
  const { allocation } = recordOf();
  const settings = (change: Parameters<typeof recordOf>[1]) => settingsOf(recordOf('acme', change).spec, allocation);

  test('is tuned for the limit of memory instead of what was allocated', () => {
    expect(settings({})).toMatchObject({ shared_buffers: '512MB', effective_cache_size: '1536MB' });
    const limited = settings({ limits: { memory: '1GB' } });
    expect(limited).toMatchObject({ shared_buffers: '256MB', effective_cache_size: '768MB', work_mem: '4MB' });
    const { settings: dcs } = {
      settings: desiredDcsSettings(clusterOf(recordOf('acme', { limits: { memory: '1GB' } }))),
    };
    expect(dcs.postgresql).toMatchObject({ parameters: { shared_buffers: '256MB' } });
  });

  test('keeps what was set', () => {
    expect(settings({ limits: { memory: '1GB' }, settings: { shared_buffers: '300MB' } })).toMatchObject({
      shared_buffers: '300MB',
      effective_cache_size: '768MB',
    });
  });
});

test('a host with less memory than the limit takes no member', () => {
  const supply = [1, 2, 3].map((n): HostSupply => ({
    host: { name: `h${n}`, address: `10.0.0.${n}`, zone: `z${n}` },
    unfit: null,
    memoryMiB: n === 3 ? 1024 : 4096,
    cores: 2,
    portsTaken: [],
  }));
  const { spec } = recordOf('acme', { limits: { memory: '2GB' } });
  const inventory = { ports: { from: 20_000, to: 20_099 }, path: 'pgs.yaml' };
  const request = { spec, hosts: null, supply, others: [], inventory, quorumCommit: true };
  expect(() => placeTenant(request)).toThrow(/h3: has 1024 MiB of memory, and limits.memory is 2048 MiB/);
});
