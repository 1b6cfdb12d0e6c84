// A change of leader against hosts and a Patroni that answer as told: whatever goes wrong, clients that are held are let go, and what is
// said is what happened.

import { beforeEach, describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import type { Command, CommandResult } from '../../../src/host/command.js';
import { readTemplate } from '../../../src/host/template.js';
import type { PatroniClient, RestAnswer } from '../../../src/patroni/client.js';
import { parseMember, type MemberFact } from '../../../src/patroni/facts.js';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import type { OpenCluster } from '../../../src/reconcile/cluster.js';
import { changeLeader, type LeaderChangeOptions, type PhaseDone } from '../../../src/reconcile/leader-change.js';
import type { Session } from '../../../src/reconcile/session.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const ok = (stdout = ''): CommandResult => ({ code: 0, stdout, stderr: '' });
const choice = { from: 'acme-1', to: 'acme-2' };

/** What happened, in order. */
let log: string[];
let leader: string | null;
let phases: PhaseDone[];

interface World {
  rpoBytes?: number;
  pause?: (host: string) => CommandResult | PgsError;
  stop?: () => CommandResult | PgsError;
  answer?: () => RestAnswer | PgsError;
  /** What the candidate has received. */
  receivedBytes?: number | null;
  /** Hosts that are lost, with their members. */
  lost?: string[];
}

beforeEach(() => {
  log = [];
  leader = 'acme-1';
  phases = [];
});

function run(world: World, options: Partial<LeaderChangeOptions> = {}) {
  const cluster = clusterOf(recordOf('acme', { rpoBytes: world.rpoBytes ?? 0 }));
  const settings = desiredDcsSettings(cluster);
  const told = (name: string, answer: CommandResult | RestAnswer | PgsError) => {
    log.push(name);
    if (answer instanceof PgsError) throw answer;
    return answer;
  };
  const command = (host: string, { argv }: Command): CommandResult => {
    if (world.lost?.includes(host)) throw unreachable();
    if (argv[0] === 'true') return ok();
    if (argv[0] === 'runuser') return told(`checkpoint ${host}`, ok()) as CommandResult;
    const is = (name: string) => argv[2] === readTemplate(name);
    if (is('pgbouncer/pause.sh'))
      return told(`pause ${host}`, (world.pause ?? (() => ok('paused\n')))(host)) as CommandResult;
    if (is('pgbouncer/resume.sh')) return told(`resume ${host}`, ok('resumed\n')) as CommandResult;
    if (is('postgres/await-shutdown.sh')) return ok('0/4000680\n');
    if (is('postgres/stop-leader.sh')) {
      const stop = world.stop ?? (() => ((leader = 'acme-2'), ok('stopped\n0/4000680\n')));
      return told('stop', stop()) as CommandResult;
    }
    throw new Error(`unknown command ${argv.join(' ').slice(0, 80)}`);
  };
  const fact = (name: string): MemberFact =>
    world.lost?.includes(cluster.members.find((m) => m.name === name)!.host.name)
      ? { reachable: false, why: 'no answer' }
      : parseMember({
          state: name === leader ? 'running' : 'streaming',
          role: name === leader ? 'primary' : 'replica',
          timeline: 3,
          xlog: { received_location: world.receivedBytes ?? null },
          ...(name === leader ? {} : { replication_state: 'streaming' }),
        });
  const patroni = {
    member: (m: { name: string }) => Promise.resolve(fact(m.name)),
    gather: () => Promise.resolve({ members: Object.fromEntries(cluster.members.map((m) => [m.name, fact(m.name)])) }),
    request: (_member: unknown, method: string, path: string) =>
      Promise.resolve().then(() => {
        if (method === 'PATCH') return { status: 200, body: {} };
        const answer =
          world.answer ?? (() => ((leader = 'acme-2'), { status: 200, body: 'Successfully switched over' }));
        return told(`${method} ${path}`, answer()) as RestAnswer;
      }),
  } as unknown as PatroniClient;
  const session = {
    hosts: {
      get: (name: string) => ({ name, run: (c: Command) => Promise.resolve().then(() => command(name, c)) }),
    },
    dcs: () =>
      Promise.resolve({
        getPrefix: () => Promise.resolve([{ key: '/pgs/dcs/acme/config', value: JSON.stringify(settings) }]),
        transact: ({ then: [write] }: { then: { put: string; value: string }[] }) =>
          Promise.resolve(log.push(`put ${write!.put} ${write!.value}`)),
      }),
  } as unknown as Session;
  return changeLeader(session, { cluster, patroni } as unknown as OpenCluster, choice, {
    signal: new AbortController().signal,
    onPhase: (phase) => phases.push(phase),
    startedMs: performance.now(),
    whenBusy: 'give up',
    ...options,
  });
}

const resumed = () => log.filter((line) => line.startsWith('resume')).sort();
const everybody = ['resume h1', 'resume h2', 'resume h3'];
const unreachable = () => new PgsError('unreachable', { doing: 'connecting by ssh', found: 'no answer' });

describe('at RPO 0', () => {
  test('writes checkpoints, holds the clients, stops the leader, and lets the clients go, in this order', async () => {
    const change = await run({});
    expect(change).toMatchObject({ leader: 'acme-2', shutdownBytes: 0x4000680 });
    expect(log.map((line) => line.split(' ')[0])).toEqual([
      ...Array<string>(2).fill('checkpoint'),
      ...Array<string>(3).fill('pause'),
      'stop',
      ...Array<string>(3).fill('resume'),
    ]);
    expect(phases.map((p) => p.phase)).toEqual(['checkpoint', 'pause', 'switchover', 'resume']);
  });

  test('goes on when the answer of the stop is lost, and looks who leads', async () => {
    const lost = new PgsError('unknown-result', { doing: 'running sh', found: 'the connection was lost' });
    const change = await run({ stop: () => ((leader = 'acme-2'), lost) });
    expect(change).toMatchObject({ leader: 'acme-2', shutdownBytes: null });
    expect(resumed()).toEqual(everybody);
  });

  test('lets everybody go when the leader could not be stopped', async () => {
    await expect(run({ stop: () => ({ code: 1, stdout: '', stderr: 'no such process' }) })).rejects.toThrow(
      /no such process/,
    );
    expect(resumed()).toEqual(everybody);
  });

  test('says so when the old leader leads again', async () => {
    expect(await run({ stop: () => ok('stopped\n0/4000680\n') })).toMatchObject({ leader: 'acme-1' });
    expect(resumed()).toEqual(everybody);
  });
});

test('with a host lost nobody is held there, and the others switch over', async () => {
  const change = await run({ lost: ['h3'] });
  expect(change).toMatchObject({ leader: 'acme-2', silent: ['h3'] });
  expect(log.filter((line) => line.endsWith('h3'))).toEqual([]);
  expect(resumed()).toEqual(['resume h1', 'resume h2']);
  expect(phases[0]!.note).toMatch(/h3 does not answer: nobody is held there/);
});

describe('the candidate is named to Patroni', () => {
  /** Patroni takes its time. */
  const stopped = (untilLedMs: number) => () => {
    leader = null;
    setTimeout(() => (leader = 'acme-2'), untilLedMs);
    return ok('stopped\n0/4000680\n');
  };
  const stop = stopped(1300);
  const named = () => log.filter((line) => line.startsWith('put'));

  test('not when it leads soon', async () => {
    await run({ receivedBytes: 0x40006f8, stop: stopped(300) });
    expect(named()).toEqual([]);
  });

  test('when it has the last record of the leader', async () => {
    await run({ receivedBytes: 0x40006f8, stop });
    expect(named()).toEqual(['put /pgs/dcs/acme/failover {"leader":"acme-1","member":"acme-2"}']);
    expect(log.indexOf('stop')).toBeLessThan(log.indexOf(named()[0]!));
  });

  test.each([
    ['it lacks the last record', 0x4000680],
    ['it does not say what it has', null],
  ])('not when %s', async (_why, receivedBytes) => {
    expect(await run({ receivedBytes, stop })).toMatchObject({ leader: 'acme-2' });
    expect(named()).toEqual([]);
  });

  test('not when PostgreSQL was not seen to stop in order', async () => {
    await run({ receivedBytes: 0x40006f8, stop: () => ((leader = 'acme-2'), ok('')) });
    expect(named()).toEqual([]);
  });
});

describe('at another RPO Patroni is asked', () => {
  const rpoBytes = 1_000_000;

  test('and its answer "status unknown" is no answer: who leads is seen by looking', async () => {
    const change = await run({
      rpoBytes,
      answer: () => {
        setTimeout(() => (leader = 'acme-2'), 300);
        return { status: 503, body: 'Switchover status unknown' };
      },
    });
    expect(change).toMatchObject({ leader: 'acme-2', shutdownBytes: 0x4000680 });
  });

  test('and a connection that breaks while it steps down neither', async () => {
    expect(await run({ rpoBytes, answer: () => ((leader = 'acme-2'), unreachable()) })).toMatchObject({
      leader: 'acme-2',
    });
  });

  test('and its refusal is an error, after everybody was let go', async () => {
    const refused = run({ rpoBytes, answer: () => ({ status: 412, body: 'candidate name does not match' }) });
    await expect(refused).rejects.toMatchObject({ code: 'endangers' });
    expect(resumed()).toEqual(everybody);
  });

  test('and when it gives up, the old leader is who leads', async () => {
    const change = await run({ rpoBytes, answer: () => ({ status: 503, body: 'Switchover failed' }) });
    expect(change).toMatchObject({ leader: 'acme-1' });
    expect(resumed()).toEqual(everybody);
  });
});

describe('poolers', () => {
  test('that stay busy stop it before anything is changed, and those that were held go on', async () => {
    const busy = run({ pause: (host) => ok(host === 'h2' ? 'busy\n' : 'paused\n') });
    await expect(busy).rejects.toMatchObject({ code: 'endangers' });
    expect(log).not.toContain('stop');
    expect(resumed()).toEqual(['resume h1', 'resume h3']);
  });

  test('that stay busy are left so when that was asked for', async () => {
    expect(await run({ pause: () => ok('busy\n') }, { whenBusy: 'go on' })).toMatchObject({
      leader: 'acme-2',
      heldMs: null,
    });
  });

  test('of a host that does not answer do not stop it, and it is resumed all the same', async () => {
    const change = await run({ pause: (host) => (host === 'h3' ? unreachable() : ok('paused\n')) });
    expect(change.leader).toBe('acme-2');
    expect(resumed()).toEqual(everybody);
    expect(phases.find((p) => p.phase === 'pause')!.note).toMatch(/held on h1, h2; h3 could not be paused: no answer/);
  });

  test('that are not there are not resumed', async () => {
    expect(await run({ pause: () => ok('absent\n') })).toMatchObject({ leader: 'acme-2', heldMs: null });
    expect(resumed()).toEqual([]);
  });
});

test('an interruption while clients are held lets them go and changes nothing', async () => {
  const interrupt = new AbortController();
  const stopped = run({ pause: () => (interrupt.abort(), ok('paused\n')) }, { signal: interrupt.signal });
  await expect(stopped).rejects.toMatchObject({ code: 'unknown-result' });
  expect(log).not.toContain('stop');
  expect(resumed()).toEqual(everybody);
});
