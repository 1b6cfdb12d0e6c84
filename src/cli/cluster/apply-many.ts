// `pgs apply -f` and `pgs plan -f` with a file of several tenants: a line for each as it comes to its end, and one summary.

import Table from 'cli-table3';
import pc from 'picocolors';
import { describeError, errorToJson, exitCodePlanHasChanges } from '../../errors.js';
import {
  applyMany,
  countOutcomes,
  exitCodeOf,
  outcomes,
  planMany,
  type Outcome,
  type TenantOutcome,
} from '../../reconcile/apply-many.js';
import { describeMove, settleEtcdLeader } from '../../reconcile/etcd-leader.js';
import type { SpecDocument } from '../../topology/spec-documents.js';
import type { Context } from '../context.js';
import { changesOf, describePlan, planToJson } from '../plan-text.js';
import type { Terminal } from '../terminal.js';

/**
 * `-o json`: {tenants: [{tenant, outcome, tookMs, changes, warnings, error}], created, changed, unchanged, failed, notBegun, tookMs}; the
 * exit code is that of the gravest failure, 4 when it was interrupted
 */
export async function applyDocuments(
  { session, terminal, signal }: Context,
  documents: SpecDocument[],
  options: { parallel: number; force: boolean; dropData: Record<string, string[]> },
): Promise<void> {
  const startedMs = performance.now();
  let ended = 0;
  const all = await applyMany(session, documents, {
    ...options,
    signal,
    onStep: (tenant, event) => {
      if (event.kind === 'failed') terminal.progress(`${pc.red('✗')} ${tenant}: ${event.step.title}`);
    },
    onTenant: (tenant, what) => {
      if (what === 'begun') terminal.progress(`  ${tenant}: begins`);
      else if (what.outcome !== 'not begun') terminal.progress(describeEnd(what, ++ended, documents.length));
    },
  });
  if (all.some(({ outcome }) => outcome === 'created')) {
    const move = await settleEtcdLeader(session, null);
    if (move) terminal.progress(describeMove(move));
  }
  await summarize(terminal, all, performance.now() - startedMs);
  process.exitCode = exitCodeOf(all);
}

/** `-o json`: as `applyDocuments`, with the `plan` of each tenant; exit code 3 when there is something to do. */
export async function planDocuments(
  { session, terminal, signal }: Context,
  documents: SpecDocument[],
  options: { parallel: number; dropData: Record<string, string[]> },
): Promise<void> {
  const startedMs = performance.now();
  const all = await planMany(session, documents, { ...options, signal });
  const value = { ...toJson(all, performance.now() - startedMs), tenants: all.map(planned) };
  await terminal.result(value, () =>
    [...all.map(describePlanned), `${all.length} tenants: ${count(all, 'would be ')}`].join('\n'),
  );
  const hasWork = all.some(({ outcome }) => outcome === 'created' || outcome === 'changed');
  process.exitCode = exitCodeOf(all) || (hasWork ? exitCodePlanHasChanges : 0);
}

function planned(tenant: TenantOutcome): object {
  return { ...tenantToJson(tenant), plan: tenant.plan === null ? null : planToJson(tenant.plan) };
}

function describePlanned({ tenant, plan, error }: TenantOutcome): string {
  if (error) return describeError(error);
  return plan === null ? `${tenant}: not planned` : describePlan(plan);
}

function describeEnd({ tenant, outcome, tookMs, plan }: TenantOutcome, nth: number, of: number): string {
  const mark = outcome === 'failed' ? pc.red('✗') : pc.green('✓');
  const warnings = plan?.warnings.length ?? 0;
  const noted = warnings > 0 ? `, ${warnings} warning${warnings === 1 ? '' : 's'}` : '';
  return `${mark} ${tenant}: ${outcome} after ${seconds(tookMs)}${noted} (${nth} of ${of})`;
}

async function summarize(terminal: Terminal, all: TenantOutcome[], tookMs: number): Promise<void> {
  for (const { tenant, plan } of all) for (const text of plan?.warnings ?? []) terminal.warn(`${tenant}: ${text}`);
  await terminal.result(toJson(all, tookMs), () => {
    const table = new Table({
      head: ['tenant', 'outcome', 'changes', 'took'],
      style: { head: [], border: [], compact: true },
    });
    for (const { tenant, outcome, plan, tookMs: ms } of all) {
      table.push([tenant, outcome, plan === null ? '' : changesOf(plan).length, ms === 0 ? '' : seconds(ms)]);
    }
    const failed = all.flatMap(({ tenant, error }) => (error ? [`${tenant}\n${describeError(error)}`] : []));
    return [
      table.toString(),
      ...failed,
      `${all.length} tenants: ${count(all)}, after ${seconds(tookMs)}`,
      ...(all.some((t) => t.outcome === 'failed' || t.outcome === 'not begun') ? [next] : []),
    ].join('\n');
  });
}

const next =
  'Mend what is named, then run the same command again: what is done stays, and the rest goes on from there.';

function count(all: TenantOutcome[], verb = ''): string {
  const counts = countOutcomes(all);
  const said = (outcome: Outcome) =>
    verb !== '' && (outcome === 'created' || outcome === 'changed') ? verb + outcome : outcome;
  return outcomes.flatMap((o) => (counts[o] > 0 ? [`${counts[o]} ${said(o)}`] : [])).join(', ');
}

function toJson(all: TenantOutcome[], tookMs: number): object {
  const { 'not begun': notBegun, ...counts } = countOutcomes(all);
  return { tenants: all.map(tenantToJson), ...counts, notBegun, tookMs: Math.round(tookMs) };
}

function tenantToJson({ tenant, outcome, tookMs, plan, error }: TenantOutcome): object {
  return {
    tenant,
    outcome,
    tookMs: Math.round(tookMs),
    changes: plan === null ? null : changesOf(plan).length,
    warnings: plan?.warnings ?? [],
    error: error ? errorToJson(error) : null,
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
