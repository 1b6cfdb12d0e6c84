// One client per member of etcd, and the rules for a call: a deadline always, the next member when one fails, one new login
// when the old one is stale, and without quorum an error that says who answers. etcd3's own retries and circuit breaker
// are off, since they know no overall deadline (and the breaker answers for 5 s after a failure that is over).

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { noop } from 'cockatiel';
import { Etcd3, type IOptions } from 'etcd3';
import { PgsError } from '../errors.js';
import type { DcsAccess, DcsEndpoint } from './access.js';
import { classifyFailure, DeadlineError, messageOf, withoutPrefix, type Failure } from './failures.js';
import { parseMemberStatus, quorumOf, type MemberStatus } from './facts.js';

/** A call's limit unless it says otherwise; with the look at who answers, an error comes within 5 s. */
export const callTimeoutMs = 3000;
/**
 * For the first call, which finds nothing connected: three looks around and an election, so that the error of a fleet
 * without a quorum comes within 5 s on a slow machine too.
 */
export const connectTimeoutMs = 2500;
/** How long a member may take to say its status. It answers from memory, without asking the others. */
const statusTimeoutMs = 1000;
/** The same for one of the looks around in search of a member. */
const lookTimeoutMs = 700;
/** How long a majority must be silent before no election is waited for: a restarting member is back sooner. */
const silentMajorityMs = 1400;

export interface Call<T> {
  /** What it is for, as a phrase: "reading the record of tenant acme". */
  doing: string;
  /**
   * `repeatable`: may be sent again when it is unknown whether it took effect. `once`: then the result is
   * `unknown-result`.
   */
  repeat: 'repeatable' | 'once';
  timeoutMs?: number;
  perform(etcd: Etcd3, options: CallOptions): Promise<T>;
}

export interface CallOptions {
  /** Milliseconds since the epoch, as gRPC wants it. */
  deadline: number;
}

/** `login`: the password of the access. `anonymous`: only for an etcd whose authentication is not on yet. */
type Identity = 'login' | 'anonymous';

export class EtcdConnection {
  readonly #access: DcsAccess;
  readonly #members: Member[];
  readonly #authentication: 'required' | 'being-set-up';
  #identity: Identity = 'login';
  #chosen: Member | null = null;
  #lastLook = { atMs: -Infinity, statuses: Promise.resolve<MemberStatus[]>([]) };
  #closed = false;

  constructor(access: DcsAccess, authentication: 'required' | 'being-set-up') {
    this.#access = access;
    this.#authentication = authentication;
    this.#members = access.endpoints.map((endpoint) => new Member(endpoint, access));
  }

  get endpoints(): DcsEndpoint[] {
    return this.#access.endpoints;
  }

  /**
   * @throws PgsError `unreachable` within timeoutMs + 1 s if no member with a quorum answers; `unknown-result` if it is not
   * known whether a call of repeat `once` took effect; `configuration` if etcd refuses the login; `command-failed` with
   * etcd3's own error as the cause if etcd answers otherwise (no such user, permission denied, ...).
   */
  async call<T>(call: Call<T>): Promise<T> {
    const deadline = Date.now() + (call.timeoutMs ?? callTimeoutMs);
    let staleLogins = 0;
    let failure: Failure | null = null;
    while (Date.now() < deadline && !this.#closed) {
      const member = this.#chosen ?? (await this.#choose(deadline));
      if (!member) break;
      // Calls run side by side, and another one may find out about logins meanwhile.
      const identity = this.#identity;
      try {
        return await within(deadline, () => call.perform(member.client(identity), { deadline }));
      } catch (thrown) {
        failure = classifyFailure(thrown);
        if (failure.kind === 'answer') throw answered(call.doing, thrown);
        if (failure.kind === 'login-refused') throw this.#loginRefused(call.doing, thrown);
        if (failure.kind === 'login-stale' && staleLogins++ < 2) {
          this.#identity = 'login';
          member.forgetLogin();
          continue;
        }
        if (failure.kind === 'login-not-enabled') {
          if (identity === 'anonymous') throw answered(call.doing, thrown);
          this.#identity = this.#anonymousIfAllowed(call.doing);
          continue;
        }
        member.reset();
        this.#chosen = null;
        if (failure.kind === 'lost' && call.repeat === 'once') break;
      }
    }
    throw await this.#explain(call, failure);
  }

  /** Asks one named member, whatever the others do. Errors as `call`, without a search for another member. */
  async callMember<T>(name: string, call: Omit<Call<T>, 'repeat'>): Promise<T> {
    const member = this.#members.find((m) => m.endpoint.name === name);
    if (!member) throw new Error(`etcd has no member ${name}`);
    const deadline = Date.now() + (call.timeoutMs ?? callTimeoutMs);
    const attempt = () => within(deadline, () => call.perform(member.client(this.#identity), { deadline }));
    try {
      return await attempt().catch((thrown: unknown) => {
        if (classifyFailure(thrown).kind !== 'login-stale') throw thrown;
        member.forgetLogin();
        return attempt();
      });
    } catch (thrown) {
      const failure = classifyFailure(thrown);
      if (failure.kind === 'answer') throw answered(call.doing, thrown);
      member.reset();
      throw new PgsError(failure.kind === 'lost' ? 'unknown-result' : 'unreachable', {
        doing: call.doing,
        host: name,
        found: withoutPrefix(messageOf(thrown)),
        cause: thrown,
      });
    }
  }

  /** Status of every member, asked side by side; takes at most a second. */
  statuses(): Promise<MemberStatus[]> {
    return Promise.all(this.#members.map((member) => member.status(this.#identity, statusTimeoutMs)));
  }

  close(): void {
    this.#closed = true;
    this.#members.forEach((member) => member.close());
  }

  /**
   * The first member to answer that follows a leader. Keeps asking, since an election takes a second or two; less long
   * when too few answer for one.
   */
  async #choose(deadline: number): Promise<Member | null> {
    const startedMs = performance.now();
    while (Date.now() < deadline && !this.#closed) {
      const looks = this.#members.map((member) => member.status(this.#identity, lookTimeoutMs));
      this.#lastLook = { atMs: performance.now(), statuses: Promise.all(looks) };
      const follows = looks.map(async (look, index) => {
        const status = await look;
        if (!status.answers || status.leaderId === null) throw new Error('not part of a quorum');
        return this.#members[index]!;
      });
      const found = await Promise.any(follows).catch(() => null);
      if (found) return (this.#chosen = found);
      const silent = (await this.#lastLook.statuses).filter((status) => !status.answers).length;
      if (silent * 2 >= looks.length && performance.now() - startedMs > silentMajorityMs) return null;
      await sleep(150);
    }
    return null;
  }

  #anonymousIfAllowed(doing: string): Identity {
    if (this.#authentication === 'being-set-up') return 'anonymous';
    throw new PgsError('endangers', {
      doing,
      found: 'authentication of etcd is off: whoever has a client certificate of the fleet could change anything',
      hint: 'Run `pgs dcs create` to turn it on.',
    });
  }

  #loginRefused(doing: string, cause: unknown): PgsError {
    return new PgsError('configuration', {
      doing,
      found: `etcd refuses the login of user ${this.#access.user}: ${withoutPrefix(messageOf(cause))}`,
      hint: 'Check that pgs.yaml, the fleet key and the secrets beside it belong to this etcd.',
      cause,
    });
  }

  async #explain(call: Call<unknown>, failure: Failure | null): Promise<PgsError> {
    // The last look of a search that found nobody is fresh; asking again would take another second.
    const { atMs, statuses: seen } = this.#lastLook;
    const statuses = await (performance.now() - atMs < 1500 ? seen : this.statuses());
    const quorum = quorumOf(statuses);
    const reasons = statuses.filter((s) => !s.answers).map((s) => `${s.name} (${s.endpoint}): ${s.why}`);
    if (quorum.state === 'lost') {
      return new PgsError('unreachable', {
        doing: call.doing,
        found: [`etcd has no quorum: ${quorum.seen}`, ...reasons].join('\n'),
        hint: 'Bring back the members that do not answer: `pgs dcs status` watches them. A majority is enough.',
        cause: failure?.cause,
      });
    }
    const found = failure ? withoutPrefix(messageOf(failure.cause)) : 'etcd did not answer in time';
    return new PgsError(call.repeat === 'once' && failure?.kind === 'lost' ? 'unknown-result' : 'unreachable', {
      doing: call.doing,
      found: [found, ...reasons].join('\n'),
      hint: 'Run the command again: it looks at what is there and goes on.',
      cause: failure?.cause,
    });
  }
}

function answered(doing: string, cause: unknown): PgsError {
  return new PgsError('command-failed', { doing, found: `etcd says: ${withoutPrefix(messageOf(cause))}`, cause });
}

/** Whether etcd answered a call with this kind of error. */
export function answeredWith(thrown: unknown, type: abstract new (...args: never[]) => Error): boolean {
  return thrown instanceof PgsError && thrown.code === 'command-failed' && thrown.cause instanceof type;
}

/** The clients of one member: one that logs in, one that does not. */
class Member {
  readonly endpoint: DcsEndpoint;
  readonly #access: DcsAccess;
  #clients: Partial<Record<Identity, Etcd3>> = {};
  readonly #retired = new Set<Etcd3>();
  #closed = false;

  constructor(endpoint: DcsEndpoint, access: DcsAccess) {
    this.endpoint = endpoint;
    this.#access = access;
  }

  client(identity: Identity): Etcd3 {
    if (this.#closed) throw new Error('the connection to etcd is closed');
    return (this.#clients[identity] ??= new Etcd3(clientOptions(this.endpoint, this.#access, identity)));
  }

  forgetLogin(): void {
    if (this.#clients.login) this.#retire(this.#clients.login);
    delete this.#clients.login;
  }

  /** Drops connections that failed, so that the next call makes new ones at once instead of waiting for a backoff. */
  reset(): void {
    Object.values(this.#clients).forEach((client) => this.#retire(client));
    this.#clients = {};
  }

  close(): void {
    this.#closed = true;
    this.reset();
    this.#retired.forEach((client) => client.close());
  }

  /** Closed only when every call on it has met its deadline: another call may still get its answer. */
  #retire(client: Etcd3): void {
    this.#retired.add(client);
    const close = () => {
      this.#retired.delete(client);
      client.close();
    };
    setTimeout(close, 2 * callTimeoutMs).unref();
  }

  /** Asked without a login, which needs a quorum; newer versions of etcd want one for it, and then get it. */
  async status(identity: Identity, timeoutMs: number): Promise<MemberStatus> {
    const deadline = Date.now() + timeoutMs;
    let startedMs = performance.now();
    const ask = (who: Identity) => {
      startedMs = performance.now();
      return within(deadline, () => this.client(who).maintenance.status({ deadline }));
    };
    const connected = this.#clients.anonymous !== undefined;
    try {
      let status = await ask('anonymous').catch((thrown: unknown) => {
        if (identity === 'anonymous' || !['answer', 'login-stale'].includes(classifyFailure(thrown).kind)) throw thrown;
        return ask('login');
      });
      // The first answer's time is mostly that of making the connection.
      if (!connected) status = await ask('anonymous').catch(() => status);
      return parseMemberStatus(this.endpoint, status, Math.round((performance.now() - startedMs) * 10) / 10);
    } catch (thrown) {
      if (!this.#closed) this.reset();
      return {
        answers: false,
        name: this.endpoint.name,
        endpoint: this.endpoint.url,
        why: withoutPrefix(messageOf(thrown)),
      };
    }
  }
}

function clientOptions(endpoint: DcsEndpoint, access: DcsAccess, identity: Identity): IOptions {
  const { client } = access;
  return {
    hosts: endpoint.url,
    credentials: {
      rootCertificate: Buffer.from(access.caPem),
      ...(client ? { privateKey: Buffer.from(client.keyPem.reveal()), certChain: Buffer.from(client.certPem) } : {}),
    },
    ...(identity === 'login' ? { auth: { username: access.user, password: access.password.reveal() } } : {}),
    // Reached only by etcd3's login and by streams; every other call brings its own deadline.
    defaultCallOptions: () => ({ deadline: Date.now() + callTimeoutMs }),
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

/** Runs `perform` and gives up at the deadline even if it does not: etcd3's login repeats itself without a limit. */
async function within<T>(deadline: number, perform: () => Promise<T>): Promise<T> {
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
