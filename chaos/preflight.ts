// What has to hold before anything is broken: the scenario's hypothesis about the steady state, and that nobody is endangered who did not
// agree. Pure: facts in, reasons out.

import { findLeader, judgeRpo, streamingReplicas } from '../src/patroni/facts.js';
import { faultNamed } from './faults/catalogue.js';
import type { Role, Scenario, Severity } from './scenario.js';
import { fitHosts, leaderHost, type HostNeed, type Scene } from './targets.js';

export interface PreflightFacts {
  scene: Scene;
  /** Every host of etcd answers and follows one leader. */
  quorum: 'healthy' | 'degraded' | 'lost';
  fencing: string;
  /** Undos that an earlier run left armed, by host. */
  armed: Record<string, string[]>;
  sandbox: boolean;
  production: boolean;
  accepted: Severity[];
  powerDriver: string | null;
}

/** Why the scenario may not be run here at all. */
export function lastingRefusals(scenario: Scenario, facts: PreflightFacts): string[] {
  return [...severityRefusals(scenario, facts), ...needRefusals(scenario, facts)];
}

/**
 * Destructive scenarios are for sandboxes. Outside one a disruptive scenario needs consent, and a tenant marked production takes safe
 * ones, and disruptive ones after consent, wherever it is.
 */
export function severityRefusals(
  { severity }: Pick<Scenario, 'severity'>,
  { sandbox, production, accepted }: Pick<PreflightFacts, 'sandbox' | 'production' | 'accepted'>,
): string[] {
  if (severity === 'destructive' && (!sandbox || production)) return ['it is destructive, which is for sandboxes only'];
  if (severity === 'disruptive' && (!sandbox || production) && !accepted.includes('disruptive')) {
    const where = production ? 'the tenant is marked production' : 'this is no sandbox';
    return [`it is disruptive, and ${where}: say --accept disruptive`];
  }
  return [];
}

function needRefusals(scenario: Scenario, { scene, powerDriver }: PreflightFacts): string[] {
  const power = scenario.needs.includes('power') || scenario.method.some((s) => s.fault === 'power-off');
  const missing = new Set(scenario.method.flatMap(({ on }) => missingNeeds(scene, on.role, hostNeeds(scenario))));
  return [
    ...(power && powerDriver === null ? ['no power switch is known: say --power-command <program>'] : []),
    ...[...missing].map((need) => `unavailable here: ${unavailable[need]}`),
  ];
}

/** What the hosts that a fault is for must have. */
export function hostNeeds({ needs }: Pick<Scenario, 'needs'>): HostNeed[] {
  return needs.filter((need) => need !== 'power');
}

/** Of a role that has somebody, and nobody who is fit. */
function missingNeeds(scene: Scene, role: Role, needs: HostNeed[]): HostNeed[] {
  if (fitHosts(scene, role, []).length === 0 || fitHosts(scene, role, needs).length > 0) return [];
  const alone = needs.filter((need) => fitHosts(scene, role, [need]).length === 0);
  return alone.length > 0 ? alone : needs;
}

const unavailable: Record<HostNeed, string> = {
  netem: 'the kernel of the hosts has no netem',
  'own-kernel':
    'the hosts are containers, which share the clock, the disk and the memory accounting of the machine below',
  tmpfs: "the members' homes cannot be given a file system of their own",
};

/** Why the scenario may not be run now. */
export function stateRefusals(scenario: Scenario, facts: PreflightFacts): string[] {
  const { scene, armed } = facts;
  const left = Object.entries(armed).filter(([, ids]) => ids.length > 0);
  const probes = scenario['steady-state-hypothesis'].probes;
  return [
    ...left.map(
      ([host, ids]) =>
        `${host} still has the undo of ${ids.join(', ')}: run \`pgs chaos heal ${scene.cluster.tenant}\``,
    ),
    ...probes.flatMap(({ probe, tolerance }) => {
      const found = probed(probe, facts);
      return found.value === tolerance || (tolerance === true && found.value === true) ? [] : [found.why];
    }),
  ];
}

function probed(
  probe: Scenario['steady-state-hypothesis']['probes'][number]['probe'],
  { scene, quorum, fencing }: PreflightFacts,
): { value: boolean | number; why: string } {
  const { patroni, cluster, etcdLeader } = scene;
  const leader = findLeader(patroni);
  switch (probe) {
    case 'writable':
      return { value: leader !== null, why: 'no member leads' };
    case 'streaming': {
      const streaming = streamingReplicas(patroni).length;
      const wanted = cluster.members.length - 1;
      return { value: streaming === wanted, why: `${streaming} of ${wanted} replicas stream` };
    }
    case 'synchronous': {
      const rpo = judgeRpo(patroni, cluster.spec.rpoBytes, cluster.spec.durability);
      return { value: rpo === 'holds', why: `RPO 0 does not hold now: ${rpo}` };
    }
    case 'quorum':
      return { value: quorum === 'healthy', why: `etcd is ${quorum}` };
    case 'fenced':
      return { value: fencing === 'fenced', why: `the cluster is ${fencing}` };
    case 'not-paused':
      return { value: leader?.fact.paused !== true, why: 'Patroni is paused, which releases the watchdog' };
    case 'leaders-apart':
    case 'leaders-together': {
      const together = leaderHost(scene)?.name === etcdLeader;
      const value = probe === 'leaders-together' ? together : !together;
      return {
        value,
        why: `etcd's leader is on ${etcdLeader ?? 'no host'}, PostgreSQL's on ${leaderHost(scene)?.name ?? 'none'}`,
      };
    }
  }
}

/** Every tenant that the scenario can touch, its own first: a fault that is wider than a member touches all who are on its hosts. */
export function touchedTenants(scenario: Scenario, tenant: string, neighbours: string[]): string[] {
  const wide = scenario.method.some((s) => faultNamed(s.fault).scope !== 'member');
  return wide ? [tenant, ...neighbours.filter((n) => n !== tenant)] : [tenant];
}
