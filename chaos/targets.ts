// Which hosts a role means at this moment. Pure: the same facts and the same random numbers, the same choice.

import { findLeader, type PatroniFacts } from '../src/patroni/facts.js';
import type { Cluster } from '../src/topology/cluster.js';
import type { Host } from '../src/inventory/inventory.js';
import type { Need, Role } from './scenario.js';

export interface Scene {
  cluster: Cluster;
  fleet: Host[];
  patroni: PatroniFacts;
  etcdHosts: string[];
  /** Host whose etcd leads; null when nobody does. */
  etcdLeader: string | null;
  /** What hosts have of what scenarios need; those that are not here have nothing of it. */
  has: Record<string, HostNeed[]>;
}

/**
 * Hosts of a role that have what is needed of them, at most `count`, chosen by `random`; empty when the role has nobody of that kind at
 * this moment.
 */
export function chooseHosts(
  scene: Scene,
  role: Role,
  count: number,
  random: () => number,
  needs: HostNeed[] = [],
): Host[] {
  return shuffled(fitHosts(scene, role, needs), random).slice(0, count);
}

export type HostNeed = Exclude<Need, 'power'>;

/** Of machines with and without kernels of their own, a fault that needs one is for the first kind. */
export function fitHosts(scene: Scene, role: Role, needs: HostNeed[]): Host[] {
  return hostsOf(scene, role).filter(({ name }) => needs.every((need) => scene.has[name]?.includes(need)));
}

export function leaderHost({ cluster, patroni }: Scene): Host | null {
  const name = findLeader(patroni)?.name;
  return cluster.members.find((m) => m.name === name)?.host ?? null;
}

function hostsOf(scene: Scene, role: Role): Host[] {
  const { cluster, fleet, patroni, etcdHosts, etcdLeader } = scene;
  const leader = leaderHost(scene);
  const replicas = cluster.members.filter((m) => m.host.name !== leader?.name);
  const isSync = (name: string) => {
    const fact = patroni.members[name];
    return fact?.reachable === true && fact.synchronous;
  };
  const named = (names: string[]) => fleet.filter((h) => names.includes(h.name));
  switch (role) {
    case 'leader':
      return leader ? [leader] : [];
    case 'sync':
      return replicas.filter((m) => isSync(m.name)).map((m) => m.host);
    case 'async':
      return replicas.filter((m) => !isSync(m.name)).map((m) => m.host);
    case 'replica':
      return replicas.map((m) => m.host);
    case 'etcd-leader':
      return etcdLeader === null ? [] : named([etcdLeader]);
    case 'etcd-follower':
      return named(etcdHosts.filter((h) => h !== etcdLeader));
    case 'entry':
      return cluster.entries.filter((h) => h.name !== leader?.name);
    case 'every':
      return cluster.members.map((m) => m.host);
    case 'client':
      return [];
  }
}

function shuffled<T>(values: T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

/** Numbers in [0, 1) that a seed decides (mulberry32): a run can be made again. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
