import { castGrpcError, ClientClosedError } from 'etcd3';
import { describe, expect, it } from 'vitest';
import { classifyFailure, DeadlineError, withoutPrefix } from '../../../src/etcd/failures.js';

/** As grpc-js makes it and etcd3 casts it. */
const grpc = (code: number, message: string) => castGrpcError(Object.assign(new Error(message), { code }));

describe('classifyFailure', () => {
  it.each<[string, unknown]>([
    ['not-sent', grpc(14, '14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED 10.0.0.1:2379')],
    ['not-sent', grpc(14, '14 UNAVAILABLE: etcdserver: no leader')],
    ['not-sent', new ClientClosedError('KV')],
    ['lost', grpc(14, '14 UNAVAILABLE: Connection dropped')],
    ['lost', grpc(14, '14 UNAVAILABLE: etcdserver: request timed out')],
    ['lost', grpc(14, '14 UNAVAILABLE: etcdserver: leader changed')],
    ['lost', grpc(4, '4 DEADLINE_EXCEEDED: Deadline exceeded after 3.0s')],
    ['lost', new DeadlineError()],
    ['login-stale', grpc(16, '16 UNAUTHENTICATED: etcdserver: invalid auth token')],
    ['login-stale', grpc(3, '3 INVALID_ARGUMENT: etcdserver: revision of auth store is old')],
    ['login-stale', grpc(3, '3 INVALID_ARGUMENT: etcdserver: user name is empty')],
    ['login-not-enabled', grpc(9, '9 FAILED_PRECONDITION: etcdserver: authentication is not enabled')],
    ['login-refused', grpc(3, '3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password')],
    ['answer', grpc(7, '7 PERMISSION_DENIED: etcdserver: permission denied')],
    ['answer', grpc(8, '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded')],
    ['answer', grpc(9, '9 FAILED_PRECONDITION: etcdserver: role name not found')],
  ])('%s: %s', (kind, thrown) => {
    expect(classifyFailure(thrown).kind).toBe(kind);
  });
});

describe('withoutPrefix', () => {
  it.each([
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ',
      'connect ECONNREFUSED 10.0.0.1:2379',
    ],
    ['4 DEADLINE_EXCEEDED: Deadline exceeded after 1.0s,LB pick: 0.9s', 'no answer in time'],
    ['7 PERMISSION_DENIED: etcdserver: permission denied', 'permission denied'],
    ['plain', 'plain'],
  ])('%s', (message, text) => {
    expect(withoutPrefix(message)).toBe(text);
  });
});
