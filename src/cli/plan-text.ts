// Plans and their execution as text.

import pc from 'picocolors';
import { exitCodePlanHasChanges, exitCodes } from '../errors.js';
import type { StepEvent } from '../reconcile/step.js';
import type { Plan, Step } from '../reconcile/step.js';
import type { Terminal } from './terminal.js';

export function describePlan(plan: Plan): string {
  const changes = plan.steps.filter(isChange);
  const warnings = [...plan.warnings.map((w) => `warning: ${w}`), ...(plan.notes ?? [])].map((w) => pc.yellow(w));
  if (changes.length === 0) return [...warnings, `${plan.subject}: nothing to change`].join('\n');
  return [`${plan.subject}: ${changes.length} changes`, ...plan.steps.map(describeStep), ...warnings].join('\n');
}

/** Waiting and proving change nothing. */
function isChange(step: Step): boolean {
  return step.action.kind !== 'none';
}

export function hasChanges(plan: Plan): boolean {
  return plan.steps.some(isChange);
}

function describeStep(step: Step): string {
  const mark = step.destructive ? pc.red('-') : isChange(step) ? pc.green('+') : ' ';
  const lines = [`${mark} ${(step.host ?? 'cluster').padEnd(8)} ${step.title}`, `             ${pc.dim(step.reason)}`];
  for (const { what, before, after } of step.diff) {
    lines.push(`             ${what}`);
    if (before) lines.push(...before.split('\n').map((line) => pc.red(`               - ${line}`)));
    if (after) lines.push(...after.split('\n').map((line) => pc.green(`               + ${line}`)));
  }
  return lines.join('\n');
}

export function changesOf(plan: Plan): Step[] {
  return plan.steps.filter(isChange);
}

/** Shows what would be done; the exit code says whether there is something. `more` is added to the JSON. */
export async function showDryRun(terminal: Terminal, plan: Plan, more: object = {}): Promise<void> {
  await terminal.result({ ...(planToJson(plan) as object), ...more }, () => describePlan(plan));
  if (hasChanges(plan)) process.exitCode = exitCodePlanHasChanges;
  else if (plan.warnings.length > 0) process.exitCode = exitCodes['unknown-result'];
}

/** Shows what was done; what could not be looked at is not known to be as it should, and the exit code says so. */
export async function showChange(
  terminal: Terminal,
  plan: Plan,
  more: object = {},
  text = () =>
    `${plan.subject}: ${hasChanges(plan) ? `${changesOf(plan).length} changes applied` : 'nothing to change'}`,
): Promise<void> {
  for (const warning of plan.warnings) terminal.warn(warning);
  await terminal.result({ ...(planToJson(plan) as object), applied: true, ...more }, text);
  if (plan.warnings.length > 0) process.exitCode = exitCodes['unknown-result'];
}

/** The plan for scripts; a step's action is left out, since it may hold whole files. */
export function planToJson(plan: Plan): unknown {
  return {
    subject: plan.subject,
    changes: plan.steps.filter(isChange).length,
    steps: plan.steps.map(({ id, host, title, reason, diff, needs, timeoutMs, destructive }) => ({
      id,
      host,
      title,
      reason,
      diff,
      needs,
      timeoutMs,
      destructive,
    })),
    warnings: plan.warnings,
    notes: plan.notes ?? [],
  };
}

/** A line of progress for each step that ends; a line when a step takes long. */
export function reportSteps(terminal: Terminal, startedMs = performance.now()): (event: StepEvent) => void {
  return (event) => {
    const at = `${((event.atMs - startedMs) / 1000).toFixed(1)}s`.padStart(7);
    const where = (event.step.host ?? 'cluster').padEnd(8);
    if (event.kind === 'done') terminal.progress(`${pc.dim(at)} ${pc.green('✓')} ${where} ${event.step.title}`);
    if (event.kind === 'failed') terminal.progress(`${pc.dim(at)} ${pc.red('✗')} ${where} ${event.step.title}`);
  };
}
