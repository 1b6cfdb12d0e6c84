// One client per member of etcd, and the rules for a call: a deadline always, the next member when one fails, one new login
// when the old one is stale, and without quorum an error that says who answers. etcd3's own retries and circuit breaker
// are off, since they know no overall deadline (and the breaker answers for 5 s after a failure that is over).

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import { PgsError } from '../errors.js';
import type { DcsAccess, DcsEndpoint } from './access.js';
import { classifyFailure, messageOf, withoutPrefix, type Failure } from './failures.js';
import { quorumOf, type MemberStatus } from './facts.js';
import { EtcdLogin, type CallOptions } from './login.js';
import { EtcdMember, within } from './member.js';

/** A call's limit unless it says otherwise; with the look at who answers, an error comes within 5 s. */
export const callTimeoutMs = 3000;
/** For the first call, which finds nothing connected: so that the error of a fleet without a quorum comes within 5 s. */
export const connectTimeoutMs = 3500;
/** How long a member may take to say its status. It answers from memory, without asking the others. */
const statusTimeoutMs = 1000;
/** Between two questions to a member that follows no leader or refuses the connection. */
const lookPauseMs = 150;

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

/** `login`: the password of the access. `anonymous`: only for an etcd whose authentication is not on yet. */
type Identity = 'login' | 'anonymous';

export class EtcdConnection {
  readonly #access: DcsAccess;
  readonly #members: EtcdMember[];
  readonly #login: EtcdLogin;
  readonly #authentication: 'required' | 'being-set-up';
  #identity: Identity = 'login';
  #chosen: EtcdMember | null = null;
  /** What the last search saw that found nobody. */
  #lastLook: { atMs: number; statuses: MemberStatus[] } = { atMs: -Infinity, statuses: [] };
  #closed = false;

  constructor(access: DcsAccess, authentication: 'required' | 'being-set-up') {
    this.#access = access;
    this.#authentication = authentication;
    this.#login = new EtcdLogin(access);
    this.#members = access.endpoints.map((endpoint) => new EtcdMember(endpoint, access));
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
        return await this.#attempt(call, member, identity, deadline);
      } catch (thrown) {
        failure = classifyFailure(thrown);
        if (failure.kind === 'answer') throw answered(call.doing, thrown);
        if (failure.kind === 'login-refused') throw this.#loginRefused(call.doing, thrown);
        if (failure.kind === 'login-stale' && staleLogins++ < 2) {
          this.#identity = 'login';
          this.#login.forget();
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
    const attempt = () => this.#attempt(call, member, this.#identity, deadline);
    try {
      return await attempt().catch((thrown: unknown) => {
        if (classifyFailure(thrown).kind !== 'login-stale') throw thrown;
        this.#login.forget();
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
    return Promise.all(this.#members.map((member) => this.#statusOf(member, statusTimeoutMs, 'measured')));
  }

  close(): void {
    this.#closed = true;
    this.#members.forEach((member) => member.close());
  }

  #attempt<T>(
    { perform }: Pick<Call<T>, 'perform'>,
    member: EtcdMember,
    identity: Identity,
    deadline: number,
  ): Promise<T> {
    return within(deadline, async () => {
      const options = identity === 'login' ? await this.#login.options(member, deadline) : { deadline };
      return perform(member.client(), options);
    });
  }

  #statusOf(member: EtcdMember, timeoutMs: number, latency: 'measured' | 'any'): Promise<MemberStatus> {
    const login = () => this.#login.options(member, Date.now() + timeoutMs);
    return member.status(timeoutMs, this.#identity === 'login' ? login : null, latency);
  }

  /**
   * The first member to answer that follows a leader. Each is asked until the deadline, since an election takes a second or two
   * and a busy machine as long for a first handshake.
   */
  async #choose(deadline: number): Promise<EtcdMember | null> {
    let search: 'on' | 'over' = 'on';
    const seen = this.#members.map(async (member): Promise<{ member: EtcdMember; status: MemberStatus }> => {
      for (;;) {
        const status = await this.#statusOf(member, Math.max(0, deadline - Date.now()), 'any');
        const ended = search === 'over' || this.#closed || Date.now() + lookPauseMs >= deadline;
        if (followsLeader(status) || ended) return { member, status };
        await sleep(lookPauseMs);
      }
    });
    const follow = seen.map(async (look) => {
      const { member, status } = await look;
      if (!followsLeader(status)) throw new Error('not part of a quorum');
      return member;
    });
    this.#chosen = await Promise.any(follow).catch(() => null);
    search = 'over';
    if (!this.#chosen) {
      this.#lastLook = { atMs: performance.now(), statuses: (await Promise.all(seen)).map(({ status }) => status) };
    }
    return this.#chosen;
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
    const statuses = performance.now() - atMs < 1500 ? seen : await this.statuses();
    const quorum = quorumOf(statuses);
    const reasons = statuses.filter((s) => !s.answers).map((s) => `${s.name} (${s.endpoint}): ${s.why}`);
    if (quorum.state === 'lost') {
      return new PgsError('unreachable', {
        doing: call.doing,
        found: [`etcd has no quorum: ${quorum.seen}`, ...reasons].join('\n'),
        hint: reasons.some((reason) => /certificate has expired/.test(reason))
          ? 'Its certificates have ended: `pgs cert renew --fleet` renews them by ssh, `pgs cert renew <tenant>` those of a tenant.'
          : 'Bring back the members that do not answer: `pgs dcs status` watches them. A majority is enough. If their data is lost: docs/recovery.md.',
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

function followsLeader(status: MemberStatus): boolean {
  return status.answers && status.leaderId !== null;
}

function answered(doing: string, cause: unknown): PgsError {
  return new PgsError('command-failed', { doing, found: `etcd says: ${withoutPrefix(messageOf(cause))}`, cause });
}

/** Whether etcd answered a call with this kind of error. */
export function answeredWith(thrown: unknown, type: abstract new (...args: never[]) => Error): boolean {
  return thrown instanceof PgsError && thrown.code === 'command-failed' && thrown.cause instanceof type;
}
