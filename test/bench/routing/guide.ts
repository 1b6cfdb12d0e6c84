// What the usual guides lead to (see by-hand/up.sh): Patroni with its default timing, and HAProxy on every host as its documentation
// shows it, without a pooler. Patroni's synchronous_mode is on, which guides often leave out: the RPO shall be the same.

import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { get } from 'node:https';
import { rotateHosts } from '../../../templates/client/node-postgres.mjs';
import type { Fleet } from '../fleet.js';
import { clientLimits, trusting } from './load.js';
import { hostNamed, hostsFor, makeTable, parseKeys, selectKeys, type System } from './system.js';

const checks = 'inter 3s fastinter 1s rise 3 fall 3';

interface Member {
  name: string;
  role: string;
  state: string;
  host: string;
  timeline?: number;
}

export function guideSystem(fleet: Fleet): System {
  const password = randomBytes(16).toString('hex');
  const file = (name: string) => readFileSync(`${fleet.scriptDirectory('by-hand')}/${name}`, 'utf8');
  const ask = (address: string) =>
    getText(`https://${address}:8008/cluster`, {
      ca: file('ca.crt'),
      cert: file('haproxy.crt'),
      key: file('haproxy.key'),
    });
  /** As any member that answers sees it. */
  const members = async (): Promise<Member[]> => {
    for (const address of hostsFor(fleet, 0)) {
      const answer = await ask(address).catch(() => null);
      if (answer !== null) return (JSON.parse(answer) as { members: Member[] }).members;
    }
    return [];
  };
  const leader = async () => {
    const found = (await members()).find((m) => m.role === 'leader' && m.state === 'running');
    return found ? hostNamed(fleet, found.host) : null;
  };
  const psql = async (database: string, sql: string) => {
    const host = await leader();
    if (host === null) throw new Error(`nobody leads the cluster of the guide: ${JSON.stringify(await members())}`);
    return fleet.on(host, `runuser -u postgres -- psql -XqAtw -h /run/byhand-patroni -d ${database} -c "${sql}"`);
  };
  const config = () => ({
    port: 5000,
    user: 'app',
    database: 'app',
    password,
    ssl: trusting(file('ca.crt')),
    ...clientLimits,
  });
  return {
    name: 'guide',
    title: `Patroni 30/10/10, synchronous_mode on, HAProxy \`${checks}\` on every host, no pooler`,
    periodMs: 10_000,
    dataDirectory: '/var/lib/postgresql/17/byhand',
    up: async () => {
      await fleet.byHandUp('together', { BYHAND_CHECKS: checks, BYHAND_SYNCHRONOUS: 'true' });
      await psql('postgres', `CREATE ROLE app LOGIN PASSWORD '${password}'`);
      await psql('postgres', 'CREATE DATABASE app OWNER app');
      await psql('app', `SET ROLE app; ${makeTable}`);
    },
    connector: (client) => rotateHosts(hostsFor(fleet, client), config()),
    leader,
    missing: async () => {
      const seen = await members();
      const told = JSON.stringify(seen.map((m) => [m.name, m.role, m.state, m.timeline]));
      const timelines = new Set(seen.map((m) => m.timeline));
      const well =
        seen.length === 3 &&
        timelines.size === 1 &&
        seen.filter((m) => m.role === 'leader' && m.state === 'running').length === 1 &&
        seen.filter((m) => m.role !== 'leader' && m.state === 'streaming').length === 2 &&
        seen.some((m) => m.role === 'sync_standby');
      if (!well) return told;
      for (const host of hostsFor(fleet, 0)) {
        const client = await rotateHosts([host], config())().catch(() => null);
        if (client === null) return `the entry ${host} serves nobody`;
        await client.end();
      }
      return null;
    },
    switchover: async (to) => {
      const candidate = to ? `--candidate ${to}` : '';
      await fleet.on('h1', `patronictl -c /etc/patroni/byhand.yml switchover ${candidate} --force byhand 2>&1`);
    },
    keys: async (first, end) => parseKeys(await psql('app', selectKeys(first, end))),
    units: ['byhand-patroni', 'byhand-haproxy', 'pgs-etcd'],
  };
}

function getText(url: string, tls: { ca: string; cert: string; key: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { ...tls, timeout: 5000, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve(text));
      answer.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`${url} gives no answer`)));
    request.on('error', reject);
  });
}
