// pg_auto_failover from Debian's packages with its own defaults (see auto-failover/up.sh), three nodes and a monitor on a fourth machine.
// Its clients list the three nodes and take the one that is writable.

import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { rotateHosts } from '../../../templates/client/node-postgres.mjs';
import type { Fleet } from '../fleet.js';
import { clientLimits, trusting } from './load.js';
import { hostNamed, hostsFor, makeTable, parseKeys, selectKeys, type System } from './system.js';

const monitor = 'h4';

interface Node {
  host: string;
  reported: string;
  goal: string;
  healthy: boolean;
}

export function autoFailoverSystem(fleet: Fleet): System {
  const nodes = async (): Promise<Node[]> => {
    const sql = 'SELECT nodehost, reportedstate, goalstate, health FROM pgautofailover.node';
    const printed = await fleet.on(
      monitor,
      `runuser -u postgres -- psql -XqAtw -F ' ' -p 5433 -d pg_auto_failover -c "${sql}"`,
    );
    return printed
      .trim()
      .split('\n')
      .map((line) => {
        const [address, reported, goal, health] = line.split(' ');
        return { host: hostNamed(fleet, address!), reported: reported!, goal: goal!, healthy: health === '1' };
      });
  };
  const leader = async () => {
    const found = (await nodes()).find((n) => /primary$/.test(n.reported) && n.goal === n.reported && n.healthy);
    return found?.host ?? null;
  };
  const psql = async (database: string, sql: string) => {
    const host = await leader();
    if (host === null) throw new Error('pg_auto_failover has no primary');
    return fleet.on(host, `runuser -u postgres -- psql -XqAtw -p 6432 -d ${database} -c "${sql}"`);
  };
  return {
    name: 'auto-failover',
    title: 'pg_auto_failover with its defaults, three nodes, `target_session_attrs=read-write`',
    periodMs: 5000,
    dataDirectory: '/var/lib/postgresql/pgaf',
    up: async () => {
      await fleet.script('auto-failover/up.sh', []);
      await psql('app', `SET ROLE app; ${makeTable}`);
    },
    connector: (client) =>
      rotateToWritable(hostsFor(fleet, client), {
        port: 6432,
        user: 'app',
        database: 'app',
        password: readFileSync(`${fleet.scriptDirectory('auto-failover')}/app.password`, 'utf8').trim(),
        // Its own default is sslmode=require: certificates that nodes sign themselves can be verified by nobody.
        ssl: { ...trusting(), rejectUnauthorized: false },
        ...clientLimits,
      }),
    leader,
    missing: async () => {
      const seen = await nodes();
      const well =
        seen.every((n) => n.healthy && n.goal === n.reported) &&
        seen.filter((n) => n.reported === 'primary').length === 1 &&
        seen.filter((n) => n.reported === 'secondary').length === 2;
      return well ? null : JSON.stringify(seen.map((n) => [n.host, n.reported, n.goal, n.healthy]));
    },
    switchover: async (to) => {
      const what = to ? `promotion --name node-${fleet.addresses[to]!.split('.').at(-1)!}` : 'switchover';
      const autoctl = `pg_autoctl perform ${what} --pgdata /var/lib/postgresql/monitor`;
      await fleet.on(monitor, `cd /tmp && runuser -u postgres -- env -u XDG_RUNTIME_DIR ${autoctl} 2>&1`);
    },
    keys: async (first, end) => parseKeys(await psql('app', selectKeys(first, end))),
    units: ['pgautofailover'],
  };
}

/** libpq's `target_session_attrs=read-write`: the next host when one does not answer or takes no writes. */
function rotateToWritable(hosts: string[], config: pg.ClientConfig): () => Promise<pg.Client> {
  const connectors = hosts.map((host) => rotateHosts([host], config));
  let current = 0;
  return async () => {
    let error: unknown;
    for (let tries = 0; tries < hosts.length; tries++) {
      try {
        const client = await connectors[current]!();
        if (await takesWrites(client).catch(() => false)) return client;
        client.end().catch(() => undefined);
        error = Object.assign(new Error('no host takes writes'), { code: 'read-only' });
      } catch (thrown) {
        error = thrown;
      }
      current = (current + 1) % hosts.length;
    }
    throw error;
  };
}

async function takesWrites(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ transaction_read_only: string }>('SHOW transaction_read_only');
  return rows[0]!.transaction_read_only === 'off';
}
