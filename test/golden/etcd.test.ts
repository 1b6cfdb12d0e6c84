// Every file that pgs writes onto a host for etcd has a golden copy. `npx vitest run test/golden -u` renews them; read the
// difference before you commit it.

import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { desiredEtcd } from '../../src/etcd/desired.js';
import { fakeFleetSecrets } from '../fixtures/fleet-secrets.js';
import { inventory } from '../fixtures/fleet.js';

const rendered = desiredEtcd(inventory, fakeFleetSecrets(), inventory.hosts[1]!).flatMap((r) =>
  r.kind === 'file' && typeof r.content === 'string' && !r.path.includes('/tls/') ? [[r.path, r.content] as const] : [],
);

test('each file has a copy', () => {
  expect(rendered.map(([path]) => basename(path))).toEqual([
    'etcd.conf.yml',
    'pgs-etcd-defrag.service',
    'pgs-etcd-defrag.timer',
    'pgs-etcd.service',
  ]);
});

test.each(rendered)('%s', async (path, content) => {
  await expect(content).toMatchFileSnapshot(`expected/${basename(path)}`);
});
