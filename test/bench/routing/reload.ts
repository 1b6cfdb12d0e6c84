// Whether a reload cuts anybody: 500 open sessions on one HAProxy that serves 50 tenants, while their files come, change and go. One tenant
// is real; the others are its own file under other names and ports, with the checks of preset norm, routed to the same members.

import type pg from 'pg';
import { rotateHosts } from '../../../templates/client/node-postgres.mjs';
import { startWriter } from '../../../chaos/writer.js';
import type { Fleet } from '../fleet.js';
import { clientLimits, table, trusting } from './load.js';
import { benchTenant, pgsPlaces } from './pgs.js';

export interface ReloadResult {
  tenants: number;
  sessions: Record<'primary' | 'direct', number>;
  /** Of each reload, milliseconds. */
  reloadMs: number[];
  /** Sessions that ended, or that answered otherwise than before. */
  cut: number;
  queries: number;
  queryErrors: Record<string, number>;
  longestQueryMs: number;
  /** Writes on new connections meanwhile, one each 20 ms. */
  newConnections: number;
  newConnectionErrors: Record<string, number>;
}

const sessionCounts = { primary: 460, direct: 40 };
const furtherTenants = 49;
const entry = 'h1';
const directory = '/etc/pgs/haproxy/conf.d';

export async function measureReload(fleet: Fleet, progress: (line: string) => void): Promise<ReloadResult> {
  const { ports, ca, password } = await pgsPlaces(fleet);
  const connectTo = (service: 'primary' | 'direct') =>
    rotateHosts([fleet.addresses[entry]!], {
      port: ports[service],
      user: 'app',
      database: 'app',
      password,
      ssl: trusting(ca),
      ...clientLimits,
    });
  const sessions: Session[] = [];
  for (const service of ['direct', 'primary'] as const) {
    const connect = connectTo(service);
    for (let i = 0; i < sessionCounts[service]; i++) sessions.push(await openSession(connect));
  }
  progress(`${sessions.length} sessions are open`);
  const watch = watchSessions(sessions);
  const writer = startWriter({
    connect: connectTo('primary'),
    table,
    intervalMs: 20,
    kind: 'each',
    firstKey: -1_000_000,
  });
  const reloadMs: number[] = [];
  const change = async (line: string) => {
    const ran = await fleet.on(
      entry,
      `${line}; a=$(date +%s%N); systemctl reload pgs-haproxy && echo $((($(date +%s%N) - a) / 1000000))`,
    );
    reloadMs.push(Number(ran.trim()));
    await new Promise((resolve) => setTimeout(resolve, 2000));
  };
  await change(addTenants(ports.primary));
  await change(':');
  const tenants = Number(await fleet.on(entry, `ls ${directory}/tenant-*.cfg | wc -l`));
  await change(`rm ${directory}/tenant-more*.cfg`);
  const written = await writer.stop();
  const watched = await watch.stop();
  for (const { client } of sessions) client.end().catch(() => undefined);
  const result = {
    tenants,
    sessions: sessionCounts,
    reloadMs,
    cut: sessions.filter((s) => s.ended).length,
    ...watched,
    newConnections: written.length,
    newConnectionErrors: countErrors(written.map((w) => w.error)),
  };
  progress(`reloads: ${JSON.stringify(result)}`);
  return result;
}

/** Copies of the real tenant's file: other names, other ports to listen on, sockets of their own, checks as preset norm has them. */
function addTenants(firstPort: number): string {
  const rename = `s/\\b${benchTenant}:/more$n:/g; s/${benchTenant}\\.hold/more$n.hold/g`;
  // The services, and where the poolers look for verifiers.
  const ports = [0, 1, 2, 3, 8]
    .map((i) => `s/^  bind \\(.*\\):${firstPort + i}$/  bind \\1:$((${firstPort + i} + n * 10))/`)
    .join('; ');
  const checks =
    's/inter 500ms/inter 1000ms/; s/fastinter 250ms downinter 250ms/fastinter 500ms downinter 500ms/; s/fall 2/fall 3/';
  const source = `${directory}/tenant-${benchTenant}.cfg`;
  return (
    `for n in $(seq 1 ${furtherTenants}); do install -m 0600 -o pgs-haproxy -g pgs-haproxy /dev/null ${directory}/tenant-more$n.cfg; ` +
    `sed "${rename}; ${ports}; ${checks}" ${source} >${directory}/tenant-more$n.cfg; done`
  );
}

interface Session {
  client: pg.Client;
  ended: boolean;
}

async function openSession(connect: () => Promise<pg.Client>): Promise<Session> {
  const session: Session = { client: await connect(), ended: false };
  session.client.on('end', () => (session.ended = true));
  session.client.on('error', () => (session.ended = true));
  return session;
}

/** Asks one session after the other something, ten every 20 ms, until told to stop; then each once more. */
function watchSessions(sessions: Session[]) {
  const found = { queries: 0, longestQueryMs: 0 };
  const errors: (string | null)[] = [];
  const ask = async ({ client }: Session) => {
    const beganMs = performance.now();
    found.queries++;
    await client.query('SELECT 1').then(
      () => errors.push(null),
      (error: Error & { code?: string }) => errors.push(error.code ?? error.message),
    );
    found.longestQueryMs = Math.max(found.longestQueryMs, Math.round(performance.now() - beganMs));
  };
  let next = 0;
  const asked = new Set<Promise<void>>();
  const timer = setInterval(() => {
    for (let i = 0; i < 10; i++) {
      const asking = ask(sessions[next++ % sessions.length]!).finally(() => asked.delete(asking));
      asked.add(asking);
    }
  }, 20);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(asked);
      await Promise.all(sessions.map(ask));
      return { ...found, queryErrors: countErrors(errors) };
    },
  };
}

function countErrors(errors: (string | null)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const error of errors) if (error !== null) counts[error] = (counts[error] ?? 0) + 1;
  return counts;
}
