// `pgs cert list` and `pgs cert renew`

import Table from 'cli-table3';
import type { Command } from 'commander';
import { exitCodes, PgsError } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { listCertificates, type ListedCertificate } from '../../reconcile/certificate-list.js';
import { planFleetRenewal, planRenewal, renewFleet, renewTenant } from '../../reconcile/renew.js';
import type { Plan } from '../../reconcile/step.js';
import { withHosts, type Context } from '../context.js';
import { changesOf, reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from '../cluster/tenant.js';
import type { RenewFlags } from '../commands/secrets.js';
import type { Terminal } from '../terminal.js';

/** `-o json`: {certificates: [{what, tenant, host, issuer, state, ends, daysLeft, verdict}]} */
export async function certList(given: string | undefined, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const tenant = given === undefined ? null : parseTenantName(given);
    const certificates = await listCertificates(session, tenant, new Date());
    await terminal.result({ certificates }, () => describeList(certificates, terminal));
    if (certificates.some(({ verdict }) => verdict !== 'fine')) process.exitCode = 1;
    else if (certificates.some(({ state }) => state === 'unknown')) process.exitCode = exitCodes['unknown-result'];
  });
}

function describeList(certificates: ListedCertificate[], { color }: Terminal): string {
  const table = new Table({
    head: ['of', 'certificate', 'host', 'issued by', 'ends', 'days', 'state'],
    style: { head: [], border: [], compact: true },
  });
  const paint = { fine: (text: string) => text, near: color.yellow, ended: color.red };
  for (const c of certificates) {
    const days = c.verdict === 'ended' ? `ended ${-c.daysLeft} ago` : String(c.daysLeft);
    const state = c.state === 'stored' ? color.yellow('stored, not in force') : c.state;
    table.push([
      c.tenant ?? 'fleet',
      c.what,
      c.host ?? '-',
      c.issuer,
      c.ends.slice(0, 10),
      paint[c.verdict](days),
      state,
    ]);
  }
  const bad = certificates.filter(({ verdict }) => verdict !== 'fine');
  const hint = bad.length > 0 ? `${bad.length} have ended or end soon: ${renewals(bad)}` : 'none ends within 30 days';
  return `${table.toString()}\n${hint}`;
}

function renewals(bad: ListedCertificate[]): string {
  const owners = [...new Set(bad.map(({ tenant }) => tenant))];
  return owners.map((tenant) => `\`pgs cert renew ${tenant ?? '--fleet'}\``).join(', ');
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied} */
export async function certRenew(given: string | undefined, flags: RenewFlags, command: Command): Promise<void> {
  await withHosts(command, async (context) => {
    if (!flags.fleet) return renew(context, await resolveTenant(context.session, given), flags);
    if (given !== undefined) {
      throw new PgsError('usage', {
        doing: 'renewing certificates',
        found: `both --fleet and the tenant ${given} were given`,
        hint: 'Renew the one, then the other.',
      });
    }
    const { session, terminal, signal } = context;
    if (flags.dryRun) return showDryRun(terminal, await planFleetRenewal(session));
    const plan = await renewFleet(session, flags.all, { signal, onEvent: reportSteps(terminal) });
    await showChange(terminal, plan, {}, () => describeRenewal("the fleet's etcd", plan));
  });
}

async function renew({ session, terminal, signal }: Context, tenant: string, flags: RenewFlags): Promise<void> {
  if (flags.dryRun) return showDryRun(terminal, await planRenewal(session, tenant, flags.all));
  const plan = await renewTenant(session, tenant, flags.all, { signal, onEvent: reportSteps(terminal) });
  await showChange(terminal, plan, {}, () => describeRenewal(tenant, plan));
}

function describeRenewal(what: string, plan: Plan): string {
  const changes = changesOf(plan).length;
  return changes === 0
    ? `${what}: no certificate ends within 30 days, and all are in force`
    : `${what}: ${changes} changes applied; every process shows its present certificate`;
}
