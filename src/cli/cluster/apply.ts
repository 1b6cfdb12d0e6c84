import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { PgsError } from '../../errors.js';
import { applyDocument, planDocument } from '../../reconcile/apply-many.js';
import { applyCluster, planOf, withTenantLock } from '../../reconcile/change.js';
import { gatherCluster, withCluster } from '../../reconcile/cluster.js';
import type { Session } from '../../reconcile/session.js';
import type { Plan } from '../../reconcile/step.js';
import type { SpecDocument } from '../../topology/spec-documents.js';
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
}

/**
 * `-o json`: {subject, changes, steps: [{id, host, title, reason, diff, needs, timeoutMs, destructive}], warnings}; of a file with
 * several tenants as `planDocuments`
 */
export async function plan(given: string | undefined, options: PlanFlags, command: Command): Promise<void> {
  const parallel = parseParallel(options.parallel);
  await withHosts(command, async (context) => showPlan(context, given, options.file, parallel));
}

async function showPlan(
  context: Context,
  given: string | undefined,
  file: string | undefined,
  parallel: number,
): Promise<void> {
  const { session, terminal } = context;
  if (file === undefined) {
    const tenant = await resolveTenant(session, given);
    const found = await withCluster(session, tenant, async (open) => planOf(open, await gatherCluster(session, open)));
    return showDryRun(terminal, found);
  }
  const documents = await readDocuments(session, file, given);
  if (documents.length === 1) return showDryRun(terminal, await planDocument(session, documents[0]!));
  const { planDocuments } = await import('./apply-many.js');
  await planDocuments(context, documents, parallel);
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied}; of a file with several tenants as `applyDocuments` */
export async function apply(given: string | undefined, options: ApplyFlags, command: Command): Promise<void> {
  const { file, force } = options;
  const parallel = parseParallel(options.parallel);
  await withHosts(command, async (context) => {
    if (options.dryRun) return showPlan(context, given, file, parallel);
    const { session, terminal, signal } = context;
    if (file === undefined) return showChange(terminal, await applyStored(context, given, force));
    const documents = await readDocuments(session, file, given);
    if (documents.length === 1) {
      const onEvent = reportSteps(terminal);
      const done = await applyDocument(session, documents[0]!, { signal, onEvent, force });
      return showChange(terminal, done.plan);
    }
    const { applyDocuments } = await import('./apply-many.js');
    await applyDocuments(context, documents, { parallel, force });
  });
}

async function applyStored(
  { session, terminal, signal }: Context,
  given: string | undefined,
  force: boolean,
): Promise<Plan> {
  const onEvent = reportSteps(terminal);
  const tenant = await resolveTenant(session, given);
  return withTenantLock(session, tenant, `apply ${tenant}`, signal, (lock, held) =>
    withCluster(session, tenant, (open) => applyCluster(session, open, lock, { signal: held, onEvent, force })),
  );
}

/** All that the file has is judged, whoever of it is named. @throws PgsError `usage` or `configuration` */
async function readDocuments(session: Session, file: string, given: string | undefined): Promise<SpecDocument[]> {
  const { readSpecDocuments } = await import('../../topology/spec-documents.js');
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new PgsError('usage', { doing: `reading ${file}`, found: cause.message });
  });
  const { documents, judge } = readSpecDocuments(text, file);
  const stored = (await (await session.store()).listTenants()).filter(({ record }) => record.phase !== 'retired');
  const { defaults } = session.inventory;
  judge(
    stored.map(({ record }) => record.spec),
    { ...defaults, postgres: defaults.postgres ?? 0 },
  );
  const named = documents.filter(({ tenant }) => given === undefined || tenant === given);
  if (named.length > 0) return named;
  const found = `it is for ${documents.map(({ tenant }) => tenant).join(', ')}, not for ${given}`;
  throw new PgsError('usage', { doing: `reading ${file}`, found });
}
