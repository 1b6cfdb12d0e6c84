// The fleet's etcd at the edge: what is found of it, and the steps and conditions of plans that are about it.

import { PgsError } from '../errors.js';
import type { HostAccess } from '../host/command.js';
import { gatherHostFacts, wantedFor } from '../host/gather.js';
import type { HostFacts } from '../host/facts.js';
import type { Inventory } from '../inventory/inventory.js';
import type { Action, Condition } from '../reconcile/step.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { enableAuthentication } from './authentication.js';
import { connectDcs, lookAtDcs, type Dcs } from './client.js';
import { desiredEtcd } from './desired.js';
import { quorumOf } from './facts.js';
import { fleetEtcd, type DcsFacts } from './plan.js';

export interface FleetAccess {
  inventory: Inventory;
  fleetSecrets: FleetSecrets;
}

/** Everything that `planDcs` compares. Never throws for a host or an etcd that does not answer: that is a fact too. */
export async function gatherDcs(fleet: FleetAccess, hostOf: (name: string) => HostAccess): Promise<DcsFacts> {
  const { inventory, fleetSecrets } = fleet;
  const etcd = fleetEtcd(inventory);
  const hosts = inventory.hosts
    .filter((host) => etcd.members.includes(host.name))
    .map(async (host): Promise<[string, HostFacts]> => {
      const wanted = wantedFor(desiredEtcd(inventory, fleetSecrets, host));
      return [host.name, await gatherHostFacts(hostOf(host.name), wanted)];
    });
  const [found, cluster] = await Promise.all([Promise.all(hosts), gatherCluster(fleet)]);
  return { hosts: Object.fromEntries(found), ...cluster };
}

async function gatherCluster({ inventory, fleetSecrets }: FleetAccess): Promise<Omit<DcsFacts, 'hosts'>> {
  const dcs = await lookAtDcs(inventory, fleetSecrets, 'being-set-up');
  try {
    const members = await dcs.maintenance.statuses();
    if (quorumOf(members).state === 'lost') return { members, authentication: 'unknown', memberNames: null };
    const [enabled, memberNames] = await Promise.all([dcs.logins.enabled(), dcs.maintenance.memberNames()]);
    return { members, authentication: enabled ? 'on' : 'off', memberNames };
  } finally {
    dcs.close();
  }
}

export type DcsAction = Extract<Action, { kind: 'dcs-auth-enable' }>;
export type DcsCondition = Extract<Condition, { kind: 'dcs-healthy' }>;

export async function performDcs(action: DcsAction, { inventory, fleetSecrets }: FleetAccess): Promise<void> {
  switch (action.kind) {
    case 'dcs-auth-enable': {
      const dcs = await connectDcs(inventory, fleetSecrets, 'being-set-up');
      try {
        await enableAuthentication(dcs, fleetSecrets.etcdRootPassword);
      } finally {
        dcs.close();
      }
    }
  }
}

/** Looks once. `done` if every member answers and follows the same leader. */
export async function checkDcs(
  condition: DcsCondition,
  { inventory, fleetSecrets }: FleetAccess,
): Promise<{ done: boolean; seen: string }> {
  const dcs = await lookAtDcs(inventory, fleetSecrets);
  try {
    return await isHealthy(dcs, condition.members);
  } finally {
    dcs.close();
  }
}

async function isHealthy(dcs: Dcs, membersWanted: number): Promise<{ done: boolean; seen: string }> {
  const members = await dcs.maintenance.statuses();
  const { state, seen } = quorumOf(members);
  const leaders = new Set(members.map((m) => (m.answers ? m.leaderId : null)));
  const corrupt = members.some((m) => m.answers && m.alarms.some((a) => a.kind === 'CORRUPT'));
  if (corrupt) {
    throw new PgsError('endangers', {
      doing: 'waiting for etcd',
      found: 'etcd found that its members hold different data (alarm CORRUPT)',
      hint: 'Compare the members with `etcdctl endpoint hashkv --cluster` before anything else.',
    });
  }
  const reasons = members.flatMap((m) => (m.answers ? [] : [`${m.name}: ${m.why}`]));
  const done = state === 'healthy' && leaders.size === 1 && members.length >= membersWanted;
  return { done, seen: [seen, ...reasons].join('; ') };
}
