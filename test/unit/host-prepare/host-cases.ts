// Hosts for the tests: answers recorded on real machines, and what was found of pgs's own files beside them.

import { readFileSync } from 'node:fs';
import type { CheckFacts } from '../../../src/host/check-facts.js';
import { desiredHost, pgdgSource } from '../../../src/host/desired-host.js';
import type { PathFact, ReachableHost, UnitFact } from '../../../src/host/facts.js';
import { findRelease } from '../../../src/host/packages.js';
import { parseCheckFacts } from '../../../src/host/parse-check-facts.js';
import { packagesOfInterest } from '../../../src/host/plan-prepare.js';
import { contentHash } from '../../../src/host/resource-rules.js';
import type { Inventory } from '../../../src/inventory/inventory.js';

export const inventory: Inventory = {
  path: '/fleet/pgs.yaml',
  stateDir: '/fleet/.pgs',
  fleet: 'test',
  domain: 'test.internal',
  hosts: ['h1', 'h2', 'h3'].map((name, i) => ({ name, address: `192.0.2.${i + 1}`, zone: name })),
  ssh: { user: 'root', port: 22, keyPath: null, knownHostsPath: '/fleet/.pgs/known_hosts' },
  packages: 'distribution',
  ports: { from: 20000, to: 29999 },
  etcd: { kind: 'fleet', members: ['h1', 'h2', 'h3'], clientPort: 2379, peerPort: 2380 },
  door: { port: 5432 },
  notify: { webhook: null, webhookPath: null, command: null },
  drills: { backup: null },
  defaults: { postgres: null, rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off' },
};

export const external: Inventory = {
  ...inventory,
  etcd: {
    kind: 'external',
    endpoints: ['https://192.0.2.9:2379'],
    caPath: '/fleet/ca.pem',
    certPath: null,
    keyPath: null,
    user: 'root',
    passwordPath: '/fleet/password',
  },
};

/** Bare Debian 13; Debian 12 after `pgs host prepare`; Debian 13 on which others run etcd, PostgreSQL and socat. */
export type Case = 'trixie-bare' | 'bookworm-prepared' | 'trixie-taken';

export function recordedAnswer(name: Case): string {
  return readFileSync(new URL(`cases/${name}.txt`, import.meta.url), 'utf8');
}

export function recorded(name: Case): CheckFacts {
  const answer = recordedAnswer(name);
  const [first = 0, last = 0] = [...answer.matchAll(/^@clock (\d+)$/gm)].map((match) => Number(match[1]) / 1e6);
  const asked = { atMs: first - 5, answeredAtMs: last + 5 };
  return parseCheckFacts(answer, packagesOfInterest(inventory), asked, 'h1');
}

/** A host that lacks nothing; Debian 13 unless `codename` says otherwise. */
export function fitFacts(change: Partial<CheckFacts> = {}): CheckFacts {
  const facts = recorded('trixie-bare');
  for (const [name, fact] of Object.entries(facts.packages)) {
    if (fact.candidate) facts.packages[name] = { ...fact, installed: fact.candidate, held: true };
  }
  return {
    ...facts,
    controllers: ['cpu', 'memory', 'io', 'pids'],
    memoryMiB: 4096,
    journalLimitsLoaded: true,
    guards: ['unattended-upgrades', 'needrestart'],
    ...change,
  };
}

/** The files, directories and masks of `prepare`: all there, or none. */
export function hostFacts(state: 'prepared' | 'bare', of: Inventory = inventory): ReachableHost {
  const paths: Record<string, PathFact> = {};
  const units: Record<string, UnitFact> = {};
  for (const resource of [...desiredHost(of), pgdgSource(findRelease('trixie')!)]) {
    if (resource.kind === 'unit') {
      const load = state === 'prepared' ? 'masked' : 'not-found';
      units[resource.name] = {
        load,
        active: 'inactive',
        enabled: false,
        needsDaemonReload: false,
        startedAtS: 0,
        loaded: {},
      };
    } else if (resource.kind === 'file' || resource.kind === 'directory') {
      const { owner, group, mode } = resource;
      if (state === 'bare') paths[resource.path] = { kind: 'absent' };
      else if (resource.kind === 'directory')
        paths[resource.path] = { kind: 'directory', owner, group, mode, empty: true };
      else paths[resource.path] = { kind: 'file', owner, group, mode, sha256: contentHash(resource.content) };
    }
  }
  return { reachable: true, users: {}, paths, units, listening: [], memoryMiB: 4096, cores: 2 };
}
