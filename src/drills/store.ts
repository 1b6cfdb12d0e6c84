// Schedules, runs and the flag of an incident in etcd. Changed by compare-and-swap; the daemon writes under the fence of its lease.

import { PgsError } from '../errors.js';
import type { Comparison, Dcs, KeyValue, Write } from '../etcd/client.js';
import { acquireLock, type Lock, type Lockable, type LockPurpose } from '../state/lock.js';
import { lockLost, type Fence } from '../state/store.js';
import { drillKeys } from './keys.js';
import { parseStored, runSchema, scheduleSchema } from './records.js';
import { needsAttention, type DrillRun } from './run.js';
import type { Schedule } from './schedule.js';

/**
 * Longer than any fault lasts (90 s), so that a drill that takes etcd away does not cost whoever runs it the lease; and who does lose
 * it has 20 s to heal before somebody else begins.
 */
const leaseTiming = { ttlS: 120, marginMs: 20_000 };

/** Held by the one daemon that is active. */
export const daemonLockable: Lockable = { key: drillKeys.daemon, what: 'the daemon of the fleet', ...leaseTiming };
/** Held by whoever runs a drill, by hand too: never two in a fleet. */
export const drillLockable: Lockable = { key: drillKeys.drill, what: 'the drills of the fleet', ...leaseTiming };

export function acquireDrillLock(dcs: Dcs, purpose: LockPurpose): Promise<Lock> {
  return acquireLock(dcs, drillLockable, purpose);
}

/** Runs of a tenant that are kept; one that somebody still has to acknowledge is kept beyond. */
export const runsKept = 200;
const attemptsMax = 20;

/** Something is wrong with the fleet that drills must not add to. */
export interface Incident {
  why: string;
  by: string;
  since: string;
}

export class DrillStore {
  readonly #dcs: Dcs;

  constructor(dcs: Dcs) {
    this.#dcs = dcs;
  }

  /** Of one tenant, or of all, by name. @throws PgsError `unfit` for one that this pgs cannot read */
  async listSchedules(tenant?: string): Promise<Schedule[]> {
    const found = await this.#dcs.getPrefix(
      tenant === undefined ? drillKeys.schedules : `${drillKeys.schedules}${tenant}/`,
    );
    return found.map((kv) => parseStored(scheduleSchema, kv.key, kv.value));
  }

  async getSchedule(tenant: string, name: string): Promise<Schedule | null> {
    const key = drillKeys.schedule(tenant, name);
    const kv = await this.#dcs.get(key);
    return kv ? parseStored(scheduleSchema, key, kv.value) : null;
  }

  /** Makes it, or replaces the one of that name. */
  async putSchedule(schedule: Schedule): Promise<void> {
    await this.#dcs.put(drillKeys.schedule(schedule.tenant, schedule.name), JSON.stringify(schedule));
  }

  /**
   * Null: it is gone.
   * @throws PgsError `held` when the lock behind `fence` is not held any more
   */
  async updateSchedule(
    { tenant, name }: Pick<Schedule, 'tenant' | 'name'>,
    change: (schedule: Schedule) => Schedule,
    fence?: Fence,
  ): Promise<Schedule | null> {
    const key = drillKeys.schedule(tenant, name);
    return this.#swap(
      key,
      (kv) => {
        const after = change(parseStored(scheduleSchema, key, kv.value));
        return { value: after, write: { put: key, value: JSON.stringify(after) } };
      },
      fence,
    );
  }

  /** Returns whether it was there. */
  async removeSchedule({ tenant, name }: Pick<Schedule, 'tenant' | 'name'>, fence?: Fence): Promise<boolean> {
    const key = drillKeys.schedule(tenant, name);
    return (await this.#swap(key, () => ({ value: true, write: { deleteKey: key } }), fence)) ?? false;
  }

  /** Everything of a tenant that is no more. */
  async forget(tenant: string): Promise<void> {
    await this.#dcs.deletePrefix(`${drillKeys.schedules}${tenant}/`);
    await this.#dcs.deletePrefix(drillKeys.runs(tenant));
    await this.#dcs.delete(drillKeys.secrets(tenant));
  }

  /** Of one tenant, or of all, the oldest first. */
  async listRuns(tenant?: string): Promise<DrillRun[]> {
    const found = await this.#dcs.getPrefix(tenant === undefined ? drillKeys.allRuns : drillKeys.runs(tenant));
    return found.map((kv) => parseStored(runSchema, kv.key, kv.value)).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Writes a run, and drops the tenant's oldest beyond `runsKept`. @throws PgsError `held` as `updateSchedule` */
  async putRun(run: DrillRun, fence?: Fence): Promise<void> {
    const before = await this.listRuns(run.tenant);
    const dropped = before
      .slice(0, Math.max(0, before.length + 1 - runsKept))
      .filter((r) => !needsAttention(r) && r.id !== run.id && r.outcome !== 'running')
      .slice(0, 50);
    const writes: Write[] = [
      { put: drillKeys.run(run.tenant, run.id), value: JSON.stringify(run) },
      ...dropped.map((r) => ({ deleteKey: drillKeys.run(r.tenant, r.id) })),
    ];
    await this.#commit([], writes, fence).catch((thrown: unknown) => {
      // Written twice is written once.
      if (!(thrown instanceof PgsError && thrown.code === 'unknown-result')) throw thrown;
      return this.#commit([], writes, fence);
    });
  }

  /** Those that somebody has to look at, the oldest first. */
  async unacknowledged(tenant: string): Promise<DrillRun[]> {
    return (await this.listRuns(tenant)).filter(needsAttention);
  }

  /** Returns what was acknowledged by it. */
  async acknowledge(tenant: string, by: string, at: Date): Promise<DrillRun[]> {
    const done: DrillRun[] = [];
    for (const { id } of await this.unacknowledged(tenant)) {
      const key = drillKeys.run(tenant, id);
      const run = await this.#swap(key, (kv) => {
        const after = { ...parseStored(runSchema, key, kv.value), acknowledged: { by, at: at.toISOString() } };
        return { value: after, write: { put: key, value: JSON.stringify(after) } };
      });
      if (run) done.push(run);
    }
    return done;
  }

  async incident(): Promise<Incident | null> {
    const kv = await this.#dcs.get(drillKeys.incident);
    if (!kv) return null;
    try {
      return JSON.parse(kv.value) as Incident;
    } catch {
      // A flag that cannot be read is a flag.
      return { why: 'the flag cannot be read', by: 'somebody', since: 'unknown' };
    }
  }

  /** Null takes it away. */
  async setIncident(incident: Incident | null): Promise<void> {
    if (incident) await this.#dcs.put(drillKeys.incident, JSON.stringify(incident));
    else await this.#dcs.delete(drillKeys.incident);
  }

  /** Reads, changes and writes one key until nobody came in between; null when it is not there. */
  async #swap<T>(key: string, change: (kv: KeyValue) => { value: T; write: Write }, fence?: Fence): Promise<T | null> {
    for (let n = 0; n < attemptsMax; n++) {
      const kv = await this.#dcs.get(key);
      if (!kv) return null;
      const { value, write } = change(kv);
      if (await this.#commit([{ key, modRevision: kv.modRevision }], [write], fence)) return value;
    }
    throw new PgsError('held', {
      doing: `writing ${key} in etcd`,
      found: `others changed it ${attemptsMax} times in a row`,
      hint: 'Run the command again.',
    });
  }

  /** False: a comparison failed. @throws PgsError `held` when the fence did */
  async #commit(comparisons: Comparison[], writes: Write[], fence?: Fence): Promise<boolean> {
    const fenced: Comparison[] = fence ? [{ key: fence.key, createRevision: fence.createRevision }] : [];
    const { succeeded, found } = await this.#dcs.transact({
      if: [...fenced, ...comparisons],
      then: writes,
      otherwiseRead: fence ? [fence.key] : [],
    });
    if (!succeeded && fence && found[0]?.createRevision !== fence.createRevision) throw lockLost(fence.key);
    return succeeded;
  }
}
