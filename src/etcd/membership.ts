// Changing who is a member of the fleet's etcd: one leaves before another comes, and the quorum is looked at before each step, since a
// member that is added and does not run counts for the majority at once. Pure.

import { PgsError } from '../errors.js';
import type { MemberStatus } from './facts.js';

/** A member by the cluster's own word. */
export interface EtcdMembership {
  /** Decimal text. */
  id: string;
  /** Empty while it has never started. */
  name: string;
  peerUrls: string[];
}

export interface MembershipChange {
  leaves: string;
  joins: { name: string; peerUrl: string };
}

export type MembershipMove =
  | { kind: 'remove'; member: EtcdMembership }
  | { kind: 'add'; peerUrl: string }
  /** It is a member and does not answer: its etcd is to be started. */
  | { kind: 'start'; name: string };

/**
 * The next step; null when it is done.
 * @throws PgsError `endangers` while another member does not answer, or follows no leader
 */
export function nextMembershipMove(
  { leaves, joins }: MembershipChange,
  members: EtcdMembership[],
  statuses: MemberStatus[],
): MembershipMove | null {
  const joined = members.find((m) => m.peerUrls.includes(joins.peerUrl));
  const leaver = members.find((m) => m.name === leaves && m !== joined);
  const answers = statuses.some((s) => s.name === joins.name && s.answers && s.leaderId !== null);
  if (!leaver && joined && answers) return null;
  const others = members.filter((m) => m !== leaver && m !== joined);
  refuseShort(others, statuses, leaves);
  if (leaver) return { kind: 'remove', member: leaver };
  return joined ? { kind: 'start', name: joins.name } : { kind: 'add', peerUrl: joins.peerUrl };
}

function refuseShort(others: EtcdMembership[], statuses: MemberStatus[], leaves: string): void {
  const silent = others.filter((m) => !statuses.some((s) => s.name === m.name && s.answers && s.leaderId !== null));
  if (silent.length === 0) return;
  throw new PgsError('endangers', {
    doing: `replacing etcd member ${leaves}`,
    found: `of its other members ${silent.map((m) => m.name || m.id).join(', ')} ${silent.length > 1 ? 'do' : 'does'} not answer or ${silent.length > 1 ? 'follow' : 'follows'} no leader`,
    hint: 'Bring them back first (`pgs dcs status`): without a majority etcd takes no change of its members. No member was changed.',
  });
}
