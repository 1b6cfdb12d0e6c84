import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { identifyProcess } from '../../../src/state/holder.js';
import { acquireTenantLock, lockTtlS } from '../../../src/state/lock.js';
import { stateKeys } from '../../../src/state/store.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

const key = stateKeys.lock('acme');
let dcs: MemoryDcs;
beforeEach(() => {
  dcs = new MemoryDcs();
});
afterEach(() => vi.useRealTimers());

const holder = (change: Record<string, unknown> = {}) =>
  JSON.stringify({
    operator: 'ada',
    host: 'desk',
    ...identifyProcess(),
    command: 'pgs cluster create acme',
    since: '2026-11-20T12:00:00.000Z',
    ...change,
  });

describe('taking the lock', () => {
  it('says who holds it, since when, with what, and how long it lasts', async () => {
    const held = await acquireTenantLock(dcs, 'acme', { command: 'pgs cluster create acme', operator: 'ada' });
    const attempt = acquireTenantLock(dcs, 'acme', { command: 'pgs apply', operator: 'bob' });
    const error = await attempt.catch((thrown: unknown) => thrown as PgsError);
    expect(error).toBeInstanceOf(PgsError);
    expect(error).toMatchObject({ code: 'held' });
    for (const part of ['ada', String(process.pid), 'pgs cluster create acme', `${lockTtlS} s`]) {
      expect((error as PgsError).details.found).toContain(part);
    }
    expect(dcs.leases.size).toBe(1);
    await held.release();
  });

  it('gives it to one of many who ask at once', async () => {
    const asked = Array.from({ length: 8 }, () => acquireTenantLock(dcs, 'acme', { command: 'x' }));
    const results = await Promise.allSettled(asked);
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
    for (const r of results) if (r.status === 'fulfilled') await r.value.release();
  });

  it('keeps tenants apart', async () => {
    const a = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    const b = await acquireTenantLock(dcs, 'acme2', { command: 'x' });
    await Promise.all([a.release(), b.release()]);
  });

  it('takes over at once from a process of this machine that is gone', async () => {
    await dcs.put(key, holder({ pidStart: 'another start' }), '77');
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    expect(dcs.store.get(key)!.createRevision).toBe(lock.createRevision);
    await lock.release();
  });

  it.each([
    ['on another machine', { bootId: 'another boot', pidStart: '1' }],
    ['of which the start is not known', { pidStart: null }],
    ['that lives', {}],
  ])('does not take over from a process %s', async (_, change) => {
    await dcs.put(key, holder(change), '77');
    await expect(acquireTenantLock(dcs, 'acme', { command: 'x' })).rejects.toMatchObject({ code: 'held' });
  });

  it('does not take over a lock whose holder cannot be read', async () => {
    await dcs.put(key, 'nonsense', '77');
    await expect(acquireTenantLock(dcs, 'acme', { command: 'x' })).rejects.toMatchObject({ code: 'held' });
  });

  it.each(['lost-before', 'lost-after'] as const)(
    'finds out whether it got it when the answer was %s',
    async (fault) => {
      dcs.faults.push(fault);
      const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
      expect(dcs.store.get(key)!.createRevision).toBe(lock.createRevision);
      await lock.release();
    },
  );
});

describe('holding the lock', () => {
  it('gives it back, and only once', async () => {
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    await lock.release();
    expect([dcs.store.size, dcs.leases.size]).toEqual([0, 0]);
    await lock.release();
    expect(lock.signal.aborted).toBe(false);
  });

  it('does not fail to give it back when etcd is gone', async () => {
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    dcs.unreachable = true;
    await expect(lock.release()).resolves.toBeUndefined();
  });

  it('aborts when the lease ran out', async () => {
    vi.useFakeTimers();
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    dcs.expireLease(dcs.store.get(key)!.lease!);
    await vi.advanceTimersByTimeAsync(4000);
    expect(lock.signal.reason).toMatchObject({ code: 'held' });
  });

  it('aborts before etcd lets the lock go when etcd cannot be reached', async () => {
    vi.useFakeTimers();
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    dcs.unreachable = true;
    await vi.advanceTimersByTimeAsync((lockTtlS - 4) * 1000);
    expect(lock.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    expect(lock.signal.reason).toMatchObject({ code: 'held' });
  });

  it('lives through an outage that is shorter', async () => {
    vi.useFakeTimers();
    const lock = await acquireTenantLock(dcs, 'acme', { command: 'x' });
    await vi.advanceTimersByTimeAsync(60_000);
    dcs.unreachable = true;
    await vi.advanceTimersByTimeAsync(6000);
    dcs.unreachable = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lock.signal.aborted).toBe(false);
    await lock.release();
  });
});
