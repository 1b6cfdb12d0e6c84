// What convergence tests compare: every state that a killed run may leave behind, and what a fleet comes to apart from its secrets.

import { expect } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { planOf } from '../../src/reconcile/change.js';
import { gatherCluster, openCluster } from '../../src/reconcile/cluster.js';
import type { Plan } from '../../src/reconcile/step.js';
import type { Work } from './commands.js';
import { comparableObjects } from './simulated-objects.js';
import type { FleetState } from './simulated-fleet.js';
import { SimulatedFleet } from './simulated-fleet.js';

export interface Recorded {
  /** The fleet before each change, and after the last. */
  states: { before: string; state: FleetState }[];
  /** The fleet at the end. */
  fleet: SimulatedFleet;
}

/** Runs a command and keeps the state before every change of it: what `kill -9` at that moment leaves behind. */
export async function record(start: FleetState, work: Work): Promise<Recorded> {
  const fleet = new SimulatedFleet(start);
  const states: Recorded['states'] = [];
  fleet.onChange = (what) => states.push({ before: what, state: fleet.snapshot() });
  await fleet.run(work);
  states.push({ before: 'the end', state: fleet.snapshot() });
  return { states, fleet };
}

/** Changes apart from those by which a run takes and gives back its lock. */
export function lasting(changes: string[]): string[] {
  return changes.filter((what) => !/lease|\/pgs\/state\/locks\//.test(what));
}

/** What a command that is refused says; it has changed nothing. */
export async function refusal(fleet: SimulatedFleet, work: Work): Promise<PgsError> {
  return refusalOf(fleet, () => fleet.run(work));
}

/** The same of a job that runs several commands. */
export async function refusalOf(fleet: SimulatedFleet, job: () => Promise<unknown>): Promise<PgsError> {
  const before = fleet.changes.length;
  const thrown: unknown = await job().catch((error: unknown) => error);
  if (!(thrown instanceof PgsError)) throw thrown;
  expect(lasting(fleet.changes.slice(before))).toEqual([]);
  return thrown;
}

export async function planFor(fleet: SimulatedFleet, tenant: string): Promise<Plan> {
  return fleet.run(async (session) => {
    const open = await openCluster(session, tenant);
    return planOf(open, await gatherCluster(session, open));
  });
}

/** All that should be equal however it came about: contents of files that hold no secret, and of the rest that it is there. */
export function outcome(fleet: SimulatedFleet): unknown {
  const hosts = [...fleet.hosts].map(([name, host]) => ({
    name,
    users: [...host.users].sort(),
    paths: [...host.paths]
      .map(([path, { kind, owner, group, mode, content }]) => ({
        path,
        is: `${kind} ${owner}:${group} ${mode}`,
        content: isPublic(path) ? content : content !== '',
      }))
      .sort((a, b) => (a.path < b.path ? -1 : 1)),
    units: [...host.units]
      .map(([unit, { active, enabled, masked, loaded, read }]) => {
        return { unit, active, enabled, masked, loaded: Object.keys(loaded).sort(), read: Object.keys(read).sort() };
      })
      .sort((a, b) => (a.unit < b.unit ? -1 : 1)),
    packages: [...host.packages],
    runs: [...host.units].map(([unit, { runs, active }]) => [unit, active === 'active' ? runs : {}]).sort(),
    listening: host.listening.map(({ port, process }) => `${port} ${process}`).sort(),
  }));
  return { hosts, dcs: dcsOutcome(fleet), databases: databaseOutcome(fleet) };
}

function isPublic(path: string): boolean {
  return path.startsWith('/etc/systemd/') || path.endsWith('.cfg');
}

function dcsOutcome({ dcs }: SimulatedFleet): unknown {
  const keys = [...dcs.keys.values()].map(({ key, value, lease }): [string, unknown] => {
    if (key.startsWith('/pgs/state/tenants/')) return [key, { ...(JSON.parse(value) as object), createdAt: '' }];
    return [key, key.endsWith('/config') ? (JSON.parse(value) as unknown) : lease === null];
  });
  return {
    keys: keys.sort(([a], [b]) => (a < b ? -1 : 1)),
    users: [...dcs.users].map(([name, { roles }]) => [name, roles]).sort(),
    roles: [...dcs.roles].sort(),
  };
}

function databaseOutcome({ patroni, hosts, dcs }: SimulatedFleet): unknown {
  const tenants = dcs.withPrefix('/pgs/state/tenants/').map(({ key }) => key.split('/').at(-1)!);
  return tenants.map((tenant) => {
    const database = patroni.database(tenant);
    const roles = [...hosts.keys()].map((host) => patroni.role(host, tenant));
    return {
      tenant,
      members: roles.filter((role) => role !== null).sort(),
      logins: Object.keys(database?.roles ?? {}).sort(),
      databases: database?.databases ?? [],
      proofOwner: database?.proofOwner ?? null,
      objects: database ? comparableObjects(database.objects) : null,
      parameters: patroni.parameters(tenant),
    };
  });
}

/** All that is a tenant's on the fleet, secrets and starts included: a neighbour's work must leave it as it is. */
export function belongings(fleet: SimulatedFleet, tenant: string): unknown {
  const theirs = new RegExp(`[/@-]${tenant}([/.-]|$)`);
  const { dcs, patroni } = fleet;
  return {
    hosts: [...fleet.hosts].map(([name, host]) => ({
      paths: [...host.paths].filter(([path]) => theirs.test(path)),
      users: [...host.users].filter(([user]) => theirs.test(user)),
      units: [...host.units].filter(([unit]) => theirs.test(unit)),
      haproxyStartedAtS: dcs.users.has(`pgs-${tenant}`) && host.units.get('pgs-haproxy.service')?.startedAtS,
      role: patroni.role(name, tenant),
    })),
    keys: [...dcs.keys.values()].filter(({ key }) => theirs.test(key)),
    user: dcs.users.get(`pgs-${tenant}`),
    role: dcs.roles.get(`pgs-${tenant}`),
    database: patroni.database(tenant),
  };
}
