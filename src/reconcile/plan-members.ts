// The members' part of a plan: their files, and starts and restarts of what does not serve. What serves waits for its turn; see
// plan-restarts.ts. Pure.

import { planResources } from '../host/plan-resources.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader, streamingReplicas } from '../patroni/facts.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { ClusterFacts, PlanInput } from './plan-cluster.js';
import { desiredMember } from './member.js';
import type { Step } from './step.js';

export interface UnitRestart {
  member: PlacedMember;
  step: Step;
}

export interface MemberSteps {
  steps: Step[];
  /** Restarts of Patroni, and PostgreSQL with it, where it serves. */
  restarts: UnitRestart[];
}

/** Files and Patroni on every member's host. What does not serve now is started and restarted everywhere at once. */
export function memberSteps(input: PlanInput, needs: string[]): MemberSteps {
  const { cluster } = input;
  const planned: Step[] = [];
  const restarts: UnitRestart[] = [];
  const joins = (member: PlacedMember) => cluster.allocation.members.some((m) => m.name === member.name && m.joining);
  for (const member of cluster.members.filter((m) => !joins(m))) {
    for (const step of stepsOf(member, input, needs)) {
      if (mayDisturb(step, member, input)) restarts.push({ member, step });
      else planned.push(step);
    }
  }
  // Who joins copies from one that has to let it in first.
  const letIn = [...needs, ...planned.map((s) => s.id)];
  for (const member of cluster.members.filter(joins)) planned.push(...stepsOf(member, input, letIn));
  // A pooler's clients find the other poolers up.
  return { steps: restartInTurn(planned, (unit) => unit !== patroniUnit(cluster.tenant)), restarts };
}

function stepsOf(member: PlacedMember, { cluster, secrets, dcs, facts }: PlanInput, needs: string[]): Step[] {
  const host = member.host.name;
  const found = facts.hosts[host];
  if (!found?.reachable) return [];
  const resources = desiredMember(cluster, member, secrets, dcs);
  return planResources({ host, subject: cluster.tenant, resources, facts: found, needs });
}

function mayDisturb({ action }: Step, member: PlacedMember, { cluster, facts }: PlanInput): boolean {
  const restarts = action.kind === 'unit' && action.verb === 'restart' && action.unit === patroniUnit(cluster.tenant);
  return restarts && serves(member, facts);
}

/** Lets units of a kind restart one after the other: what they serve goes on through the others. */
export function restartInTurn(steps: Step[], isOne: (unit: string) => boolean): Step[] {
  let turn: string[] = [];
  return steps.map((step) => {
    const { action } = step;
    if (action.kind !== 'unit' || action.verb !== 'restart' || !isOne(action.unit)) return step;
    const waiting = { ...step, needs: [...step.needs, ...turn] };
    turn = [step.id];
    return waiting;
  });
}

export function serves({ name }: PlacedMember, { patroni }: ClusterFacts): boolean {
  return findLeader(patroni)?.name === name || streamingReplicas(patroni).includes(name);
}

/** Replicas that there should be: on hosts that are left as they are, only what streams now is counted on. */
export function expectedReplicas(cluster: Cluster, facts: ClusterFacts): number {
  const counted = cluster.members.filter((m) => facts.hosts[m.host.name]?.reachable || serves(m, facts));
  return Math.max(0, counted.length - 1);
}
