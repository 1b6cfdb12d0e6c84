// `npm run bench:planning`: how long pgs decides for a thousand tenants on a hundred hosts, and how much memory it takes; no machine is
// needed. Writes the figures to test/bench/results/ and ends with 1 if a target is missed.

import { writeFileSync } from 'node:fs';
import { planCluster } from '../../../src/reconcile/plan-cluster.js';
import { balanceLeaders } from '../../../src/topology/balance.js';
import { placeTenant } from '../../../src/topology/placement.js';
import type { TenantRecord } from '../../../src/topology/tenant.js';
import { root } from '../fleet.js';
import { commit, describeMachine } from '../surroundings.js';
import { inputOf, inventoryOf, specOf, supplyOf } from './fleet.js';
import { isMet, renderMarkdown, type PlanningRun } from './report.js';

const tenants = Number(process.env.PGS_BENCH_TENANTS ?? 1000);
const hosts = Number(process.env.PGS_BENCH_HOSTS ?? 100);

interface Taken {
  wallS: number;
  cpuS: number;
}

/** Adds what `work` took to `taken`. */
function timed<T>(taken: Taken, work: () => T): T {
  const [startedMs, cpu] = [performance.now(), process.cpuUsage()];
  const result = work();
  const { user, system } = process.cpuUsage(cpu);
  taken.wallS += (performance.now() - startedMs) / 1000;
  taken.cpuS += (user + system) / 1e6;
  return result;
}

function placeAll(inventory: ReturnType<typeof inventoryOf>, taken: Taken): TenantRecord[] {
  const supply = supplyOf(inventory);
  const records: TenantRecord[] = [];
  for (let i = 0; i < tenants; i++) {
    const spec = specOf(`tenant-${i + 1}`);
    const request = { spec, hosts: null, supply, others: records, inventory, quorumCommit: true };
    const allocation = timed(taken, () => placeTenant(request));
    records.push({ version: 1, spec, allocation, phase: 'creating', createdAt: '2026-11-21T00:00:00.000Z' });
  }
  return records;
}

function planAll(records: TenantRecord[], there: 'nothing' | 'everything', taken: Taken): number {
  const inventory = inventoryOf(hosts);
  let steps = 0;
  for (const record of records) {
    // What is there is made apart: it is the hosts' word, and no part of planning.
    const input = inputOf(record, inventory, there);
    steps += timed(taken, () => planCluster(input)).steps.length;
  }
  return steps;
}

function main(): number {
  const machine = describeMachine();
  const inventory = inventoryOf(hosts);
  const none = (): Taken => ({ wallS: 0, cpuS: 0 });
  const [placing, making, comparing, balancing] = [none(), none(), none(), none()];
  const records = placeAll(inventory, placing);
  const made = planAll(records, 'nothing', making);
  const left = planAll(records, 'everything', comparing);
  // As after a bad day: every tenant that has a member there is led on one of the first twenty hosts.
  const led = records.map(({ spec, allocation: { members } }) => {
    const leader = members.find((m) => Number(m.host.slice(1)) <= 20) ?? members[0]!;
    return { tenant: spec.tenant, leader, candidates: members.filter((m) => m !== leader) };
  });
  const { moves, isEven } = timed(balancing, () => balanceLeaders(led));
  const run: PlanningRun = {
    at: new Date().toISOString(),
    commit: commit(),
    machine: { ...machine, node: process.versions.node },
    tenants,
    hosts,
    samples: [
      { name: 'place all, one after the other', ...placing, found: `${records.length} tenants` },
      { name: 'plan all, nothing is there', ...making, found: `${made} steps` },
      { name: 'plan all, everything is there', ...comparing, found: `${left} steps` },
      {
        name: 'balance the leaders',
        ...balancing,
        found: `${moves.length} switchovers, ${isEven ? 'even' : 'NOT EVEN'}`,
      },
    ],
    peakRssMB: process.resourceUsage().maxRSS / 1000,
  };
  const name = `${run.at.slice(0, 16).replace(':', '')}-planning`;
  for (const [suffix, text] of [
    ['md', renderMarkdown(run)],
    ['json', `${JSON.stringify(run, null, 2)}\n`],
  ] as const) {
    writeFileSync(`${root}/test/bench/results/${name}.${suffix}`, text);
  }
  process.stdout.write(renderMarkdown(run));
  return isMet(run) && left === 0 && isEven ? 0 : 1;
}

process.exitCode = main();
