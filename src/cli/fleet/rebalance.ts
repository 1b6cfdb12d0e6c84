// `pgs fleet rebalance`

import type { Command } from 'commander';
import Table from 'cli-table3';
import { exitCodePlanHasChanges } from '../../errors.js';
import { lookAtBalance, rebalanceLeaders, type MoveDone } from '../../reconcile/rebalance.js';
import type { RebalancePlan } from '../../reconcile/plan-rebalance.js';
import type { LeaderMove, MemberMove } from '../../topology/balance.js';
import { confirmByTyping, withHosts } from '../context.js';

export interface RebalanceFlags {
  dryRun: boolean;
  yes: boolean;
  force: boolean;
}

/**
 * `-o json`: {hosts: [{host, leaders, leadersAfter, members, isDraining}], moves: [{tenant, from, to}], skipped: [{tenant, why}], isEven,
 * members: [{tenant, member, from, to, command}], done: [{tenant, from, to, tookMs, writeGapMs}]}; with --dry-run exit code 3 when
 * leaders would move
 */
export async function rebalance({ dryRun, yes, force }: RebalanceFlags, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const plan = await lookAtBalance(session);
    if (dryRun) {
      if (plan.moves.length > 0) process.exitCode = exitCodePlanHasChanges;
      return terminal.result(toJson(plan, []), () => describePlan(plan, 'would'));
    }
    if (plan.moves.length > 0 && !yes) {
      await confirmByTyping('rebalance', describePlan(plan, 'would'), '--yes');
    }
    const done = await rebalanceLeaders(session, plan, {
      signal,
      force,
      onMove: (move, nth) => terminal.progress(`${describeMove(move)} (${nth} of ${plan.moves.length})`),
      onPhase: (_move, { phase, note }) => terminal.progress(`    ${phase.padEnd(11)} ${note}`),
      onDone: ({ tenant, to, result }) =>
        terminal.progress(`  ${to.name} leads ${tenant} after ${(result.tookMs / 1000).toFixed(2)} s`),
    });
    await terminal.result(toJson(plan, done), () => describePlan(plan, 'did'));
  });
}

function describeMove({ tenant, from, to }: LeaderMove): string {
  return `${tenant}: ${from.name} (${from.host}) hands over to ${to.name} (${to.host})`;
}

function describePlan(plan: RebalancePlan, mood: 'would' | 'did'): string {
  const { hosts, moves, skipped, isEven, members } = plan;
  const table = new Table({
    head: ['host', 'leaders', 'members'],
    style: { head: [], border: [], compact: true },
  });
  for (const { host, leaders, leadersAfter, members: count, isDraining } of hosts) {
    const change = leaders === leadersAfter ? String(leaders) : `${leaders} -> ${leadersAfter}`;
    table.push([isDraining ? `${host} (is being drained)` : host, change, count]);
  }
  return [
    table.toString(),
    ...(mood === 'would' ? moves.map((move) => `+ ${describeMove(move)}`) : []),
    ...skipped.map(({ tenant, why }) => `  ${tenant} is left as it is: ${why}`),
    ...(members.length > 0
      ? ['members could move, one after the other:', ...members.map((m) => `    ${commandOf(m)}`)]
      : []),
    judge(moves.length, isEven, mood),
  ].join('\n');
}

function judge(moves: number, isEven: boolean, mood: 'would' | 'did'): string {
  const even = isEven
    ? 'leaders are within 1 of even'
    : 'leaders cannot be within 1 of even with the members that could lead';
  if (moves === 0) return `${even}: nothing to change`;
  const count = `${moves} switchover${moves === 1 ? '' : 's'}`;
  return mood === 'would' ? `${count}, then ${even}` : `${even}, after ${count}`;
}

function commandOf({ member, to }: MemberMove): string {
  return `pgs cluster replace ${member} --to ${to}`;
}

function toJson({ members, ...plan }: RebalancePlan, done: MoveDone[]): object {
  return {
    ...plan,
    members: members.map((move) => ({ ...move, command: commandOf(move) })),
    done: done.map(({ tenant, from, to, result }) => ({
      tenant,
      from,
      to,
      tookMs: result.tookMs,
      writeGapMs: result.probe?.writeGapMs ?? null,
    })),
  };
}
