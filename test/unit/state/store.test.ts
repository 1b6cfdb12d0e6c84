import { beforeEach, describe, expect, it } from 'vitest';
import { StateStore, stateKeys, type NewTenant } from '../../../src/state/store.js';
import type { TenantRecord } from '../../../src/topology/tenant.js';
import { recordOf } from '../../fixtures/fleet.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

let dcs: MemoryDcs;
let store: StateStore;
beforeEach(() => {
  dcs = new MemoryDcs();
  store = new StateStore(dcs);
});

const withSlot = (tenant: string, slot: number): TenantRecord => {
  const record = recordOf(tenant);
  return { ...record, allocation: { ...record.allocation, slot } };
};
const lowestFree =
  (tenant: string) =>
  (others: TenantRecord[]): NewTenant => {
    const used = new Set(others.map((o) => o.allocation.slot));
    let slot = 0;
    while (used.has(slot)) slot++;
    return { record: withSlot(tenant, slot), sealedSecrets: `sealed ${tenant}` };
  };
const lock = async (tenant: string) => {
  await dcs.put(stateKeys.lock(tenant), 'held');
  return { key: stateKeys.lock(tenant), createRevision: dcs.store.get(stateKeys.lock(tenant))!.createRevision };
};

describe('allocating', () => {
  it('stores what was decided, secrets beside it', async () => {
    const allocated = await store.allocateTenant('acme', lowestFree('acme'));
    expect(allocated).toMatchObject({ was: 'allocated', sealedSecrets: 'sealed acme' });
    expect(await store.getTenant('acme')).toEqual({
      record: allocated.record,
      sealedSecrets: 'sealed acme',
      revision: allocated.revision,
    });
  });

  it('keeps every field that a spec may have', async () => {
    const access = { enabled: true, from: ['10.0.0.0/8'] };
    const record = recordOf('acme', { production: true, access, settings: { work_mem: '8MB' } });
    await store.allocateTenant('acme', () => ({ record, sealedSecrets: null }));
    expect((await store.getTenant('acme'))!.record).toEqual(record);
  });

  it('gives different slots to tenants that are made at once', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `t${i}`);
    const all = await Promise.all(names.map((name) => store.allocateTenant(name, lowestFree(name))));
    expect(new Set(all.map((a) => a.record.allocation.slot)).size).toBe(12);
  });

  it('gives the same tenant to two operators who make it at once', async () => {
    const [a, b] = await Promise.all([
      store.allocateTenant('acme', () => ({ record: withSlot('acme', 7), sealedSecrets: 'a' })),
      store.allocateTenant('acme', () => ({ record: withSlot('acme', 8), sealedSecrets: 'b' })),
    ]);
    expect([a.was, b.was].sort()).toEqual(['allocated', 'found']);
    expect(b.record).toEqual(a.record);
    expect(b.sealedSecrets).toBe(a.sealedSecrets);
  });

  it('decides again when a tenant came or moved after it looked', async () => {
    await store.allocateTenant('old', lowestFree('old'));
    let asked = 0;
    const allocated = await store.allocateTenant('acme', async (others) => {
      if (asked++ === 0) {
        await store.updateTenant('old', (r) => ({ ...r, allocation: { ...r.allocation, slot: 1 } }));
      }
      return lowestFree('acme')(others);
    });
    expect(asked).toBe(2);
    expect(allocated.record.allocation.slot).toBe(0);
  });

  it('is not disturbed by changes that allocate nothing', async () => {
    await store.allocateTenant('old', lowestFree('old'));
    let asked = 0;
    await store.allocateTenant('acme', async (others) => {
      asked++;
      await store.updateTenant('old', (r) => ({ ...r, phase: 'ready' }));
      return lowestFree('acme')(others);
    });
    expect(asked).toBe(1);
  });

  it.each(['lost-before', 'lost-after'] as const)(
    'finds out what came of a commit whose answer was %s',
    async (fault) => {
      dcs.faults.push(fault);
      const allocated = await store.allocateTenant('acme', lowestFree('acme'));
      expect(allocated.record).toEqual((await store.getTenant('acme'))!.record);
      expect(await store.listTenants()).toHaveLength(1);
    },
  );

  it('gives up when answers keep getting lost', async () => {
    dcs.faults.push('lost-before', 'lost-before');
    await expect(store.allocateTenant('acme', lowestFree('acme'))).rejects.toMatchObject({ code: 'unknown-result' });
  });

  it('throws what the decision throws, and stores nothing', async () => {
    const refuse = () => {
      throw new Error('too few hosts');
    };
    await expect(store.allocateTenant('acme', refuse)).rejects.toThrow('too few hosts');
    expect(dcs.store.size).toBe(0);
  });
});

describe('changing', () => {
  beforeEach(() => store.allocateTenant('acme', lowestFree('acme')));

  it('keeps both of two changes at once', async () => {
    await Promise.all([
      store.updateTenant('acme', (r) => ({ ...r, phase: 'destroying' })),
      store.updateTenant('acme', (r) => ({ ...r, spec: { ...r.spec, replicas: 1 } })),
    ]);
    const { record } = (await store.getTenant('acme'))!;
    expect([record.phase, record.spec.replicas]).toEqual(['destroying', 1]);
  });

  it('writes nothing when nothing changes', async () => {
    const before = (await store.getTenant('acme'))!.revision;
    await store.updateTenant('acme', (r) => ({ ...r }));
    expect((await store.getTenant('acme'))!.revision).toBe(before);
  });

  it('refuses a tenant that is not there', async () => {
    await expect(store.updateTenant('nobody', (r) => r)).rejects.toMatchObject({ code: 'usage' });
    await expect(store.putSecrets('nobody', 'x')).rejects.toMatchObject({ code: 'usage' });
  });

  it('forgets record and secrets, twice without an error', async () => {
    await store.removeTenant('acme');
    await store.removeTenant('acme');
    expect([...dcs.store.keys()]).toEqual([stateKeys.allocation]);
  });

  it('keeps record and secrets of a retired tenant', async () => {
    await store.retireTenant('acme');
    expect(await store.getTenant('acme')).toMatchObject({ record: { phase: 'retired' }, sealedSecrets: 'sealed acme' });
  });
});

describe('the fence of a lock', () => {
  const writes: [string, (s: StateStore, fence: { key: string; createRevision: string }) => Promise<unknown>][] = [
    ['an allocation', (s, fence) => s.allocateTenant('beta', lowestFree('beta'), fence)],
    ['a change', (s, fence) => s.updateTenant('acme', (r) => ({ ...r, phase: 'destroying' }), fence)],
    ['secrets', (s, fence) => s.putSecrets('acme', 'new', fence)],
    ['a removal', (s, fence) => s.removeTenant('acme', fence)],
    ['retiring', (s, fence) => s.retireTenant('acme', fence)],
  ];
  beforeEach(() => store.allocateTenant('acme', lowestFree('acme')));

  it.each(writes)('lets %s through while the lock is held', async (_, write) => {
    await expect(write(store, await lock('acme'))).resolves.not.toThrow();
  });

  it.each(writes)('stops %s after the lock was lost', async (_, write) => {
    const fence = await lock('acme');
    await dcs.delete(fence.key);
    const before = JSON.stringify([...dcs.store]);
    await expect(write(store, fence)).rejects.toMatchObject({ code: 'held' });
    expect(JSON.stringify([...dcs.store])).toBe(before);
  });

  it.each(writes)('stops %s after somebody else took the lock', async (_, write) => {
    const fence = await lock('acme');
    await dcs.delete(fence.key);
    await lock('acme');
    await expect(write(store, fence)).rejects.toMatchObject({ code: 'held' });
  });
});

describe('reading records', () => {
  const put = (value: unknown) =>
    dcs.put(stateKeys.tenant('acme'), typeof value === 'string' ? value : JSON.stringify(value));

  it('refuses a record of a newer pgs and names its version', async () => {
    await put({ ...recordOf('acme'), version: 2, novelty: true });
    await expect(store.getTenant('acme')).rejects.toMatchObject({
      code: 'unfit',
      details: { found: expect.stringContaining('version 2') as string },
    });
    await expect(store.listTenants()).rejects.toMatchObject({ code: 'unfit' });
  });

  it.each([
    ['text that is no JSON', '{'],
    ['a missing part', { ...recordOf('acme'), allocation: undefined }],
    ['a field that would be lost when it is written back', { ...recordOf('acme'), novelty: true }],
    ['a phase that does not exist', { ...recordOf('acme'), phase: 'sleeping' }],
  ])('refuses %s and names the key', async (_, value) => {
    await put(value);
    await expect(store.getTenant('acme')).rejects.toMatchObject({
      code: 'unfit',
      details: { doing: expect.stringContaining('/pgs/state/tenants/acme') as string },
    });
  });
});
