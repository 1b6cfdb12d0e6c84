// Certificates that have ended everywhere: pgs reaches neither etcd nor Patroni, and renews them by ssh.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectDcs } from '../../../src/etcd/client.js';
import { loadInventory } from '../../../src/inventory/load.js';
import { issueCertificate, type Authority, type Issued } from '../../../src/pki/authority.js';
import { describeCertificate } from '../../../src/pki/certificate.js';
import { loadFleetKey } from '../../../src/secrets/fleet-key.js';
import { readFleetSecrets, writeFleetSecrets } from '../../../src/secrets/fleet-secrets.js';
import { sealTenantSecrets, unsealTenantSecrets, type TenantSecrets } from '../../../src/secrets/tenant-secrets.js';
import { stateKeys } from '../../../src/state/store.js';
import { destroyQuietly, fleetDir, on, onOk, pgs, pgsJson, pgsOk, psqlOk, until, untilHealthy } from '../machines.js';

const tenant = 'ended';
const dayMs = 86_400_000;

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await psqlOk(tenant, 'direct', 'CREATE TABLE kept AS SELECT 42 AS answer');
});

afterAll(() => destroyQuietly(tenant));

/** The same certificate, ended yesterday. */
async function ended(of: Issued, authority: Authority): Promise<Issued> {
  const { commonName, dnsNames, ipAddresses, usages } = describeCertificate(of.certPem);
  const subject = { organization: 'pgs', unit: 'ended', commonName };
  return issueCertificate(
    authority,
    { subject, dnsNames, ipAddresses, usages, days: 2 },
    new Date(Date.now() - 3 * dayMs),
  );
}

interface Written {
  host: string;
  path: string;
  content: string;
}

/** Ends all of them, in what pgs keeps and on the hosts. */
async function endEverything(): Promise<void> {
  const inventory = await loadInventory(`${fleetDir}/pgs.yaml`);
  const key = await loadFleetKey(inventory.stateDir);
  const fleet = await readFleetSecrets(inventory.stateDir, key);
  const dcs = await connectDcs(inventory, fleet);
  const files: Written[] = [];
  const put = (host: string, path: string, { certPem, keyPem }: Issued) =>
    files.push(
      { host, path: `${path}.crt`, content: certPem },
      { host, path: `${path}.key`, content: keyPem.reveal() },
    );
  try {
    const sealed = (await dcs.get(stateKeys.secrets(tenant)))!.value;
    const secrets = unsealTenantSecrets(key, tenant, sealed) as TenantSecrets;
    secrets.pooler = await ended(secrets.pooler, secrets.sqlCa);
    for (const [host, issued] of Object.entries(secrets.certificates)) {
      issued.rest = await ended(issued.rest, secrets.restCa);
      issued.sql = await ended(issued.sql, secrets.sqlCa);
      issued.etcd = await ended(issued.etcd, fleet.etcdClientCa);
      for (const name of ['rest', 'sql', 'etcd'] as const)
        put(host, `/etc/pgs/tenants/${tenant}/tls/${name}`, issued[name]);
      put(host, `/etc/pgs/tenants/${tenant}/tls/pooler`, secrets.pooler);
    }
    for (const name of ['restChecks', 'restOperator'] as const)
      secrets[name] = await ended(secrets[name], secrets.restCa);
    await dcs.put(stateKeys.secrets(tenant), sealTenantSecrets(key, tenant, secrets));
    for (const [host, issued] of Object.entries(fleet.hosts)) {
      issued.etcdServer = await ended(issued.etcdServer, fleet.etcdClientCa);
      issued.etcdPeer = await ended(issued.etcdPeer, fleet.etcdPeerCa);
      put(host, '/etc/pgs/etcd/tls/server', issued.etcdServer);
      put(host, '/etc/pgs/etcd/tls/peer', issued.etcdPeer);
    }
    fleet.operatorEtcdClient = await ended(fleet.operatorEtcdClient, fleet.etcdClientCa);
    await writeFleetSecrets(inventory.stateDir, key, fleet);
  } finally {
    dcs.close();
  }
  for (const { host, path, content } of files) {
    const ran = await on(host, `cat > ${path}`, content);
    expect(ran.code, ran.stderr).toBe(0);
  }
  const units = ['patroni', 'pgbouncer', 'pgbouncer-replica'].map((name) => `pgs-${name}@${tenant}`).join(' ');
  for (const host of Object.keys(fleet.hosts)) {
    await onOk(host, `systemctl reload ${units}`);
    // A process that is connected shows nobody its certificate again.
    await onOk(host, 'ss -K state established "( sport = :2379 or dport = :2379 )" >/dev/null 2>&1 || true');
  }
}

test('ended everywhere, they are renewed by two commands, and the data is there', async () => {
  await untilHealthy(tenant);
  await endEverything();
  await until('etcd cannot be reached', async () => (await pgs(['cluster', 'status', tenant])).code !== 0);
  const lost = await pgs(['cert', 'list', tenant]);
  expect(lost.code).toBe(1);
  expect(lost.stderr).toMatch(/certificate has expired/);
  expect(lost.stderr).toMatch(/pgs cert renew --fleet/);
  await pgsOk(['cert', 'renew', '--fleet']);
  const listed = await pgs(['cert', 'list', tenant, '-o', 'json']);
  expect(listed.code).toBe(1);
  const { certificates } = JSON.parse(listed.stdout) as {
    certificates: { what: string; host: string | null; state: string; verdict: string }[];
  };
  const of = (what: string) => certificates.filter((one) => one.what === what);
  for (const one of of('Patroni REST')) expect(one).toMatchObject({ state: 'stored', verdict: 'ended' });
  for (const one of of('etcd to clients')) expect(one).toMatchObject({ state: 'in force', verdict: 'fine' });
  await pgsOk(['cert', 'renew', tenant]);
  await untilHealthy(tenant);
  expect(await psqlOk(tenant, 'primary', 'SELECT answer FROM kept')).toBe('42');
  expect((await pgs(['cert', 'list', tenant])).code).toBe(0);
  expect((await pgsJson<{ changes: number }>(['cert', 'renew', tenant])).changes).toBe(0);
}, 400_000);
