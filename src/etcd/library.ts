// What pgs uses of etcd3, and of the library that it takes its policies from. Both are CommonJS: imported as ES modules, each of their
// 165 files is searched for its exports first, a quarter of the time that they take to load in every command.

import { createRequire } from 'node:module';
import type * as Cockatiel from 'cockatiel';
import type * as Library from 'etcd3';

const require = createRequire(import.meta.url);

export const {
  ClientClosedError,
  Etcd3,
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdRoleExistsError,
  EtcdRoleNotFoundError,
  EtcdRoleNotGrantedError,
  EtcdUserExistsError,
  EtcdUserNotFoundError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCUnavailableError,
  GRPCUnknownError,
} = require('etcd3') as typeof Library;

/** No retries, no circuit breaker. */
export const { noop } = require('cockatiel') as typeof Cockatiel;
