// The login to etcd: one token for all members, renewed when one of them does not know it any more. etcd3's own login is not
// used: it opens a channel without our options for each member, and repeats a refused token without a limit.

import { credentials, Metadata, type CallCredentials } from '@grpc/grpc-js';
import type { DcsAccess } from './access.js';
import { messageOf } from './failures.js';
import type { EtcdMember } from './member.js';

export interface CallOptions {
  /** Milliseconds since the epoch, as gRPC wants it. */
  deadline: number;
  /** Carries the token. */
  credentials?: CallCredentials;
}

/** gRPC's code for a login that is refused. */
const unauthenticated = 16;

export class EtcdLogin {
  readonly #access: DcsAccess;
  #token: Promise<string> | null = null;

  constructor(access: DcsAccess) {
    this.#access = access;
  }

  /** Options of one call with the login. @throws etcd3's errors of a login that fails */
  async options(member: EtcdMember, deadline: number): Promise<CallOptions> {
    const token = await this.#current(member, deadline);
    return { deadline, credentials: this.#carrying(token, member, deadline) };
  }

  /** The next call logs in again. */
  forget(): void {
    this.#token = null;
  }

  #current(member: EtcdMember, deadline: number): Promise<string> {
    const { user, password } = this.#access;
    const token = (this.#token ??= member
      .client()
      .auth.authenticate({ name: user, password: password.reveal() }, { deadline })
      .then((answer) => answer.token));
    token.catch(() => {
      if (this.#token === token) this.#token = null;
    });
    return token;
  }

  /** etcd3 sends a call again when a member does not know the token (it restarted): that asks here a second time. */
  #carrying(token: string, member: EtcdMember, deadline: number): CallCredentials {
    let asked = 0;
    return credentials.createFromMetadataGenerator((_, done) => {
      asked++;
      if (asked > 2) return done(refusal('etcd keeps refusing the token that it gave'));
      if (asked === 2) this.forget();
      const next = asked === 1 ? Promise.resolve(token) : this.#current(member, deadline);
      next.then(
        (text) => {
          const metadata = new Metadata();
          metadata.set('token', text);
          done(null, metadata);
        },
        (thrown: unknown) => done(refusal(messageOf(thrown))),
      );
    });
  }
}

function refusal(message: string): Error {
  return Object.assign(new Error(message), { code: unauthenticated, details: message });
}
