// Hosts for the tests: answers recorded on real machines, and what was found of pgs's own files beside them.

import { readFileSync } from 'node:fs';
import type { CheckFacts } from '../../../src/host/check-facts.js';
import { desiredHost, pgdgSource } from '../../../src/host/desired-host.js';
import type { ReachableHost } from '../../../src/host/facts.js';
import { findRelease } from '../../../src/host/packages.js';
import { parseCheckFacts } from '../../../src/host/parse-check-facts.js';
import { packagesOfInterest } from '../../../src/host/plan-prepare.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { inventory as lab } from '../../fixtures/fleet.js';
import { hostWith, hostWithout } from '../../fixtures/hosts.js';

export const inventory: Inventory = {
  ...lab,
  fleet: 'test',
  domain: 'test.internal',
  hosts: ['h1', 'h2', 'h3'].map((name, i) => ({ name, address: `192.0.2.${i + 1}`, zone: name })),
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
  const resources = [...desiredHost(of), pgdgSource(findRelease('trixie')!)];
  return state === 'bare' ? hostWithout(resources) : hostWith(resources);
}
