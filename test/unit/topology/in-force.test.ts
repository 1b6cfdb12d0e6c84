import { describe, expect, test } from 'vitest';
import { differencesInForce, orderOf, type InForce } from '../../../src/topology/in-force.js';

function inForce(values: Record<string, string>, change: Partial<InForce> = {}): InForce {
  return { values, given: {}, pending: [], overridden: [], ...change };
}

const names = (...args: Parameters<typeof differencesInForce>) => differencesInForce(...args).map((d) => d.name);

describe('what a member runs with differs', () => {
  test('not by the way in which a value is written', () => {
    const values = { work_mem: '32768', shared_buffers: '16384', wal_sender_timeout: '15000', jit: 'off' };
    expect(
      names({ work_mem: '32MB', shared_buffers: '128MB', wal_sender_timeout: '15s', jit: false }, inForce(values)),
    ).toEqual([]);
    // An enumeration is shown by another word than the one that was given.
    expect(names({ wal_compression: 'on' }, inForce({ wal_compression: 'pglz' }))).toEqual([]);
    expect(names({ wal_compression: 'on' }, inForce({ wal_compression: 'off' }))).toEqual(['wal_compression']);
  });

  test('by value, and says whether only a restart changes it', () => {
    const found = inForce({ work_mem: '4096', max_connections: '100' });
    expect(differencesInForce({ work_mem: '8MB', max_connections: 200 }, found)).toEqual([
      { name: 'work_mem', has: '4096', wants: '8MB', atStart: false },
      { name: 'max_connections', has: '100', wants: '200', atStart: true },
    ]);
  });

  test('by what Patroni gives when nobody says otherwise', () => {
    expect(names({}, inForce({ max_prepared_transactions: '50' }))).toEqual(['max_prepared_transactions']);
    expect(names({ max_prepared_transactions: 50 }, inForce({ max_prepared_transactions: '50' }))).toEqual([]);
  });

  test('by what was taken back and takes effect at a start only', () => {
    const values = { shared_preload_libraries: 'pg_stat_statements', port: '20004' };
    const given = { shared_preload_libraries: '', port: '5432' };
    expect(differencesInForce({}, inForce(values, { given }))).toEqual([
      { name: 'shared_preload_libraries', has: 'pg_stat_statements', wants: '', atStart: true },
    ]);
  });

  test('not by what is shown of the connection that asks, or made of "as you like"', () => {
    const found = inForce({ tcp_keepalives_idle: '0', wal_buffers: '2048' });
    expect(names({ tcp_keepalives_idle: 10, wal_buffers: -1 }, found)).toEqual([]);
    expect(names({ wal_buffers: '32MB' }, { ...found, pending: ['wal_buffers'] })).toEqual(['wal_buffers']);
  });

  test('not by what ALTER SYSTEM set, nor by what this server does not have', () => {
    expect(names({ work_mem: '8MB' }, inForce({ work_mem: '4096' }, { overridden: ['work_mem'] }))).toEqual([]);
    expect(names({ io_method: 'worker' }, inForce({}))).toEqual([]);
  });
});

test('of the parameters that have an order, it is known which go up and which go down', () => {
  const found = inForce({ max_connections: '100', max_worker_processes: '8', shared_buffers: '16384' });
  const differing = differencesInForce({ max_connections: 60, max_worker_processes: 12, shared_buffers: '1GB' }, found);
  expect(orderOf(differing)).toEqual({ raised: ['max_worker_processes'], lowered: ['max_connections'] });
});
