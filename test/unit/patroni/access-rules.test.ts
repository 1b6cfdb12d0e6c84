// Where the access rules of a tenant's file stand among pgs's own.

import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { renderPatroniConfig } from '../../../src/patroni/desired.js';
import { patroniWatchdog } from '../../../watchdog/desired.js';
import { clusterOf, fakeSecrets, recordOf } from '../../fixtures/fleet.js';

test('after what pgs needs, and before the line for everybody', () => {
  const cluster = clusterOf(
    recordOf('acme', {
      roles: { robot: {} },
      hba: [{ name: 'robots', auth: 'cert', addr: 'world', roles: ['robot'], services: ['direct'] }],
    }),
  );
  const [member] = cluster.members;
  const dcs = { hosts: ['10.0.0.1:2379'], caPem: 'ca\n', clientCertificate: true };
  const config = parse(
    renderPatroniConfig(cluster, member!, fakeSecrets(), dcs, patroniWatchdog(cluster, member!)),
  ) as { postgresql: { pg_hba: string[] } };
  expect(config.postgresql.pg_hba.slice(-5)).toEqual([
    'hostssl postgres pgs_probe all scram-sha-256',
    'host all pgs_probe all reject',
    'hostssl all robot all cert # robots',
    'host all robot all reject',
    'hostssl all all all scram-sha-256',
  ]);
});
