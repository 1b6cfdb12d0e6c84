// Judges whether a host is fit for pgs, pure: facts and pgs.yaml in, a verdict with a way out for each item.

import semver from 'semver';
import type { Inventory } from '../inventory/inventory.js';
import type { CheckFacts, Listener, PortRange } from './check-facts.js';
import { watchdogStrangers } from './desired-watchdog.js';
import {
  brokenEtcdPair,
  findRelease,
  oldestVersions,
  packagesFor,
  postgresMajorOf,
  supportedArchitectures,
  supportedReleases,
  upstreamVersion,
} from './packages.js';
import { strangersUnits } from './strangers.js';

export type Verdict = 'fit' | 'warning' | 'unfit' | 'unknown';

export interface CheckItem {
  item: string;
  verdict: Verdict;
  found: string;
  /** What to do about it, as an imperative sentence; null when nothing is to be done. */
  hint: string | null;
}

/** Clocks apart: a warning from the first, unfit from the second, milliseconds. Certificates and leases are judged by time. */
const clockOffsetLimitsMs = { warning: 200, unfit: 2000 };
/** Free space under /var/lib/pgs. One idle tenant takes about 1.1 GiB: a data directory and `max_wal_size` of WAL. */
const diskFreeLimitsMiB = { warning: 10 * 1024, unfit: 2 * 1024 };
const diskFreeLimitsPercent = { warning: 10, unfit: 2 };
/** Three etcd, HAProxy and one small tenant are at home in the second figure, with nothing to spare. */
const memoryLimitsMiB = { warning: 1900, unfit: 900 };

/** Items that need facts, in the order in which they are shown after `ssh` and `sudo`. */
const judges: [item: string, judge: (facts: CheckFacts, inventory: Inventory, host: string) => Judgement][] = [
  ['release', judgeRelease],
  ['architecture', judgeArchitecture],
  ['clock', judgeClock],
  ['time-service', judgeTimeService],
  ['etcd-ports', judgeEtcdPorts],
  ['tenant-ports', judgeTenantPorts],
  ['door-port', judgeDoorPort],
  ['disk', judgeDisk],
  ['memory', judgeMemory],
  ['cores', judgeCores],
  ['watchdog', judgeWatchdog],
  ['cgroup', judgeControllers],
  ['units', judgeUnits],
  ['packages', judgePackages],
  ['versions', judgeVersions],
  ['upgrades', judgeUpgrades],
];

export const factItems: readonly string[] = judges.map(([item]) => item);

type Judgement = Omit<CheckItem, 'item'>;

/** Verdicts about a host that answered. */
export function judgeHost(facts: CheckFacts, inventory: Inventory, host: string): CheckItem[] {
  return judges.map(([item, judge]) => ({ item, ...judge(facts, inventory, host) }));
}

export function fit(found: string): Judgement {
  return { verdict: 'fit', found, hint: null };
}

function judgeRelease({ release }: CheckFacts, inventory: Inventory): Judgement {
  const supported = findRelease(release.codename);
  if (!supported || release.id !== 'debian') {
    return {
      verdict: 'unfit',
      found: release.title,
      hint: `Install one of: ${supportedReleases.map(({ title }) => title).join(', ')}.`,
    };
  }
  const wanted = inventory.defaults.postgres;
  const major = postgresMajorOf(inventory, supported);
  if (wanted !== null && wanted !== major) {
    return {
      verdict: 'unfit',
      found: `${release.title} has PostgreSQL ${major}, and pgs.yaml asks for ${wanted}`,
      hint: `Set \`packages: pgdg\` in pgs.yaml to take PostgreSQL ${wanted} from PGDG, or \`postgres: ${major}\` under defaults.`,
    };
  }
  return fit(`${release.title}, PostgreSQL ${major}`);
}

function judgeArchitecture({ architecture }: CheckFacts): Judgement {
  if (supportedArchitectures.includes(architecture)) return fit(architecture);
  return {
    verdict: 'warning',
    found: architecture,
    hint: `pgs is tried on ${supportedArchitectures.join(' and ')} only; run a drill before you rely on this host.`,
  };
}

function judgeClock({ clock }: CheckFacts): Judgement {
  const apartMs = Math.abs(clock.offsetMs);
  const found = `${apartMs} ms ${clock.offsetMs < 0 ? 'behind' : 'ahead of'} this machine (± ${clock.uncertaintyMs} ms)`;
  // What the measurement cannot tell is not held against the host.
  const surelyMs = apartMs - clock.uncertaintyMs;
  if (surelyMs <= clockOffsetLimitsMs.warning) return fit(found);
  return {
    verdict: surelyMs > clockOffsetLimitsMs.unfit ? 'unfit' : 'warning',
    found,
    hint: 'See `timedatectl` there and on this machine: one of the two has the wrong time.',
  };
}

function judgeTimeService({ clock, container }: CheckFacts, _: Inventory, host: string): Judgement {
  const synchronized = clock.synchronized ? 'synchronized' : 'not synchronized yet';
  if (clock.services.length > 0) {
    const found = `${clock.services.join(', ')} runs, ${synchronized}`;
    if (clock.synchronized || container !== null) return fit(found);
    return { verdict: 'warning', found, hint: 'See that it reaches its servers: `chronyc sources` or `timedatectl`.' };
  }
  if (container !== null) return fit(`none, and none needed: a ${container} container has its machine's clock`);
  return { verdict: 'warning', found: 'none runs', hint: `Run \`pgs host prepare ${host}\`, which installs chrony.` };
}

function judgeEtcdPorts({ listening }: CheckFacts, { etcd }: Inventory, host: string): Judgement {
  if (etcd.kind === 'external') return fit('not used: etcd is external');
  if (!etcd.members.includes(host)) return fit('not used: no etcd member');
  if (!listening) return portsUnknown(host);
  const ports = [etcd.clientPort, etcd.peerPort];
  const strangers = listening.filter(({ port, unit }) => ports.includes(port) && !isOurs(unit));
  if (strangers.length === 0) return fit(`${ports.join(' and ')} are free or pgs's own`);
  return {
    verdict: 'unfit',
    found: `taken: ${strangers.map(describeListener).join(', ')}`,
    hint: 'Stop what listens there, or set client_port and peer_port under etcd in pgs.yaml.',
  };
}

function judgeTenantPorts(
  { listening, ephemeralPorts, reservedPorts }: CheckFacts,
  { ports }: Inventory,
  host: string,
) {
  if (!listening) return portsUnknown(host);
  const strangers = listening.filter(({ port, unit }) => contains(ports, port) && !isOurs(unit));
  const range = `${ports.from}-${ports.to}`;
  if (strangers.length > 0) {
    return {
      verdict: 'unfit' as const,
      found: `taken inside ${range}: ${strangers.map(describeListener).join(', ')}`,
      hint: 'Stop what listens there, or set another range under ports in pgs.yaml.',
    };
  }
  const overlaps = ephemeralPorts.from <= ports.to && ports.from <= ephemeralPorts.to;
  if (overlaps && !reservedPorts.some((r) => r.from <= ports.from && ports.to <= r.to)) {
    return {
      verdict: 'warning' as const,
      found: `${range} overlaps ${ephemeralPorts.from}-${ephemeralPorts.to}, from which outgoing connections take theirs`,
      hint: `Set net.ipv4.ip_local_reserved_ports = ${range} in /etc/sysctl.d there, or another range under ports in pgs.yaml.`,
    };
  }
  return fit(`${range} is free of strangers`);
}

function judgeDoorPort({ listening }: CheckFacts, { door }: Inventory, host: string): Judgement {
  if (!listening) return portsUnknown(host);
  const strangers = listening.filter(({ port, unit }) => port === door.port && !isOurs(unit));
  if (strangers.length === 0) return fit(`${door.port} is free or pgs's own`);
  return {
    verdict: 'unfit',
    found: `taken: ${strangers.map(describeListener).join(', ')}`,
    hint: 'Stop what listens there, or set another port under door in pgs.yaml.',
  };
}

function portsUnknown(host: string): Judgement {
  return {
    verdict: 'unknown',
    found: 'the host has no `ss` to tell what listens',
    hint: `Run \`pgs host prepare ${host}\`, which installs iproute2.`,
  };
}

function contains(range: PortRange, port: number): boolean {
  return range.from <= port && port <= range.to;
}

/** Units of pgs begin with its name; that is how a stranger is told from a tenant. */
function isOurs(unit: string | null): boolean {
  return unit !== null && unit.startsWith('pgs-');
}

function describeListener({ address, port, process, unit }: Listener): string {
  const who = [process, unit].filter((text) => text !== null).join(' of ');
  return `${address.includes(':') ? `[${address}]` : address}:${port}${who ? ` (${who})` : ''}`;
}

function judgeDisk({ disk }: CheckFacts): Judgement {
  const freePercent = (100 * disk.freeMiB) / disk.sizeMiB;
  // Some file systems make inodes as they go and count none.
  const inodesPercent = disk.inodes > 0 ? (100 * disk.inodesFree) / disk.inodes : 100;
  const found =
    `${gib(disk.freeMiB)} of ${gib(disk.sizeMiB)} free under /var/lib/pgs` +
    (disk.inodes > 0 ? `, ${Math.round(inodesPercent)} % of inodes` : '');
  const leastPercent = Math.min(freePercent, inodesPercent);
  if (disk.freeMiB < diskFreeLimitsMiB.unfit || leastPercent < diskFreeLimitsPercent.unfit) {
    return { verdict: 'unfit', found, hint: 'Free space, or mount a larger file system at /var/lib/pgs.' };
  }
  if (disk.freeMiB < diskFreeLimitsMiB.warning || leastPercent < diskFreeLimitsPercent.warning) {
    return {
      verdict: 'warning',
      found,
      hint: 'Plan for more space: WAL alone takes 1 GiB a tenant and more under load.',
    };
  }
  return fit(found);
}

function gib(mib: number): string {
  return `${(mib / 1024).toFixed(1)} GiB`;
}

function judgeMemory({ memoryMiB }: CheckFacts): Judgement {
  const found = gib(memoryMiB);
  if (memoryMiB >= memoryLimitsMiB.warning) return fit(found);
  return {
    verdict: memoryMiB < memoryLimitsMiB.unfit ? 'unfit' : 'warning',
    found,
    hint: 'Give the host at least 2 GiB, and 1 GiB more for each further tenant.',
  };
}

function judgeCores({ cores }: CheckFacts): Judgement {
  if (cores >= 2) return fit(String(cores));
  return {
    verdict: 'warning',
    found: String(cores),
    hint: 'With one core, a busy query delays the lease that keeps a leader.',
  };
}

function judgeWatchdog(facts: CheckFacts, { defaults }: Inventory): Judgement {
  const { watchdogs, container, softdogAvailable } = facts;
  const strangers = watchdogStrangers(watchdogs);
  if (strangers.length > 0) {
    return {
      verdict: defaults.watchdog === 'required' ? 'unfit' : 'warning',
      found: `${strangers.join(', ')}, so neither systemd nor Patroni can have it`,
      hint: 'Stop and disable what holds it (often watchdog.service), then run `pgs host prepare`.',
    };
  }
  if (watchdogs.length > 0) {
    return fit(watchdogs.map(({ device, identity }) => `${device}${identity ? ` (${identity})` : ''}`).join(', '));
  }
  const why = container !== null ? `a ${container} container has none` : 'none is there';
  if (defaults.watchdog === 'off') return fit(`${why}; watchdog is off in pgs.yaml, so tenants are NOT FENCED`);
  const hint =
    container === null && softdogAvailable
      ? '`pgs host prepare` loads softdog now and at each boot, blacklisted or not.'
      : 'Use a machine with a watchdog or the softdog module, or set `watchdog: off` under defaults in pgs.yaml, which means not fenced.';
  return { verdict: defaults.watchdog === 'required' ? 'unfit' : 'warning', found: why, hint };
}

function judgeControllers({ controllers, container }: CheckFacts): Judgement {
  const missing = ['cpu', 'memory', 'io', 'pids'].filter((name) => !controllers.includes(name));
  if (missing.length === 0) return fit(`cgroup v2 with ${controllers.join(', ')}`);
  return {
    verdict: 'warning',
    found: `cgroup v2 lacks ${missing.join(', ')}, so limits of tenants (MemoryMax, CPUQuota) do nothing here`,
    hint:
      container === null
        ? 'Boot with systemd.unified_cgroup_hierarchy=1 and without cgroup_disable.'
        : `Give the ${container} container these controllers, or keep tenants apart by hosts.`,
  };
}

function judgeUnits(facts: CheckFacts, inventory: Inventory, host: string): Judgement {
  const strangers = strangersUnits(facts, inventory);
  if (strangers.length === 0)
    return fit("none of the distribution's units of PostgreSQL, Patroni, etcd and the like runs");
  return {
    verdict: 'unfit',
    found: `somebody's: ${strangers.join(', ')}`,
    hint: `If nobody needs it, run \`systemctl disable --now ${strangers.join(' ')}\` on ${host}; otherwise use another host.`,
  };
}

function judgePackages(facts: CheckFacts, inventory: Inventory, host: string): Judgement {
  const release = findRelease(facts.release.codename);
  if (!release) return { verdict: 'unknown', found: 'this release is not known', hint: null };
  const { install, hold } = packagesFor(inventory, release);
  const missing = install.filter((name) => !facts.packages[name]?.installed);
  if (missing.length > 0) {
    const shown = missing.map((name) => {
      const { candidate, halfInstalled } = facts.packages[name] ?? {};
      return `${name} (${halfInstalled ? 'half installed' : (candidate ?? 'version not known yet')})`;
    });
    return { verdict: 'unfit', found: `missing: ${shown.join(', ')}`, hint: `Run \`pgs host prepare ${host}\`.` };
  }
  const installed = hold.map((name) => `${name} ${facts.packages[name]?.installed}`).join(', ');
  if (facts.dpkgInterrupted) {
    return {
      verdict: 'warning',
      found: `${installed}; dpkg was interrupted`,
      hint: 'Run `dpkg --configure -a` there.',
    };
  }
  const loose = hold.filter((name) => !facts.packages[name]?.held);
  if (loose.length > 0) {
    return { verdict: 'warning', found: `not held: ${loose.join(', ')}`, hint: `Run \`pgs host prepare ${host}\`.` };
  }
  return fit(`${installed}, all held`);
}

/** Versions that are installed, or would be. */
function judgeVersions({ packages }: CheckFacts, { etcd }: Inventory): Judgement {
  const version = (name: string) => packages[name]?.installed ?? packages[name]?.candidate ?? null;
  const names = ['patroni', ...(etcd.kind === 'fleet' ? ['etcd-server'] : [])];
  const known = names.flatMap((name) => {
    const text = version(name);
    const upstream = text === null ? null : upstreamVersion(text);
    return text !== null && upstream !== null ? [{ name, text, upstream }] : [];
  });
  if (known.length < names.length)
    return { verdict: 'unknown', found: 'not installed, and apt has no list yet', hint: null };
  const found = known.map(({ name, text }) => `${name} ${text}`).join(', ');
  const old = known.find(({ name, upstream }) => semver.lt(upstream, oldestVersions[name] ?? '0.0.0'));
  if (old) {
    return { verdict: 'unfit', found, hint: `Upgrade ${old.name} to ${oldestVersions[old.name]} or newer.` };
  }
  const broken = etcd.kind === 'fleet' ? brokenEtcdPair(version('patroni')!, version('etcd-server')!) : null;
  if (broken)
    return { verdict: 'unfit', found: broken, hint: 'Upgrade Patroni to 4.1.1 or newer, or install an older etcd.' };
  return fit(found);
}

/** Programs that upgrade and restart by themselves, and what keeps them off pgs's units (`prepare` writes it). */
function judgeUpgrades({ packages, guards }: CheckFacts, _: Inventory, host: string): Judgement {
  const present = (['unattended-upgrades', 'needrestart'] as const).filter((name) => packages[name]?.installed);
  const open = present.filter((name) => !guards.includes(name));
  if (open.length > 0) {
    return {
      verdict: 'warning',
      found: `${open.join(' and ')} may upgrade or restart what pgs runs`,
      hint: `Run \`pgs host prepare ${host}\`.`,
    };
  }
  return fit(present.length === 0 ? 'nothing upgrades by itself' : `${present.join(', ')}: kept off pgs's units`);
}
