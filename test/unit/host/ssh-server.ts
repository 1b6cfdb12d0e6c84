// An ssh server in this process that runs what it is asked to with sh, for tests of our side of a connection.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import ssh2, { type Connection, type ServerChannel } from 'ssh2';

const { Server, utils } = ssh2;

export interface TestServer {
  port: number;
  /** `type base64` of the host key, as in known_hosts. */
  hostKey: string;
  /** Private key that the server lets in. */
  clientKey: string;
  /** Commands that were run. */
  commands: string[];
  connections: number;
  /** Most channels that one connection had open at once. */
  channelsMax: number;
  /** Cuts every connection without a farewell. */
  cut(): void;
  close(): Promise<void>;
}

export async function startSshServer(): Promise<TestServer> {
  const host = utils.generateKeyPairSync('ed25519');
  const client = utils.generateKeyPairSync('ed25519');
  const allowed = parsed(client.public);
  const open = new Set<Connection>();
  const server = new Server({ hostKeys: [host.private] }, (connection) => {
    let channels = 0;
    open.add(connection);
    test.connections++;
    connection.on('error', () => {});
    connection.on('close', () => open.delete(connection));
    connection.on('authentication', (context) => {
      if (context.method === 'publickey' && allowed.equals(context.key.data)) context.accept();
      else context.reject(['publickey']);
    });
    connection.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, info) => {
        test.commands.push(info.command);
        if (info.command.includes(endsAtOnce)) return endIn(connection, acceptExec);
        test.channelsMax = Math.max(test.channelsMax, ++channels);
        runIn(acceptExec(), info.command, () => channels--);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const test: TestServer = {
    port: (server.address() as AddressInfo).port,
    hostKey: host.public.split(' ').slice(0, 2).join(' '),
    clientKey: client.private,
    commands: [],
    connections: 0,
    channelsMax: 0,
    cut: () => open.forEach((connection) => socketOf(connection).destroy()),
    close: async () => {
      test.cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return test;
}

function parsed(publicKey: string): Buffer {
  const key = utils.parseKey(publicKey);
  if (key instanceof Error) throw key;
  return key.getPublicSSH();
}

/** A command with this word ends in the same packet that says it started, with code 3. */
export const endsAtOnce = 'ends-at-once';

function endIn(connection: Connection, accept: () => ServerChannel): void {
  const socket = socketOf(connection);
  socket.cork();
  const channel = accept();
  channel.exit(3);
  channel.end();
  setImmediate(() => socket.uncork());
}

/** ssh2 has no way to break a connection as a lost network does. */
function socketOf(connection: Connection): Socket {
  return (connection as unknown as { _sock: Socket })._sock;
}

function runIn(channel: ServerChannel, command: string, ended: () => void): void {
  const child = spawn('sh', ['-c', command], { env: { PATH: process.env.PATH } });
  channel.on('error', () => {});
  child.stdin.on('error', () => {});
  channel.pipe(child.stdin);
  child.stdout.pipe(channel, { end: false });
  child.stderr.pipe(channel.stderr, { end: false });
  child.on('close', (code) => {
    ended();
    channel.exit(code ?? 137);
    channel.end();
  });
  channel.on('close', () => child.kill());
}
