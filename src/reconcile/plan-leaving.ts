// The part of a plan that sees a member off: what it left on its host goes once no entry leads there, and a host that is lost keeps a
// login that works no more. Pure.

import { planResources } from '../host/plan-resources.js';
import { withLogin } from '../topology/membership.js';
import type { PlacedLeaving } from '../topology/cluster.js';
import { absentMember } from './member.js';
import type { PlanInput } from './plan-cluster.js';
import { recordMembersStep } from './plan-moves.js';
import { blankStep, type Step } from './step.js';

/** @param needs ids of the steps after which no entry leads to a member that leaves */
export function leavingSteps(input: Pick<PlanInput, 'cluster' | 'facts'>, needs: string[]): Step[] {
  return input.cluster.leaving.flatMap((member) => seeOff(member, input, needs));
}

function seeOff(
  member: PlacedLeaving,
  { cluster, facts }: Pick<PlanInput, 'cluster' | 'facts'>,
  needs: string[],
): Step[] {
  const found = facts.hosts[member.host.name];
  if (!found?.reachable) return [];
  const { tenant } = cluster;
  const resources = absentMember(cluster, member.data === 'purge');
  const removal = planResources({ host: member.host.name, subject: tenant, resources, facts: found, needs });
  return [
    ...removal,
    {
      ...blankStep(`${tenant}/gone/${member.name}`),
      title: `forget ${member.name}${member.data === 'keep' ? `; its data stays on ${member.host.name}` : ''}`,
      reason: 'nothing of it runs any more',
      needs: [...needs, ...removal.map((s) => s.id)],
      action: { kind: 'forget-member', tenant, member: member.name },
    },
  ];
}

/**
 * The login that a lost host knows is changed in etcd when every member's Patroni has the new one: tokens of the old one end with it.
 * @param needs ids of the steps that bring the new one to the members
 */
export function newLoginSteps({ cluster }: PlanInput, needs: string[]): Step[] {
  const { tenant, allocation } = cluster;
  const names = (allocation.leaving ?? []).filter((m) => m.login === 'changing').map((m) => m.name);
  if (names.length === 0) return [];
  const change: Step = {
    ...blankStep(`dcs/${tenant}/login`),
    title: `give ${tenant} its new login to etcd`,
    reason: `the host of ${names.join(', ')} knows the old one`,
    needs,
    timeoutMs: 20_000,
    action: { kind: 'dcs-tenant-user', tenant, want: 'present' },
  };
  const after = withLogin(allocation, names, 'changed');
  return [
    change,
    recordMembersStep(tenant, 'login-changed', 'record that the old login works no more', after, [change.id]),
  ];
}

/** Who is on the way, for a warning. */
export function describeMoves({ cluster, facts }: PlanInput): string[] {
  const { tenant, allocation } = cluster;
  const lost = cluster.leaving.filter((m) => !facts.hosts[m.host.name]?.reachable);
  const coming = allocation.members.filter((m) => m.joining);
  return [
    ...coming.map((m) => {
      const then = m.joining?.replaces ? `; ${m.joining.replaces} leaves when it follows` : '';
      return `${m.name} joins on ${m.host}${then} (\`pgs apply ${tenant}\`)`;
    }),
    ...lost.map((m) => {
      const login = {
        works: `its login to etcd is to be changed (\`pgs apply ${tenant}\`)`,
        changing: 'its login to etcd is being changed',
        changed: 'its login to etcd works no more',
      }[m.login ?? 'works'];
      return `${m.name} has left, and ${m.host.name} does not answer: ${login}; what is left there goes with \`pgs apply ${tenant}\` when it does`;
    }),
  ];
}
