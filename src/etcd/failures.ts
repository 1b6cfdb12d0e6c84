// What a failed call to etcd means for the caller: an answer, a login to renew, or a member that could not be asked. Pure.

import {
  ClientClosedError,
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCUnavailableError,
  GRPCUnknownError,
} from './library.js';

/**
 * `answer`: etcd decided (no such user, permission denied, no space). `login-*`: about who asks. `not-sent`: no member was
 * asked. `lost`: it may have taken effect or not.
 */
export type FailureKind = 'answer' | 'login-stale' | 'login-not-enabled' | 'login-refused' | 'not-sent' | 'lost';

export interface Failure {
  kind: FailureKind;
  cause: unknown;
}

/** Our own limit passed before gRPC's deadline did. */
export class DeadlineError extends Error {
  constructor() {
    super('no answer in time');
  }
}

const lostClasses = [
  DeadlineError,
  GRPCUnavailableError,
  GRPCDeadlineExceededError,
  GRPCCancelledError,
  GRPCInternalError,
  GRPCUnknownError,
];

export function classifyFailure(cause: unknown): Failure {
  return { kind: kindOf(cause), cause };
}

function kindOf(cause: unknown): FailureKind {
  const message = messageOf(cause);
  if (message.includes('authentication is not enabled')) return 'login-not-enabled';
  if (cause instanceof EtcdAuthenticationFailedError) return 'login-refused';
  if (cause instanceof EtcdInvalidAuthTokenError) return 'login-stale';
  // The first comes when the auth revision moves while a request is in flight, the second from an etcd whose
  // authentication was turned on since.
  if (/revision of auth store is old|user name is empty/.test(message)) return 'login-stale';
  if (cause instanceof ClientClosedError) return 'not-sent';
  if (
    cause instanceof GRPCUnavailableError &&
    /No connection established|Name resolution failed|no leader$/.test(message)
  ) {
    return 'not-sent';
  }
  return lostClasses.some((type) => cause instanceof type) ? 'lost' : 'answer';
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** A gRPC message for a person: `14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED…`. */
export function withoutPrefix(message: string): string {
  const text = message.replace(/^\d+ [A-Z_]+: /, '').replace(/^etcdserver: /, '');
  const last = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/.exec(text);
  if (last?.[1]) return last[1];
  return /^Deadline exceeded/i.test(text) ? 'no answer in time' : text;
}
