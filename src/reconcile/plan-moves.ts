// What comes after a plan when members come and go: each move is a step that changes what the next plan is made from. Pure.

import { findLeader, streamingReplicas } from '../patroni/facts.js';
import type { Cluster, PlacedLeaving } from '../topology/cluster.js';
import { withJoined, withLeaving, withLogin } from '../topology/membership.js';
import type { Allocation, LeavingMember, Member } from '../topology/tenant.js';
import type { ClusterFacts } from './plan-cluster.js';
import { switchoverStep } from './plan-restarts.js';
import { blankStep, type Step } from './step.js';

export function recordMembersStep(
  tenant: string,
  id: string,
  title: string,
  allocation: Allocation,
  needs: string[] = [],
): Step {
  return {
    ...blankStep(`${tenant}/members/${id}`),
    title,
    reason: 'the next steps are made from it',
    needs,
    action: { kind: 'record-members', tenant, allocation },
  };
}

/** The next move; none when nothing can be done, or nothing is left to do. */
export function planMove(cluster: Cluster, facts: ClusterFacts): Step[] {
  return lostSteps(cluster, facts) ?? loginSteps(cluster, facts) ?? joinedSteps(cluster, facts) ?? [];
}

/** A member that leaves and whose host fell silent keeps what it knows. */
function lostSteps({ tenant, allocation, leaving }: Cluster, facts: ClusterFacts): Step[] | null {
  const lost = leaving.filter((m) => m.login === undefined && !isThere(facts, m.host.name)).map((m) => m.name);
  if (lost.length === 0) return null;
  const title = `remember that the host of ${lost.join(', ')} does not answer`;
  return [recordMembersStep(tenant, 'lost', title, withLogin(allocation, lost, 'works'))];
}

/** A member whose host does not answer now could not be told the new login, and would be locked out with the lost one. */
function loginSteps({ tenant, allocation, leaving, members }: Cluster, facts: ClusterFacts): Step[] | null {
  const keepers = leaving.filter((m) => m.login === 'works' && !isThere(facts, m.host.name));
  const allTold = members.every((m) => isThere(facts, m.host.name));
  if (keepers.length === 0 || !allTold) return null;
  const names = keepers.map((m) => m.name);
  return [
    {
      ...blankStep(`${tenant}/new-login`),
      title: `make a new login to etcd for ${tenant}, to be given out`,
      reason: `the host of ${names.join(', ')} is lost and knows the present one`,
      action: { kind: 'new-etcd-password', tenant, allocation: withLogin(allocation, names, 'changing') },
    },
  ];
}

/** Who follows has joined, and who was replaced leaves: by switchover first if it leads, and only while all others serve. */
function joinedSteps(cluster: Cluster, facts: ClusterFacts): Step[] | null {
  const { tenant, allocation } = cluster;
  const serves = (name: string) => isServing(facts, name);
  const joined = allocation.members.filter((m) => m.joining && serves(m.name));
  if (joined.length === 0) return null;
  const replaced = allocation.members.filter((m) => joined.some((j) => j.joining!.replaces === m.name));
  if (replaced.length === 0) {
    const names = joined.map((m) => m.name);
    return [
      recordMembersStep(tenant, 'joined', `record that ${names.join(', ')} joined`, withJoined(allocation, names)),
    ];
  }
  const staying = allocation.members.filter((m) => !replaced.includes(m));
  if (!staying.every((m) => serves(m.name)) || replaced.some((m) => isBeyondReach(m, facts))) return null;
  return letGo(cluster, facts, joined, replaced);
}

function letGo({ tenant, allocation }: Cluster, facts: ClusterFacts, joined: Member[], replaced: Member[]): Step[] {
  const leader = findLeader(facts.patroni)?.name;
  const leads = replaced.find((m) => m.name === leader);
  const handOver = leads ? [switchoverStep(tenant, leads.name, `${leads.name} leads and is replaced`)] : [];
  const leaving = replaced.map((m): LeavingMember => {
    const data = joined.find((j) => j.joining!.replaces === m.name)!.joining!.data;
    return leavingOf(m, data, facts);
  });
  const after = withLeaving(
    withJoined(
      allocation,
      joined.map((m) => m.name),
    ),
    leaving,
  );
  const title = `let ${replaced.map((m) => m.name).join(', ')} leave: ${joined.map((m) => m.name).join(', ')} joined`;
  return [
    ...handOver,
    recordMembersStep(
      tenant,
      'joined',
      title,
      after,
      handOver.map((s) => s.id),
    ),
  ];
}

export function leavingOf({ name, host }: Member, data: LeavingMember['data'], facts: ClusterFacts): LeavingMember {
  return { name, host, data, ...(isThere(facts, host) ? {} : { login: 'works' as const }) };
}

/** A member that leaves and leads again all the same, after a failover in the wrong moment. */
export function leaderAmongLeaving({ leaving }: Cluster, facts: ClusterFacts): PlacedLeaving | null {
  return (
    leaving.find((m) => {
      const fact = facts.leaving?.[m.name];
      return fact?.reachable && fact.role === 'leader';
    }) ?? null
  );
}

function isThere({ hosts }: ClusterFacts, host: string): boolean {
  return hosts[host]?.reachable === true;
}

export function isServing({ patroni }: Pick<ClusterFacts, 'patroni'>, name: string): boolean {
  return findLeader(patroni)?.name === name || streamingReplicas(patroni).includes(name);
}

/** It runs, and cannot be stopped: ssh does not reach its host. */
export function isBeyondReach({ name, host }: Member, facts: ClusterFacts): boolean {
  return facts.patroni.members[name]?.reachable === true && !isThere(facts, host);
}
