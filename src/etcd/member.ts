// One member of etcd: its client, and what it says of itself.

import { performance } from 'node:perf_hooks';
import type { Etcd3 as Client, IOptions } from 'etcd3';
import type { DcsAccess, DcsEndpoint } from './access.js';
import { classifyFailure, DeadlineError, messageOf, withoutPrefix } from './failures.js';
import { parseMemberStatus, type MemberStatus } from './facts.js';
import { Etcd3, noop } from './library.js';
import type { CallOptions } from './login.js';

/** A replaced client is closed after this, when every call on it has met its deadline. */
const retiredAfterMs = 6000;

export class EtcdMember {
  readonly endpoint: DcsEndpoint;
  readonly #access: DcsAccess;
  #client: Client | null = null;
  readonly #retired = new Set<Client>();
  #closed = false;

  constructor(endpoint: DcsEndpoint, access: DcsAccess) {
    this.endpoint = endpoint;
    this.#access = access;
  }

  client(): Client {
    if (this.#closed) throw new Error('the connection to etcd is closed');
    return (this.#client ??= new Etcd3(clientOptions(this.endpoint, this.#access)));
  }

  /**
   * Drops a connection that failed, so that the next call makes a new one at once instead of waiting for a backoff. Another
   * call may still get its answer over the old one.
   */
  reset(): void {
    const client = this.#client;
    this.#client = null;
    if (!client) return;
    this.#retired.add(client);
    const close = () => {
      this.#retired.delete(client);
      client.close();
    };
    setTimeout(close, retiredAfterMs).unref();
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#retired.forEach((client) => client.close());
  }

  /**
   * Asked without a login, which needs a quorum; newer versions of etcd want one for it, and then get it.
   * @param login null: there is no authentication yet
   * @param latency `measured`: asked twice where the connection is new, since the first answer's time is mostly that of making it
   */
  async status(
    timeoutMs: number,
    login: (() => Promise<CallOptions>) | null,
    latency: 'measured' | 'any',
  ): Promise<MemberStatus> {
    const deadline = Date.now() + timeoutMs;
    const connected = this.#client !== null;
    let startedMs = performance.now();
    const ask = (options: CallOptions) => {
      startedMs = performance.now();
      return within(deadline, () => this.client().maintenance.status(options));
    };
    try {
      let status = await ask({ deadline }).catch(async (thrown: unknown) => {
        if (!login || !['answer', 'login-stale'].includes(classifyFailure(thrown).kind)) throw thrown;
        return ask({ ...(await within(deadline, login)), deadline });
      });
      if (!connected && latency === 'measured') status = await ask({ deadline }).catch(() => status);
      return parseMemberStatus(this.endpoint, status, Math.round((performance.now() - startedMs) * 10) / 10);
    } catch (thrown) {
      if (!this.#closed) this.reset();
      const { name, url } = this.endpoint;
      return { answers: false, name, endpoint: url, why: withoutPrefix(messageOf(thrown)) };
    }
  }
}

function clientOptions(endpoint: DcsEndpoint, { caPem, client }: DcsAccess): IOptions {
  return {
    hosts: endpoint.url,
    credentials: {
      rootCertificate: Buffer.from(caPem),
      ...(client ? { privateKey: Buffer.from(client.keyPem.reveal()), certChain: Buffer.from(client.certPem) } : {}),
    },
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      // A member that lost power closes nothing: only an unanswered ping shows it, and the call then moves on. etcd bears
      // three pings in 5 s.
      'grpc.keepalive_time_ms': 1000,
      'grpc.keepalive_timeout_ms': 700,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      // Otherwise a new client inherits the backoff of a closed one for the same address.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
      // Also keeps TLS from announcing an address as a server name.
      ...(endpoint.serverName ? { 'grpc.ssl_target_name_override': endpoint.serverName } : {}),
    },
  };
}

/** Runs `perform` and gives up at the deadline even if it does not. */
export async function within<T>(deadline: number, perform: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError()), Math.max(0, deadline - Date.now()) + 50);
  });
  try {
    return await Promise.race([perform(), over]);
  } finally {
    clearTimeout(timer);
  }
}
