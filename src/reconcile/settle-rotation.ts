// Whether a phase of a rotation is in force: not what lies in files, but what the processes do. Patroni reads its files again at its next
// turn, so this is waited for.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { findLeader } from '../patroni/facts.js';
import { isSameCertificate } from '../pki/handshake.js';
import { runSuperuserSql } from '../postgres/client.js';
import { replicatesAsQuery } from '../postgres/desired.js';
import { poolerPort, type PlacedMember } from '../topology/cluster.js';
import type { OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** Patroni's turns are 20 s apart in the preset wide, and it waits for PostgreSQL's reload. */
const limitMs = 90_000;

/**
 * @throws PgsError `unknown-result` that says who has not taken what
 */
export async function settleRotation(session: Session, open: OpenCluster, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const missing = await unsettled(session, open);
    if (missing.length === 0) return;
    if (performance.now() > deadlineMs || signal.aborted) {
      throw new PgsError('unknown-result', {
        doing: `seeing that every member of ${open.cluster.tenant} has taken its new secrets`,
        found: missing.join('; '),
        hint: 'Run the same command again: it goes on from here.',
      });
    }
    await sleep(300);
  }
}

async function unsettled(session: Session, open: OpenCluster): Promise<string[]> {
  const shown = open.cluster.members.map((member) => unshown(session, open, member));
  return (await Promise.all([...shown, streamsOfOthers(session, open)])).flat();
}

/** The REST certificate is made anew in every phase: who shows it has read all of its files. */
async function unshown(session: Session, { cluster, secrets }: OpenCluster, member: PlacedMember): Promise<string[]> {
  const { ports, spec } = cluster;
  const { address } = member.host;
  const issued = secrets.certificates[member.host.name]!;
  const asked = [
    { what: 'Patroni', port: ports.rest, start: 'at once', wanted: issued.rest.certPem },
    { what: 'PostgreSQL', port: ports.postgres, start: 'postgres', wanted: issued.sql.certPem },
    ...(spec.pool === 'off'
      ? []
      : (['primary', 'replica'] as const).map((service) => ({
          what: `the pooler of ${service}`,
          port: poolerPort(ports, service),
          start: 'postgres',
          wanted: issued.sql.certPem,
        }))),
  ];
  const found = asked.map(async ({ what, port, start, wanted }) => {
    const client = start === 'at once' ? { client: secrets.restOperator } : {};
    const pem = await session.shown({ address, port, start: start as 'at once' | 'postgres', ...client });
    if (pem !== null && isSameCertificate(pem, wanted)) return [];
    return [`${what} of ${member.name} ${pem === null ? 'shows no certificate' : 'shows an older certificate'}`];
  });
  return (await Promise.all(found)).flat();
}

/** Standbys that do not stream with the present login of replication. */
async function streamsOfOthers(session: Session, open: OpenCluster): Promise<string[]> {
  const { cluster, patroni, secrets } = open;
  const leader = findLeader(await patroni.gather(1500))?.name;
  const host = cluster.members.find(({ name }) => name === leader)?.host.name;
  if (host === undefined) return ['no member leads'];
  const { user } = secrets.passwords.replication;
  const doing = 'asking whom the standbys replicate as';
  const answer = await runSuperuserSql(session.hosts.get(host), cluster, doing, replicatesAsQuery).catch(() => '[]');
  const users = JSON.parse(answer) as string[];
  const others = users.filter((name) => name !== user);
  if (others.length > 0) return [`${others.length} standbys still replicate as ${others[0]}`];
  const missing = cluster.members.length - 1 - users.length;
  return missing > 0 ? [`${missing} standbys do not stream`] : [];
}
