// Looking after etcd's members: status, alarms, moving the leader, defragmentation.

import { PgsError } from '../errors.js';
import type { EtcdConnection } from './connection.js';
import type { Alarm, MemberStatus } from './facts.js';
import type { EtcdMembership } from './membership.js';

export interface Maintenance {
  /** Every member, asked side by side and within a second, with or without a quorum. */
  statuses(): Promise<MemberStatus[]>;
  /** Names of the members by the cluster's word; one that never started has its id instead. Needs a quorum. */
  memberNames(): Promise<string[]>;
  /** Members by the cluster's word. Needs a quorum. */
  members(): Promise<EtcdMembership[]>;
  /** Takes a member out of the cluster, for good; no error if it is gone. Needs a quorum. */
  removeMember(id: string): Promise<void>;
  /** Makes a place for a member that starts afterwards. Needs a quorum that is left when the new one does not come. */
  addMember(peerUrl: string): Promise<void>;
  /** Alarms by the cluster's word; needs a quorum (`statuses` does not). */
  alarms(): Promise<Alarm[]>;
  /** Clears an alarm, after its cause is gone. */
  clearAlarm(alarm: Alarm): Promise<void>;
  /** Raises the alarm NOSPACE, as a member does whose quota is used up: etcd takes no writes until it is cleared. For drills. */
  raiseNoSpace(): Promise<void>;
  /** Makes the named member the leader; nothing happens if it is already. */
  moveLeader(name: string): Promise<void>;
  /** Gives space back to the file system; the member answers nothing meanwhile. One member at a time. */
  defragment(name: string): Promise<void>;
}

/** Defragmentation copies the whole database: at 2 GiB and a slow disk (50 MB/s) that is 40 s. */
const defragmentTimeoutMs = 120_000;

export function createMaintenance(connection: EtcdConnection): Maintenance {
  return {
    statuses: () => connection.statuses(),
    memberNames: async () => {
      const { members } = await connection.call({
        doing: 'listing the members of etcd',
        repeat: 'repeatable',
        perform: ({ cluster }, options) => cluster.memberList({}, options),
      });
      return members.map(({ name, ID }) => name || ID);
    },
    members: async () => {
      const { members } = await connection.call({
        doing: 'listing the members of etcd',
        repeat: 'repeatable',
        perform: ({ cluster }, options) => cluster.memberList({}, options),
      });
      return members.map(({ ID, name, peerURLs }) => ({ id: ID, name, peerUrls: peerURLs }));
    },
    removeMember: async (id) => {
      await connection.call({
        doing: 'removing a member of etcd',
        repeat: 'once',
        perform: async ({ cluster }, options) => {
          await cluster.memberRemove({ ID: id }, options).catch((thrown: unknown) => {
            if (!(thrown instanceof Error && /member not found/.test(thrown.message))) throw thrown;
          });
        },
      });
    },
    addMember: async (peerUrl) => {
      await connection.call({
        doing: `adding a member at ${peerUrl} to etcd`,
        repeat: 'once',
        perform: ({ cluster }, options) => cluster.memberAdd({ peerURLs: [peerUrl] }, options),
      });
    },
    alarms: async () => {
      const { alarms } = await connection.call({
        doing: 'reading the alarms of etcd',
        repeat: 'repeatable',
        perform: ({ maintenance }, options) => maintenance.alarm({ action: 'Get' }, options),
      });
      return alarms.map(({ memberID, alarm }) => ({ memberId: memberID, kind: String(alarm).toUpperCase() }));
    },
    clearAlarm: async ({ memberId, kind }) => {
      await connection.call({
        doing: `clearing the alarm ${kind} of etcd`,
        repeat: 'repeatable',
        perform: ({ maintenance }, options) =>
          maintenance.alarm(
            { action: 'Deactivate', memberID: memberId, alarm: kind === 'CORRUPT' ? 'Corrupt' : 'Nospace' },
            options,
          ),
      });
    },
    raiseNoSpace: async () => {
      const [member] = (await connection.statuses()).filter((m) => m.answers);
      await connection.call({
        doing: 'raising the alarm NOSPACE of etcd',
        repeat: 'repeatable',
        perform: ({ maintenance }, options) =>
          maintenance.alarm({ action: 'Activate', memberID: member?.memberId ?? '0', alarm: 'Nospace' }, options),
      });
    },
    moveLeader: (name) => moveLeader(connection, name),
    defragment: async (name) => {
      await connection.callMember(name, {
        doing: `defragmenting etcd member ${name}`,
        timeoutMs: defragmentTimeoutMs,
        perform: ({ maintenance }, options) => maintenance.defragment(options),
      });
    },
  };
}

async function moveLeader(connection: EtcdConnection, name: string): Promise<void> {
  const doing = `moving etcd's leader to ${name}`;
  const members = await connection.statuses();
  const target = members.find((m) => m.name === name);
  if (!target?.answers) {
    throw new PgsError('unfit', {
      doing,
      found: target ? `${name} does not answer: ${target.why}` : `no member ${name}`,
    });
  }
  if (target.leaderId === target.memberId) return;
  // Only the leader itself takes the request.
  const leader = members.find((m) => m.answers && m.memberId === target.leaderId);
  if (!leader) throw new PgsError('unfit', { doing, found: 'the present leader does not answer' });
  await connection.callMember(leader.name, {
    doing,
    perform: ({ maintenance }, options) => maintenance.moveLeader({ targetID: target.memberId }, options),
  });
}
