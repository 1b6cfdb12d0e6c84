// The steps that make the fleet's etcd what it should be: members that do not run start together, since one alone waits
// for a quorum; members that must restart do so one at a time, the leader last; then authentication goes on. Pure.

import { PgsError } from '../errors.js';
import type { HostFacts } from '../host/facts.js';
import { planResources } from '../host/plan-resources.js';
import type { FleetEtcd, Inventory } from '../inventory/inventory.js';
import type { Plan, Step } from '../reconcile/step.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { desiredEtcd, etcdUnit } from './desired.js';
import { quorumOf, type MemberStatus } from './facts.js';

export interface DcsFacts {
  /** By host name, of the members' hosts. */
  hosts: Record<string, HostFacts>;
  members: MemberStatus[];
  authentication: 'on' | 'off' | 'unknown';
  /** Names of the members by etcd's own word; null while it cannot be asked. */
  memberNames: string[] | null;
}

/** An election and the first answers; a member that catches up after an outage may take longer, and a rerun goes on. */
const healthyTimeoutMs = 60_000;
const authenticationTimeoutMs = 30_000;

/**
 * @throws PgsError `endangers` if pgs.yaml names other members than the running etcd has, `usage` if etcd is external
 */
export function planDcs(inventory: Inventory, secrets: FleetSecrets, facts: DcsFacts): Plan {
  const etcd = fleetEtcd(inventory);
  refuseOtherMembers(etcd, facts, inventory);
  const steps = inventory.hosts
    .filter((host) => etcd.members.includes(host.name))
    .flatMap((host) => {
      const resources = desiredEtcd(inventory, secrets, host);
      return planResources({ host: host.name, subject: 'etcd', resources, facts: facts.hosts[host.name]! });
    });
  const isRestart = (step: Step) => isEtcdUnitStep(step) && step.action.verb !== 'start';
  const restarts = inRollingOrder(steps.filter(isRestart), facts.members);
  const planned = [...steps.filter((step) => !isRestart(step))];
  const startsOrStops = planned.some(isEtcdUnitStep) || quorumOf(facts.members).state !== 'healthy';
  if (startsOrStops) planned.push(healthyStep('dcs/healthy', etcd, idsOf(planned)));
  for (const restart of restarts) {
    planned.push({ ...restart, needs: idsOf(planned) });
    planned.push(healthyStep(`dcs/healthy-after-${restart.host}`, etcd, idsOf(planned)));
  }
  if (facts.authentication !== 'on') planned.push(authenticationStep(idsOf(planned)));
  return { subject: 'etcd', steps: planned, warnings: warningsOf(facts) };
}

export function fleetEtcd(inventory: Inventory): FleetEtcd {
  if (inventory.etcd.kind === 'fleet') return inventory.etcd;
  throw new PgsError('usage', {
    doing: 'making the etcd of the fleet',
    found: `${inventory.path} names an external etcd, which pgs uses but does not run`,
    hint: '`pgs dcs status` looks at it.',
  });
}

/** A member more or less is a change of membership that takes its own steps; by new files alone it would split the data. */
function refuseOtherMembers(etcd: FleetEtcd, { memberNames }: DcsFacts, { path }: Inventory): void {
  if (!memberNames) return;
  const same = memberNames.length === etcd.members.length && etcd.members.every((name) => memberNames.includes(name));
  if (same) return;
  throw new PgsError('endangers', {
    doing: 'planning the etcd of the fleet',
    found: `etcd runs with the members ${memberNames.join(', ')}, and ${path} names ${etcd.members.join(', ')}`,
    hint: 'Put the members back into pgs.yaml as they are: pgs does not change the membership of a running etcd yet.',
  });
}

type EtcdUnitStep = Step & { action: Extract<Step['action'], { kind: 'unit' }> };

function isEtcdUnitStep(step: Step): step is EtcdUnitStep {
  return step.action.kind === 'unit' && step.action.unit === etcdUnit;
}

/** Followers in the order given, the leader last: its going costs an election, and the new leader should not go next. */
function inRollingOrder(restarts: Step[], members: MemberStatus[]): Step[] {
  const leads = (step: Step) => members.some((m) => m.answers && m.name === step.host && m.memberId === m.leaderId);
  return [...restarts.filter((step) => !leads(step)), ...restarts.filter(leads)];
}

function healthyStep(id: string, etcd: FleetEtcd, needs: string[]): Step {
  return {
    ...clusterStep(id, needs),
    title: `wait until all ${etcd.members.length} members of etcd answer and follow one leader`,
    reason: 'what comes next must not meet a cluster that is short of a member',
    timeoutMs: healthyTimeoutMs,
    action: { kind: 'none' },
    done: { kind: 'dcs-healthy', members: etcd.members.length },
  };
}

function authenticationStep(needs: string[]): Step {
  return {
    ...clusterStep('dcs/authentication', needs),
    title: "turn etcd's authentication on",
    reason: 'without it every client certificate of the fleet opens every key',
    timeoutMs: authenticationTimeoutMs,
    action: { kind: 'dcs-auth-enable' },
    done: { kind: 'none' },
  };
}

function clusterStep(id: string, needs: string[]): Pick<Step, 'id' | 'host' | 'diff' | 'needs' | 'destructive'> {
  return { id, host: null, diff: [], needs, destructive: false };
}

function idsOf(steps: Step[]): string[] {
  return steps.map((step) => step.id);
}

function warningsOf({ members }: DcsFacts): string[] {
  const alarms = members.flatMap((m) => (m.answers ? m.alarms : []));
  const kinds = [...new Set(alarms.map((a) => a.kind))];
  return kinds.map((kind) =>
    kind === 'NOSPACE'
      ? 'etcd is full (alarm NOSPACE) and takes no writes: see `pgs dcs status`'
      : `etcd has the alarm ${kind}: see \`pgs dcs status\``,
  );
}
