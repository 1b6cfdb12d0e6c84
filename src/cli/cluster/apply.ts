import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { PgsError } from '../../errors.js';
import { applyDocument, planDocument } from '../../reconcile/apply-many.js';
import { applyCluster, planOf, withTenantLock } from '../../reconcile/change.js';
import { gatherCluster, withCluster } from '../../reconcile/cluster.js';
import { SpecFaults } from '../../reconcile/refuse-objects.js';
import type { Session } from '../../reconcile/session.js';
import type { Plan } from '../../reconcile/step.js';
import { dropDataByTenant, parseDropData } from '../../topology/drop-data.js';
import type { SpecDocument, SpecDocuments } from '../../topology/spec-documents.js';
import { parseParallel } from '../commands/arguments.js';
import { withHosts, type Context } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

export interface PlanFlags {
  file?: string;
  parallel: string;
}

export interface ApplyFlags extends PlanFlags {
  dryRun: boolean;
  force: boolean;
  dropData: string[];
}

/**
 * `-o json`: {subject, changes, steps: [{id, host, title, reason, diff, needs, timeoutMs, destructive}], warnings, notes}; of a file with
 * several tenants as `planDocuments`
 */
export async function plan(given: string | undefined, options: PlanFlags, command: Command): Promise<void> {
  const parallel = parseParallel(options.parallel);
  await withHosts(command, async (context) => showPlan(context, given, { ...options, parallel, dropData: [] }));
}

async function showPlan(
  context: Context,
  given: string | undefined,
  { file, parallel, dropData: words }: { file?: string; parallel: number; dropData: string[] },
): Promise<void> {
  const { session, terminal } = context;
  if (file === undefined) {
    const tenant = await resolveTenant(session, given);
    const found = await withCluster(session, tenant, async (open) => {
      const dropData = parseDropData(tenant, words, open.record.spec);
      return planOf(open, await gatherCluster(session, open), dropData);
    });
    return showDryRun(terminal, found);
  }
  const { documents, refuse } = await readDocuments(session, file, given);
  const dropData = dropDataByTenant(words, documents);
  const [only, second] = documents;
  if (only && !second) {
    const work = () => planDocument(session, only, dropData[only.tenant]);
    return showDryRun(terminal, await atLines(only, refuse, work));
  }
  const { planDocuments } = await import('./apply-many.js');
  await planDocuments(context, documents, { parallel, dropData });
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied}; of a file with several tenants as `applyDocuments` */
export async function apply(given: string | undefined, options: ApplyFlags, command: Command): Promise<void> {
  const { file, force } = options;
  const parallel = parseParallel(options.parallel);
  await withHosts(command, async (context) => {
    if (options.dryRun) return showPlan(context, given, { ...options, parallel });
    const { session, signal } = context;
    if (file === undefined) return showApplied(context, await applyStored(context, given, options));
    const { documents, refuse } = await readDocuments(session, file, given);
    const dropData = dropDataByTenant(options.dropData, documents);
    const [only, second] = documents;
    if (only && !second) {
      const change = { signal, onEvent: reportSteps(context.terminal), force, dropData: dropData[only.tenant] ?? [] };
      const done = await atLines(only, refuse, () => applyDocument(session, only, change));
      return showApplied(context, done.plan);
    }
    const { applyDocuments } = await import('./apply-many.js');
    await applyDocuments(context, documents, { parallel, force, dropData });
  });
}

async function showApplied({ terminal }: Context, done: Plan): Promise<void> {
  for (const note of done.notes ?? []) terminal.progress(note);
  await showChange(terminal, done);
}

async function applyStored(
  { session, terminal, signal }: Context,
  given: string | undefined,
  { force, dropData: words }: ApplyFlags,
): Promise<Plan> {
  const onEvent = reportSteps(terminal);
  const tenant = await resolveTenant(session, given);
  return withTenantLock(session, tenant, `apply ${tenant}`, signal, (lock, held) =>
    withCluster(session, tenant, (open) => {
      const dropData = parseDropData(tenant, words, open.record.spec);
      return applyCluster(session, open, lock, { signal: held, onEvent, force, dropData });
    }),
  );
}

/** Faults that only the fleet shows get the lines of the file, too. */
async function atLines<T>(
  { tenant }: SpecDocument,
  refuse: SpecDocuments['refuse'],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof SpecFaults) refuse(tenant, thrown.faults);
    throw thrown;
  }
}

/** All that the file has is judged, whoever of it is named. @throws PgsError `usage` or `configuration` */
async function readDocuments(
  session: Session,
  file: string,
  given: string | undefined,
): Promise<Pick<SpecDocuments, 'documents' | 'refuse'>> {
  const { readSpecDocuments } = await import('../../topology/spec-documents.js');
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new PgsError('usage', { doing: `reading ${file}`, found: cause.message });
  });
  const { documents, judge, refuse } = readSpecDocuments(text, file);
  const stored = (await (await session.store()).listTenants()).filter(({ record }) => record.phase !== 'retired');
  const { defaults } = session.inventory;
  judge(
    stored.map(({ record }) => record.spec),
    { ...defaults, postgres: defaults.postgres ?? 0 },
  );
  const named = documents.filter(({ tenant }) => given === undefined || tenant === given);
  if (named.length > 0) return { documents: named, refuse };
  const found = `it is for ${documents.map(({ tenant }) => tenant).join(', ')}, not for ${given}`;
  throw new PgsError('usage', { doing: `reading ${file}`, found });
}
