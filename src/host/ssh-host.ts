// Runs commands as root on hosts over ssh: one connection a host, opened when first needed and shared by all.

import pLimit from 'p-limit';
import type { Client, ClientChannel } from 'ssh2';
import { PgsError, toPgsError } from '../errors.js';
import type { Host, Inventory, SshSettings } from '../inventory/inventory.js';
import { reveal } from '../secrets/secret.js';
import type { Command, CommandResult, HostAccess } from './command.js';
import { shellLine } from './shell-words.js';
import { openConnection } from './ssh-connect.js';

/** sshd allows ten sessions a connection (MaxSessions); the operator's own multiplexed logins may take some. */
const channelsMax = 6;
/** After a failed connect, further calls fail at once for this long: ten steps must not wait ten times. */
const failureRememberedMs = 30_000;
/** From the end of a command's time on the host to giving up here: `timeout` waits 5 s before it kills. */
const graceMs = 8_000;

export interface StreamingAccess extends HostAccess {
  /**
   * Runs a command as root until it ends or `signal` aborts it, and hands over its output line by line.
   * @returns its exit code, null if it was aborted
   * @throws PgsError as `run` does
   */
  stream(argv: string[], onLine: (line: string) => void, signal?: AbortSignal): Promise<number | null>;
}

export interface HostPool {
  /** @throws PgsError `usage` if pgs.yaml has no such host; connecting waits until something is run */
  get(name: string): StreamingAccess;
  /** Begins to connect to every host, for who will need them all; what fails is told by the first command that is run. */
  connectAll(): void;
  close(): Promise<void>;
}

export function openHosts(inventory: Pick<Inventory, 'hosts' | 'ssh'>): HostPool {
  const open = new Map<string, SshHost>();
  const get = (name: string): SshHost => {
    const host = inventory.hosts.find((h) => h.name === name);
    if (!host) {
      throw new PgsError('usage', {
        doing: `looking up host ${name}`,
        found: 'pgs.yaml has no such host',
        hint: `It has: ${inventory.hosts.map((h) => h.name).join(', ')}.`,
      });
    }
    const access = open.get(name) ?? new SshHost(host, inventory.ssh);
    open.set(name, access);
    return access;
  };
  return {
    get,
    connectAll() {
      for (const { name } of inventory.hosts)
        void get(name)
          .connect()
          .catch(() => undefined);
    },
    async close() {
      await Promise.all([...open.values()].map((host) => host.close()));
    },
  };
}

/** Connects now; @throws PgsError `unreachable`, `configuration`, or `unfit` when the user may not use sudo */
export async function connectHost(host: Host, ssh: SshSettings): Promise<StreamingAccess> {
  const access = new SshHost(host, ssh);
  await access.connect();
  return access;
}

class SshHost implements StreamingAccess {
  readonly name: string;
  readonly #host: Host;
  readonly #ssh: SshSettings;
  readonly #limit = pLimit(channelsMax);
  #connection: Promise<Client> | undefined;
  #failure: { error: PgsError; atMs: number } | undefined;

  constructor(host: Host, ssh: SshSettings) {
    this.name = host.name;
    this.#host = host;
    this.#ssh = ssh;
  }

  connect(): Promise<Client> {
    if (this.#failure && performance.now() - this.#failure.atMs < failureRememberedMs) {
      return Promise.reject(this.#failure.error);
    }
    this.#failure = undefined;
    this.#connection ??= this.#open();
    return this.#connection;
  }

  async #open(): Promise<Client> {
    try {
      const client = await openConnection(this.#host, this.#ssh);
      // The next call after a lost connection opens a new one.
      client.once('close', () => (this.#connection = undefined));
      if (this.#ssh.user !== 'root') await this.#proveSudo(client);
      return client;
    } catch (thrown) {
      this.#connection = undefined;
      this.#failure = { error: toPgsError(thrown, 'connecting by ssh'), atMs: performance.now() };
      throw this.#failure.error;
    }
  }

  async #proveSudo(client: Client): Promise<void> {
    const { code, stderr } = await this.#exec(client, { argv: ['true'], timeoutMs: 10_000 });
    if (code === 0) return;
    client.end();
    const { user } = this.#ssh;
    throw new PgsError('unfit', {
      doing: 'becoming root by sudo',
      host: this.name,
      found: stderr.trim() || `sudo ended with code ${code}`,
      hint: `Let ${user} use sudo without a password: echo '${user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgs (as root there), or log in as root.`,
    });
  }

  run(command: Command): Promise<CommandResult> {
    return this.#limit(async () => this.#exec(await this.connect(), command));
  }

  stream(argv: string[], onLine: (line: string) => void, signal?: AbortSignal): Promise<number | null> {
    return this.#limit(async () => {
      const { channel, ended } = await this.#start(await this.connect(), commandLine(this.#ssh.user, argv, null));
      const [lines, errorLines] = [lineSplitter(onLine), lineSplitter(onLine)];
      channel.on('data', lines.push);
      channel.stderr.on('data', errorLines.push);
      // Closing the channel ends a command that writes; `timeout` is not there to do it.
      const stop = () => channel.close();
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted) stop();
      const code = await ended;
      lines.end();
      errorLines.end();
      signal?.removeEventListener('abort', stop);
      if (code === null && !signal?.aborted) throw this.#lost(argv);
      return code;
    });
  }

  async #exec(client: Client, command: Command): Promise<CommandResult> {
    const { argv, stdin, timeoutMs } = command;
    const startedMs = performance.now();
    const { channel, ended } = await this.#start(client, commandLine(this.#ssh.user, argv, timeoutMs));
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    channel.on('data', (chunk: Buffer) => stdout.push(chunk));
    channel.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // A command that does not read to the end of its input closes it early; its exit code tells what it thinks of that.
    channel.on('error', () => {});
    channel.end(stdin === undefined ? undefined : reveal(stdin));
    const code = await within(ended, timeoutMs + graceMs);
    const overtime = performance.now() - startedMs >= timeoutMs;
    if (code === 'late' || (overtime && (code === 124 || code === 137))) {
      channel.close();
      throw this.#late(argv, timeoutMs);
    }
    if (code === null) throw this.#lost(argv);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }

  #start(client: Client, line: string): Promise<Started> {
    return new Promise((resolve, reject) => {
      const fail = (found: string) =>
        reject(
          new PgsError('unreachable', {
            doing: 'opening an ssh channel',
            host: this.name,
            found,
            hint: 'Run the same command again; see /var/log/auth.log or `journalctl -u ssh` there if it stays.',
          }),
        );
      const closed = () => fail('the connection was lost');
      client.once('close', closed);
      try {
        client.exec(line, (error, channel) => {
          client.removeListener('close', closed);
          if (error) fail(error.message);
          // At once: a short command's exit code may be in the same packet as the answer that it was started.
          else resolve({ channel, ended: endOf(channel) });
        });
      } catch (thrown) {
        client.removeListener('close', closed);
        fail(thrown instanceof Error ? thrown.message : String(thrown));
      }
    });
  }

  #late(argv: string[], timeoutMs: number): PgsError {
    return new PgsError('unknown-result', {
      doing: `running ${argv[0]}`,
      host: this.name,
      found: `it did not end within ${timeoutMs / 1000} s and was ended`,
      hint: 'See why the host is slow (load, disk), then run the same command again: it goes on from what is there.',
    });
  }

  #lost(argv: string[]): PgsError {
    return new PgsError('unknown-result', {
      doing: `running ${argv[0]}`,
      host: this.name,
      found: 'the connection was lost while it ran, so its result is not known',
      hint: 'When the host answers again, run the same command again: it goes on from what is there.',
    });
  }

  async close(): Promise<void> {
    const connecting = this.#connection?.catch(() => undefined);
    // Nobody waits for a host that has not answered yet; if it does, it is left at once.
    const client = await Promise.race([
      connecting,
      new Promise<'pending'>((resolve) => setImmediate(resolve, 'pending')),
    ]);
    if (client === 'pending') void connecting?.then((late) => late?.end());
    if (!client || client === 'pending') return;
    await new Promise<void>((resolve) => {
      client.once('close', () => resolve());
      client.end();
      // A peer that is gone does not answer the farewell.
      setTimeout(() => client.destroy(), 1_000).unref();
    });
  }
}

interface Started {
  channel: ClientChannel;
  /** Exit code, 137 for a command that a signal ended; null when the connection was lost. */
  ended: Promise<number | null>;
}

/** The command in words of a shell; its time limit holds on the host even if this side is gone. */
export function commandLine(user: string, argv: string[], timeoutMs: number | null): string {
  return shellLine([
    ...(user === 'root' ? [] : ['sudo', '-n', '--']),
    ...(timeoutMs === null ? [] : ['timeout', '-k', '5', String(timeoutMs / 1000)]),
    // Messages that pgs reads or shows must not depend on the login's language.
    ...['env', 'LC_ALL=C.UTF-8', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ...argv,
  ]);
}

function endOf(channel: ClientChannel): Promise<number | null> {
  return new Promise((resolve) => {
    let code: number | null = null;
    channel.on('exit', (exitCode: number | null, signal?: string) => (code = exitCode ?? (signal ? 137 : null)));
    channel.on('close', () => resolve(code));
  });
}

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), timeoutMs)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Chunks may end inside a character: they are decoded together. */
function text(chunks: Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8');
}

function lineSplitter(onLine: (line: string) => void): { push: (chunk: Buffer) => void; end: () => void } {
  const decoder = new TextDecoder();
  let rest = '';
  return {
    push: (chunk) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    },
    end: () => {
      if (rest) onLine(rest);
    },
  };
}
