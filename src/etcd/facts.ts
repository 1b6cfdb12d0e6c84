// What the members of etcd say about themselves, and what follows from it for the cluster. Pure.

import type { IStatusResponse } from 'etcd3';
import type { DcsEndpoint } from './access.js';

export type MemberStatus = AnsweringMember | SilentMember;

export interface AnsweringMember {
  answers: true;
  name: string;
  endpoint: string;
  version: string;
  /** Decimal text: the ids are unsigned 64-bit numbers. */
  memberId: string;
  /** Null while the member knows no leader. */
  leaderId: string | null;
  raftTerm: number;
  raftIndex: number;
  dbSizeBytes: number;
  dbInUseBytes: number;
  /** Alarms of the whole cluster as this member knows them. */
  alarms: Alarm[];
  /** Other errors that the member reports. */
  errors: string[];
  latencyMs: number;
}

export interface SilentMember {
  answers: false;
  name: string;
  endpoint: string;
  /** Why, in words for a person. */
  why: string;
}

export interface Alarm {
  memberId: string;
  /** NOSPACE or CORRUPT. */
  kind: string;
}

const noLeader = 'etcdserver: no leader';

export function parseMemberStatus(endpoint: DcsEndpoint, status: IStatusResponse, latencyMs: number): AnsweringMember {
  return {
    answers: true,
    name: endpoint.name,
    endpoint: endpoint.url,
    version: status.version,
    memberId: status.header.member_id,
    leaderId: status.leader === '0' ? null : status.leader,
    raftTerm: Number(status.raftTerm),
    raftIndex: Number(status.raftIndex),
    dbSizeBytes: Number(status.dbSize),
    // etcd before 3.4 does not tell.
    dbInUseBytes: Number(status.dbSizeInUse) || Number(status.dbSize),
    alarms: status.errors.flatMap(parseAlarm),
    errors: status.errors.filter((error) => parseAlarm(error).length === 0 && error !== noLeader),
    latencyMs,
  };
}

/** etcd prints an alarm as protobuf text: `memberID:9372538179322589801 alarm:NOSPACE `. */
function parseAlarm(error: string): Alarm[] {
  const match = /^memberID:(\d+) alarm:(\w+)\s*$/.exec(error);
  return match ? [{ memberId: match[1]!, kind: match[2]! }] : [];
}

export interface Quorum {
  /** `lost`: nothing can be written, nor read for sure. `degraded`: works, but one more loss may be too many. */
  state: 'healthy' | 'degraded' | 'lost';
  /** For a person: "h1 answers, h2 and h3 do not". */
  seen: string;
}

/** A majority that answers and follows one leader is a quorum; a member that knows no leader is not part of one. */
export function quorumOf(members: MemberStatus[]): Quorum {
  const answering = members.filter((m) => m.answers);
  const following = answering.filter((m) => m.leaderId !== null);
  const majority = Math.floor(members.length / 2) + 1;
  const state = following.length < majority ? 'lost' : following.length < members.length ? 'degraded' : 'healthy';
  return { state, seen: describeMembers(members) };
}

function describeMembers(members: MemberStatus[]): string {
  const following = members.filter((m) => m.answers && m.leaderId !== null).map((m) => m.name);
  const leaderless = members.filter((m) => m.answers && m.leaderId === null).map((m) => m.name);
  const silent = members.filter((m) => !m.answers).map((m) => m.name);
  const parts: string[] = [];
  if (following.length) parts.push(`${list(following)} ${following.length === 1 ? 'answers' : 'answer'}`);
  if (leaderless.length) {
    parts.push(`${list(leaderless)} ${leaderless.length === 1 ? 'answers but knows' : 'answer but know'} no leader`);
  }
  if (silent.length) {
    const verb = silent.length === 1 ? 'does not' : 'do not';
    parts.push(`${list(silent)} ${parts.length ? verb : `${verb} answer`}`);
  }
  return parts.join(', ');
}

function list(names: string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** Names of the members that are the leader in somebody's eyes; more than one means that views differ right now. */
export function leadersOf(members: MemberStatus[]): string[] {
  const answering = members.filter((m) => m.answers);
  const leaderIds = new Set(answering.map((m) => m.leaderId).filter((id) => id !== null));
  return answering.filter((m) => leaderIds.has(m.memberId)).map((m) => m.name);
}
