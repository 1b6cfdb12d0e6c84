// The members' part of a plan: their files, and starts and restarts in the order that keeps the cluster serving. Pure.

import { planResources } from '../host/plan-resources.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader, streamingReplicas } from '../patroni/facts.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { ClusterFacts, PlanInput } from './plan-cluster.js';
import { desiredMember } from './member.js';
import { blankStep, type Step } from './step.js';

/** A replica copies the whole database first; a leader's restart replays what was not checkpointed. */
const streamingTimeoutMs = 120_000;

interface Restart {
  member: PlacedMember;
  step: Step;
}

/**
 * Files and Patroni on every member's host. What does not serve now is started and restarted everywhere at once; a member that
 * serves and has to restart waits its turn: replicas first, one at a time with all streaming in between, the leader last and by
 * switchover, so that writes go on.
 */
export function memberSteps(input: PlanInput, needs: string[]): Step[] {
  const { cluster, facts } = input;
  const leader = findLeader(facts.patroni)?.name;
  const planned: Step[] = [];
  const restarts: Restart[] = [];
  for (const member of cluster.members) {
    for (const step of stepsOf(member, input, needs)) {
      if (mayDisturb(step, member, input)) restarts.push({ member, step });
      else planned.push(step);
    }
  }
  // A pooler's clients find the other poolers up.
  const steps = restartInTurn(planned, (unit) => unit !== patroniUnit(cluster.tenant));
  if (restarts.length === 0) return steps;
  const leaderLast = restarts.sort((a, b) => Number(a.member.name === leader) - Number(b.member.name === leader));
  return [...steps, ...oneAtATime(cluster, facts, leaderLast, steps)];
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

function serves({ name }: PlacedMember, { patroni }: ClusterFacts): boolean {
  return findLeader(patroni)?.name === name || streamingReplicas(patroni).includes(name);
}

/** Replicas that there should be: on hosts that are left as they are, only what streams now is counted on. */
export function expectedReplicas(cluster: Cluster, facts: ClusterFacts): number {
  const counted = cluster.members.filter((m) => facts.hosts[m.host.name]?.reachable || serves(m, facts));
  return Math.max(0, counted.length - 1);
}

function oneAtATime(cluster: Cluster, facts: ClusterFacts, restarts: Restart[], others: Step[]): Step[] {
  const { tenant } = cluster;
  const replicas = expectedReplicas(cluster, facts);
  const leader = findLeader(facts.patroni)?.name;
  const steps: Step[] = [];
  let turn: string[] = [];
  const wait = (id: string, reason: string, needs: string[]) => {
    const step = streamingStep(cluster, facts, id, reason, needs);
    steps.push(step);
    turn = [step.id];
  };
  if (streamingReplicas(facts.patroni).length < replicas) {
    const reason = 'a member is restarted only while all others stream';
    wait(
      'before-restarts',
      reason,
      others.map((s) => s.id),
    );
  }
  for (const { member, step } of restarts) {
    if (member.name === leader && replicas > 0) {
      const handOver = switchoverStep(tenant, member.name, [...step.needs, ...turn]);
      steps.push(handOver);
      wait('after-switchover', 'another member leads', [handOver.id]);
    }
    steps.push({ ...step, needs: [...step.needs, ...turn] });
    wait(`after-${member.name}`, `${member.name} was restarted`, [step.id]);
  }
  return steps;
}

function switchoverStep(tenant: string, from: string, needs: string[]): Step {
  return {
    ...blankStep(`${tenant}/switchover`),
    title: `let another member than ${from} lead ${tenant}`,
    reason: `${from} leads and has to restart`,
    needs,
    timeoutMs: 60_000,
    action: { kind: 'switchover', tenant, from },
    done: { kind: 'leader', tenant, otherThan: from },
  };
}

/** At RPO 0 a standby that commits wait for must be among them. */
export function streamingStep(
  cluster: Cluster,
  facts: ClusterFacts,
  id: string,
  reason: string,
  needs: string[],
): Step {
  const { tenant, spec } = cluster;
  const replicas = expectedReplicas(cluster, facts);
  return {
    ...blankStep(`${tenant}/streaming/${id}`),
    title: `wait until ${replicas} ${replicas === 1 ? 'replica' : 'replicas'} of ${tenant} stream`,
    reason,
    needs,
    timeoutMs: streamingTimeoutMs,
    done: { kind: 'streaming', tenant, replicas, covered: spec.rpoBytes === 0 && replicas > 0 },
  };
}
