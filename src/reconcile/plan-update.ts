// The plans of `pgs update`: packages to the versions that the hosts' sources have, and what runs from them, one host at a time. What every
// host has to have is fetched before anything changes; replicas go first, the leader's host last and after a switchover. Pure.

import { haproxyUnit } from '../../haproxy/desired.js';
import { PgsError } from '../errors.js';
import { etcdUnit } from '../etcd/desired.js';
import type { MemberStatus } from '../etcd/facts.js';
import { brokenEtcdPair } from '../host/packages.js';
import type { ProgramFacts, RunningProgram } from '../host/programs.js';
import { updateTimeoutMs, type Versions } from '../host/update-packages.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader } from '../patroni/facts.js';
import { poolerUnit } from '../pgbouncer/desired.js';
import { pooledServices, type Cluster, type PlacedMember } from '../topology/cluster.js';
import type { ClusterFacts } from './plan-cluster.js';
import { restartTimeoutMs, streamingStep, switchoverStep } from './plan-restarts.js';
import { blankStep, type Plan, type Step } from './step.js';

/** What the hosts of an update have, by name; each of them answered. */
export type HostPrograms = Record<string, ProgramFacts>;

/** What one tenant's processes run from. */
export function tenantPackages(postgres: number): string[] {
  return [`postgresql-${postgres}`, `postgresql-client-${postgres}`, 'patroni', 'pgbouncer'];
}

/** What all tenants share, and only `--fleet` touches. */
export const sharedPackages = ['etcd-server', 'etcd-client', 'haproxy'];

/**
 * The versions to go to: what apt would install, which all hosts must agree on. A package that a host does not have is not for it.
 * @throws PgsError `unfit` naming the hosts that lack a package, `endangers` for versions that do not work together
 */
export function targetVersions(programs: HostPrograms, packages: string[]): Versions {
  const targets: Versions = {};
  for (const name of packages) {
    const having = Object.entries(programs).filter(([, facts]) => facts.packages[name]?.installed);
    const offered = having.map(([host, facts]) => ({ host, version: facts.packages[name]!.candidate }));
    const versions = [...new Set(offered.map(({ version }) => version))];
    if (versions.length > 1) throw notEverywhere(name, offered);
    if (versions[0]) targets[name] = versions[0];
  }
  refuseBrokenPair(programs, targets);
  return targets;
}

function notEverywhere(name: string, offered: { host: string; version: string | null }[]): PgsError {
  const text = offered.map(({ host, version }) => `${host}: ${version ?? 'no source has it'}`);
  return new PgsError('unfit', {
    doing: 'choosing the versions to update to',
    found: `the hosts' sources have different versions of ${name}\n${text.join('\n')}`,
    hint: 'Bring the sources together (/etc/apt/sources.list*, /etc/apt/preferences.d), then run the same command again. Nothing was changed.',
  });
}

function refuseBrokenPair(programs: HostPrograms, targets: Versions): void {
  for (const [host, { packages }] of Object.entries(programs)) {
    const version = (name: string) => targets[name] ?? packages[name]?.installed;
    const [patroni, etcd] = [version('patroni'), version('etcd-server')];
    const broken = patroni && etcd ? brokenEtcdPair(patroni, etcd) : null;
    if (broken === null) continue;
    throw new PgsError('endangers', {
      doing: 'choosing the versions to update to',
      host,
      found: broken,
      hint: 'Pin etcd to an older version (/etc/apt/preferences.d) until Patroni 4.1.1 is there. Nothing was changed.',
    });
  }
}

export interface TenantUpdate {
  cluster: Cluster;
  facts: ClusterFacts;
  programs: HostPrograms;
  targets: Versions;
  /** Nothing of the tenant is to run, so nothing restarts. */
  stopped: boolean;
  /** Other tenants by host that run from the same files. */
  neighbours: Record<string, string[]>;
}

export function planTenantUpdate(input: TenantUpdate): Plan {
  const { cluster, facts, stopped } = input;
  const { tenant } = cluster;
  const leader = findLeader(facts.patroni)?.name;
  const members = [...cluster.members].sort((a, b) => Number(a.name === leader) - Number(b.name === leader));
  const fetches = members.flatMap(({ host }) => fetchStep(host.name, pending(input, host.name)));
  const steps: Step[] = [...fetches];
  let turn = fetches.map((s) => s.id);
  const add = (step: Step) => {
    steps.push({ ...step, needs: [...new Set([...step.needs, ...turn])] });
    turn = [step.id];
  };
  const wait = (id: string, reason: string) => add(streamingStep(cluster, facts, id, reason, []));
  const changing = members.filter(({ host }) => isToChange(input, host.name));
  if (changing.length > 0 && !stopped) wait('before-update', 'a host is updated only while all members stream');
  for (const member of changing) {
    const host = member.host.name;
    const restarts = stopped ? [] : restartsOn(input, member);
    const stops = restarts.some((unit) => unit === patroniUnit(tenant));
    if (member.name === leader && stops) {
      add(switchoverStep(tenant, member.name));
      wait('after-switchover', 'another member leads');
    }
    for (const step of installStep(host, pending(input, host), input.programs[host])) add(step);
    for (const unit of restarts) add(restartStep(tenant, host, unit));
    if (restarts.length > 0) wait(`after-${member.name}`, `${member.name} runs from the new files`);
    add(updatedStep(`${host}/${tenant}/updated`, host, tenantTargets(input, host), stopped ? [] : unitsOf(cluster)));
  }
  const proof = changing.length > 0 && !stopped ? [{ ...proofStep(tenant), needs: turn }] : [];
  return { subject: `update of ${tenant}`, steps: [...steps, ...proof], warnings: [], notes: neighbourNotes(input) };
}

/** Packages of a host that are to get another version. */
function pending({ programs, targets }: Pick<TenantUpdate, 'programs' | 'targets'>, host: string): Versions {
  return differing(programs[host], targets);
}

function differing(facts: ProgramFacts | undefined, targets: Versions): Versions {
  const wanted = Object.entries(targets).filter(([name, version]) => {
    const found = facts?.packages[name];
    // One that is not held is what an interrupted update leaves.
    return found && found.installed !== null && (found.installed !== version || !found.held || found.broken);
  });
  return Object.fromEntries(wanted);
}

function isToChange(input: TenantUpdate, host: string): boolean {
  if (Object.keys(pending(input, host)).length > 0) return true;
  return !input.stopped && replacedUnits(input, host).length > 0;
}

function replacedUnits({ cluster, programs }: TenantUpdate, host: string): string[] {
  const old = (programs[host]?.programs ?? []).filter((p) => p.replaced && p.tenant === cluster.tenant);
  return [...new Set(old.map(({ unit }) => unit))];
}

/** Which package each component runs from. */
function packageOf({ component }: Pick<RunningProgram, 'component'>, { postgres }: { postgres: number }): string {
  if (component === 'postgres') return `postgresql-${postgres}`;
  if (component === 'patroni' || component === 'haproxy') return component;
  return component === 'etcd' ? 'etcd-server' : 'pgbouncer';
}

/** Units that run from what changes now or has changed already: poolers first, which the others stand in for. */
function restartsOn(input: TenantUpdate, { host: { name: host } }: PlacedMember): string[] {
  const { cluster, programs } = input;
  const changed = differing(programs[host], input.targets);
  const isNew = (name: string) =>
    changed[name] !== undefined && changed[name] !== programs[host]!.packages[name]?.installed;
  const old = replacedUnits(input, host);
  const running = (programs[host]?.programs ?? []).filter((p) => p.tenant === cluster.tenant);
  const meant = running.filter((p) => old.includes(p.unit) || isNew(packageOf(p, cluster.spec)));
  return unitsOf(cluster).filter((unit) => meant.some((p) => p.unit === unit));
}

/** In the order in which they restart. */
function unitsOf({ tenant }: Cluster): string[] {
  return [...pooledServices.map((service) => poolerUnit(tenant, service)), patroniUnit(tenant)];
}

function tenantTargets({ programs, targets }: TenantUpdate, host: string): Versions {
  const here = Object.entries(targets).filter(([name]) => programs[host]?.packages[name]?.installed);
  return Object.fromEntries(here);
}

function describeVersions(facts: ProgramFacts | undefined, versions: Versions): Step['diff'] {
  return Object.entries(versions).map(([name, after]) => ({
    what: `package ${name}`,
    before: facts?.packages[name]?.installed ?? 'absent',
    after,
  }));
}

function fetchStep(host: string, versions: Versions): Step[] {
  if (Object.keys(versions).length === 0) return [];
  return [
    {
      ...blankStep(`${host}/update/fetch`),
      host,
      title: `fetch ${count(versions)}`,
      reason: 'no host is changed before every host has what it needs',
      timeoutMs: updateTimeoutMs,
      action: { kind: 'fetch-packages', versions },
    },
  ];
}

function installStep(host: string, versions: Versions, facts?: ProgramFacts): Step[] {
  if (Object.keys(versions).length === 0) return [];
  return [
    {
      ...blankStep(`${host}/update/packages`),
      host,
      title: `update ${Object.keys(versions).join(', ')}`,
      reason: `${count(versions)} differ from what the host's sources have`,
      diff: describeVersions(facts, versions),
      timeoutMs: updateTimeoutMs,
      action: { kind: 'update-packages', versions },
    },
  ];
}

function count(versions: Versions): string {
  const n = Object.keys(versions).length;
  return `${n} package${n === 1 ? '' : 's'}`;
}

function restartStep(tenant: string, host: string, unit: string): Step {
  return {
    ...blankStep(`${host}/${tenant}/restart/${unit}`),
    host,
    title: `restart ${unit}`,
    reason: 'it runs from files that were replaced',
    timeoutMs: restartTimeoutMs,
    action: { kind: 'unit', unit, verb: 'restart' },
    done: { kind: 'unit', unit, active: true, loaded: {} },
  };
}

function updatedStep(id: string, host: string, versions: Versions, units: string[]): Step {
  return {
    ...blankStep(id),
    host,
    title: `see that ${host} runs what is installed`,
    reason: 'the next host is changed only then',
    done: { kind: 'updated', versions, units },
  };
}

function proofStep(tenant: string): Step {
  return {
    ...blankStep(`${tenant}/prove`),
    title: `prove that ${tenant} answers on every entry`,
    reason: 'what it runs from has changed',
    timeoutMs: 60_000,
    done: { kind: 'proven', tenant, leaveOut: [] },
  };
}

/** Files are shared, processes are not. */
function neighbourNotes(input: TenantUpdate): string[] {
  const touched = input.cluster.members.filter(({ host }) => Object.keys(pending(input, host.name)).length > 0);
  const names = [...new Set(touched.flatMap(({ host }) => input.neighbours[host.name] ?? []))].sort();
  if (names.length === 0) return [];
  const hosts = touched.map(({ host }) => host.name).join(', ');
  return [
    `${names.join(', ')} on ${hosts} run${names.length === 1 ? 's' : ''} from the same packages, and go${names.length === 1 ? 'es' : ''} on with what is loaded until ` +
      `${names.map((name) => `\`pgs update ${name}\``).join(', ')}`,
  ];
}

export interface SharedUpdate {
  /** Hosts of the fleet's etcd; none with an external one. */
  etcdHosts: string[];
  etcd: MemberStatus[];
  entries: string[];
  programs: HostPrograms;
  targets: Versions;
}

/** etcd one member at a time, its leader last and after it gave the lead away; then HAProxy, which takes new files by a reload. */
export function planSharedUpdate(input: SharedUpdate): Plan {
  const { programs, targets, etcdHosts, entries } = input;
  const ofHost = (host: string, names: string[]) =>
    Object.fromEntries(Object.entries(differing(programs[host], targets)).filter(([name]) => names.includes(name)));
  const etcdNames = ['etcd-server', 'etcd-client'];
  const fetches = entries.flatMap((host) => fetchStep(host, ofHost(host, sharedPackages)));
  const steps: Step[] = [...fetches];
  let turn = fetches.map((s) => s.id);
  const add = (step: Step) => {
    steps.push({ ...step, id: steps.some((s) => s.id === step.id) ? `${step.id}-2` : step.id, needs: turn });
    turn = [steps.at(-1)!.id];
  };
  const leader = input.etcd.find((m) => m.answers && m.leaderId === m.memberId)?.name;
  const inOrder = [...entries].sort((a, b) => Number(a === leader) - Number(b === leader));
  for (const host of inOrder) {
    const versions = ofHost(host, etcdNames);
    const runs = etcdHosts.includes(host);
    const restarts = runs && isOld(programs[host], 'etcd', versions['etcd-server']);
    if (Object.keys(versions).length === 0 && !restarts) continue;
    if (restarts) add(healthyStep(etcdHosts.length, `before-${host}`, `etcd on ${host} goes only while all are there`));
    if (restarts && host === leader) add(leaderAwayStep(host));
    for (const step of installStep(host, versions, programs[host])) add(step);
    if (restarts) {
      add(restartStep('etcd', host, etcdUnit));
      add(healthyStep(etcdHosts.length, `after-${host}`, 'the next one goes only then'));
    }
    add(updatedStep(`${host}/etcd/updated`, host, present(programs[host], targets, etcdNames), runs ? [etcdUnit] : []));
  }
  for (const host of entries) {
    const versions = ofHost(host, ['haproxy']);
    const reloads = isOld(programs[host], 'haproxy', versions.haproxy);
    if (Object.keys(versions).length === 0 && !reloads) continue;
    for (const step of installStep(host, versions, programs[host])) add({ ...step, id: `${host}/update/haproxy` });
    if (reloads) add(reloadStep(host));
    const units = reloads ? [haproxyUnit] : [];
    add(updatedStep(`${host}/haproxy/updated`, host, present(programs[host], targets, ['haproxy']), units));
  }
  return { subject: 'update of etcd and HAProxy', steps, warnings: [] };
}

function present(facts: ProgramFacts | undefined, targets: Versions, names: string[]): Versions {
  const here = names.filter((name) => facts?.packages[name]?.installed && targets[name] !== undefined);
  return Object.fromEntries(here.map((name) => [name, targets[name]!]));
}

/** It runs, and from files that are or will be replaced. */
function isOld(facts: ProgramFacts | undefined, component: 'etcd' | 'haproxy', target: string | undefined): boolean {
  const running = facts?.programs.find((p) => p.component === component);
  if (!running) return false;
  const name = component === 'etcd' ? 'etcd-server' : 'haproxy';
  return running.replaced || (target !== undefined && target !== facts!.packages[name]?.installed);
}

function healthyStep(members: number, id: string, reason: string): Step {
  return {
    ...blankStep(`dcs/healthy-${id}`),
    title: `wait until all ${members} members of etcd answer and follow one leader`,
    reason,
    timeoutMs: 60_000,
    done: { kind: 'dcs-healthy', members },
  };
}

function leaderAwayStep(host: string): Step {
  return {
    ...blankStep('dcs/leader-away'),
    title: `let another member than ${host} lead etcd`,
    reason: `etcd on ${host} restarts`,
    action: { kind: 'etcd-leader-away', from: host },
  };
}

/** Its master process becomes the new program; sessions stay with the old worker until they end. */
function reloadStep(host: string): Step {
  return {
    ...blankStep(`${host}/haproxy/reload`),
    host,
    title: `reload ${haproxyUnit}`,
    reason: 'it runs from files that were replaced; open sessions stay with the old worker',
    timeoutMs: 90_000,
    action: { kind: 'unit', unit: haproxyUnit, verb: 'reload' },
    done: { kind: 'unit', unit: haproxyUnit, active: true, loaded: {} },
  };
}
