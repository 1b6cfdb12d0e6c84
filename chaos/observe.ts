// Looks at the cluster while a run goes on, from outside and on each member's own port, and writes down what it sees.

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { dcsNamespace } from '../src/patroni/desired.js';
import type { MemberFact } from '../src/patroni/facts.js';
import type { OpenCluster } from '../src/reconcile/cluster.js';
import type { Session } from '../src/reconcile/session.js';
import { sqlTrust } from '../src/secrets/rotation.js';
import type { PlacedMember } from '../src/topology/cluster.js';
import type { Journal } from './journal.js';
import { end, probeTable } from './workload.js';
import { codeOf } from './writer.js';

const probeEveryMs = 100;
const restEveryMs = 250;
const keyEveryMs = 100;

export interface Observation {
  /** The newest word of each member's Patroni. */
  facts(): Record<string, MemberFact>;
  stop(): Promise<void>;
}

export async function observe(session: Session, open: OpenCluster, journal: Journal): Promise<Observation> {
  const known: Record<string, MemberFact> = {};
  const stop = new AbortController();
  const loops = [
    ...open.cluster.members.map((m) => probeMember(open, m, journal, stop.signal)),
    ...open.cluster.members.map((m) => askMember(open, m, known, journal, stop.signal)),
    watchKey(await session.dcs(), open.cluster.tenant, journal, stop.signal),
  ];
  return {
    facts: () => known,
    stop: async () => {
      stop.abort();
      await Promise.all(loops);
    },
  };
}

async function every(ms: number, signal: AbortSignal, look: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    const next = performance.now() + ms;
    await look();
    await sleep(Math.max(1, next - performance.now()), undefined, { signal }).catch(() => undefined);
  }
}

/** Whether the member takes a write, on its own port: no wait for a synchronous standby, which comes with a commit, can hide it. */
async function probeMember(
  { cluster, secrets }: OpenCluster,
  member: PlacedMember,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  const { user, password } = secrets.passwords.app;
  let client: pg.Client | null = null;
  await every(probeEveryMs, signal, async () => {
    const sentMs = journal.now();
    let error: string | null = null;
    try {
      if (client === null) {
        client = new pg.Client({
          host: member.host.address,
          port: cluster.ports.postgres,
          user,
          password: password.reveal(),
          database: 'app',
          application_name: 'pgs chaos probe',
          ssl: { ca: sqlTrust(secrets), rejectUnauthorized: true },
          connectionTimeoutMillis: 1500,
          query_timeout: 1500,
        });
        client.on('error', () => undefined);
        await client.connect();
      }
      await client.query('BEGIN');
      await client.query(`INSERT INTO ${probeTable} VALUES (now())`);
    } catch (thrown) {
      error = codeOf(thrown);
    }
    journal.write({ type: 'probe', member: member.name, sentMs, endedMs: journal.now(), took: error === null, error });
    const used: pg.Client | null = client;
    if (used === null) return;
    // 25006: it is a replica, which the next look can ask again through the same session.
    const fine = error === null || error === '25006';
    const back = fine ? await used.query('ROLLBACK').then(Boolean, () => false) : false;
    if (back) return;
    client = null;
    await end(used);
  });
  if (client) await end(client);
}

async function askMember(
  { patroni }: OpenCluster,
  member: PlacedMember,
  known: Record<string, MemberFact>,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  let last = '';
  await every(restEveryMs, signal, async () => {
    const fact = await patroni.member(member, 1500);
    known[member.name] = fact;
    const shown = sayingOf(fact);
    if (shown === last) return;
    last = shown;
    journal.write({ type: 'member', atMs: journal.now(), member: member.name, fact });
  });
}

/** What of a fact is news: positions move all the time. */
function sayingOf(fact: MemberFact): string {
  if (!fact.reachable) return 'unreachable';
  const { role, state, streaming, timeline, synchronous, paused, watchdogFailed } = fact;
  return JSON.stringify([role, state, streaming, timeline, synchronous, paused, watchdogFailed]);
}

async function watchKey(
  dcs: Awaited<ReturnType<Session['dcs']>>,
  tenant: string,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  let last: string | null | undefined;
  await every(keyEveryMs, signal, async () => {
    try {
      const found = await dcs.get(`${dcsNamespace}${tenant}/leader`);
      const holder = found?.value ?? null;
      if (holder === last) return;
      last = holder;
      journal.write({ type: 'key', atMs: journal.now(), holder });
    } catch {
      // Without a quorum nobody can say who holds it.
    }
  });
}
