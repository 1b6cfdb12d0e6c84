import { describe, expect, test } from 'vitest';
import type { ListeningPort, ReachableHost } from '../../../src/host/facts.js';
import { portStrangers } from '../../../src/reconcile/port-strangers.js';
import type { ClusterFacts } from '../../../src/reconcile/plan-cluster.js';
import { layOutCluster } from '../../../src/topology/cluster.js';
import { inventory, recordOf } from '../../fixtures/fleet.js';

const cluster = layOutCluster(recordOf('acme'), inventory);
const { address } = cluster.entries[0]!;
const host = cluster.entries[0]!.name;
const { ports } = cluster;

function factsWith(listening: ListeningPort[], unit: 'active' | 'inactive' = 'active'): ClusterFacts {
  const unitFact = { load: 'loaded', active: unit, enabled: true, needsDaemonReload: false, startedAtS: 0, loaded: {} };
  const found: ReachableHost = {
    reachable: true,
    users: {},
    paths: {},
    units: { 'pgs-patroni@acme.service': unitFact },
    listening,
    memoryMiB: 1024,
    cores: 2,
  };
  return {
    hosts: { [host]: found },
    dcsAccess: 'right',
    dcsKeys: true,
    settings: null,
    patroni: { members: {} },
    sql: null,
    parameters: {},
  };
}

describe('a stranger on a port of the tenant', () => {
  test.each([
    ['PostgreSQL', { address, port: ports.postgres, process: 'nc' }],
    ["Patroni's REST", { address: '0.0.0.0', port: ports.rest, process: 'nc' }],
    ['the front door', { address: '0.0.0.0', port: 5432, process: 'postgres' }],
    ['service primary', { address: '*', port: ports.primary, process: 'nginx' }],
  ])('is named with port and process where %s should be', (what, listening) => {
    const [error] = portStrangers(cluster, factsWith([listening]));
    expect(error).toMatchObject({ code: 'unfit', details: { host } });
    expect(error!.details.found).toContain(String(listening.port));
    expect(error!.details.found).toContain(what);
    expect(error!.details.found).toContain(listening.process);
  });

  test('without a name counts where nothing of ours runs', () => {
    const unnamed = { address, port: ports.postgres, process: null };
    expect(portStrangers(cluster, factsWith([unnamed], 'inactive'))).toHaveLength(1);
    expect(portStrangers(cluster, factsWith([unnamed], 'active'))).toEqual([]);
  });
});

test('our own processes, other ports and other addresses are no strangers', () => {
  const own = [
    { address, port: ports.postgres, process: 'postgres' },
    { address, port: ports.rest, process: 'patroni' },
    { address: '*', port: ports.primary, process: 'haproxy' },
    { address: '*', port: 5432, process: 'haproxy' },
    { address: '*', port: 5432, process: null },
    { address: '*', port: 1, process: 'nc' },
    { address: '127.0.0.1', port: ports.postgres, process: 'nc' },
  ];
  expect(portStrangers(cluster, factsWith(own))).toEqual([]);
});
