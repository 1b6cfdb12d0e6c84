// What `pgs dcs status` shows, judged from the members' answers and the certificates that they show. Pure.

import { leadersOf, quorumOf, type MemberStatus, type Quorum } from './facts.js';

/** The shape of `pgs dcs status -o json`; fields are added, never renamed or removed. */
export interface DcsStatus {
  kind: 'fleet' | 'external';
  /** `healthy`: all members follow one leader. `degraded`: a majority does. `lost`: nothing can be written. */
  quorum: Quorum['state'];
  /** In words: "h1 and h2 answer, h3 does not". */
  seen: string;
  /** Members that are leader; several only while they do not agree. */
  leaders: string[];
  members: DcsMember[];
  /** What an operator should know or do. */
  warnings: string[];
}

export interface DcsMember {
  name: string;
  endpoint: string;
  state: 'leader' | 'follower' | 'leaderless' | 'silent';
  /** Why there is no answer; null if there is one. */
  why: string | null;
  version: string | null;
  raftTerm: number | null;
  dbSizeBytes: number | null;
  dbInUseBytes: number | null;
  /** Names of alarms that this member raised: NOSPACE, CORRUPT. */
  alarms: string[];
  errors: string[];
  latencyMs: number | null;
  /** Of the certificate that the member shows to clients, ISO 8601; null if it shows none. */
  certificateEndsAt: string | null;
  certificateDaysLeft: number | null;
}

/** When the certificate of each member ends, by name; null: it could not be seen. */
export type CertificateEnds = Record<string, Date | null>;

/** Days before the end of a certificate from which there is a warning. */
const certificateWarningDays = 30;
/** The space quota that pgs gives etcd is 2 GiB; a warning comes while there is time to act. */
const dbWarningBytes = 1.5 * 1024 ** 3;
const dayMs = 24 * 3600 * 1000;

export function judgeDcs(
  kind: DcsStatus['kind'],
  members: MemberStatus[],
  certificates: CertificateEnds,
  now: Date,
): DcsStatus {
  const { state, seen } = quorumOf(members);
  const alarms = new Map(
    members.flatMap((m) => (m.answers ? m.alarms.map((a) => [`${a.memberId} ${a.kind}`, a]) : [])),
  );
  const judged = members.map((m) => judgeMember(m, [...alarms.values()], certificates[m.name] ?? null, now));
  return { kind, quorum: state, seen, leaders: leadersOf(members), members: judged, warnings: warningsOf(judged) };
}

function judgeMember(
  member: MemberStatus,
  alarms: { memberId: string; kind: string }[],
  endsAt: Date | null,
  now: Date,
): DcsMember {
  const certificate = {
    certificateEndsAt: endsAt?.toISOString() ?? null,
    certificateDaysLeft: endsAt ? Math.floor((endsAt.getTime() - now.getTime()) / dayMs) : null,
  };
  const { name, endpoint } = member;
  if (!member.answers) {
    const unknown = { version: null, raftTerm: null, dbSizeBytes: null, dbInUseBytes: null, latencyMs: null };
    return { name, endpoint, state: 'silent', why: member.why, alarms: [], errors: [], ...unknown, ...certificate };
  }
  const { version, raftTerm, dbSizeBytes, dbInUseBytes, latencyMs, errors, memberId, leaderId } = member;
  return {
    name,
    endpoint,
    state: leaderId === null ? 'leaderless' : leaderId === memberId ? 'leader' : 'follower',
    why: null,
    version,
    raftTerm,
    dbSizeBytes,
    dbInUseBytes,
    alarms: alarms.filter((a) => a.memberId === memberId).map((a) => a.kind),
    errors,
    latencyMs,
    ...certificate,
  };
}

function warningsOf(members: DcsMember[]): string[] {
  return members.flatMap((m) => [
    ...m.alarms.map((alarm) =>
      alarm === 'NOSPACE'
        ? `${m.name} is out of its space quota: etcd takes no writes until it is compacted, defragmented and disarmed`
        : `${m.name} raised the alarm ${alarm}: its data differs from the other members'`,
    ),
    ...m.errors.map((error) => `${m.name} reports: ${error}`),
    ...(m.dbSizeBytes !== null && m.dbSizeBytes > dbWarningBytes && m.alarms.length === 0
      ? [`${m.name} uses ${Math.round(m.dbSizeBytes / 1024 ** 2)} MiB of its quota of 2048 MiB`]
      : []),
    ...certificateWarning(m),
  ]);
}

function certificateWarning({ name, certificateDaysLeft: days }: DcsMember): string[] {
  if (days === null || days >= certificateWarningDays) return [];
  return [days < 0 ? `the certificate of ${name} has ended` : `the certificate of ${name} ends in ${days} days`];
}
