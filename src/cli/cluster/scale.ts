// `pgs cluster scale` and `pgs cluster replace`

import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { changeMembers, planMembers, type MembersChange, type MembersRequest } from '../../reconcile/scale.js';
import { replicasMax } from '../../topology/spec.js';
import { confirmByTyping, withHosts, type Context } from '../context.js';
import { hasChanges, reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

interface CommonOptions {
  purgeData: boolean;
  yes: boolean;
  dryRun: boolean;
  force: boolean;
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied, joining, leaving} */
export async function scale(
  given: string | undefined,
  options: CommonOptions & { replicas: string; hosts?: string },
  command: Command,
): Promise<void> {
  const replicas = parseReplicas(options.replicas);
  const hosts = options.hosts?.split(',').map((name) => name.trim()) ?? null;
  await withHosts(command, async (context) => {
    const tenant = await resolveTenant(context.session, given);
    const request: MembersRequest = { kind: 'scale', replicas, hosts, data: options.purgeData ? 'purge' : 'keep' };
    const copies = replicas === 0 ? ['what is acknowledged from then on has ONE COPY: RPO 0 cannot be kept'] : [];
    await run(context, tenant, request, options, copies);
  });
}

/** `-o json` as `scale`. */
export async function replace(
  member: string,
  options: CommonOptions & { to?: string },
  command: Command,
): Promise<void> {
  const named = /^(.+)-\d+$/.exec(member)?.[1];
  if (named === undefined) {
    const found = `${JSON.stringify(member)} is not the name of a member`;
    throw new PgsError('usage', {
      doing: 'reading the command line',
      found,
      hint: 'Members are called acme-1, acme-2, …',
    });
  }
  const tenant = parseTenantName(named);
  await withHosts(command, async (context) => {
    await resolveTenant(context.session, tenant);
    const request: MembersRequest = {
      kind: 'replace',
      member,
      to: options.to ?? null,
      data: options.purgeData ? 'purge' : 'keep',
    };
    await run(context, tenant, request, options, []);
  });
}

function parseReplicas(text: string): number {
  const replicas = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (replicas <= replicasMax) return replicas;
  const found = `--replicas is a number from 0 to ${replicasMax}, not ${JSON.stringify(text)}`;
  throw new PgsError('usage', { doing: 'reading the command line', found });
}

async function run(
  { session, terminal, signal }: Context,
  tenant: string,
  request: MembersRequest,
  { yes, dryRun, force, purgeData }: CommonOptions,
  dangers: string[],
): Promise<void> {
  const planned = await planMembers(session, tenant, request);
  const more = ({ joining, leaving }: MembersChange) => ({
    joining: joining.map(({ name, host }) => ({ name, host })),
    leaving,
  });
  if (dryRun) return showDryRun(terminal, planned.plan, more(planned));
  const names = planned.leaving.map((m) => m.name).join(', ');
  const asks = [...dangers, ...(purgeData && names !== '' ? [`the data of ${names} will be removed`] : [])];
  if (asks.length > 0 && hasChanges(planned.plan) && !yes)
    await confirmByTyping(tenant, `${asks.join('\n')}.`, '--yes');
  const done = await changeMembers(session, tenant, request, { signal, force, onEvent: reportSteps(terminal) });
  await showChange(terminal, done.plan, more(planned), () => describe(tenant, planned, hasChanges(done.plan)));
}

function describe(tenant: string, { joining, leaving }: MembersChange, changed: boolean): string {
  if (!changed) return `${tenant}: nothing to change`;
  const came = joining.map((m) => `${m.name} follows on ${m.host}`);
  const left = leaving.map((m) => `${m.name} left ${m.host}`);
  return [`${tenant}: ${[...came, ...left].join('; ') || 'its members are as they should be'}`].join('\n');
}
