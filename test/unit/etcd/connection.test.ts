// Against sockets that refuse and sockets that never answer; what real members do is tested on real machines.

import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { connectDcs, openDcs } from '../../../src/etcd/client.js';
import type { PgsError } from '../../../src/errors.js';
import { createAuthority } from '../../../src/pki/authority.js';
import { Secret } from '../../../src/secrets/secret.js';
import { externalEtcd, fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { inventory } from '../../fixtures/fleet.js';

const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

async function port(): Promise<[Server, number]> {
  const server = createServer((socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return [server, (server.address() as AddressInfo).port];
}
async function refusing(): Promise<string> {
  const [server, number] = await port();
  server.close();
  return `https://127.0.0.1:${number}`;
}
async function silent(): Promise<string> {
  const [server, number] = await port();
  servers.push(server);
  return `https://127.0.0.1:${number}`;
}

describe('openDcs', () => {
  it.each([
    ['refuse', refusing],
    ['take the connection and never answer', silent],
  ])(
    'ends within 5 s and names the members when all %s',
    async (_, endpoint) => {
      const { certPem } = await createAuthority('test');
      const endpoints = await Promise.all(
        ['h1', 'h2', 'h3'].map(async (name) => ({ name, url: await endpoint(), serverName: name })),
      );
      const startedMs = performance.now();
      const access = { endpoints, caPem: certPem, client: null, user: 'root', password: new Secret('hunter2hunter2') };
      const error = await openDcs(access).catch((thrown: unknown) => thrown as PgsError);
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect(error).toMatchObject({ code: 'unreachable', details: { doing: 'connecting to etcd' } });
      expect((error as PgsError).details.found).toContain('etcd has no quorum: h1, h2 and h3 do not answer');
      expect((error as PgsError).details.found).not.toContain('hunter2');
    },
    10_000,
  );
});

describe('connectDcs', () => {
  it('names the setting and the file of an external etcd that cannot be read', async () => {
    const fleet = { ...inventory, etcd: externalEtcd };
    await expect(connectDcs(fleet, fakeFleetSecrets())).rejects.toMatchObject({
      code: 'configuration',
      details: { found: expect.stringMatching(/etcd\.external\.ca: .*\/nonexistent\/ca\.crt/) as string },
    });
  });
});
