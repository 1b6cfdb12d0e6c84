// The steps that make a host fit: guards first, then packages, then what is held. Pure: a fit host gives an empty plan.

import { createHash } from 'node:crypto';
import { PgsError } from '../errors.js';
import type { Inventory } from '../inventory/inventory.js';
import type { Plan, Step } from '../reconcile/step.js';
import type { CheckFacts } from './check-facts.js';
import { judgeHost } from './check.js';
import { desiredHost, pgdgSource } from './desired-host.js';
import { chooseWatchdog, desiredWatchdog, watchdogStrangers, watchdogUnit } from './desired-watchdog.js';
import type { ReachableHost } from './facts.js';
import { findRelease, packagesFor, supportedReleases, type Release } from './packages.js';
import { planResources } from './plan-resources.js';
import type { Resource } from './resource.js';
import { distributionUnits } from './strangers.js';
import { readTemplate } from './template.js';

export interface PrepareFacts {
  check: CheckFacts;
  /** Facts about `wantedByPrepare`. */
  host: ReachableHost;
}

/** Found unfit in one of these, a host is left alone: preparing it would fail half-way or hurt what is there. */
const blockingItems = ['release', 'units', 'versions'];

/** A slow mirror and a slow disk together; interrupted by it, the next run repairs and goes on. */
export const installTimeoutMs = 20 * 60_000;

/** Needed for the key of PGDG's source, and for its https. */
const pgdgPackages = ['postgresql-common', 'ca-certificates'];

/** Packages about which facts are needed, whatever release the host turns out to have. */
export function packagesOfInterest(inventory: Inventory): string[] {
  const all = supportedReleases.flatMap((release) => packagesFor(inventory, release).install);
  return [...new Set([...all, ...pgdgPackages, 'chrony'])];
}

/** Resources about which facts are needed, whatever release the host turns out to have. */
export function resourcesOfInterest(inventory: Inventory): Resource[] {
  const watchdog = desiredWatchdog({ node: '/dev/watchdog0', softdog: true }, 'shared');
  return [...desiredHost(inventory), ...watchdog, ...supportedReleases.slice(0, 1).map(pgdgSource)];
}

/**
 * The steps that make the host fit, and warnings about what is masked on the way.
 * @throws PgsError `unfit` when the host must not be touched: a release that pgs does not know, a unit of somebody that
 * runs, versions that do not work together
 */
export function planPrepare(facts: PrepareFacts, inventory: Inventory, host: string): Plan {
  refuseUnfit(facts.check, inventory, host);
  const release = findRelease(facts.check.release.codename)!;
  const files = planResources({ host, subject: 'prepare', resources: desiredHost(inventory), facts: facts.host });
  const steps = [...files, ...planJournald(facts.check, host, files)];
  if (inventory.packages === 'pgdg') steps.push(...planPgdg(facts, host, release, idsOf(steps)));
  steps.push(...planWatchdog(facts, inventory, host, idsOf(steps)));
  steps.push(...planPackages(facts.check, inventory, host, release, idsOf(steps)));
  const warnings = [...maskWarnings(facts.check, inventory, host), ...watchdogWarnings(facts.check, inventory, host)];
  return { subject: `host ${host}`, steps, warnings };
}

function idsOf(steps: Step[]): string[] {
  return steps.map(({ id }) => id);
}

function refuseUnfit(check: CheckFacts, inventory: Inventory, host: string): void {
  const unfit = judgeHost(check, inventory, host).filter(
    ({ item, verdict }) => verdict === 'unfit' && blockingItems.includes(item),
  );
  if (unfit.length === 0) return;
  throw new PgsError('unfit', {
    doing: 'preparing the host',
    host,
    found: unfit.map(({ item, found }) => `${item}: ${found}`).join('\n'),
    hint: unfit.flatMap(({ hint }) => (hint ? [hint] : [])).join('\n'),
  });
}

function planJournald({ journalLimitsLoaded }: CheckFacts, host: string, files: Step[]): Step[] {
  if (journalLimitsLoaded) return [];
  return [unitStep(host, 'systemd-journald.service', 'it has not read the limits of the journal', idsOf(files))];
}

function unitStep(host: string, unit: string, reason: string, needs: string[]): Step {
  return {
    id: `${host}/prepare/${unit}`,
    host,
    title: `restart ${unit}`,
    reason,
    diff: [],
    needs,
    timeoutMs: 30_000,
    destructive: false,
    action: { kind: 'unit', unit, verb: 'restart' },
    done: { kind: 'none' },
  };
}

function fencingOf({ hosts }: Inventory, host: string): 'shared' | 'device' {
  return hosts.find(({ name }) => name === host)?.fencing ?? 'shared';
}

/** The kernel's watchdog where the fleet wants fencing and the host can have one; systemd is told again if it lost the device. */
function planWatchdog(
  { check, host: facts }: PrepareFacts,
  inventory: Inventory,
  host: string,
  needs: string[],
): Step[] {
  const chosen = chooseWatchdog(check);
  if (inventory.defaults.watchdog === 'off' || chosen === null) return [];
  const fencing = fencingOf(inventory, host);
  const resources = desiredWatchdog(chosen, fencing);
  const steps = planResources({ host, subject: 'watchdog', resources, facts, needs });
  const held = check.watchdogs.some(({ holders }) => holders.some(({ pid }) => pid === 1));
  if (fencing === 'device' || held || steps.some(({ action }) => action.kind === 'unit')) return steps;
  if (watchdogStrangers(check.watchdogs).length > 0) return steps;
  return [...steps, unitStep(host, watchdogUnit, `systemd does not hold ${chosen.node}`, [...needs, ...idsOf(steps)])];
}

function watchdogWarnings({ watchdogs }: CheckFacts, inventory: Inventory, host: string): string[] {
  if (inventory.defaults.watchdog === 'off') return [];
  return watchdogStrangers(watchdogs).map(
    (held) => `${held} on ${host}, so nothing there is fenced: stop and disable that, then run this again`,
  );
}

/** PGDG's source, after the distribution's package that holds its key. */
function planPgdg({ check, host: facts }: PrepareFacts, host: string, release: Release, needs: string[]): Step[] {
  const missing = pgdgPackages.filter((name) => !check.packages[name]?.installed);
  const key = missing.length > 0 ? [packagesStep(`${host}/prepare/pgdg-key`, host, missing, [], check, needs)] : [];
  const source = { host, subject: 'pgdg', resources: [pgdgSource(release)], facts, needs: [...needs, ...idsOf(key)] };
  return [...key, ...planResources(source)];
}

function planPackages(
  check: CheckFacts,
  inventory: Inventory,
  host: string,
  release: Release,
  needs: string[],
): Step[] {
  const { install, hold } = packagesFor(inventory, release);
  const missing = install.filter((name) => !check.packages[name]?.installed);
  // A clock that nobody keeps drifts; one that is stopped on purpose (the package is there) is left so.
  if (check.container === null && check.clock.services.length === 0 && !check.packages.chrony?.installed) {
    missing.push('chrony');
  }
  const loose = hold.filter((name) => !check.packages[name]?.held);
  if (missing.length === 0 && loose.length === 0) return [];
  return [packagesStep(`${host}/prepare/packages`, host, missing, loose, check, needs)];
}

function packagesStep(
  id: string,
  host: string,
  install: string[],
  hold: string[],
  { packages }: CheckFacts,
  needs: string[],
): Step {
  const before = (name: string) =>
    packages[name]?.installed ?? (packages[name]?.halfInstalled ? 'half installed' : 'absent');
  const after = (name: string) =>
    (packages[name]?.installed ?? packages[name]?.candidate ?? 'installed') + (hold.includes(name) ? ', held' : '');
  return {
    id,
    host,
    title: install.length > 0 ? `install ${count(install, 'package')}` : `hold ${count(hold, 'package')}`,
    reason: [
      ...(install.length > 0 ? [`${count(install, 'package')} missing`] : []),
      ...(hold.length > 0
        ? [`${count(hold, 'package')} not held at ${hold.length === 1 ? 'its' : 'their'} version`]
        : []),
    ].join(', '),
    diff: [...new Set([...install, ...hold])].map((name) => ({
      what: `package ${name}`,
      before: before(name),
      after: after(name),
    })),
    needs,
    timeoutMs: installTimeoutMs,
    destructive: false,
    action: { kind: 'packages', install, hold },
    done: { kind: 'none' },
  };
}

function count(names: string[], noun: string): string {
  return `${names.length} ${noun}${names.length === 1 ? '' : 's'}`;
}

/** A unit that was set to start is somebody's wish; masking it is said aloud. */
function maskWarnings({ units }: CheckFacts, inventory: Inventory, host: string): string[] {
  return distributionUnits(inventory)
    .filter((name) => units[name]?.enabled && !units[name].masked)
    .map((name) => `${name} of the distribution is enabled on ${host}, though it does not run: it will be masked`);
}

/**
 * Changes when anything changes that preparing a machine of this release does: for names of cached, prepared machines.
 * Without an inventory: for the distribution's packages and an etcd of the fleet's own.
 * @param codename of a supported release
 */
export function prepareFingerprint(codename: string, inventory: Inventory = plainInventory): string {
  const release = findRelease(codename);
  if (!release) throw new PgsError('bug', { doing: 'naming a prepared machine', found: `no release ${codename}` });
  const source = inventory.packages === 'pgdg' ? pgdgSource(release) : null;
  const all = [
    codename,
    desiredHost(inventory),
    packagesFor(inventory, release),
    source,
    readTemplate('host/install.sh'),
  ];
  return createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 16);
}

const plainInventory: Inventory = {
  path: '/pgs.yaml',
  stateDir: '/.pgs',
  fleet: 'any',
  domain: 'any.internal',
  hosts: [],
  ssh: { user: 'root', port: 22, keyPath: null, knownHostsPath: '/.pgs/known_hosts' },
  packages: 'distribution',
  ports: { from: 20000, to: 29999 },
  etcd: { kind: 'fleet', members: [], clientPort: 2379, peerPort: 2380 },
  door: { port: 5432 },
  notify: { webhook: null, webhookPath: null, command: null },
  drills: { backup: null },
  defaults: { postgres: null, rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off' },
};
