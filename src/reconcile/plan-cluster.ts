// From what a tenant should be and what was found to the steps between. Pure: the same input gives the same plan, and facts that
// match give an empty one.

import equal from 'fast-deep-equal';
import { desiredDoor, type DoorCertificates } from '../../haproxy/desired-door.js';
import { desiredHaproxy, haproxyUnit, routingByEntry } from '../../haproxy/desired.js';
import { guaranteeOf } from '../../watchdog/policy.js';
import { PgsError } from '../errors.js';
import type { TenantAccess } from '../etcd/tenants.js';
import type { HostFacts } from '../host/facts.js';
import { planResources } from '../host/plan-resources.js';
import { desiredDcsSettings, type DcsEndpoints } from '../patroni/desired.js';
import { findLeader, judgeRpo, streamingReplicas, type MemberFact, type PatroniFacts } from '../patroni/facts.js';
import { absentPgbouncer } from '../pgbouncer/desired.js';
import type { SqlFacts } from '../postgres/desired.js';
import type { ExtensionFacts } from '../postgres/extensions.js';
import type { ObjectFacts } from '../postgres/object-facts.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import type { Cluster } from '../topology/cluster.js';
import { parsePatroniSettings } from '../topology/live-timing.js';
import { presets } from '../topology/presets.js';
import type { Settings } from '../topology/settings.js';
import type { InForce } from '../topology/in-force.js';
import type { Job, LeftObjects, TenantPhase } from '../topology/tenant.js';
import { expectedReplicas, memberSteps, restartInTurn } from './plan-members.js';
import { limitChecks, limitSteps } from './plan-limits.js';
import { stopSteps, stoppedProof } from './plan-stop.js';
import { describeMoves, leavingSteps, newLoginSteps } from './plan-leaving.js';
import { jobDoneSteps, leftOfJob, reinitSteps } from './plan-job.js';
import { missingExtensionWarnings, objectNotes, objectSteps, unreachableRuleWarnings } from './plan-objects.js';
import { raisesConnections, restartSteps, streamingStep, wantedParameters } from './plan-restarts.js';
import { leftOfRotation } from './plan-rotation.js';
import { sqlDifferences } from './plan-sql.js';
import { blankStep, type Plan, type Step } from './step.js';

export interface ClusterFacts {
  hosts: Record<string, HostFacts>;
  /** How the tenant's etcd user and role stand. */
  dcsAccess: TenantAccess;
  /** Something lies under the tenant's prefix in the DCS. */
  dcsKeys: boolean;
  /** Keys under that prefix that are not Patroni's. */
  foreignKeys?: string[];
  /** What the members are to follow, as the DCS has it; null when there is nothing yet. */
  settings: Record<string, unknown> | null;
  patroni: PatroniFacts;
  /** Null when no leader could be asked. */
  sql: SqlFacts | null;
  /** The same of what the tenant's file is about; absent: it is about nothing. */
  objects?: ObjectFacts | null;
  /** Extensions that members' hosts have; absent: none is wanted. */
  extensions?: ExtensionFacts;
  /** Members that leave; absent: nobody does. */
  leaving?: Record<string, MemberFact>;
  /** What each member runs with; null for one that could not be asked. */
  parameters: Record<string, InForce | null>;
}

export interface PlanInput {
  cluster: Cluster;
  phase: TenantPhase;
  secrets: TenantSecrets;
  dcs: DcsEndpoints;
  door: DoorCertificates;
  facts: ClusterFacts;
  /** What an operator asked for once, and is not done. */
  job?: Job | undefined;
  /** What a file named once. */
  left?: LeftObjects | undefined;
  /** What may be dropped with its data: `database` or `database/extension`. */
  dropData?: string[] | undefined;
}

/** A first leader makes its database; one that died is replaced within ttl, 120 s at most. */
const leaderTimeoutMs = 150_000;

/** The plan that makes the cluster what its record says; what is on hosts that cannot be looked at is left as it is. */
export function planCluster(input: PlanInput): Plan {
  const { cluster, facts } = input;
  const { tenant } = cluster;
  const warnings = [
    ...leftOfJob(input),
    ...describeMoves(input),
    ...unknownHosts(facts).map(([host, why]) => `${host} could not be looked at and is left as it is: ${why}`),
    ...unknownAnswers(input),
    ...missingExtensionWarnings(input),
    ...unreachableRuleWarnings(input),
  ];
  const notes = [
    ...fencingNotes(cluster),
    ...leftOfRotation(tenant, input.secrets),
    ...foreignNotes(facts),
    ...objectNotes(input),
  ];
  if (input.phase === 'stopped') {
    const stops = stopSteps(input);
    const leaveOut = unknownHosts(facts).map(([host]) => host);
    const seen = stops.length > 0 ? [stoppedProof(tenant, leaveOut, idsOf(stops))] : [];
    return { subject: `cluster ${tenant}`, steps: [...stops, ...seen], warnings, notes: [] };
  }
  const access = facts.dcsAccess === 'right' ? [] : [dcsAccessStep(tenant)];
  const longer = raisesTtl(input) ? longerTtlSteps(input, idsOf(access)) : [];
  const { steps, restarts: units } = memberSteps(input, idsOf([...access, ...longer]));
  const late = raisesConnections(input) ? steps.filter(reloadsPooler) : [];
  const members = steps.filter((step) => !late.includes(step));
  const before = [...access, ...longer, ...members];
  const anew = reinitSteps(input, idsOf(before));
  const bootstrap = bootstrapSteps(input, idsOf([...before, ...anew]));
  const early = limitSteps(input, 'early', []);
  const needed = idsOf([...before, ...bootstrap, ...early]);
  const restarts = restartSteps(input, changedParameters(input), units, needed);
  const afterwards = late.map((step) => ({ ...step, needs: [...step.needs, ...idsOf(restarts)] }));
  // While a cluster is made, the first leader is what everything waits for: checks of nobody would only take its CPU.
  const first = input.phase === 'creating' ? bootstrap.filter((step) => step.done.kind === 'leader') : [];
  const pooling = input.phase === 'creating' ? [] : poolingSteps(members, bootstrap);
  const routing = routingSteps(input, idsOf([...first, ...pooling]));
  const logins = newLoginSteps(input, idsOf([...members, ...restarts]));
  const leaving = leavingSteps(input, idsOf([...bootstrap, ...routing, ...logins]));
  const unpooled = cluster.spec.pool === 'off' ? unpoolSteps(input, idsOf([...members, ...routing])) : [];
  const limits = limitSteps(input, 'late', idsOf([...members, ...restarts]));
  const checks = limitChecks(input, idsOf([...members, ...early, ...restarts, ...limits]));
  const begun = [
    ...access,
    ...longer,
    ...members,
    ...early,
    ...anew,
    ...bootstrap,
    ...restarts,
    ...limits,
    ...afterwards,
    ...routing,
    ...unpooled,
    ...logins,
    ...leaving,
  ];
  const changes = [...begun, ...jobDoneSteps(input, idsOf(begun))];
  const isToProve = changes.length > 0 || input.phase === 'creating';
  const proof = isToProve ? proofSteps(input, idsOf([...changes, ...checks])) : [];
  return { subject: `cluster ${tenant}`, steps: [...changes, ...checks, ...proof], warnings, notes };
}

export function isPaused({ settings }: Pick<ClusterFacts, 'settings'>): boolean {
  return settings?.pause === true;
}

function reloadsPooler({ action }: Step): boolean {
  return action.kind === 'unit' && action.verb === 'reload' && action.unit.startsWith('pgs-pgbouncer');
}

/** Names of the parameters of which the DCS tells the members something else; while a cluster is made they start with the right ones. */
function changedParameters({ cluster, facts, phase }: PlanInput): string[] {
  const told = (facts.settings?.postgresql as { parameters?: Settings } | undefined)?.parameters;
  if (phase === 'creating' || told === undefined) return [];
  const wanted = wantedParameters(cluster);
  return [...new Set([...Object.keys(told), ...Object.keys(wanted)])].filter(
    (name) => !equal(told[name], wanted[name]),
  );
}

/** What an operator accepts with a watchdog that is not required. */
function fencingNotes({ spec }: Cluster): string[] {
  if (spec.watchdog === 'required') return [];
  const { text } = guaranteeOf(null, null, presets[spec.rto].patroni);
  const where = spec.watchdog === 'off' ? '' : ' on a host without a watchdog';
  return [`NOT FENCED${where} (watchdog: ${spec.watchdog}): ${text}`];
}

/** What somebody else keeps in the tenant's place in etcd; pgs leaves it, since it may be somebody's. */
export function foreignNotes({ foreignKeys = [] }: Pick<ClusterFacts, 'foreignKeys'>): string[] {
  return foreignKeys.map((key) => `${key} in etcd is neither Patroni's nor pgs's, and is left as it is`);
}

/** Hosts that could not be looked at, and why. */
export function unknownHosts(facts: ClusterFacts): [host: string, why: string][] {
  return Object.entries(facts.hosts).flatMap(([host, fact]): [string, string][] =>
    fact.reachable ? [] : [[host, fact.why]],
  );
}

/**
 * A tenant is not made by halves: all its members' hosts must be there.
 * @throws PgsError `unreachable` naming the hosts that could not be looked at
 */
export function refuseMissingHosts(cluster: Cluster, facts: ClusterFacts): void {
  const missing = unknownHosts(facts).filter(([host]) => cluster.members.some((m) => m.host.name === host));
  if (missing.length === 0) return;
  throw new PgsError('unreachable', {
    doing: `making ${cluster.tenant}`,
    found: missing.map(([host, why]) => `${host} could not be looked at: ${why}`).join('\n'),
    hint: `Bring the host back and run the same command again, or give ${cluster.tenant} up with \`pgs cluster destroy\` once it is back.`,
  });
}

export function idsOf(steps: Step[]): string[] {
  return steps.map((s) => s.id);
}

function dcsAccessStep(tenant: string): Step {
  return {
    ...blankStep(`dcs/${tenant}/user`),
    title: `give ${tenant} its own user and key range in etcd`,
    reason: `etcd has no user that can reach /pgs/dcs/${tenant}/ and nothing else`,
    timeoutMs: 10_000,
    action: { kind: 'dcs-tenant-user', tenant, want: 'present' },
  };
}

function routingSteps({ cluster, secrets, door, facts }: PlanInput, needs: string[]): Step[] {
  const subject = `${cluster.tenant}-routing`;
  const routingOn = routingByEntry(cluster, secrets, door);
  const steps = cluster.entries.flatMap((entry) => {
    const found = facts.hosts[entry.name];
    if (!found?.reachable) return [];
    const resources = [...desiredHaproxy(entry), ...desiredDoor(cluster, entry, door), ...routingOn(entry)];
    return planResources({ host: entry.name, subject, resources, facts: found, needs });
  });
  // A restart closes the sessions of every tenant on that entry: the clients find the other entries up.
  return restartInTurn(steps, (unit) => unit === haproxyUnit);
}

/** What must be there before an entry leads clients of a running cluster to poolers that are new. */
function poolingSteps(members: Step[], bootstrap: Step[]): Step[] {
  const starts = members.filter(({ action }) => action.kind === 'unit' && action.unit.startsWith('pgs-pgbouncer'));
  return [...starts, ...bootstrap.filter(({ action }) => action.kind === 'sql')];
}

/** Poolers that are not wanted any more go once no entry leads to them. */
function unpoolSteps({ cluster, facts }: PlanInput, needs: string[]): Step[] {
  return cluster.members.flatMap(({ host }) => {
    const found = facts.hosts[host.name];
    if (!found?.reachable) return [];
    const subject = `${cluster.tenant}-poolers`;
    return planResources({ host: host.name, subject, resources: absentPgbouncer(cluster), facts: found, needs });
  });
}

/** What needs a running cluster: a leader, the first roles, streaming replicas, the steady settings. */
function bootstrapSteps(input: PlanInput, needs: string[]): Step[] {
  const { cluster, phase, secrets, facts } = input;
  const { tenant, spec } = cluster;
  const steps: Step[] = [];
  const leaderKnown = findLeader(facts.patroni) !== null;
  if (!leaderKnown || needs.length > 0) {
    steps.push({
      ...blankStep(`${tenant}/leader`),
      title: `wait for a leader of ${tenant}`,
      reason: leaderKnown ? 'its members are changed' : 'no member leads',
      needs,
      timeoutMs: leaderTimeoutMs,
      done: { kind: 'leader', tenant },
    });
  }
  const afterLeader = steps.length > 0 ? [`${tenant}/leader`] : [];
  const sql = isUnknown(facts.sql, phase) ? [] : sqlDifferences(facts.sql, secrets);
  if (sql.length > 0) {
    steps.push({
      ...blankStep(`${tenant}/sql`),
      title: `make the first roles and database of ${tenant}`,
      reason: sql.join('; '),
      needs: afterLeader,
      timeoutMs: 60_000,
      action: { kind: 'sql', tenant },
    });
  }
  const streaming = streamingReplicas(facts.patroni).length;
  const replicas = expectedReplicas(cluster, facts);
  const covered = spec.rpoBytes > 0 || replicas < 1 || judgeRpo(facts.patroni, 0, spec.durability) === 'holds';
  // A standby becomes synchronous only once the members are told that one has to be.
  const told = facts.settings === null || parsePatroniSettings(facts.settings).synchronous;
  if (streaming < replicas || (told && !covered)) {
    const wait = streamingStep(cluster, facts, 'all', `${streaming} of ${replicas} replicas stream`, afterLeader);
    steps.push(told ? wait : uncovered(wait));
  }
  if (!raisesTtl(input) && !equal(facts.settings, wantedSettings(input))) steps.push(settingsStep(input, idsOf(steps)));
  if (!told && !covered) {
    steps.push(
      streamingStep(cluster, facts, 'synchronous', 'commits are to wait for a standby from now on', idsOf(steps)),
    );
  }
  return [...steps, ...objectSteps(input, idsOf(steps))];
}

function uncovered(step: Step): Step {
  return step.done.kind === 'streaming' ? { ...step, done: { ...step.done, covered: false } } : step;
}

/**
 * What a finished cluster did not answer is unknown, not absent: nothing is planned from it, and a warning says so. While a cluster
 * is made, no answer means that it is not there yet.
 */
function isUnknown(found: SqlFacts | null, phase: TenantPhase): boolean {
  return found === null && phase !== 'creating' && phase !== 'stopped';
}

function unknownAnswers({ facts, phase }: PlanInput): string[] {
  if (!isUnknown(facts.sql, phase)) return [];
  return ['the roles and databases could not be looked at and are left as they are: no leader answered'];
}

/** Who paused Patroni resumes it; that is no difference to mend. */
function wantedSettings({ cluster, facts }: PlanInput): Record<string, unknown> {
  return { ...desiredDcsSettings(cluster), ...(isPaused(facts) ? { pause: true } : {}) };
}

/**
 * The watchdog's time is ttl less the margin in the member's own file. With a longer ttl comes a larger margin: in the file first, it would
 * leave the watchdog little time or none, and a healthy leader would be killed. So the members are told the ttl before their files change;
 * a shorter one comes after them.
 */
function raisesTtl({ cluster, facts, phase }: PlanInput): boolean {
  if (phase === 'creating' || facts.settings === null || findLeader(facts.patroni) === null) return false;
  return presets[cluster.spec.rto].patroni.ttlS > parsePatroniSettings(facts.settings).ttlS;
}

function longerTtlSteps(input: PlanInput, needs: string[]): Step[] {
  const { cluster, facts } = input;
  const { tenant, spec } = cluster;
  const settings = settingsStep(input, needs);
  const { ttlS } = presets[spec.rto].patroni;
  const leaveOut = unknownHosts(facts).map(([host]) => host);
  return [
    settings,
    {
      ...blankStep(`${tenant}/ttl-known`),
      title: `wait until the members of ${tenant} know the ttl of ${ttlS} s`,
      reason: 'their watchdogs get a larger margin only then',
      needs: [settings.id],
      timeoutMs: 60_000,
      done: { kind: 'ttl-known', tenant, ttlS, leaveOut },
    },
  ];
}

function settingsStep(input: PlanInput, needs: string[]): Step {
  const { tenant, spec } = input.cluster;
  const [wanted, found] = [wantedSettings(input), input.facts.settings];
  return {
    ...blankStep(`${tenant}/settings`),
    title: `set the timing and parameters of ${tenant} (preset ${spec.rto})`,
    reason: found ? 'the settings in the DCS differ' : 'the cluster is made with fast timing; this is the steady one',
    diff: found ? describeSettings(found, wanted) : [],
    needs,
    timeoutMs: 20_000,
    action: { kind: 'patroni-settings', tenant, config: wanted },
    done: { kind: 'patroni-settings', tenant, config: wanted },
  };
}

export function describeSettings(before: Record<string, unknown>, after: Record<string, unknown>): Step['diff'] {
  return settingsDiff('', before, after);
}

function settingsDiff(path: string, before: Record<string, unknown>, after: Record<string, unknown>): Step['diff'] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return keys.flatMap((key) => {
    const [a, b] = [before[key], after[key]];
    if (equal(a, b)) return [];
    if (isObject(a) && isObject(b)) return settingsDiff(`${path}${key}.`, a, b);
    return [{ what: `${path}${key}`, before: printed(a), after: printed(b) }];
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function printed(value: unknown): string {
  return value === undefined ? '(not set)' : JSON.stringify(value);
}

/** The result is proven from outside before a change counts as done; the first proof also ends the creation. */
function proofSteps({ cluster, phase, facts }: PlanInput, needs: string[]): Step[] {
  const { tenant } = cluster;
  const leaveOut = unknownHosts(facts).map(([host]) => host);
  const proof: Step = {
    ...blankStep(`${tenant}/prove`),
    title: `prove that ${tenant} answers on every entry`,
    reason:
      "a row written through each host's primary service must be read through its replica service, with TLS verified",
    needs,
    timeoutMs: 60_000,
    action: { kind: 'none' },
    done: { kind: 'proven', tenant, leaveOut },
  };
  if (phase !== 'creating') return [proof];
  return [
    proof,
    {
      ...blankStep(`${tenant}/ready`),
      title: `record that ${tenant} is ready`,
      reason: 'it was proven',
      needs: [proof.id],
      action: { kind: 'record-phase', tenant, phase: 'ready' },
    },
  ];
}
