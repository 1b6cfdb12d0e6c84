// Evidence that an apply with nothing to do did nothing: revisions in etcd and times of units, before and after.

import type { Fleet } from './fleet.js';

export type Traces = Record<string, string>;

const etcdctl =
  'set -a; . /etc/pgs/etcd-defrag.env; set +a; etcdctl --endpoints=https://127.0.0.1:2379' +
  ' --cacert=/etc/pgs/etcd/tls/client-ca.crt --cert=/etc/pgs/etcd/tls/server.crt --key=/etc/pgs/etcd/tls/server.key';

/** Written by Patroni itself, whoever looks on: positions of members. And pgs's own lock, which goes with its lease. */
const notOfInterest = /^\/pgs\/(state\/locks\/|dcs\/[^/]+\/(status|members\/))/;

/** Everything that would change if something was written, started, restarted or reloaded. */
export async function gatherTraces(fleet: Fleet, tenant: string): Promise<Traces> {
  const [keys, logins, ...units] = await Promise.all([
    fleet.on('h1', `${etcdctl} get /pgs/ --prefix -w json`),
    fleet.on('h1', `${etcdctl} auth status -w json`),
    ...Object.keys(fleet.addresses).map(async (host) => unitTraces(host, await fleet.on(host, unitQuery(tenant)))),
  ]);
  return {
    ...keyTraces(keys),
    'revision of etcd logins': authRevision(logins),
    ...(Object.assign({}, ...units) as Traces),
  };
}

function keyTraces(answer: string): Traces {
  const { kvs = [] } = JSON.parse(answer) as { kvs?: { key: string; mod_revision: number }[] };
  const named = kvs.map((kv) => [Buffer.from(kv.key, 'base64').toString(), String(kv.mod_revision)] as const);
  return Object.fromEntries(named.filter(([key]) => !notOfInterest.test(key)));
}

function authRevision(answer: string): string {
  return String((JSON.parse(answer) as { authRevision: number }).authRevision);
}

function unitQuery(tenant: string): string {
  const units = `pgs-patroni@${tenant}.service pgs-haproxy.service pgs-etcd.service`;
  // A reload moves StateChangeTimestamp; the postmaster outlives its unit's process.
  return (
    `systemctl show -p Id -p MainPID -p NRestarts -p ExecMainStartTimestampMonotonic -p StateChangeTimestampMonotonic ${units};` +
    ` sed -n '1p;3p' /var/lib/pgs/${tenant}/data/postmaster.pid`
  );
}

function unitTraces(host: string, answer: string): Traces {
  return Object.fromEntries(
    answer
      .trim()
      .split('\n\n')
      .map((block, n) => [`units on ${host}, part ${n + 1}`, block]),
  );
}

/** What differs, in words. */
export function compareTraces(before: Traces, after: Traces): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name}: ${before[name] ?? 'absent'} before, ${after[name] ?? 'absent'} after`);
}
