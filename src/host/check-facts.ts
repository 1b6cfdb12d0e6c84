// What `pgs host check` and `pgs host prepare` must know of a host, and the one round trip that gathers it.

import { runChecked, type HostAccess } from './command.js';
import { parseCheckFacts } from './parse-check-facts.js';
import { readTemplate } from './template.js';

export interface CheckFacts {
  release: { id: string; codename: string; title: string };
  /** As dpkg names it: amd64, arm64. */
  architecture: string;
  uid: number;
  /** Kind of container (systemd-detect-virt -c), or null on a machine of its own. */
  container: string | null;
  cores: number;
  memoryMiB: number;
  disk: DiskFact;
  /** Controllers of the unified hierarchy that this host may use. */
  controllers: string[];
  watchdogs: WatchdogFact[];
  /** The kernel has a softdog module that could be loaded. */
  softdogAvailable: boolean;
  clock: ClockFact;
  /** Null: there is no `ss` yet, so it cannot be told. */
  listening: Listener[] | null;
  ephemeralPorts: PortRange;
  /** Ports that the kernel does not give to outgoing connections. */
  reservedPorts: PortRange[];
  packages: Record<string, PackageFact>;
  /** dpkg was interrupted and has work left. */
  dpkgInterrupted: boolean;
  /** The distribution's units of the programs that pgs runs, by name. */
  units: Record<string, DistributionUnit>;
  /** Programs that upgrade or restart by themselves for which pgs's guard is in place. */
  guards: string[];
  /** journald has started since the journal's limits were written. */
  journalLimitsLoaded: boolean;
}

/** The file system that holds, or will hold, /var/lib/pgs. */
export interface DiskFact {
  freeMiB: number;
  sizeMiB: number;
  /** 0 where the file system does not count inodes. */
  inodes: number;
  inodesFree: number;
}

export interface WatchdogFact {
  device: string;
  /** What its driver calls itself ("Software Watchdog"), or null where the kernel does not say. */
  identity: string | null;
  /** Processes that have it open. */
  holders: { pid: number; command: string; user: string }[];
}

export interface ClockFact {
  /** The host's clock minus the operator's, milliseconds; half the round trip may be wrong in it (`uncertaintyMs`). */
  offsetMs: number;
  uncertaintyMs: number;
  /** Services that keep the time and run, such as chrony.service. */
  services: string[];
  synchronized: boolean;
}

export interface Listener {
  address: string;
  port: number;
  process: string | null;
  /** systemd unit of the process, or null if it is in none. */
  unit: string | null;
}

/** Both ends included. */
export interface PortRange {
  from: number;
  to: number;
}

export interface PackageFact {
  /** Completely installed version, or null. */
  installed: string | null;
  /** dpkg began with it and did not end. */
  halfInstalled: boolean;
  /** What apt would install, or null if it knows none (the lists may never have been fetched). */
  candidate: string | null;
  held: boolean;
}

export interface DistributionUnit {
  active: string;
  masked: boolean;
  enabled: boolean;
}

/** When the answer was asked for and had come, milliseconds since the epoch by the operator's clock. */
export interface Asked {
  atMs: number;
  answeredAtMs: number;
}

const checkTimeoutMs = 30_000;

/**
 * Looks at a host.
 * @throws PgsError `unreachable`, `unknown-result`, or `command-failed` if the answer makes no sense
 */
export async function gatherCheckFacts(access: HostAccess, packages: string[]): Promise<CheckFacts> {
  const atMs = Date.now();
  const answer = await runChecked(access, 'looking at the host', {
    argv: ['sh', '-c', readTemplate('host/check.sh'), 'sh', ...packages],
    timeoutMs: checkTimeoutMs,
  });
  return parseCheckFacts(answer, packages, { atMs, answeredAtMs: Date.now() }, access.name);
}
