// The plan that removes a tenant, or what is left of it. Pure.

import { PgsError } from '../errors.js';
import { planResources } from '../host/plan-resources.js';
import type { Host } from '../inventory/inventory.js';
import type { Cluster } from '../topology/cluster.js';
import { absentMember } from './member.js';
import { idsOf, unknownHosts, type PlanInput } from './plan-cluster.js';
import { unrouteSteps } from './plan-stop.js';
import { blankStep, type Plan, type Step } from './step.js';

/** Of members, of those that leave, and with the data also where it was kept of those that left. */
function hostsToClear({ members, leaving, entries, allocation }: Cluster, purgeData: boolean): Host[] {
  const kept = purgeData ? entries.filter((e) => allocation.keptOn?.includes(e.name)) : [];
  return [...new Set([...members.map((m) => m.host), ...leaving.map((m) => m.host), ...kept])];
}

export interface DestroyInput extends Omit<PlanInput, 'secrets' | 'dcs' | 'door' | 'phase'> {
  purgeData: boolean;
}

/**
 * The plan that removes a tenant: entries first, so that clients are turned away, then members, then its place in the DCS.
 * @throws PgsError `endangers` when a host cannot be looked at: what is there is unknown, not absent
 */
export function planDestroy({ cluster, facts, purgeData }: DestroyInput): Plan {
  const { tenant } = cluster;
  const unknown = unknownHosts(facts);
  if (unknown.length > 0) {
    throw new PgsError('endangers', {
      doing: `planning to destroy ${tenant}`,
      found: unknown.map(([host, why]) => `${host} could not be looked at: ${why}`).join('\n'),
      hint: 'Bring the host back (or take it out of the fleet) and run the same command again; nothing has been removed by this run.',
    });
  }
  const steps: Step[] = [];
  for (const entry of cluster.entries) steps.push(...unrouteSteps(cluster, entry.name, facts.hosts[entry.name]!));
  const unrouted = idsOf(steps);
  for (const host of hostsToClear(cluster, purgeData)) {
    const resources = absentMember(cluster, purgeData);
    steps.push(
      ...planResources({
        host: host.name,
        subject: tenant,
        resources,
        facts: facts.hosts[host.name]!,
        needs: unrouted,
      }),
    );
  }
  const stopped = idsOf(steps);
  if (facts.dcsKeys || facts.dcsAccess !== 'absent') {
    steps.push({
      ...blankStep(`dcs/${tenant}/gone`),
      title: `remove the keys and the user of ${tenant} from etcd`,
      reason: 'no member is left to use them',
      needs: stopped,
      action: { kind: 'dcs-tenant-user', tenant, want: 'absent' },
    });
  }
  steps.push({
    ...blankStep(`${tenant}/forgotten`),
    title: purgeData ? `forget ${tenant}` : `record that ${tenant} is retired with its data kept`,
    reason: 'nothing of it runs any more',
    needs: idsOf(steps),
    action: { kind: 'record-retire', tenant, keepsData: !purgeData },
  });
  return { subject: `cluster ${tenant}`, steps, warnings: [] };
}
