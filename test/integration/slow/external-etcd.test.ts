// A fleet that uses an etcd of somebody else's: one server with TLS and passwords and without client certificates, made by hand on a
// machine of a sandbox of its own, whose hosts run no etcd of pgs's.

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { createAuthority, issueCertificate } from '../../../src/pki/authority.js';
import { reveal } from '../../../src/secrets/secret.js';
import { pgs, pgsJson, pgsOk, run, sandboxName, type RunOptions, type Status } from '../machines.js';

const name = `${sandboxName}-etcd`;
const folder = `/var/lib/pgs-sandbox/${name}`;
const env = { PGS_SANDBOX: name, PGS_CONFIG: `${folder}/pgs.yaml` };
const tenant = 'guest';
const password = 'not-that-of-pgs';
const port = 22379;

const onServer = (line: string, options: RunOptions = {}) =>
  pgsOk(['sandbox', 'ssh', 'h1', '--', line], { ...options, env });
const etcdctl = (words: string) =>
  onServer(`ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:${port} --cacert /etc/other/ca.crt ${words}`);

beforeAll(async () => {
  await pgsOk(['sandbox', 'down'], { env });
  await pgsOk(['sandbox', 'up'], { env });
  const config = parseDocument(readFileSync(env.PGS_CONFIG, 'utf8'));
  const address = String(config.getIn(['hosts', 'h1', 'address']));
  const authority = await createAuthority('etcd of somebody else');
  const server = await issueCertificate(authority, {
    subject: { organization: 'other', unit: 'etcd', commonName: null },
    dnsNames: [],
    ipAddresses: [address, '127.0.0.1'],
    usages: ['server'],
  });
  await onServer('install -d /etc/other /var/lib/other');
  for (const [file, text] of [
    ['ca.crt', authority.certPem],
    ['server.crt', server.certPem],
    ['server.key', reveal(server.keyPem)],
  ] as const)
    await onServer(`cat > /etc/other/${file}`, { input: text });
  await onServer(
    'systemd-run -q --collect --unit=other-etcd etcd --data-dir /var/lib/other' +
      ` --listen-client-urls https://0.0.0.0:${port} --advertise-client-urls https://${address}:${port}` +
      ' --cert-file /etc/other/server.crt --key-file /etc/other/server.key --listen-peer-urls http://127.0.0.1:22380',
  );
  await etcdctl(`user add root --new-user-password ${password}`);
  await etcdctl('user grant-role root root');
  await etcdctl('auth enable');
  config.deleteIn(['etcd']);
  config.setIn(['etcd', 'external'], {
    endpoints: [`https://${address}:${port}`],
    ca: 'other-ca.crt',
    user: 'root',
    password_file: 'other-password',
  });
  writeFileSync(env.PGS_CONFIG, String(config));
  writeFileSync(`${folder}/other-ca.crt`, authority.certPem);
  writeFileSync(`${folder}/other-password`, `${password}\n`, { mode: 0o600 });
  await pgsOk(['host', 'prepare'], { env });
});

afterAll(async () => {
  await pgsOk(['sandbox', 'down'], { env });
});

test('pgs makes no etcd beside it, and shows how that one is', async () => {
  const created = await pgs(['dcs', 'create'], { env });
  expect(created.code).toBe(2);
  expect(created.stderr).toMatch(/names an external etcd, which pgs uses but does not run/);
  expect(await pgsJson(['dcs', 'status'], { env })).toMatchObject({ kind: 'external', quorum: 'healthy' });
});

test('a tenant is made, served, planned and switched over with it', async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast'], { env });
  const sql = async (service: string, text: string) => {
    const url = (await pgsOk(['cluster', 'url', tenant, '--service', service], { env })).trim();
    const ran = await run('psql', ['-XqAt', url, '-c', text]);
    expect(ran.code, ran.stderr).toBe(0);
    return ran.stdout.trim();
  };
  await sql('primary', 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)');
  expect(await pgsJson(['plan', tenant], { env })).toMatchObject({ changes: 0 });
  await pgsOk(['switchover', tenant], { env });
  expect(await sql('primary', 'SELECT n FROM kept')).toBe('1');
  expect(await pgsJson<Status>(['cluster', 'status', tenant], { env })).toMatchObject({ healthy: true, drift: [] });
});

test("the tenant's own user reaches its keys and nobody else's", async () => {
  expect(await etcdctl(`--user root:${password} role get pgs-${tenant}`)).toMatch(
    /\[\/pgs\/dcs\/guest\/, \/pgs\/dcs\/guest0\)/,
  );
});

test('while it does not answer, commands say so; afterwards the same command works', async () => {
  await onServer('systemctl kill -s STOP other-etcd');
  const ran = await pgs(['cluster', 'list'], { env });
  await onServer('systemctl kill -s CONT other-etcd');
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(new RegExp(`${port}`));
  await pgsOk(['cluster', 'list'], { env });
});

test('what is destroyed leaves nothing in it', async () => {
  await pgsOk(['cluster', 'destroy', tenant, '--purge-data', '--yes'], { env });
  expect(await etcdctl(`--user root:${password} get --prefix --keys-only /pgs/dcs/${tenant}/`)).toBe('');
  expect(await etcdctl(`--user root:${password} user list`)).not.toMatch(tenant);
});
