// What the way through pgs costs a transaction: pgbench straight to PostgreSQL and through the services, in turn.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fleet } from '../fleet.js';
import { runTimed } from '../measure.js';
import { median } from '../report.js';
import { pgsPlaces } from './pgs.js';
import type { System } from './system.js';

export interface Latency {
  workload: 'tpcb-like' | 'select-only';
  /** Straight to PostgreSQL, or through a service, by the entry of the leader's host or of another one. */
  path: 'straight' | 'direct' | 'direct, other entry' | 'primary' | 'primary, other entry';
  runs: number;
  /** Median of a transaction; of the runs the median, milliseconds. */
  medianMs: number;
  /** Against the run straight to PostgreSQL beside it, median of the runs; 0.1 is a tenth more. */
  added: number;
}

const pairs = 5;
const secondsPerRun = 2;
const workloads = { 'tpcb-like': [], 'select-only': ['-S'] } as const;

export async function measureLatency(fleet: Fleet, pgs: System, progress: (line: string) => void): Promise<Latency[]> {
  const { ports, caPath, password } = await pgsPlaces(fleet);
  const leader = (await pgs.leader())!;
  const other = ['h1', 'h2', 'h3'].find((host) => host !== leader)!;
  const environment = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: caPath, PGPASSWORD: password, PGUSER: 'app' };
  const pgbench = async (host: string, port: number, args: string[]) => {
    const place = ['-h', fleet.addresses[host]!, '-p', String(port), ...args, 'app'];
    const ran = await runTimed('pgbench', place, environment);
    if (ran.code !== 0) throw new Error(`pgbench ${place.join(' ')} ended with ${ran.code}: ${ran.stderr}`);
  };
  const paths = {
    straight: [leader, ports.postgres],
    direct: [leader, ports.direct],
    'direct, other entry': [other, ports.direct],
    primary: [leader, ports.primary],
    'primary, other entry': [other, ports.primary],
  } as const;
  await pgbench(leader, ports.postgres, ['-i', '-q', '-s', '1']);
  const results: Latency[] = [];
  for (const [workload, options] of Object.entries(workloads) as [Latency['workload'], readonly string[]][]) {
    const medians = Object.fromEntries(Object.keys(paths).map((path) => [path, [] as number[]]));
    for (let pair = 0; pair < pairs; pair++) {
      for (const [path, [host, port]] of Object.entries(paths)) {
        medians[path]!.push(
          await medianOf((log) =>
            pgbench(host, port, [
              '-n',
              '-c',
              '1',
              '-T',
              String(secondsPerRun),
              '-l',
              `--log-prefix=${log}`,
              ...options,
            ]),
          ),
        );
      }
    }
    for (const path of Object.keys(paths) as Latency['path'][]) {
      const own = medians[path]!;
      const added = median(own.map((ms, i) => ms / medians.straight![i]! - 1));
      results.push({ workload, path, runs: pairs, medianMs: round(median(own)), added: round(added) });
      progress(`pgbench ${workload}, ${path}: ${round(median(own))} ms, ${(added * 100).toFixed(1)} % more`);
    }
  }
  return results;
}

/** pgbench's log has a line a transaction; its third field is the latency in microseconds. */
async function medianOf(run: (logPrefix: string) => Promise<void>): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'pgs-bench-latency-'));
  try {
    await run(join(directory, 'log'));
    const lines = readdirSync(directory).flatMap((file) =>
      readFileSync(join(directory, file), 'utf8').trim().split('\n'),
    );
    return median(lines.map((line) => Number(line.split(' ')[2]) / 1000));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
