// The daemon's world as it is: etcd, ssh, the clock, and whoever pgs.yaml wants to be told.

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { toPgsError } from '../errors.js';
import { quorumOf } from '../etcd/facts.js';
import { DrillStore } from '../drills/store.js';
import type { Dcs } from '../etcd/client.js';
import type { BackupCheck } from '../inventory/inventory.js';
import { gatherStatus } from '../reconcile/gather-status.js';
import { openSession, type OpenFleet } from '../reconcile/session.js';
import { runLocal } from '../sandbox/local.js';
import { parseHolder } from '../state/holder.js';
import { stateKeys } from '../state/store.js';
import { guardrails, type GuardFacts, type Refusal } from './guardrails.js';
import { notify } from './notify.js';
import { healLeft, performTask } from './perform.js';
import { gatherWatch, startDown } from './watch-live.js';
import type { Task, World } from './world.js';

export interface LiveOptions {
  powerCommand: string | null;
  say: (line: string) => void;
}

export function liveWorld(fleet: OpenFleet, dcs: Dcs, { powerCommand, say }: LiveOptions): World {
  return {
    dcs,
    now: () => new Date(),
    sleep: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined),
    guard: (task) => guardNow(fleet, dcs, task),
    perform: (task, signal) => performTask(task, { fleet, powerCommand, signal, say }),
    heal: (tenant) => healLeft(tenant, { fleet, powerCommand, say }),
    notify: async (run) => {
      for (const why of await notify(fleet.inventory, run)) say(`nobody was told: ${why}`);
    },
    watch: {
      policy: fleet.inventory.watch ?? 'report',
      look: () => gatherWatch(fleet, dcs),
      start: (down) => startDown(fleet, dcs, down),
    },
    say,
    me: hostname(),
  };
}

/** Looks at the tenant, and judges. What cannot be looked at speaks against it. */
async function guardNow(fleet: OpenFleet, dcs: Dcs, task: Task): Promise<Refusal[]> {
  try {
    return guardrails(await gatherGuardFacts(fleet, dcs, task), task.job.kind);
  } catch (thrown) {
    return [{ why: `it could not be looked whether it may begin: ${toPgsError(thrown).message}`, passing: false }];
  }
}

async function gatherGuardFacts(fleet: OpenFleet, dcs: Dcs, { tenant }: Task): Promise<GuardFacts> {
  const session = openSession(fleet);
  try {
    const store = await session.store();
    const [status, stored, members, incident, lock, backup] = await Promise.all([
      gatherStatus(session, tenant),
      store.getTenant(tenant),
      dcs.maintenance.statuses(),
      new DrillStore(dcs).incident(),
      dcs.get(stateKeys.lock(tenant)),
      fleet.inventory.drills.backup && gatherBackup(fleet.inventory.drills.backup, tenant),
    ]);
    const holder = lock && parseHolder(lock.value);
    return {
      status,
      spec: stored!.record.spec,
      quorum: quorumOf(members),
      incident,
      changing: lock && (holder ? `${holder.operator} on ${holder.host} with ${holder.command}` : 'it is locked'),
      backup,
    };
  } finally {
    await session.close();
  }
}

async function gatherBackup({ command, maxAgeMs }: BackupCheck, tenant: string): Promise<GuardFacts['backup']> {
  const ran = await runLocal([...command, tenant], { timeoutMs: 30_000 }).catch(() => null);
  const at = ran?.code === 0 ? parseBackupTime(ran.stdout) : null;
  return { maxAgeMs, ageMs: at === null ? null : Date.now() - at };
}

/** ISO 8601 or seconds since 1970, in milliseconds since 1970; null for anything else. */
export function parseBackupTime(text: string): number | null {
  const word = text.trim();
  if (/^\d{9,11}(\.\d+)?$/.test(word)) return Number(word) * 1000;
  const at = /^\d{4}-\d\d-\d\d[T ]/.test(word) ? Date.parse(word) : NaN;
  return Number.isNaN(at) ? null : at;
}
