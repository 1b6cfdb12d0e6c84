// Which Debian releases and packages pgs runs on: what is installed, what is held at its version, and which versions do
// not go together.

import semver from 'semver';
import type { Inventory } from '../inventory/inventory.js';

export interface Release {
  /** VERSION_CODENAME of os-release. */
  codename: string;
  /** For people: "Debian 13 (trixie)". */
  title: string;
  /** PostgreSQL major version that the release itself has. */
  postgres: number;
}

export const supportedReleases: readonly Release[] = [
  { codename: 'trixie', title: 'Debian 13 (trixie)', postgres: 17 },
  { codename: 'bookworm', title: 'Debian 12 (bookworm)', postgres: 15 },
];

export const supportedArchitectures: readonly string[] = ['amd64', 'arm64'];

/** The supported release with this code name, or null. */
export function findRelease(codename: string): Release | null {
  return supportedReleases.find((release) => release.codename === codename) ?? null;
}

/** PostgreSQL major version that a host of this fleet and release gets. The distribution has one; PGDG has all. */
export function postgresMajorOf(inventory: Pick<Inventory, 'packages' | 'defaults'>, release: Release): number {
  return inventory.packages === 'pgdg' ? (inventory.defaults.postgres ?? release.postgres) : release.postgres;
}

export interface PackageSet {
  /** Must be installed. */
  install: string[];
  /** Must stay at their version until pgs changes it: an upgrade restarts or breaks what runs from them. */
  hold: string[];
}

/**
 * What every host of the fleet gets: any of them may become an etcd member, so all get etcd, unless it is external.
 * `python3-etcd` is named because Debian's Patroni is content with Consul's library, and its etcd3 driver needs this one.
 */
export function packagesFor(
  inventory: Pick<Inventory, 'packages' | 'defaults' | 'etcd'>,
  release: Release,
): PackageSet {
  const major = postgresMajorOf(inventory, release);
  const hold = [
    `postgresql-${major}`,
    `postgresql-client-${major}`,
    'patroni',
    ...(inventory.etcd.kind === 'fleet' ? ['etcd-server'] : []),
    'etcd-client',
    'haproxy',
    'pgbouncer',
  ];
  return { install: [...hold, 'python3-etcd', 'nftables', 'socat', 'iproute2'], hold };
}

/** The version that upstream knows, of a Debian version: `1:3.5.16-4+b2` is 3.5.16. Null if there is none in it. */
export function upstreamVersion(debianVersion: string): semver.SemVer | null {
  return semver.coerce(debianVersion.replace(/^\d+:/, '').replace(/[-+~].*$/, ''));
}

/** The oldest versions whose features pgs relies on: Patroni's etcd3 driver and failsafe mode, etcd's fixes of 3.4.20. */
export const oldestVersions: Readonly<Record<string, string>> = { patroni: '3.0.0', 'etcd-server': '3.4.20' };

/**
 * Why this Patroni does not work with this etcd, or null if it does. From these versions on etcd wants a token for keeping
 * leases alive when authentication is on, and Patroni before 4.1.1 sends none (patroni PR 3580).
 * Versions as Debian or the programs themselves write them; one that cannot be read is taken to work.
 */
export function brokenEtcdPair(patroni: string, etcd: string): string | null {
  const patroniVersion = upstreamVersion(patroni);
  const etcdVersion = upstreamVersion(etcd);
  if (!patroniVersion || !etcdVersion || semver.gte(patroniVersion, '4.1.1')) return null;
  const { major, minor, patch } = etcdVersion;
  const firstBroken = major === 3 ? { 4: 42, 5: 28, 6: 9 }[minor] : undefined;
  const broken = major > 3 || (major === 3 && minor > 6) || (firstBroken !== undefined && patch >= firstBroken);
  if (!broken) return null;
  return `Patroni ${patroniVersion.version} cannot keep its lease with etcd ${etcdVersion.version} when authentication is on`;
}
