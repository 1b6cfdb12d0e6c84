// A tenant of which nothing is to run: clients are turned away first, then the poolers stop, then the replicas, and the leader last, so that
// no member takes over and the one that has everything leads again. Files, data and the spec stay, and nothing comes up with a boot. Pure.

import { absentRouting, haproxyUnit, stoppedRouting } from '../../haproxy/desired.js';
import type { HostFacts } from '../host/facts.js';
import { planResources } from '../host/plan-resources.js';
import type { Resource } from '../host/resource.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader } from '../patroni/facts.js';
import type { Cluster } from '../topology/cluster.js';
import { desiredMember } from './member.js';
import type { PlanInput } from './plan-cluster.js';
import { blankStep, type Condition, type Step } from './step.js';

export function stopSteps(input: PlanInput): Step[] {
  const { cluster, facts } = input;
  const { tenant } = cluster;
  const unrouted = cluster.entries.flatMap((entry) =>
    planResources({
      host: entry.name,
      subject: `${tenant}-routing`,
      resources: stoppedRouting(cluster, entry, input.secrets, input.door),
      facts: facts.hosts[entry.name]!,
    }),
  );
  const leader = findLeader(facts.patroni)?.name;
  const ended = leader !== undefined ? [endSessionsStep(tenant, idsOf(unrouted))] : [];
  const members = cluster.members.map(({ name, host }) => ({ name, steps: quietSteps(input, host.name) }));
  const isPatroni = ({ action }: Step) => action.kind === 'unit' && action.unit === patroniUnit(tenant);
  const others = members.flatMap(({ steps }) => steps.filter((step) => !isPatroni(step)));
  const before = [...unrouted, ...ended, ...others];
  const after = (needs: string[], step: Step) => ({ ...step, needs: [...new Set([...step.needs, ...needs])] });
  const patronis = (leads: boolean) =>
    members.flatMap(({ name, steps }) => ((name === leader) === leads ? steps.filter(isPatroni) : []));
  const replicas = patronis(false).map((step) => after(idsOf(before), step));
  const last = patronis(true).map((step) => after(idsOf([...before, ...replicas]), step));
  const waiting = others.map((step) =>
    step.action.kind === 'unit' ? after(idsOf([...unrouted, ...ended]), step) : step,
  );
  const steps = [...unrouted, ...ended, ...waiting, ...replicas, ...last];
  // Sessions come only by what is still there; without it there is nothing to end.
  return steps.some((step) => step.action.kind === 'unit' || step.action.kind === 'resources') ? steps : [];
}

function idsOf(steps: Step[]): string[] {
  return steps.map((s) => s.id);
}

/** The member with its files as they should be, and its units stopped. What it shares with other tenants runs on. */
function quietSteps({ cluster, secrets, dcs, facts }: PlanInput, host: string): Step[] {
  const found = facts.hosts[host];
  const member = cluster.members.find((m) => m.host.name === host)!;
  if (!found?.reachable) return [];
  const own = (r: Resource) => r.kind === 'unit' && r.name.includes(`@${cluster.tenant}.`);
  const resources = desiredMember(cluster, member, secrets, dcs).map((r): Resource =>
    r.kind === 'unit' && own(r) ? { ...r, state: 'stopped', enabled: false } : r,
  );
  return planResources({ host, subject: cluster.tenant, resources, facts: found });
}

/** Connections through the old worker of HAProxy would go on writing while the replicas stop. */
function endSessionsStep(tenant: string, needs: string[]): Step {
  return {
    ...blankStep(`${tenant}/end-sessions`),
    title: `end the sessions of ${tenant}'s clients`,
    reason: 'what is written now is to reach every replica',
    needs,
    timeoutMs: 20_000,
    action: { kind: 'end-sessions', tenant },
  };
}

/** Nothing of the tenant answers any more. */
export function stoppedProof(tenant: string, leaveOut: string[], needs: string[]): Step {
  return {
    ...blankStep(`${tenant}/stopped`),
    title: `see that nothing of ${tenant} runs`,
    reason: 'its members were stopped',
    needs,
    done: { kind: 'stopped', tenant, leaveOut },
  };
}

/** Takes the tenant out of an entry's HAProxy: its ports refuse connections then. */
export function unrouteSteps(cluster: Cluster, host: string, facts: HostFacts): Step[] {
  const subject = `${cluster.tenant}-routing`;
  const resources = absentRouting(cluster.tenant);
  const files = planResources({ host, subject, resources, facts, needs: [] });
  if (!facts.reachable) return files;
  const paths = resources.flatMap((r) => (r.kind === 'absent' ? [r.name] : []));
  const unit = facts.units[haproxyUnit];
  const stillLoaded = paths.filter((path) => unit?.active === 'active' && unit.loaded[path] !== undefined);
  if (stillLoaded.length === 0) return files;
  return [
    ...files,
    {
      ...blankStep(`${host}/${subject}/reload`),
      host,
      title: `reload ${haproxyUnit}`,
      reason: `it still routes ${cluster.tenant}`,
      needs: idsOf(files),
      action: { kind: 'unit', unit: haproxyUnit, verb: 'reload' },
      done: unloaded(paths),
    },
  ];
}

function unloaded(paths: string[]): Condition {
  return { kind: 'unit', unit: haproxyUnit, active: true, loaded: Object.fromEntries(paths.map((path) => [path, ''])) };
}
