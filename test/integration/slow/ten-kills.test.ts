// Ten jobs of day two, each killed by `kill -9` in its middle while clients write: the same command finishes it, and nothing acknowledged
// is lost. Which step each is killed at follows from a seed (PGS_TEST_SEED); every step is tried against simulated hosts in test/convergence.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '../../../chaos/targets.js';
import { interrupt } from '../interrupt.js';
import { freshSandbox, pgs, pgsOk, psqlOk, untilHealthy, type Status } from '../machines.js';
import { underLoad } from '../under-load.js';

const tenant = 'killed';
const seed = Number(process.env.PGS_TEST_SEED ?? 20261121);
const random = seededRandom(seed);

/** A job, and the number of steps that it reports at least, so that a kill after fewer comes in time. */
interface Job {
  job: string;
  steps: number;
  command: (before: Status) => string[];
}

const follower = ({ members, leader }: Status) => members.find((m) => m.name !== leader)!.name;
const cluster = (...words: string[]) => ['cluster', words[0]!, tenant, ...words.slice(1)];
const jobs: Job[] = [
  { job: 'a setting that needs restarts', steps: 8, command: () => cluster('set', 'max_connections=150') },
  { job: 'a rolling restart', steps: 6, command: () => cluster('restart') },
  { job: 'one replica more', steps: 8, command: () => cluster('scale', '--replicas', '3') },
  { job: 'one replica less', steps: 8, command: () => cluster('scale', '--replicas', '2') },
  { job: 'the leader replaced', steps: 16, command: ({ leader }) => ['cluster', 'replace', leader!] },
  { job: 'a replica made anew', steps: 2, command: (before) => ['cluster', 'reinit', follower(before), '--yes'] },
  { job: 'all secrets rotated', steps: 16, command: () => ['rotate', tenant] },
  { job: 'all certificates renewed', steps: 4, command: () => ['cert', 'renew', tenant, '--all'] },
  { job: 'a setting that standbys need last', steps: 8, command: () => cluster('set', 'max_connections=100') },
  { job: 'a switchover', steps: 3, command: () => ['switchover', tenant] },
];
/** Drawn here, so that one job's number of steps does not shift the others' draws. */
const kills = jobs.map((job) => ({ ...job, after: 1 + Math.floor(random() * job.steps) }));

process.stdout.write(`kills are seeded: run again with PGS_TEST_SEED=${seed}\n`);

beforeAll(async () => {
  await freshSandbox(4);
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(() => freshSandbox(3));

test.each(kills)(
  '$job, killed after step $after, is finished by the same command',
  async ({ command, after }) => {
    const words = command(await untilHealthy(tenant));
    let [killed, again] = ['', ''];
    const verdict = await underLoad(tenant, async () => {
      const ran = await interrupt(words, 'SIGKILL', after);
      killed = ran.stderr;
      expect(ran.sent, `${words.join(' ')} ended before it was killed:\n${ran.stderr}`).toBe(true);
      const second = await pgs(words);
      again = second.stderr;
      expect(second.code, `${killed}\n--- again:\n${again}`).toBe(0);
    });
    const told = `seed ${seed}, killed:\n${killed}\n--- again:\n${again}`;
    expect(verdict, told).toMatchObject({ lost: [], duplicated: [], risen: [] });
    const plan = await pgs(['plan', tenant]);
    expect(plan.code, `${told}\n${plan.stdout}`).toBe(0);
    await untilHealthy(tenant);
  },
  400_000,
);
