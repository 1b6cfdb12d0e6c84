// `pgs watchdog verify`: stops the leader's Patroni as a hang would, and watches that its watchdog kills PostgreSQL before the leader's
// key can expire, that another member takes over, and that the member comes back.

import { setTimeout as sleep } from 'node:timers/promises';
import { armUndo, continuePatroni, disarmUndo, stopPatroni } from '../../watchdog/commands.js';
import type { MemberFencing } from '../../watchdog/verdict.js';
import { PgsError } from '../errors.js';
import { findLeader, judgeRpo, streamingReplicas, type PatroniFacts } from '../patroni/facts.js';
import { runChecked, type HostAccess } from '../host/command.js';
import { patroniUnit, dcsNamespace } from '../patroni/desired.js';
import { readTenantKeys } from '../etcd/tenants.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import { withTenantLock } from './change.js';
import { withCluster, type OpenCluster } from './cluster.js';
import { gatherFencing, judgeMembers, lookAt } from './fencing.js';
import { watchKey, watchPort, type KeyWatch } from './fencing-watch.js';
import type { Session } from './session.js';

export interface VerifyOptions {
  signal: AbortSignal;
  progress: (line: string) => void;
  /** `--i-accept-a-reset`, or a sandbox. */
  accepted: boolean;
}

/** The shape of `pgs watchdog verify -o json`; fields are added, never renamed. */
export interface VerifyResult {
  tenant: string;
  member: string;
  host: string;
  mechanism: MemberFencing['mechanism'];
  /** What fired: the device's identity, or the fencing service. */
  fired: string;
  timeoutS: number;
  /** From the last keepalive to the death of PostgreSQL, seconds; null when it did not die. */
  keepaliveToKillS: number | null;
  /** From the stop of Patroni to the death of PostgreSQL as seen from here, seconds. */
  stopToKillS: number | null;
  /** What was left until the leader's key would have expired, seconds: it has to be positive. Null when one of both was not seen. */
  marginS: number | null;
  /** The whole machine was reset. */
  machineReset: boolean;
  /** Other tenants with a member on that host, and whether their PostgreSQL went on; empty after a reset. */
  neighbours: { tenant: string; undisturbed: boolean }[];
  newLeader: string | null;
  /** From the stop until another member led, seconds. */
  newLeaderAfterS: number | null;
  /** The member as it came back. */
  back: { role: string; fencing: MemberFencing['verdict']; afterS: number } | null;
  passed: boolean;
}

const backLimitMs = 300_000;

/**
 * @throws PgsError `usage` when there is nothing to fire, `endangers` when firing could lose data or was not accepted, `held`
 */
export async function verifyFencing(
  session: Session,
  tenant: string,
  name: string,
  options: VerifyOptions,
): Promise<VerifyResult> {
  return withTenantLock(session, tenant, `watchdog verify ${tenant}`, options.signal, async (_lock, signal) => {
    return withCluster(session, tenant, async (open) => {
      const { member, fencing } = await refuseUnlessSafe(session, open, name);
      const neighbours = await tenantsOn(session, open.cluster, member.host.name);
      refuseUnlessAccepted(open.cluster, member, neighbours, options);
      return await fire(session, open, member, fencing, neighbours, { ...options, signal });
    });
  });
}

async function refuseUnlessSafe(
  session: Session,
  open: OpenCluster,
  name: string,
): Promise<{ member: PlacedMember; fencing: MemberFencing }> {
  const { cluster } = open;
  const doing = `verifying the watchdog of ${name}`;
  const member = cluster.members.find((m) => m.name === name);
  if (!member) {
    const found = `${cluster.tenant} has no member ${JSON.stringify(name)}`;
    throw new PgsError('usage', { doing, found, hint: `It has ${cluster.members.map((m) => m.name).join(', ')}.` });
  }
  if (cluster.spec.watchdog === 'off') {
    throw new PgsError('usage', { doing, found: 'the spec says watchdog: off, so there is nothing to fire' });
  }
  const patroni = await lookUntilSafe(open, name);
  const [facts, keys] = await Promise.all([
    gatherFencing(session, open),
    readTenantKeys(await session.dcs(), cluster.tenant),
  ]);
  const why = unsafe(cluster, patroni, name);
  if (why) throw new PgsError('endangers', { doing, host: member.host.name, ...why });
  const fencing = judgeMembers(cluster, patroni, keys.settings, facts)[name]!;
  if (fencing.armed) return { member, fencing };
  throw new PgsError('unfit', {
    doing,
    host: member.host.name,
    found: `its watchdog is not armed: ${fencing.reason}`,
    ...(fencing.fix ? { hint: `Run \`${fencing.fix}\`.` } : {}),
  });
}

/** A member that is busy may miss a look; what all looks say is believed. */
async function lookUntilSafe({ cluster, patroni }: OpenCluster, name: string): Promise<PatroniFacts> {
  for (let looks = 1; ; looks++) {
    const facts = await patroni.gather();
    if (looks === looksMax || unsafe(cluster, facts, name) === null) return facts;
    await sleep(lookPauseMs);
  }
}

const looksMax = 5;
const lookPauseMs = 2000;

function unsafe(cluster: Cluster, patroni: PatroniFacts, name: string): { found: string; hint: string } | null {
  const leader = findLeader(patroni);
  const { tenant, spec } = cluster;
  if (leader?.name !== name) {
    const found = `only a leader arms its watchdog, and ${leader ? `${leader.name} leads` : 'no member leads'}`;
    return { found, hint: `Let it lead first: \`pgs switchover ${tenant} --to ${name}\`.` };
  }
  if (leader.fact.paused) return { found: 'Patroni is paused, which releases the watchdog', hint: 'Resume it first.' };
  const streaming = streamingReplicas(patroni);
  const others = cluster.members.map((m) => m.name).filter((other) => other !== name && !streaming.includes(other));
  if (others.length > 0) {
    const found = `${others.join(' and ')} ${others.length === 1 ? 'does' : 'do'} not stream, or not answer`;
    return { found, hint: `Mend it first: \`pgs apply ${tenant}\`.` };
  }
  if (judgeRpo(patroni, spec.rpoBytes, spec.durability) !== 'holds') {
    return {
      found: 'no healthy synchronous standby is there to take over without loss',
      hint: 'Verify with RPO 0 only.',
    };
  }
  return null;
}

async function tenantsOn(session: Session, cluster: Cluster, host: string): Promise<string[]> {
  const stored = await (await session.store()).listTenants();
  return stored
    .map((t) => t.record)
    .filter((r) => r.phase !== 'retired' && r.spec.tenant !== cluster.tenant)
    .filter((r) => r.allocation.members.some((m) => m.host === host))
    .map((r) => r.spec.tenant);
}

function refuseUnlessAccepted(
  { tenant }: Cluster,
  { host }: PlacedMember,
  neighbours: string[],
  { accepted, progress }: VerifyOptions,
): void {
  const touched = [tenant, ...neighbours].join(', ');
  progress(`a reset of ${host.name} would touch: ${touched}`);
  if (accepted) return;
  throw new PgsError('endangers', {
    doing: `verifying the watchdog of ${tenant}`,
    host: host.name,
    found: `it kills the leader's processes, and resets the machine if that fails; members there: ${touched}`,
    hint: 'Say --i-accept-a-reset.',
  });
}

async function fire(
  session: Session,
  open: OpenCluster,
  member: PlacedMember,
  fencing: MemberFencing,
  neighbours: string[],
  { progress, signal }: VerifyOptions,
): Promise<VerifyResult> {
  const { cluster } = open;
  const { tenant } = cluster;
  const unit = patroniUnit(tenant);
  const host = session.hosts.get(member.host.name);
  const before = await lookAt(host, tenant);
  const postmasters = await postmastersOf(host, neighbours);
  const ttlS = fencing.guarantee.keyExpiresAfterS;
  const doing = `stopping Patroni of ${member.name}`;
  const undoAfterS = Math.ceil(fencing.timeoutS! + 3 * ttlS);
  await runChecked(host, doing, armUndo(tenant, unit, undoAfterS));
  const port = watchPort(member.host.address, cluster.ports.postgres);
  const key = watchKey(await session.dcs(), `${dcsNamespace}${tenant}/leader`, member.name);
  try {
    const lookedMs = performance.now();
    await runChecked(host, doing, stopPatroni(unit));
    const stoppedMs = performance.now();
    progress(`Patroni of ${member.name} is stopped; its watchdog fires ${fencing.timeoutS} s after its last keepalive`);
    const diedMs = await port.died((fencing.timeoutS! + 15) * 1000, signal);
    const expiresMs = key.expiresMs();
    const marginS = diedMs === null || expiresMs === null ? null : (expiresMs - diedMs) / 1000;
    progress(
      diedMs === null ? 'NOTHING killed it in time' : `it is dead ${seconds(diedMs - stoppedMs)} s after the stop`,
    );
    if (diedMs === null) await host.run(continuePatroni(unit)).catch(() => undefined);
    const taken = await takenOver(open, member.name, key, signal);
    if (taken) progress(`${taken.name} leads ${seconds(taken.atMs - stoppedMs)} s after the stop`);
    const back = await comesBack(session, open, member, stoppedMs, signal);
    const after = await lookAt(session.hosts.get(member.host.name), tenant);
    const machineReset = after !== null && before !== null && after.bootId !== before.bootId;
    const fenced = after?.tenant?.fenced ?? null;
    // A device keeps no record: what was left on it just before the stop says when the last keepalive was.
    const agoS = fencing.leftS === null ? null : fencing.timeoutS! - fencing.leftS;
    const fromOutsideS = diedMs === null || agoS === null ? null : agoS + (diedMs - lookedMs) / 1000;
    const neighboursNow = machineReset ? null : await postmastersOf(host, neighbours);
    return {
      tenant,
      member: member.name,
      host: member.host.name,
      mechanism: fencing.mechanism,
      fired: fencing.mechanism === 'pipe' ? 'the fencing service' : (fencing.identity ?? 'the watchdog'),
      timeoutS: fencing.timeoutS!,
      keepaliveToKillS: rounded(fenced?.afterKeepaliveS ?? fromOutsideS),
      stopToKillS: diedMs === null ? null : rounded((diedMs - stoppedMs) / 1000),
      marginS: rounded(marginS),
      machineReset,
      neighbours: neighboursNow
        ? neighbours.map((name) => ({ tenant: name, undisturbed: neighboursNow[name] === postmasters[name] }))
        : [],
      newLeader: taken?.name ?? null,
      newLeaderAfterS: taken ? rounded((taken.atMs - stoppedMs) / 1000) : null,
      back,
      passed: marginS !== null && marginS > 0 && taken !== null && back !== null,
    };
  } finally {
    port.end();
    key.end();
    const again = session.hosts.get(member.host.name);
    await again.run(continuePatroni(unit)).catch(() => undefined);
    await again.run(disarmUndo(tenant)).catch(() => undefined);
  }
}

/** First lines of the postmasters' pid files: the same as long as PostgreSQL was not restarted. */
async function postmastersOf(host: HostAccess, tenants: string[]): Promise<Record<string, string>> {
  const read = tenants.map(async (tenant) => {
    const { stdout } = await host.run({
      argv: ['head', '-n', '1', `/var/lib/pgs/${tenant}/data/postmaster.pid`],
      timeoutMs: 10_000,
    });
    return [tenant, stdout.trim()] as const;
  });
  return Object.fromEntries(await Promise.all(read));
}

async function takenOver(
  { patroni }: OpenCluster,
  old: string,
  key: KeyWatch,
  signal: AbortSignal,
): Promise<{ name: string; atMs: number } | null> {
  const deadlineMs = performance.now() + 120_000;
  while (performance.now() < deadlineMs && !signal.aborted) {
    const leader = findLeader(await patroni.gather(1500));
    if (leader && leader.name !== old) return { name: leader.name, atMs: key.leftMs() ?? performance.now() };
    await sleep(200);
  }
  return null;
}

async function comesBack(
  session: Session,
  open: OpenCluster,
  member: PlacedMember,
  stoppedMs: number,
  signal: AbortSignal,
): Promise<VerifyResult['back']> {
  const { cluster, patroni } = open;
  const deadlineMs = performance.now() + backLimitMs;
  while (performance.now() < deadlineMs && !signal.aborted) {
    const facts = await patroni.gather(1500);
    const fact = facts.members[member.name];
    if (fact?.reachable && fact.streaming && streamingReplicas(facts).length === cluster.members.length - 1) {
      const looked = { [member.name]: await lookAt(session.hosts.get(member.host.name), cluster.tenant) };
      const fencing = judgeMembers(cluster, facts, null, looked)[member.name]!;
      return { role: fact.role, fencing: fencing.verdict, afterS: rounded((performance.now() - stoppedMs) / 1000)! };
    }
    await sleep(500);
  }
  return null;
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 100) / 100;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
