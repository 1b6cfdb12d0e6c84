import type { Command } from 'commander';
import { PgsError, exitCodePlanHasChanges } from '../../errors.js';
import { createCluster, planCreate, type CreateRequest } from '../../reconcile/create.js';
import { describeMove, settleEtcdLeader } from '../../reconcile/etcd-leader.js';
import { describeStatus } from '../../reconcile/status-text.js';
import { parseSetting } from '../../topology/settings.js';
import type { CreateOptions } from '../commands/cluster.js';
import { withHosts } from '../context.js';
import { describePlan, hasChanges, planToJson, reportSteps } from '../plan-text.js';
import { gatherStatus } from '../../reconcile/gather-status.js';

/** `-o json`: the cluster's status as `pgs cluster status -o json`; with --dry-run the plan. */
export async function create(tenant: string | undefined, options: CreateOptions, command: Command): Promise<void> {
  const request = requestOf(tenant, options);
  await withHosts(command, async ({ session, terminal, signal }) => {
    if (options.dryRun) {
      const { plan, open } = await planCreate(session, request);
      open.patroni.close();
      await terminal.result(planToJson(plan), () => describePlan(plan));
      if (hasChanges(plan)) process.exitCode = exitCodePlanHasChanges;
      return;
    }
    const { open, plan } = await createCluster(session, request, { signal, onEvent: reportSteps(terminal) });
    open.patroni.close();
    for (const warning of plan.warnings) terminal.warn(warning);
    const move = await settleEtcdLeader(session, null);
    if (move) terminal.progress(describeMove(move));
    const status = await gatherStatus(session, open.cluster.tenant);
    await terminal.result(status, () => describeStatus(status));
  });
}

function requestOf(tenant: string | undefined, options: CreateOptions): CreateRequest {
  const given = {
    tenant,
    replicas: wholeNumber('--replicas', options.replicas),
    postgres: wholeNumber('--postgres', options.postgres),
    rto: options.rto,
    rpo: wholeNumber('--rpo', options.rpo),
    durability: options.durability,
    watchdog: options.watchdog,
    pool: options.pool,
    production: options.production,
    settings: options.set.length > 0 ? Object.fromEntries(options.set.map((text) => parseSetting(text))) : undefined,
  };
  return {
    given: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    hosts: options.hosts === undefined ? null : options.hosts.split(',').map((name) => name.trim()),
    source: 'the options',
    reuseData: options.reuseData,
  };
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw new PgsError('usage', { doing: `reading ${option}`, found: `${JSON.stringify(text)} is not a whole number` });
}
