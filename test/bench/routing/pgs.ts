// pgs as it is: preset fast, RPO 0, clients on the pooled `primary` of every host.

import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { rotateHosts } from '../../../templates/client/node-postgres.mjs';
import type { Fleet } from '../fleet.js';
import { clientLimits, trusting } from './load.js';
import { hostsFor, makeTable, parseKeys, selectKeys, type System } from './system.js';

export const benchTenant = 'bench';
const tenant = benchTenant;

interface Status {
  healthy: boolean;
  leader: string | null;
  members: { name: string; host: string; role: string; state: string }[];
  services: { service: string; port: number; routes: Record<string, string[] | null> }[];
  rpo: { verdict: string };
}

export function pgsSystem(fleet: Fleet): System {
  const status = async () =>
    JSON.parse((await fleet.pgs(['cluster', 'status', tenant, '-o', 'json'])).stdout) as Status;
  let config: pg.ClientConfig = {};
  const psql = async (sql: string) => (await fleet.pgs(['cluster', 'psql', tenant, '--command', sql])).stdout;
  return {
    name: 'pgs',
    title: '`pgs cluster create --rto fast`, RPO 0, through the pooled `primary`',
    periodMs: 2000,
    dataDirectory: `/var/lib/pgs/${tenant}/data`,
    up: async () => {
      await fleet.pgs(['cluster', 'create', tenant, '--rto', 'fast', '--rpo', '0']);
      await fleet.pgs(['cluster', 'url', tenant]);
      const { ports, ca, password } = await pgsPlaces(fleet);
      config = { port: ports.primary, user: 'app', database: 'app', password, ssl: trusting(ca), ...clientLimits };
      await psql(makeTable);
    },
    connector: (client) => rotateHosts(hostsFor(fleet, client), config),
    leader: async () => {
      const { leader, members } = await status();
      return members.find((m) => m.name === leader)?.host ?? null;
    },
    missing: async () => {
      const { healthy, members, rpo, services, leader } = await status();
      if (!healthy || rpo.verdict !== 'holds')
        return `${rpo.verdict}: ${JSON.stringify(members.map((m) => [m.name, m.role, m.state]))}`;
      const routes = services.find((s) => s.service === 'direct')!.routes;
      const wrong = Object.entries(routes).filter(([, to]) => to?.length !== 1 || to[0] !== leader);
      return wrong.length > 0 ? `routes: ${JSON.stringify(routes)}` : null;
    },
    switchover: async (to) => {
      const member = to && (await status()).members.find((m) => m.host === to)!.name;
      await fleet.pgs(['switchover', tenant, ...(member ? ['--to', member] : [])]);
    },
    keys: async (first, end) => parseKeys(await psql(selectKeys(first, end))),
    units: [`pgs-patroni@${tenant}`, `pgs-pgbouncer@${tenant}`, 'pgs-haproxy', 'pgs-etcd'],
  };
}

/** Where the cluster's services are and what opens them. */
export async function pgsPlaces(fleet: Fleet) {
  const shown = await fleet.pgs(['cluster', 'show', tenant, '-o', 'json']);
  const { ports } = JSON.parse(shown.stdout) as { ports: Record<'primary' | 'direct' | 'postgres', number> };
  const files = `${fleet.directory}/.pgs/tenants/${tenant}`;
  const caPath = `${files}/ca.crt`;
  const password = readFileSync(`${files}/pgpass`, 'utf8').split('\n')[0]!.split(':').at(-1)!;
  return { ports, caPath, ca: readFileSync(caPath, 'utf8'), password };
}
