// The limits' part of a plan: the slice's drop-in on every member's host, and the question to the kernel whether they are in force. Pure.

import { desiredLimits } from '../host/limits.js';
import { planResources } from '../host/plan-resources.js';
import { patroniUnit } from '../patroni/desired.js';
import { tenantSlice, type PlacedMember } from '../topology/cluster.js';
import { isLimited, memoryLimitMiB } from '../topology/limits.js';
import type { PlanInput } from './plan-cluster.js';
import { serves } from './plan-members.js';
import { blankStep, type Step } from './step.js';

/**
 * The drop-in on each member's host. `early`: before PostgreSQL restarts, since it may take more from now on; `late`: after it has restarted,
 * since less memory than it has taken would have it killed.
 */
export function limitSteps(input: PlanInput, when: 'early' | 'late', needs: string[]): Step[] {
  const { cluster, facts } = input;
  const resources = desiredLimits(cluster.spec);
  const subject = `${cluster.tenant}-limits`;
  return cluster.members.flatMap((member) => {
    const host = member.host.name;
    const found = facts.hosts[host];
    if (!found?.reachable || lowersMemory(input, member) !== (when === 'late')) return [];
    return planResources({ host, subject, resources, facts: found, needs });
  });
}

/** Less than the drop-in that is there allows; what does not serve takes nothing yet. */
function lowersMemory({ cluster, facts }: PlanInput, member: PlacedMember): boolean {
  const wantedMiB = memoryLimitMiB(cluster.spec.limits);
  if (wantedMiB === null || !serves(member, facts)) return false;
  const host = facts.hosts[member.host.name];
  const file = desiredLimits(cluster.spec).find((r) => r.kind === 'file')!;
  const found = host?.reachable ? host.paths[file.path] : undefined;
  const told = found?.kind === 'file' ? /^MemoryMax=(\d+)M$/m.exec(found.content ?? '') : null;
  return told === null || Number(told[1]) > wantedMiB;
}

/** What systemd was told of limits is one thing, what the kernel does another: it is asked with every apply. */
export function limitChecks({ cluster, facts }: PlanInput, needs: string[]): Step[] {
  const { tenant, spec } = cluster;
  const { limits } = spec;
  if (!isLimited(limits)) return [];
  return cluster.members.flatMap(({ host }): Step[] => {
    if (!facts.hosts[host.name]?.reachable) return [];
    return [
      {
        ...blankStep(`${host.name}/${tenant}/limits`),
        host: host.name,
        title: `see that the limits of ${tenant} are in force`,
        reason: 'the kernel may not have the controllers that they need',
        needs,
        done: { kind: 'limits', tenant, slice: tenantSlice(tenant), unit: patroniUnit(tenant), limits },
      },
    ];
  });
}
