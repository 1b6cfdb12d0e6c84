// etcd's member moves from one host to another: the old one leaves before the new one comes, each step after a look at the quorum. Every
// step is seen in etcd's own list of members, so that an interrupted one is gone on with.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { endpointUrl } from '../etcd/access.js';
import { desiredEtcd, etcdMemberData } from '../etcd/desired.js';
import { nextMembershipMove, type MembershipChange, type MembershipMove } from '../etcd/membership.js';
import { fleetEtcd } from '../etcd/plan.js';
import { gatherHostFacts, mergeWanted, wantedFor } from '../host/gather.js';
import { planResources } from '../host/plan-resources.js';
import { createDcsEffects, planFleetDcsToApply } from './dcs.js';
import { executePlan } from './execute.js';
import type { Session } from './session.js';
import type { Plan, StepEvent } from './step.js';

export interface EtcdReplaceOptions {
  signal: AbortSignal;
  onEvent: (event: StepEvent) => void;
  /** What was done to the list of members, in words. */
  onMove: (text: string) => void;
}

/** For one change of the members, elections on a busy machine included. */
const settleLimitMs = 60_000;

/** As pgs.yaml has it, with the new member in the place of the old one. @throws PgsError `endangers` when the quorum does not allow it */
export async function replaceEtcdMember(
  session: Session,
  leaves: string,
  joins: string,
  options: EtcdReplaceOptions,
): Promise<void> {
  const { inventory } = session;
  const etcd = fleetEtcd(inventory);
  const host = inventory.hosts.find((h) => h.name === joins)!;
  const change: MembershipChange = {
    leaves,
    joins: { name: joins, peerUrl: endpointUrl(host.address, etcd.peerPort) },
  };
  let deadlineMs = performance.now() + settleLimitMs;
  while (!options.signal.aborted) {
    try {
      const move = await lookForMove(session, change);
      if (move === null) break;
      await make(session, move, joins, options);
      deadlineMs = performance.now() + settleLimitMs;
    } catch (thrown) {
      if (!isPassing(thrown) || performance.now() > deadlineMs) throw thrown;
    }
    await sleep(500);
  }
  // The other members' files name the new one; they are restarted one at a time, the leader last.
  const plan = await planFleetDcsToApply(session);
  await executePlan(plan, createDcsEffects(session), options);
}

async function lookForMove(session: Session, change: MembershipChange): Promise<MembershipMove | null> {
  const { maintenance } = await session.dcs();
  const [members, statuses] = await Promise.all([maintenance.members(), maintenance.statuses()]);
  return nextMembershipMove(change, members, statuses);
}

/**
 * An election may come in between, and etcd refuses another change while it is not sure of the last one. Whether a change whose answer was
 * lost was made is seen in the list of members.
 */
function isPassing(thrown: unknown): boolean {
  if (!(thrown instanceof PgsError)) return false;
  const refused = /unhealthy cluster|not enough started|follows no leader|follow no leader/.test(thrown.details.found);
  return refused || thrown.code === 'unreachable' || thrown.code === 'unknown-result';
}

async function make(session: Session, move: MembershipMove, joins: string, options: EtcdReplaceOptions): Promise<void> {
  const { maintenance } = await session.dcs();
  switch (move.kind) {
    case 'remove':
      await maintenance.removeMember(move.member.id);
      options.onMove(`etcd: ${move.member.name} is a member no more`);
      return;
    case 'add':
      await refuseOldData(session, joins);
      await maintenance.addMember(move.peerUrl);
      options.onMove(`etcd: ${joins} has a place as a member`);
      return;
    case 'start': {
      const plan = await planStart(session, joins);
      await executePlan(plan, createDcsEffects(session), options);
      await untilFollowing(session, joins);
    }
  }
}

/** @throws PgsError `endangers`: with data of another membership etcd would not start, or as another member */
async function refuseOldData(session: Session, joins: string): Promise<void> {
  const facts = await gatherHostFacts(session.hosts.get(joins), {
    users: [],
    paths: [{ path: etcdMemberData, public: false }],
    units: [],
  });
  const doing = `making ${joins} a member of etcd`;
  if (!facts.reachable) throw new PgsError('unreachable', { doing, host: joins, found: facts.why });
  if (facts.paths[etcdMemberData]?.kind === 'absent') return;
  throw new PgsError('endangers', {
    doing,
    host: joins,
    found: `${etcdMemberData} holds data of an earlier member`,
    hint: `If nothing there is needed: \`systemctl disable --now pgs-etcd.service && rm -r ${etcdMemberData}\` on ${joins}. Then run the same command again.`,
  });
}

async function planStart(session: Session, joins: string): Promise<Plan> {
  const { inventory, fleetSecrets } = session;
  const host = inventory.hosts.find((h) => h.name === joins)!;
  const resources = desiredEtcd(inventory, fleetSecrets, host, 'joining');
  const facts = await gatherHostFacts(session.hosts.get(joins), mergeWanted([wantedFor(resources)]));
  if (!facts.reachable) {
    throw new PgsError('unreachable', { doing: `starting etcd on ${joins}`, host: joins, found: facts.why });
  }
  const steps = planResources({ host: joins, subject: 'etcd', resources, facts });
  return { subject: `etcd on ${joins}`, steps, warnings: [] };
}

async function untilFollowing(session: Session, joins: string): Promise<void> {
  const { maintenance } = await session.dcs();
  const deadlineMs = performance.now() + settleLimitMs;
  for (;;) {
    const member = (await maintenance.statuses()).find((m) => m.name === joins);
    if (member?.answers && member.leaderId !== null) return;
    if (performance.now() > deadlineMs) {
      throw new PgsError('unknown-result', {
        doing: `starting etcd on ${joins}`,
        host: joins,
        found: member && !member.answers ? member.why : 'it follows no leader yet',
        hint: `See \`journalctl -u pgs-etcd\` on ${joins}, then run the same command again.`,
      });
    }
    await sleep(300);
  }
}
