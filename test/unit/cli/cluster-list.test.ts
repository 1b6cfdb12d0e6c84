// What `pgs cluster list` costs: it is typed often, and a fleet has many tenants.

import { createRequire } from 'node:module';
import { expect, test, vi } from 'vitest';
import { listClusters } from '../../../src/cli/cluster/list.js';
import { openSession } from '../../../src/reconcile/session.js';
import { Secret } from '../../../src/secrets/secret.js';
import { StateStore, stateKeys } from '../../../src/state/store.js';
import { fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { inventory, recordOf } from '../../fixtures/fleet.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

test('forty tenants are listed by one question to etcd', async () => {
  const dcs = new MemoryDcs();
  for (let slot = 0; slot < 40; slot++) {
    const record = recordOf(`many-${slot + 1}`, { labels: { stage: 'test' } });
    const stored = { ...record, allocation: { ...record.allocation, slot } };
    await dcs.put(stateKeys.tenant(record.spec.tenant), JSON.stringify(stored));
  }
  const [get, getPrefix] = [vi.spyOn(dcs, 'get'), vi.spyOn(dcs, 'getPrefix')];
  const clusters = await listClusters({ inventory, store: () => Promise.resolve(new StateStore(dcs)) });
  expect(getPrefix.mock.calls).toEqual([[stateKeys.tenants]]);
  expect(get).not.toHaveBeenCalled();
  expect(clusters).toHaveLength(40);
  expect(clusters.find((c) => c.tenant === 'many-40')).toEqual({
    tenant: 'many-40',
    phase: 'ready',
    postgres: 17,
    rto: 'norm',
    rpoBytes: 0,
    watchdog: 'off',
    ports: { from: 20390, to: 20399 },
    access: { enabled: false, from: [] },
    labels: { stage: 'test' },
    members: [1, 2, 3].map((n) => ({ name: `many-40-${n}`, host: `h${n}` })),
  });
});

test('a session for that loads nothing that goes to hosts or members', async () => {
  const fleet = { inventory, fleetSecrets: fakeFleetSecrets(), fleetKey: new Secret('fake key') };
  const session = openSession({ ...fleet, rights: 'operator' });
  await session.close();
  const loaded = (library: string) =>
    Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes(`/node_modules/${library}/`));
  expect(loaded('etcd3')).toBe(true);
  expect(['axios', 'ssh2', 'pg', 'cli-table3', '@peculiar/x509'].filter(loaded)).toEqual([]);
});
