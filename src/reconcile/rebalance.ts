// `pgs fleet rebalance`: looks at every tenant, then lets other members lead where that makes hosts more even, one switchover at a time.
// Nothing is stored: what is left to do shows in who leads, so the same command goes on after a failure.

import { PgsError, toPgsError } from '../errors.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { parseHolder } from '../state/holder.js';
import { readHostNotes } from '../state/hosts.js';
import { stateKeys } from '../state/store.js';
import type { LeaderMove } from '../topology/balance.js';
import type { TenantRecord } from '../topology/tenant.js';
import { runBounded } from './bounded.js';
import { withCluster } from './cluster.js';
import type { PhaseDone } from './leader-change.js';
import { planRebalance, type LeadershipFacts, type RebalancePlan } from './plan-rebalance.js';
import type { Session } from './session.js';
import { switchOver, type SwitchoverResult } from './switchover.js';

/** Tenants that are looked at side by side: each is a question to each of its members. */
const looksMax = 8;

export interface MoveDone extends LeaderMove {
  result: SwitchoverResult;
}

export interface RebalanceOptions {
  signal: AbortSignal;
  /** End transactions that are open for long instead of stopping. */
  force: boolean;
  onMove: (move: LeaderMove, nth: number) => void;
  onPhase: (move: LeaderMove, phase: PhaseDone) => void;
  onDone: (done: MoveDone) => void;
}

/** What a rebalance would do now. Changes nothing. */
export async function lookAtBalance(session: Session): Promise<RebalancePlan> {
  const dcs = await session.dcs();
  const [stored, locks, notes] = await Promise.all([
    session.store().then((store) => store.listTenants()),
    dcs.getPrefix(stateKeys.lock('')),
    readHostNotes(dcs),
  ]);
  const lockedBy = (tenant: string) => {
    const found = locks.find(({ key }) => key === stateKeys.lock(tenant));
    return found ? (parseHolder(found.value)?.command ?? 'by somebody') : null;
  };
  const records = stored.map(({ record }) => record).filter(({ phase }) => phase !== 'retired');
  const looked = await runBounded(records, { parallel: looksMax }, 'looking at who leads', (record) =>
    look(session, record),
  );
  return planRebalance({
    hosts: session.inventory.hosts.map(({ name, zone }) => ({
      name,
      zone,
      isDraining: notes[name]?.state === 'draining',
    })),
    tenants: records.map((record, i): LeadershipFacts => {
      const end = looked[i]!;
      return {
        record,
        seen: end.state === 'done' ? end.value : null,
        why: end.state === 'failed' ? `it could not be looked at: ${end.error.details.found}` : null,
        lockedBy: lockedBy(record.spec.tenant),
      };
    }),
  });
}

async function look(session: Session, { spec }: TenantRecord): Promise<LeadershipFacts['seen']> {
  return withCluster(session, spec.tenant, async ({ cluster, patroni }) => {
    const [facts, keys] = await Promise.all([patroni.gather(), readTenantKeys(await session.dcs(), spec.tenant)]);
    const { leader, synchronous, failover, settings } = keys;
    return { cluster, patroni: facts, keys: { leader, synchronous, failover, paused: settings?.pause === true } };
  });
}

/**
 * The moves of a plan, one at a time; each looks once more whether it is safe (`switchOver`). Stops at the first that fails.
 * @param handOver the switchover of one tenant
 * @throws PgsError of that one, saying how many are done; `unknown-result` when interrupted between two
 */
export async function rebalanceLeaders(
  session: Session,
  { moves }: Pick<RebalancePlan, 'moves'>,
  { signal, force, onMove, onPhase, onDone }: RebalanceOptions,
  handOver: typeof switchOver = switchOver,
): Promise<MoveDone[]> {
  const done: MoveDone[] = [];
  for (const [i, move] of moves.entries()) {
    if (signal.aborted) throw stopped(new PgsError('unknown-result', { doing, found: 'interrupted' }), i, moves.length);
    onMove(move, i + 1);
    try {
      await refuseOtherLeader(session, move);
      const onPhaseOf = (phase: PhaseDone) => onPhase(move, phase);
      const result = await handOver(session, move.tenant, move.to.name, { signal, force, onPhase: onPhaseOf });
      done.push({ ...move, result });
      onDone(done.at(-1)!);
    } catch (thrown) {
      throw stopped(toPgsError(thrown, doing), i, moves.length);
    }
  }
  return done;
}

const doing = 'rebalancing leaders';

/** What was planned from is minutes old after many switchovers. */
async function refuseOtherLeader(session: Session, { tenant, from }: LeaderMove): Promise<void> {
  const { leader } = await readTenantKeys(await session.dcs(), tenant);
  if (leader === from.name) return;
  const found = `${leader ?? 'nobody'} leads ${tenant} now, and ${from.name} did when this was planned`;
  throw new PgsError('endangers', { doing, found });
}

function stopped({ code, details }: PgsError, done: number, of: number): PgsError {
  const rest = `${done} of ${of} switchovers are done, and no further one was begun. Run the same command again: it looks anew and goes on.`;
  return new PgsError(code, { ...details, hint: details.hint ? `${details.hint}\n${rest}` : rest });
}
