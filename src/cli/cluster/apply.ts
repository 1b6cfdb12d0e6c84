import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { PgsError } from '../../errors.js';
import { applyCluster, planOf, withTenantLock } from '../../reconcile/change.js';
import { gatherCluster, withCluster } from '../../reconcile/cluster.js';
import { createCluster, planCreate } from '../../reconcile/create.js';
import { planRespec, respecCluster, type Respec } from '../../reconcile/respec.js';
import type { Session } from '../../reconcile/session.js';
import { specSchema } from '../../topology/spec.js';
import type { Plan } from '../../reconcile/step.js';
import { withHosts, type Context } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: {subject, changes, steps: [{id, host, title, reason, diff, needs, timeoutMs, destructive}], warnings} */
export async function plan(given: string | undefined, options: { file?: string }, command: Command): Promise<void> {
  await withHosts(command, async (context) => showPlan(context, given, options.file));
}

async function showPlan(
  { session, terminal }: Context,
  given: string | undefined,
  file: string | undefined,
): Promise<void> {
  await showDryRun(terminal, await planFor(session, given, file));
}

async function planFor(session: Session, given: string | undefined, file: string | undefined): Promise<Plan> {
  if (file === undefined) {
    const tenant = await resolveTenant(session, given);
    return withCluster(session, tenant, async (open) => planOf(open, await gatherCluster(session, open)));
  }
  const spec = await readSpecFile(file, given);
  if ((await (await session.store()).getTenant(spec.tenant)) !== null) return planRespec(session, fromFile(spec, file));
  const { open, plan } = await planCreate(session, { given: spec, hosts: null, source: file, reuseData: false });
  open.patroni.close();
  return plan;
}

export async function apply(
  given: string | undefined,
  options: { file?: string; dryRun: boolean; force: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async (context) => {
    if (options.dryRun) return showPlan(context, given, options.file);
    await showChange(context.terminal, await applyFor(context, given, options.file, options.force));
  });
}

async function applyFor(
  { session, terminal, signal }: Context,
  given: string | undefined,
  file: string | undefined,
  force: boolean,
): Promise<Plan> {
  const onEvent = reportSteps(terminal);
  if (file !== undefined) {
    const spec = await readSpecFile(file, given);
    if (!(await (await session.store()).getTenant(spec.tenant))) {
      const created = await createCluster(
        session,
        { given: spec, hosts: null, source: file, reuseData: false },
        { signal, onEvent },
      );
      created.open.patroni.close();
      return created.plan;
    }
    return respecCluster(session, fromFile(spec, file), { signal, onEvent, force });
  }
  const tenant = await resolveTenant(session, given);
  return withTenantLock(session, tenant, `apply ${tenant}`, signal, (lock, held) =>
    withCluster(session, tenant, (open) => applyCluster(session, open, lock, { signal: held, onEvent, force })),
  );
}

function fromFile(spec: SpecFileContent, file: string): Respec {
  return { tenant: spec.tenant, command: `apply -f ${file}`, source: file, given: () => spec };
}

type SpecFileContent = Record<string, unknown> & { tenant: string };

async function readSpecFile(file: string, given: string | undefined): Promise<SpecFileContent> {
  const { readYaml } = await import('../../yaml-file.js');
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new PgsError('usage', { doing: `reading ${file}`, found: cause.message });
  });
  const spec = readYaml(text, file, specSchema);
  if (given === undefined || given === spec.tenant) return spec;
  throw new PgsError('usage', { doing: `reading ${file}`, found: `it is for ${spec.tenant}, not for ${given}` });
}
