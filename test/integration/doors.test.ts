// Every certificate of a fleet and of two tenants is presented at every door, and each opens its own and no other. Passwords and etcd's
// logins are tried the same way.

import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from '../../src/pki/authority.js';
import { describeCertificate } from '../../src/pki/certificate.js';
import type { Secret } from '../../src/secrets/secret.js';
import { callHttp, logIn, rangeOverGrpc, shakeHands, type Certificate, type HttpCall, type Place } from './doors.js';
import { openFleetKeys, openTenantKeys, withDcs, type FleetKeys, type TenantKeys } from './fleet-keys.js';
import { destroyQuietly, on, onOk, pgsOk } from './machines.js';

const tenants = ['acme', 'acme2'] as const;
type Tenant = (typeof tenants)[number];

let fleet: FleetKeys;
let keys: Record<Tenant, TenantKeys>;

beforeAll(async () => {
  for (const tenant of tenants) await pgsOk(['cluster', 'create', tenant, '--replicas', '2']);
  fleet = await openFleetKeys();
  keys = { acme: await openTenantKeys(fleet, 'acme'), acme2: await openTenantKeys(fleet, 'acme2') };
});

afterAll(async () => {
  for (const tenant of tenants) await destroyQuietly(tenant);
});

const ofMember = (tenant: Tenant) => keys[tenant].secrets.certificates.h1!;

/** Who knocks. */
const holders: Record<string, () => Certificate | null> = {
  nothing: () => null,
  'etcd peer': () => fleet.secrets.hosts.h1!.etcdPeer,
  'etcd server': () => fleet.secrets.hosts.h1!.etcdServer,
  'etcd operator': () => fleet.secrets.operatorEtcdClient,
  'acme etcd': () => ofMember('acme').etcd,
  'acme2 etcd': () => ofMember('acme2').etcd,
  'acme rest': () => ofMember('acme').rest,
  'acme rest checks': () => keys.acme.secrets.restChecks,
  'acme rest operator': () => keys.acme.secrets.restOperator,
  'acme2 rest': () => ofMember('acme2').rest,
  'acme2 rest checks': () => keys.acme2.secrets.restChecks,
  'acme2 rest operator': () => keys.acme2.secrets.restOperator,
  'acme sql': () => ofMember('acme').sql,
  'acme2 sql': () => ofMember('acme2').sql,
};

const get = (path: string): HttpCall => ({ method: 'GET', path });
const hostOf = () => fleet.inventory.hosts[0]!.address;
const etcdPort = (of: 'clientPort' | 'peerPort') => {
  const { etcd } = fleet.inventory;
  if (etcd.kind !== 'fleet') throw new Error('the sandbox has its own etcd');
  return etcd[of];
};

interface Door {
  place: () => Place;
  /** Who gets an answer. Being in is not being logged in: see the tests of etcd's logins. */
  opensFor: string[];
  knock: (place: Place, certificate: Certificate | null) => Promise<unknown>;
}

const etcdClients = ['etcd server', 'etcd operator', 'acme etcd', 'acme2 etcd'];

const doors: Record<string, Door> = {
  'etcd over gRPC': {
    place: () => ({ address: hostOf(), port: etcdPort('clientPort') }),
    opensFor: etcdClients,
    knock: (place, certificate) => rangeOverGrpc(place, certificate, '/pgs/', '/pgs0'),
  },
  "etcd's HTTP gateway": {
    place: () => ({ address: hostOf(), port: etcdPort('clientPort') }),
    opensFor: etcdClients,
    knock: (place, certificate) => callHttp(place, certificate, get('/version')),
  },
  "etcd's peer port": {
    place: () => ({ address: hostOf(), port: etcdPort('peerPort') }),
    // etcd lets a peer in only from the address that its certificate names: stolen, it opens nothing (see below).
    opensFor: [],
    knock: (place, certificate) => callHttp(place, certificate, get('/version')),
  },
  ...Object.fromEntries(tenants.map((tenant) => [`REST of ${tenant}`, restDoor(tenant)])),
};

function restPlace(tenant: Tenant): Place {
  return { address: keys[tenant].cluster.members[0]!.host.address, port: keys[tenant].cluster.ports.rest };
}

function sqlPlace(tenant: Tenant): Place {
  return { address: keys[tenant].cluster.members[0]!.host.address, port: keys[tenant].cluster.ports.postgres };
}

function restDoor(tenant: Tenant): Door {
  return {
    place: () => restPlace(tenant),
    opensFor: [`${tenant} rest`, `${tenant} rest checks`, `${tenant} rest operator`],
    knock: (place, certificate) => callHttp(place, certificate, get('/patroni')),
  };
}

describe.each(Object.entries(doors))('%s', (_, door) => {
  test.each(Object.entries(holders))('judges %s rightly', async (holder, certificate) => {
    const verdict = (await door.knock(door.place(), certificate())) === 'refused' ? 'refused' : 'answered';
    expect(verdict).toBe(door.opensFor.includes(holder) ? 'answered' : 'refused');
  });

  test('answers nothing to plain text', async () => {
    const answer = await callHttp(door.place(), null, { ...get('/version'), encryption: 'none' });
    expect(answer === 'refused' || answer.status === 400).toBe(true);
  });
});

test("etcd's peer port answers a peer from its own host, and that host's other certificates not", async () => {
  const [from, to] = fleet.inventory.hosts;
  const say = (certificate: string) =>
    on(
      from!.name,
      `(printf 'GET /version HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -quiet -connect ${to!.address}:${etcdPort('peerPort')} ` +
        `-cert /etc/pgs/etcd/tls/${certificate}.crt -key /etc/pgs/etcd/tls/${certificate}.key 2>&1`,
    );
  expect((await say('peer')).stdout).toMatch(/etcdserver/);
  expect((await say('server')).stdout).not.toMatch(/etcdserver/);
});

describe.each(tenants)('PostgreSQL of %s', (tenant) => {
  test.each(Object.entries(holders))('lets nobody in for %s alone', async (_, certificate) => {
    for (const user of ['postgres', 'app', 'pgs_replication']) {
      expect(await logIn(sqlPlace(tenant), certificate(), { user, database: 'postgres' })).not.toBe('in');
    }
  });

  test('lets the owner of a password in over TLS, and not in plain text', async () => {
    const { user, password } = keys[tenant].secrets.passwords.probe;
    const login = { user, password, database: 'postgres' };
    expect(await logIn(sqlPlace(tenant), null, login)).toBe('in');
    expect(await logIn(sqlPlace(tenant), 'plain text', login)).toMatch(/pg_hba.conf rejects|no pg_hba.conf entry/);
  });

  test('takes no password of another tenant', async () => {
    const other = keys[tenant === 'acme' ? 'acme2' : 'acme'].secrets.passwords;
    const logins = [
      { ...other.app, database: 'app' },
      { ...other.probe, database: 'postgres' },
    ];
    for (const login of logins)
      expect(await logIn(sqlPlace(tenant), null, login)).toMatch(/password authentication failed/);
  });
});

describe.each(tenants)('The poolers of %s', (tenant) => {
  const places = (): Place[] => {
    const { members, ports } = keys[tenant].cluster;
    return [ports.pooler, ports.poolerReplica].map((port) => ({ address: members[0]!.host.address, port }));
  };

  test('let nobody in for a certificate alone, their own included', async () => {
    const pooler = keys[tenant].secrets.pooler!;
    for (const place of places()) {
      for (const user of ['postgres', 'app', 'pgs_pooler', 'pgbouncer']) {
        for (const certificate of [null, pooler, ofMember(tenant).sql])
          expect(await logIn(place, certificate, { user, database: 'postgres' })).not.toBe('in');
      }
    }
  });

  test('let the owner of a password in over TLS, and not in plain text', async () => {
    const login = { ...keys[tenant].secrets.passwords.probe, database: 'postgres' };
    for (const place of places()) {
      expect(await logIn(place, null, login)).toBe('in');
      expect(await logIn(place, 'plain text', login)).toMatch(/SSL required/);
    }
  });

  test('take no password of another tenant, nor of a role that is not for clients', async () => {
    const other = keys[tenant === 'acme' ? 'acme2' : 'acme'].secrets.passwords;
    const own = keys[tenant].secrets.passwords;
    for (const place of places()) {
      for (const login of [other.app, other.probe])
        expect(await logIn(place, null, { ...login, database: 'postgres' })).toMatch(/authentication failed/);
      for (const login of [own.replication, own.rewind])
        expect(await logIn(place, null, { ...login, database: 'postgres' })).toMatch(/no such user/);
    }
  });

  test('open PostgreSQL with their certificate for their own role and no other, and no other certificate does', async () => {
    const pooler = keys[tenant].secrets.pooler!;
    const login = (user: string) => ({ user, database: 'postgres' });
    // From here, which is no member, not even that.
    expect(await logIn(sqlPlace(tenant), pooler, login('pgs_pooler'))).not.toBe('in');
    for (const user of ['postgres', 'app', 'pgs_probe'])
      expect(await logIn(sqlPlace(tenant), pooler, login(user))).not.toBe('in');
    const other = keys[tenant === 'acme' ? 'acme2' : 'acme'].secrets.pooler!;
    const direct = { ...sqlPlace(tenant), port: keys[tenant].cluster.ports.direct };
    // Through an entry the connection comes from a member's address: there the certificate alone decides.
    expect(await logIn(direct, pooler, login('pgs_pooler'))).toBe('in');
    expect(await logIn(direct, other, login('pgs_pooler'))).not.toBe('in');
    expect(await logIn(direct, ofMember(tenant).sql, login('pgs_pooler'))).not.toBe('in');
    expect(await logIn(direct, null, login('pgs_pooler'))).not.toBe('in');
  });
});

describe('what changes the state of a cluster over REST', () => {
  const changes: [string, string, unknown][] = [
    ['PATCH', '/config', {}],
    ['PUT', '/config', {}],
    ['POST', '/switchover', {}],
    ['DELETE', '/switchover', undefined],
    ['POST', '/failover', {}],
    ['POST', '/restart', { role: 'nobody' }],
    ['DELETE', '/restart', undefined],
    ['POST', '/reload', {}],
    ['POST', '/reinitialize', {}],
    ['POST', '/failsafe', {}],
  ];

  const basic = (password: Secret) => ({
    authorization: `Basic ${Buffer.from(`pgs:${password.reveal()}`).toString('base64')}`,
  });
  const ask = async (certificate: Certificate, call: HttpCall) => {
    const answer = await callHttp(restPlace('acme'), certificate, call);
    return answer === 'refused' ? answer : answer.status;
  };

  test.each(changes)('%s %s needs the password beside the certificate', async (method, path, body) => {
    const call = { method, path, body };
    for (const certificate of [ofMember('acme').rest, keys.acme.secrets.restChecks, keys.acme.secrets.restOperator]) {
      expect(await ask(certificate, call)).toBe(401);
      const foreign = basic(keys.acme2.secrets.passwords.rest.password);
      expect(await ask(certificate, { ...call, headers: foreign })).toBe(401);
    }
  });

  test.each(changes)('%s %s needs the certificate beside the password', async (method, path, body) => {
    const call = { method, path, body, headers: basic(keys.acme.secrets.passwords.rest.password) };
    expect(await ask(ofMember('acme2').rest, call)).toBe('refused');
    expect(await ask(keys.acme2.secrets.restOperator, call)).toBe('refused');
  });

  test('is possible with both', async () => {
    const operator = keys.acme.secrets.restOperator;
    const headers = basic(keys.acme.secrets.passwords.rest.password);
    const settings = await callHttp(restPlace('acme'), operator, get('/config'));
    if (settings === 'refused') throw new Error('the settings cannot be read');
    const { ttl } = JSON.parse(settings.body) as { ttl: number };
    expect(await ask(operator, { method: 'PATCH', path: '/config', body: { ttl }, headers })).toBe(200);
    // Patroni wants to know from where to where: the request got past the door.
    expect(await ask(operator, { method: 'POST', path: '/switchover', body: {}, headers })).toBe(400);
  });
});

describe("etcd's logins", () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const range = (from: string, to: string) => ({ key: base64(from), range_end: base64(to) });
  const put = (key: string) => ({ key: base64(key), value: base64('planted') });

  async function gateway(path: string, body: unknown, token?: string) {
    const headers = token === undefined ? {} : { authorization: token };
    const answer = await callHttp(doors["etcd's HTTP gateway"]!.place(), ofMember('acme').etcd, {
      method: 'POST',
      path,
      body,
      headers,
    });
    if (answer === 'refused') throw new Error(`etcd refused the certificate for ${path}`);
    return answer;
  }

  async function logInAs({ user, password }: { user: string; password: Secret }): Promise<string> {
    const { body } = await gateway('/v3/auth/authenticate', { name: user, password: password.reveal() });
    return (JSON.parse(body) as { token: string }).token;
  }

  test('are asked for: authentication is on', async () => {
    expect(await withDcs(fleet, (dcs) => dcs.logins.enabled())).toBe(true);
  });

  test.each(etcdClients)('are what %s lacks: without one it reads nothing', async (holder) => {
    const place = doors['etcd over gRPC']!.place();
    expect(await rangeOverGrpc(place, holders[holder]!(), '/pgs/', '/pgs0')).not.toBe(0);
    expect((await gateway('/v3/kv/range', range('/pgs/', '/pgs0'))).status).toBe(403);
  });

  test('with a CN in the certificate would be skipped: root of a forged one reads all', async () => {
    const forged = await issueCertificate(fleet.secrets.etcdClientCa, {
      subject: { organization: 'pgs', unit: 'forged', commonName: 'root' },
      dnsNames: [],
      ipAddresses: [],
      usages: ['client'],
    });
    expect(await rangeOverGrpc(doors['etcd over gRPC']!.place(), forged, '/pgs/', '/pgs0')).toBe(0);
  });

  test('are therefore in no certificate that etcd takes', async () => {
    const hosts = fleet.inventory.hosts.map((h) => h.name);
    const issued = [
      fleet.secrets.operatorEtcdClient,
      ...hosts.flatMap((h) => [
        fleet.secrets.hosts[h]!.etcdServer,
        ...tenants.map((t) => keys[t].secrets.certificates[h]!.etcd),
      ]),
    ];
    expect(issued.map((i) => describeCertificate(i.certPem).commonName)).toEqual(issued.map(() => null));
    // And as they lie on the machines.
    for (const host of hosts) {
      const files = `/etc/pgs/etcd/tls/server.crt /etc/pgs/tenants/*/tls/etcd.crt`;
      const subjects = await onOk(host, `for f in ${files}; do openssl x509 -in "$f" -noout -subject; done`);
      expect(subjects.trim().split('\n')).toHaveLength(1 + tenants.length);
      expect(subjects).not.toMatch(/CN\s*=/);
    }
  });

  /** acme may everything under its own prefix; what begins alike, and the whole, is not its own. */
  const foreign: [string, string, unknown][] = [
    ['read the leader of acme2', '/v3/kv/range', { key: base64('/pgs/dcs/acme2/leader') }],
    ['read all keys of acme2', '/v3/kv/range', range('/pgs/dcs/acme2/', '/pgs/dcs/acme20')],
    ['read all keys of acme-co', '/v3/kv/range', range('/pgs/dcs/acme-co/', '/pgs/dcs/acme-co0')],
    ['read all that begins like its name', '/v3/kv/range', range('/pgs/dcs/acme', '/pgs/dcs/acmf')],
    ['read every tenant', '/v3/kv/range', range('/pgs/dcs/', '/pgs/dcs0')],
    ["read pgs's state", '/v3/kv/range', range('/pgs/state/', '/pgs/state0')],
    ['read its own sealed secrets', '/v3/kv/range', { key: base64('/pgs/state/secrets/acme') }],
    ['read everything', '/v3/kv/range', { key: base64('\0'), range_end: base64('\0') }],
    ['write a key of acme2', '/v3/kv/put', put('/pgs/dcs/acme2/leader')],
    ['write a key of acme-co', '/v3/kv/put', put('/pgs/dcs/acme-co/leader')],
    ['write beside its prefix', '/v3/kv/put', put('/pgs/dcs/acme')],
    ["write pgs's state", '/v3/kv/put', put('/pgs/state/tenants/acme')],
    ['write anywhere else', '/v3/kv/put', put('/planted')],
    ['remove the keys of acme2', '/v3/kv/deleterange', range('/pgs/dcs/acme2/', '/pgs/dcs/acme20')],
    ['write in a transaction', '/v3/kv/txn', { success: [{ requestPut: put('/pgs/dcs/acme2/leader') }] }],
    ['read in a transaction', '/v3/kv/txn', { success: [{ requestRange: { key: base64('/pgs/dcs/acme2/leader') } }] }],
    ['list logins', '/v3/auth/user/list', {}],
    ['look at a role', '/v3/auth/role/get', { role: 'pgs-acme2' }],
    ['add a login', '/v3/auth/user/add', { name: 'planted', password: 'planted' }],
    ['give itself root', '/v3/auth/user/grant', { user: 'pgs-acme', role: 'root' }],
    ['turn authentication off', '/v3/auth/disable', {}],
    ['add a member', '/v3/cluster/member/add', { peerURLs: ['https://192.0.2.1:2380'] }],
  ];

  test.each(foreign)("of a tenant may not %s, nor may nobody's", async (_, path, body) => {
    const token = await logInAs(keys.acme.secrets.passwords.etcd);
    expect((await gateway(path, body, token)).status).toBe(403);
    expect((await gateway(path, body)).status).toBeGreaterThanOrEqual(400);
  });

  test.each(['/v3/maintenance/snapshot', '/v3/maintenance/hash', '/v3/maintenance/defragment'])(
    'of a tenant may not use %s',
    async (path) => {
      const token = await logInAs(keys.acme.secrets.passwords.etcd);
      expect((await gateway(path, {}, token)).body).toMatch(/permission denied/);
    },
  );

  test('of a tenant may watch its own keys and not those of another', async () => {
    const token = await logInAs(keys.acme.secrets.passwords.etcd);
    const watch = (tenant: Tenant) =>
      gateway('/v3/watch', { create_request: range(`/pgs/dcs/${tenant}/`, `/pgs/dcs/${tenant}0`) }, token);
    expect((await watch('acme')).body).not.toMatch(/canceled/);
    expect((await watch('acme2')).body).toMatch(/permission denied/);
  });

  test('of a tenant may read and write its own keys', async () => {
    const token = await logInAs(keys.acme.secrets.passwords.etcd);
    expect((await gateway('/v3/kv/range', range('/pgs/dcs/acme/', '/pgs/dcs/acme0'), token)).status).toBe(200);
    expect((await gateway('/v3/kv/put', put('/pgs/dcs/acme/planted'), token)).status).toBe(200);
    const gone = await gateway('/v3/kv/deleterange', { key: base64('/pgs/dcs/acme/planted') }, token);
    expect(gone.status).toBe(200);
  });

  test('do not open with the password of another tenant', async () => {
    const { password } = keys.acme2.secrets.passwords.etcd;
    const answer = await gateway('/v3/auth/authenticate', { name: 'pgs-acme', password: password.reveal() });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatch(/authentication failed/);
  });
});

describe('TLS', () => {
  const places: [string, () => Place, () => Certificate, string | undefined][] = [
    ['etcd', doors['etcd over gRPC']!.place, () => fleet.secrets.operatorEtcdClient, undefined],
    ["etcd's peer port", doors["etcd's peer port"]!.place, () => fleet.secrets.hosts.h2!.etcdPeer, undefined],
    ['REST', () => restPlace('acme'), () => keys.acme.secrets.restOperator, undefined],
    ['PostgreSQL', () => sqlPlace('acme'), () => keys.acme.secrets.restOperator, 'postgresql'],
  ];

  test.each(places)('of %s is 1.2 or newer, with an ECDSA certificate', async (name, place, certificate, alpn) => {
    const holder = name === 'PostgreSQL' ? null : certificate();
    for (const version of ['TLSv1', 'TLSv1.1'] as const)
      expect(await shakeHands(place(), holder, version, alpn)).toBe('refused');
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const shaken = await shakeHands(place(), holder, version, alpn);
      if (shaken === 'refused') throw new Error(`${name} refuses ${version}`);
      expect(shaken.protocol).toBe(version);
      expect(new X509Certificate(shaken.certificate).publicKey.asymmetricKeyType).toBe('ec');
    }
  });

  test('has ECDSA keys on P-256 and ECDSA signatures in every certificate that pgs keeps', async () => {
    await import('reflect-metadata');
    const x509 = await import('@peculiar/x509');
    const pems = certificatesIn([fleet.secrets, keys.acme.secrets, keys.acme2.secrets]);
    expect(pems.length).toBeGreaterThan(20);
    for (const pem of pems) {
      const certificate = new x509.X509Certificate(pem);
      expect(certificate.signatureAlgorithm).toMatchObject({ name: 'ECDSA', hash: { name: 'SHA-256' } });
      expect(new X509Certificate(pem).publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
    }
  });
});

function certificatesIn(value: unknown): string[] {
  if (typeof value === 'string') return value.includes('BEGIN CERTIFICATE') ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(certificatesIn);
}
