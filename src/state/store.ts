// What pgs itself keeps in the DCS under /pgs/state/: tenants' records, their sealed secrets, and a counter that every
// allocation of ports and hosts moves. Changed by compare-and-swap only, and under a tenant's lock only while it is held.

import { setTimeout as sleep } from 'node:timers/promises';
import equal from 'fast-deep-equal';
import { PgsError } from '../errors.js';
import type { Comparison, Dcs, KeyValue, Write } from '../etcd/client.js';
import type { TenantRecord } from '../topology/tenant.js';
import { parseRecord } from './records.js';

export const stateKeys = {
  tenants: '/pgs/state/tenants/',
  tenant: (tenant: string) => `/pgs/state/tenants/${tenant}`,
  secrets: (tenant: string) => `/pgs/state/secrets/${tenant}`,
  allocation: '/pgs/state/allocation',
  lock: (tenant: string) => `/pgs/state/locks/${tenant}`,
};

export interface StoredTenant {
  record: TenantRecord;
  /** Opaque here; null if the secrets are not stored. */
  sealedSecrets: string | null;
  /** Changes whenever the record does. */
  revision: string;
}

export interface AllocatedTenant extends StoredTenant {
  /** `found`: the tenant was there before, and nothing was changed. */
  was: 'allocated' | 'found';
}

/** What a lock gives so that writes stop with it: its key must still be the one that was made when it was taken. */
export interface Fence {
  key: string;
  createRevision: string;
}

export type NewTenant = Pick<StoredTenant, 'record' | 'sealedSecrets'>;

/** Attempts of a change that others keep overtaking; each waits a little longer, so fifty operators still get through. */
const attemptsMax = 40;

export class StateStore {
  readonly #dcs: Dcs;
  readonly #secretsKey: (tenant: string) => string;

  /** @param secretsKey - where a tenant's secrets are read */
  constructor(dcs: Dcs, secretsKey = stateKeys.secrets) {
    this.#dcs = dcs;
    this.#secretsKey = secretsKey;
  }

  /** All tenants, retired ones too, in the order of their names. @throws PgsError `unfit` for a record of a newer pgs */
  async listTenants(): Promise<Pick<StoredTenant, 'record' | 'revision'>[]> {
    const found = await this.#dcs.getPrefix(stateKeys.tenants);
    return found.map((kv) => ({ record: parseRecord(kv.key, kv.value), revision: kv.modRevision }));
  }

  async getTenant(tenant: string): Promise<StoredTenant | null> {
    const [kv, secrets] = await Promise.all([
      this.#dcs.get(stateKeys.tenant(tenant)),
      this.#dcs.get(this.#secretsKey(tenant)),
    ]);
    return kv ? storedTenant(kv, secrets) : null;
  }

  /**
   * Takes ports and hosts for a new tenant. `decide` sees every other tenant and is asked again when another allocation
   * came first, so two operators never get the same ports. A tenant that is there already is returned as it is.
   * @param decide must not change anything; what it throws is thrown
   */
  async allocateTenant(
    tenant: string,
    decide: (others: TenantRecord[]) => NewTenant | Promise<NewTenant>,
    fence?: Fence,
  ): Promise<AllocatedTenant> {
    return this.#retry(`allocating ports and hosts for tenant ${tenant}`, async () => {
      // The counter first: a tenant that comes after it was read moves it, and the commit fails.
      const counter = await this.#dcs.get(stateKeys.allocation);
      const existing = await this.getTenant(tenant);
      if (existing) return { ...existing, was: 'found' };
      const others = (await this.listTenants()).map((t) => t.record);
      const decided = await decide(others);
      const { record, sealedSecrets } = decided;
      const writes: Write[] = [
        { put: stateKeys.tenant(tenant), value: JSON.stringify(record) },
        { put: stateKeys.allocation, value: allocationNote(tenant) },
      ];
      if (sealedSecrets !== null) writes.push({ put: stateKeys.secrets(tenant), value: sealedSecrets });
      const comparisons: Comparison[] = [
        unchanged(stateKeys.allocation, counter),
        { key: stateKeys.tenant(tenant), is: 'absent' },
      ];
      const revision = await this.#commit(comparisons, writes, fence);
      return revision === null ? null : { record, sealedSecrets, revision, was: 'allocated' };
    });
  }

  /**
   * Changes a tenant's record. `change` is asked again if somebody else wrote first; a change that changes nothing is not
   * written.
   * @param sealedSecrets - stored with it, both or neither
   * @throws PgsError `usage` if there is no such tenant, `held` if the lock behind `fence` is not held any more
   */
  async updateTenant(
    tenant: string,
    change: (record: TenantRecord) => TenantRecord,
    fence?: Fence,
    sealedSecrets?: string,
  ): Promise<Pick<StoredTenant, 'record' | 'revision'>> {
    return this.#retry(`changing the record of tenant ${tenant}`, async () => {
      const key = stateKeys.tenant(tenant);
      const [counter, kv] = [await this.#dcs.get(stateKeys.allocation), await this.#dcs.get(key)];
      if (!kv) throw noSuchTenant(`changing the record of tenant ${tenant}`, tenant);
      const before = parseRecord(key, kv.value);
      const record = change(before);
      if (equal(before, record)) return { record: before, revision: kv.modRevision };
      const comparisons: Comparison[] = [unchanged(key, kv)];
      const writes: Write[] = [{ put: key, value: JSON.stringify(record) }];
      if (sealedSecrets !== undefined) writes.push({ put: stateKeys.secrets(tenant), value: sealedSecrets });
      if (!equal(before.allocation, record.allocation)) {
        comparisons.push(unchanged(stateKeys.allocation, counter));
        writes.push({ put: stateKeys.allocation, value: allocationNote(tenant) });
      }
      const revision = await this.#commit(comparisons, writes, fence);
      return revision === null ? null : { record, revision };
    });
  }

  /** Stores a tenant's sealed secrets; the tenant must be there. Errors as `updateTenant`. */
  async putSecrets(tenant: string, sealed: string, fence?: Fence): Promise<void> {
    const doing = `storing the secrets of tenant ${tenant}`;
    await this.#retry(doing, async () => {
      const kv = await this.#dcs.get(stateKeys.tenant(tenant));
      if (!kv) throw noSuchTenant(doing, tenant);
      const comparisons: Comparison[] = [{ key: stateKeys.tenant(tenant), is: 'present' }];
      return this.#commit(comparisons, [{ put: stateKeys.secrets(tenant), value: sealed }], fence);
    });
  }

  /** Forgets a tenant and its secrets, which frees its ports and hosts. No error if it is gone. */
  async removeTenant(tenant: string, fence?: Fence): Promise<void> {
    await this.#retry(`removing the record of tenant ${tenant}`, () =>
      this.#commit([], [{ deleteKey: stateKeys.tenant(tenant) }, { deleteKey: stateKeys.secrets(tenant) }], fence),
    );
  }

  /** Marks a tenant as destroyed with its data kept: the record and the secrets stay, so the data can be used again. */
  async retireTenant(tenant: string, fence?: Fence): Promise<void> {
    await this.updateTenant(tenant, (record) => ({ ...record, phase: 'retired' }), fence);
  }

  /** Returns the revision of what was written, null if a comparison failed. @throws PgsError `held` if the fence did */
  async #commit(comparisons: Comparison[], writes: Write[], fence?: Fence): Promise<string | null> {
    const fenced: Comparison[] = fence ? [{ key: fence.key, createRevision: fence.createRevision }] : [];
    const { succeeded, revision, found } = await this.#dcs.transact({
      if: [...fenced, ...comparisons],
      then: writes,
      otherwiseRead: fence ? [fence.key] : [],
    });
    if (succeeded) return revision;
    if (fence && found[0]?.createRevision !== fence.createRevision) throw lockLost(fence.key);
    return null;
  }

  /**
   * Tries until it is not overtaken (null). A commit whose answer was lost is tried again too: the next attempt finds
   * either what it wrote, and has nothing to do, or the old state.
   */
  async #retry<T>(doing: string, attempt: () => Promise<T | null>): Promise<T> {
    let lostAnswer: unknown = null;
    for (let n = 1; n <= attemptsMax; n++) {
      try {
        const result = await attempt();
        if (result !== null) return result;
      } catch (thrown) {
        if (lostAnswer || !(thrown instanceof PgsError && thrown.code === 'unknown-result')) throw thrown;
        lostAnswer = thrown;
      }
      await sleep(Math.random() * Math.min(20 * n, 200));
    }
    throw new PgsError('held', {
      doing,
      found: `others changed the same thing ${attemptsMax} times in a row`,
      hint: 'Run the command again.',
    });
  }
}

function storedTenant(kv: KeyValue, secrets: KeyValue | null): StoredTenant {
  return { record: parseRecord(kv.key, kv.value), sealedSecrets: secrets?.value ?? null, revision: kv.modRevision };
}

function unchanged(key: string, kv: KeyValue | null): Comparison {
  return kv ? { key, modRevision: kv.modRevision } : { key, is: 'absent' };
}

/** The counter's value is for people only; what counts is that its revision moves. */
function allocationNote(tenant: string): string {
  return JSON.stringify({ version: 1, last: tenant });
}

function noSuchTenant(doing: string, tenant: string): PgsError {
  return new PgsError('usage', {
    doing,
    found: `there is no tenant ${tenant}`,
    hint: '`pgs cluster list` shows the tenants.',
  });
}

export function lockLost(key: string, why = 'its lease ran out, or somebody took it over'): PgsError {
  return new PgsError('held', {
    doing: `writing under the lock ${key}`,
    found: `the lock is not held any more: ${why}; nothing was written`,
    hint: 'Run the command again: it looks at what is there and goes on.',
  });
}
