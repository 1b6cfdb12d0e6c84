// Members that come and go, in what is kept of a tenant. A member is added first (`joining`), and the one it replaces leaves once it
// follows; one that leaves stays in the record (`leaving`) until nothing of it is left. Pure.

import { keepWalSenders } from './settings.js';
import type { Allocation, DataFate, LeavingMember, Member } from './tenant.js';

/** Whether something is left to do, or to wait for. */
export function isMoving({ members, leaving }: Allocation): boolean {
  return members.some((m) => m.joining) || (leaving ?? []).length > 0;
}

/** Whether that can be finished now: a host that is lost is not waited for. */
export function isUnderWay({ members, leaving = [] }: Allocation): boolean {
  return members.some((m) => m.joining) || leaving.some((m) => m.login === undefined);
}

/** Members that are not about to leave. */
export function stayingMembers({ members }: Allocation): Member[] {
  const replaced = members.flatMap((m) => m.joining?.replaces ?? []);
  return members.filter((m) => !replaced.includes(m.name));
}

/** The number in a member's name; 0 for a name of another form. */
export function numberOfMember(name: string): number {
  return Number(/-(\d+)$/.exec(name)?.[1] ?? 0);
}

/** Names are never given twice. */
export function lastNumberOf({ members, leaving, lastNumber }: Allocation): number {
  return Math.max(lastNumber ?? 0, ...[...members, ...(leaving ?? [])].map((m) => numberOfMember(m.name)));
}

/** New members on these hosts. */
export function withJoining(
  tenant: string,
  before: Allocation,
  hosts: string[],
  joining: { replaces: string | null; data: DataFate },
): Allocation {
  const from = lastNumberOf(before);
  const added = hosts.map((host, i): Member => ({ name: `${tenant}-${from + 1 + i}`, host, joining }));
  const members = [...before.members, ...added];
  const walSenders = keepWalSenders(before, members.length);
  // What an earlier one left there is taken over.
  const { keptOn = [], ...rest } = before;
  const kept = keptOn.filter((host) => !hosts.includes(host));
  return {
    ...rest,
    members,
    lastNumber: from + hosts.length,
    walSenders,
    ...(kept.length > 0 ? { keptOn: kept } : {}),
  };
}

/** Those that follow are members like others. */
export function withJoined(before: Allocation, names: string[]): Allocation {
  const members = before.members.map(({ joining, ...m }): Member => {
    return joining && !names.includes(m.name) ? { ...m, joining } : m;
  });
  return { ...before, members };
}

/** Members that are not counted on any more. */
export function withLeaving(before: Allocation, leaving: LeavingMember[]): Allocation {
  const gone = leaving.map((m) => m.name);
  return {
    ...before,
    members: before.members.filter((m) => !gone.includes(m.name)),
    leaving: [...(before.leaving ?? []), ...leaving],
    lastNumber: lastNumberOf(before),
    walSenders: keepWalSenders(before, before.members.length - leaving.length),
  };
}

export function withLogin(before: Allocation, names: string[], login: LeavingMember['login']): Allocation {
  const leaving = (before.leaving ?? []).map((m) => (names.includes(m.name) ? { ...m, login } : m));
  return { ...before, leaving };
}

/** Nothing of it runs or is configured any more; where its data stays is remembered. */
export function withoutLeaving(before: Allocation, name: string): Allocation {
  const { leaving = [], keptOn = [], ...rest } = before;
  const gone = leaving.find((m) => m.name === name);
  if (!gone) return before;
  const others = leaving.filter((m) => m !== gone);
  const kept = gone.data === 'keep' ? [...new Set([...keptOn, gone.host])].sort() : keptOn;
  return {
    ...rest,
    ...(others.length > 0 ? { leaving: others } : {}),
    ...(kept.length > 0 ? { keptOn: kept } : {}),
  };
}

/** With those that leave back among the members, as long as one of them leads. */
export function withLeavingBack(before: Allocation): Allocation {
  const { leaving = [], ...rest } = before;
  return { ...rest, members: [...before.members, ...leaving.map(({ name, host }) => ({ name, host }))] };
}
