import { expect, test } from 'vitest';
import { describePooling, jdbcUrl, libpqUrl, nodeConfig, passwordFile, poolingOf } from '../../../src/topology/urls.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const files = { caPath: '/fleet/my keys/ca.crt', passwordPath: '/fleet/pgpass' };
const account = { user: 'app', database: 'app' };

test('a string lists every entry, verifies TLS and holds no password', () => {
  const url = libpqUrl(clusterOf(), 'primary', account, files);
  expect(url).toBe(
    'postgresql://app@10.0.0.1:20000,10.0.0.2:20000,10.0.0.3:20000,10.0.0.4:20000/app' +
      '?sslmode=verify-full&sslrootcert=/fleet/my%20keys/ca.crt&passfile=/fleet/pgpass&connect_timeout=5',
  );
});

test('a string can stand between single quotes in a shell', () => {
  const odd = { caPath: "/it's/ca.crt", passwordPath: '/a b' };
  expect(libpqUrl(clusterOf(), 'primary', account, odd)).toContain('/it%27s/ca.crt');
});

test('who logs in by a certificate is told where it is, in last place', () => {
  const certificate = { certPath: "/fleet/it's/shop.crt", keyPath: '/fleet/my keys/shop.key' };
  const of = (service: 'direct' | 'primary') => libpqUrl(clusterOf(), service, account, { ...files, certificate });
  for (const url of [of('direct'), of('primary')])
    expect(url).toMatch(/&sslcert=\/fleet\/it%27s\/shop\.crt&sslkey=\/fleet\/my%20keys\/shop\.key$/);
});

test('only direct services say which kind of server they want', () => {
  const attributes = (['primary', 'replica', 'direct', 'direct-ro'] as const).map(
    (service) => /target_session_attrs=([a-z-]+)/.exec(libpqUrl(clusterOf(), service, account, files))?.[1] ?? null,
  );
  expect(attributes).toEqual([null, null, 'read-write', 'prefer-standby']);
});

test('a password file escapes what libpq would take for a separator', () => {
  const lines = passwordFile(clusterOf(), account, 'a:b\\c').trimEnd().split('\n');
  expect(lines).toHaveLength(20);
  expect(lines[0]).toBe('10.0.0.1:20000:*:app:a\\:b\\\\c');
  expect(lines[19]).toBe('acme-direct-ro.lab.internal:5432:*:app:a\\:b\\\\c');
});

test('pgJDBC gets the same hosts, and its own word for the kind of server', () => {
  expect(jdbcUrl(clusterOf(), 'primary', account, files)).toBe(
    'jdbc:postgresql://10.0.0.1:20000,10.0.0.2:20000,10.0.0.3:20000,10.0.0.4:20000/app' +
      '?user=app&sslmode=verify-full&sslrootcert=/fleet/my%20keys/ca.crt&connectTimeout=5&tcpKeepAlive=true',
  );
  const types = (['primary', 'replica', 'direct', 'direct-ro'] as const).map(
    (service) => /targetServerType=([A-Za-z]+)/.exec(jdbcUrl(clusterOf(), service, account, files))?.[1] ?? null,
  );
  expect(types).toEqual([null, null, 'primary', 'preferSecondary']);
});

test('pgJDBC prepares nothing where PgBouncer could not follow it', () => {
  const url = (postgres: number, pool: 'transaction' | 'session') =>
    jdbcUrl(clusterOf(recordOf('acme', { postgres, pool })), 'primary', account, files);
  expect(url(15, 'transaction')).toContain('prepareThreshold=0');
  expect(url(15, 'session')).not.toContain('prepareThreshold');
  expect(url(17, 'transaction')).not.toContain('prepareThreshold');
});

test('node-postgres gets what rotateHosts takes', () => {
  expect(nodeConfig(clusterOf(), 'direct', account)).toEqual({
    hosts: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'],
    config: { port: 20002, user: 'app', database: 'app' },
  });
});

test('only primary and replica are pooled, and the label says what that takes away', () => {
  const modes = (pool: 'transaction' | 'session' | 'off') =>
    (['primary', 'replica', 'direct', 'direct-ro'] as const).map((s) =>
      poolingOf(clusterOf(recordOf('acme', { pool })), s),
    );
  expect(modes('transaction')).toEqual(['transaction', 'transaction', null, null]);
  expect(modes('off')).toEqual([null, null, null, null]);
  expect(describePooling('transaction')).toMatch(/no session state .*LISTEN/);
});

test('by the front door a string has the name, the addresses, and no pooled one has channel binding', () => {
  const url = (service: 'replica' | 'direct') => libpqUrl(clusterOf(), service, account, files, 'door');
  const hosts = Array<string>(4).fill('acme-direct.lab.internal:5432').join(',');
  expect(url('direct')).toBe(
    `postgresql://app@${hosts}/app?sslmode=verify-full&sslrootcert=/fleet/my%20keys/ca.crt&passfile=/fleet/pgpass` +
      '&connect_timeout=5&target_session_attrs=read-write&hostaddr=10.0.0.1%2C10.0.0.2%2C10.0.0.3%2C10.0.0.4&channel_binding=require',
  );
  expect(url('replica')).toContain('acme-ro.lab.internal:5432,');
  expect(url('replica')).not.toContain('channel_binding');
  expect(jdbcUrl(clusterOf(), 'primary', account, files, 'door')).toMatch(
    /^jdbc:postgresql:\/\/acme\.lab\.internal:5432\/app\?/,
  );
  expect(nodeConfig(clusterOf(), 'direct-ro', account, 'door')).toEqual({
    hosts: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'],
    config: { port: 5432, ssl: { servername: 'acme-direct-ro.lab.internal' }, user: 'app', database: 'app' },
  });
});
