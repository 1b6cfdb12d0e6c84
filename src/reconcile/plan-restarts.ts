// Restarts of members that serve, in the order that keeps the cluster serving: replicas first, one at a time with all streaming in
// between, the leader last and by switchover. Only what has to go down on the leader first (`orderedParameters`) restarts it in place, with
// its clients held. Pure.

import { candidateLagBytesMax } from '../patroni/switchover.js';
import { desiredDcsSettings } from '../patroni/desired.js';
import { findLeader, streamingReplicas, type ReachableMember } from '../patroni/facts.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import {
  describeDifference,
  differencesInForce,
  orderOf,
  type OrderedChange,
  type ParameterDifference,
} from '../topology/in-force.js';
import type { Settings } from '../topology/settings.js';
import type { ClusterFacts, PlanInput } from './plan-cluster.js';
import { copyTimeoutMs } from './plan-job.js';
import { expectedReplicas, serves, type UnitRestart } from './plan-members.js';
import { blankStep, type Step } from './step.js';

/** A replica copies the whole database first; a leader's restart replays what was not checkpointed. */
const streamingTimeoutMs = 120_000;
/** Patroni waits for its turn to be no synchronous standby (twice loop_wait), then PostgreSQL stops and starts. */
export const restartTimeoutMs = 180_000;
/** Patroni looks at the settings every loop_wait, 20 s in preset wide; then it reloads PostgreSQL. */
const takenTimeoutMs = 60_000;

interface Restart {
  member: PlacedMember;
  fact: ReachableMember;
  /** Patroni restarts, and PostgreSQL with it; null: PostgreSQL alone. */
  unit: Step | null;
  reason: string;
  order: OrderedChange;
}

/**
 * @param changed names of the parameters of which the plan tells the members something else
 * @param units restarts of Patroni that wait for their turn
 */
export function restartSteps(input: PlanInput, changed: string[], units: UnitRestart[], needs: string[]): Step[] {
  const { cluster, facts } = input;
  const wanted = wantedParameters(cluster);
  const { tenant } = cluster;
  const differing = parameterDifferences(cluster, facts, wanted);
  // What a reload is enough for comes by itself; it is waited for only where this plan changes it.
  const atStart = Object.values(differing).flatMap((list) => list.filter((d) => d.atStart).map((d) => d.name));
  const names = [...new Set([...changed, ...atStart])];
  const differs = names.length > 0;
  const leaveOut = unasked(cluster, facts);
  const taken = differs ? [parametersStep(tenant, 'taken', names, leaveOut, needs)] : [];
  const restarts = restartsOf(input, differing, units);
  const before = [...needs, ...taken.map((s) => s.id)];
  const turns = takeTurns(cluster, facts, restarts, before);
  const last = turns.at(-1)?.id ?? taken.at(-1)?.id;
  const inForce = differs && last !== undefined ? [parametersStep(tenant, 'in force', names, leaveOut, [last])] : [];
  return [...taken, ...turns, ...inForce];
}

/** Poolers may open more connections only once every member takes them. */
export function raisesConnections({ cluster, facts }: PlanInput): boolean {
  const differing = Object.values(parameterDifferences(cluster, facts, wantedParameters(cluster))).flat();
  return orderOf(differing).raised.includes('max_connections');
}

export function wantedParameters(cluster: Cluster): Settings {
  return (desiredDcsSettings(cluster).postgresql as { parameters: Settings }).parameters;
}

/** By member; one that was not asked has none. */
export function parameterDifferences(
  { members }: Cluster,
  { parameters }: ClusterFacts,
  wanted: Settings,
): Record<string, ParameterDifference[]> {
  return Object.fromEntries(
    members.map(({ name }) => [name, parameters[name] ? differencesInForce(wanted, parameters[name]) : []]),
  );
}

/** Hosts whose member did not say what it runs with. */
function unasked({ members }: Cluster, { parameters }: ClusterFacts): string[] {
  return members.filter(({ name }) => !parameters[name]).map(({ host }) => host.name);
}

function restartsOf(
  { cluster, facts, job }: PlanInput,
  differing: Record<string, ParameterDifference[]>,
  units: UnitRestart[],
): Restart[] {
  return cluster.members.flatMap((member): Restart[] => {
    const { name } = member;
    const fact = facts.patroni.members[name];
    if (!fact?.reachable) return [];
    const unit = units.find((u) => u.member.name === name)?.step ?? null;
    const atStart = differing[name]!.filter((d) => d.atStart);
    const asked = job?.kind === 'restart' && isStillToRestart(fact, job.members[name]);
    if (!unit && atStart.length === 0 && !asked) return [];
    const reason = [...(asked ? ['it was asked for'] : []), ...atStart.map(describeDifference)].join('; ');
    return [{ member, fact, unit, reason, order: orderOf(atStart) }];
  });
}

/** @param noted the start of the postmaster that is to go */
export function isStillToRestart(fact: ReachableMember, noted: string | undefined): boolean {
  return noted !== undefined && fact.postmasterStartedAt === noted;
}

function takeTurns(cluster: Cluster, facts: ClusterFacts, restarts: Restart[], needs: string[]): Step[] {
  if (restarts.length === 0) return [];
  const { tenant } = cluster;
  const replicas = expectedReplicas(cluster, facts);
  const leaderName = findLeader(facts.patroni)?.name;
  const leader = restarts.find(({ member }) => member.name === leaderName);
  const others = restarts.filter((r) => r !== leader);
  const steps: Step[] = [];
  let turn = needs;
  const add = (step: Step) => {
    steps.push({ ...step, needs: [...new Set([...step.needs, ...turn])] });
    turn = [step.id];
  };
  const wait = (id: string, reason: string) => add(streamingStep(cluster, facts, id, reason, []));
  const restart = ({ member, unit, fact, reason }: Restart, how: 'as replica' | 'in place', again = false) => {
    const whole = unit && how === 'as replica' && !steps.some((step) => step.id === unit.id) ? unit : null;
    add(whole ?? postgresStep(tenant, member, how, again ? null : fact, reason, again));
    wait(`after-${member.name}${again ? '-again' : ''}`, `${member.name} was restarted`);
  };

  // One that does not serve is in nobody's way, and may be what the others wait for.
  for (const r of others.filter(({ member }) => !serves(member, facts))) restart(r, 'as replica');
  const serving = others.filter(({ member }) => serves(member, facts));
  if (streamingReplicas(facts.patroni).length < replicas) {
    wait('before-restarts', 'a member is restarted only while all others stream');
  }
  const leaderFirst = leader !== undefined && (leader.order.lowered.length > 0 || replicas === 0);
  const first = leaderFirst ? serving.filter(({ order }) => order.raised.length > 0) : serving;
  for (const r of first) restart(r, 'as replica');
  if (leaderFirst) {
    restart(leader, leader.unit && replicas === 0 ? 'as replica' : 'in place');
    for (const r of serving) restart(r, 'as replica', first.includes(r));
  }
  if (leader && replicas > 0 && (!leaderFirst || leader.unit)) {
    add(switchoverStep(tenant, leader.member.name));
    wait('after-switchover', 'another member leads');
    restart(leader, 'as replica', leaderFirst);
  }
  return steps;
}

function postgresStep(
  tenant: string,
  { name, host }: PlacedMember,
  how: 'as replica' | 'in place',
  fact: ReachableMember | null,
  reason: string,
  again: boolean,
): Step {
  const held = how === 'in place' ? ' in place, with its clients held' : '';
  return {
    ...blankStep(`${tenant}/restart/${name}${again ? '-again' : ''}`),
    host: host.name,
    title: `restart PostgreSQL of ${name}${held}${again ? ' once more' : ''}`,
    reason: again ? 'it keeps the higher value until the leader has the lower one' : reason,
    timeoutMs: restartTimeoutMs,
    action: { kind: 'restart-postgres', tenant, member: name, how },
    done: { kind: 'restarted', tenant, member: name, startedAt: fact?.postmasterStartedAt ?? null },
  };
}

export function switchoverStep(tenant: string, from: string, reason = `${from} leads and has to restart`): Step {
  return {
    ...blankStep(`${tenant}/switchover`),
    title: `let another member than ${from} lead ${tenant}`,
    reason,
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
    timeoutMs: cluster.allocation.members.some((m) => m.joining) ? copyTimeoutMs : streamingTimeoutMs,
    done: {
      kind: 'streaming',
      tenant,
      replicas,
      covered: spec.rpoBytes === 0 && replicas > 0,
      lagBytesMax: candidateLagBytesMax,
    },
  };
}

function parametersStep(
  tenant: string,
  want: 'taken' | 'in force',
  names: string[],
  leaveOut: string[],
  needs: string[],
): Step {
  return {
    ...blankStep(`${tenant}/parameters/${want.replace(' ', '-')}`),
    title:
      want === 'taken'
        ? `wait until the members of ${tenant} have taken their parameters`
        : `see that every member of ${tenant} runs with its parameters`,
    reason: want === 'taken' ? 'a restart before that would be for nothing' : 'they were changed',
    needs,
    timeoutMs: takenTimeoutMs,
    done: { kind: 'parameters', tenant, want, names, leaveOut },
  };
}
