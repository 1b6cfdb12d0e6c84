import { expect, test } from 'vitest';
import { libpqUrl, passwordFile } from '../../../src/topology/urls.js';
import { clusterOf } from '../../fixtures/fleet.js';

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

test('only direct services say which kind of server they want', () => {
  const attributes = (['primary', 'replica', 'direct', 'direct-ro'] as const).map(
    (service) => /target_session_attrs=([a-z-]+)/.exec(libpqUrl(clusterOf(), service, account, files))?.[1] ?? null,
  );
  expect(attributes).toEqual([null, null, 'read-write', 'prefer-standby']);
});

test('a password file escapes what libpq would take for a separator', () => {
  const lines = passwordFile(clusterOf(), account, 'a:b\\c').trimEnd().split('\n');
  expect(lines).toHaveLength(16);
  expect(lines[0]).toBe('10.0.0.1:20000:*:app:a\\:b\\\\c');
});
