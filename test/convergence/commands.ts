// The commands that convergence tests run, and fleets on which they start.

import type { ChangeOptions } from '../../src/reconcile/change.js';
import { createCluster, type CreateRequest } from '../../src/reconcile/create.js';
import { destroyCluster } from '../../src/reconcile/destroy.js';
import { respecCluster } from '../../src/reconcile/respec.js';
import { pauseCluster } from '../../src/reconcile/pause.js';
import { reinitMember } from '../../src/reconcile/reinit.js';
import { rotateTenant, type RotateRequest } from '../../src/reconcile/rotate.js';
import type { RotationTarget } from '../../src/secrets/rotation.js';
import { stopCluster, type Wanted } from '../../src/reconcile/stop.js';
import { updateFleet, updateTenant } from '../../src/reconcile/update.js';
import { restartCluster, type RestartRequest } from '../../src/reconcile/restart.js';
import { changeMembers } from '../../src/reconcile/scale.js';
import type { Session } from '../../src/reconcile/session.js';
import type { Plan } from '../../src/reconcile/step.js';
import type { DataFate } from '../../src/topology/tenant.js';
import type { SimulatedHost } from './simulated-host.js';
import { allPackages } from './simulated-packages.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';

/** A command of pgs; what it answers is the plan that it carried out. */
export type Work = (session: Session) => Promise<Plan>;

export const tenant = 'acme';
export const neighbour = 'acme-co';

export function undisturbed(): ChangeOptions {
  return { signal: new AbortController().signal, onEvent: () => undefined };
}

export function create(change: Partial<CreateRequest> = {}, name = tenant): Work {
  const request = { given: { tenant: name }, hosts: null, source: 'the options', reuseData: false, ...change };
  return async (session) => (await createCluster(session, request, undisturbed())).plan;
}

export function destroy(purgeData: boolean): Work {
  return (session) => destroyCluster(session, tenant, { ...undisturbed(), purgeData });
}

/** `pgs apply`, with another spec or the same. */
export function apply(change: Record<string, unknown> = {}): Work {
  const respec = { tenant, command: 'apply', source: 'acme.yaml', given: () => ({ tenant, ...change }) };
  return (session) => respecCluster(session, respec, undisturbed());
}

/** `pgs cluster restart`. */
export function restart(request: Partial<RestartRequest> = {}): Work {
  const asked = { member: null, pendingOnly: false, ...request };
  return async (session) => (await restartCluster(session, tenant, asked, undisturbed())).plan;
}

/** `pgs cluster reinit` of a member that does not lead in the fleet `made`. */
export function reinit(member: string): Work {
  return (session) => reinitMember(session, tenant, member, undisturbed());
}

/** `pgs cluster stop` and `start`. */
export function stop(want: Wanted): Work {
  return (session) => stopCluster(session, tenant, want, undisturbed());
}

/** `pgs cluster scale`. */
export function scale(replicas: number, hosts: string[] | null = null, data: DataFate = 'keep'): Work {
  return async (session) =>
    (await changeMembers(session, tenant, { kind: 'scale', replicas, hosts, data }, undisturbed())).plan;
}

/** `pgs cluster replace`. */
export function replace(member: string, to: string | null = null, data: DataFate = 'keep'): Work {
  return async (session) =>
    (await changeMembers(session, tenant, { kind: 'replace', member, to, data }, undisturbed())).plan;
}

/** `pgs rotate`, of what is named. */
export function rotate(targets: RotationTarget[] | null, change: Partial<RotateRequest> = {}): Work {
  const request = { targets, clientsTrustNext: true, ...change };
  return async (session) => (await rotateTenant(session, tenant, request, undisturbed())).plan;
}

/** `pgs update`. */
export function update(): Work {
  return (session) => updateTenant(session, tenant, undisturbed());
}

/** `pgs update --fleet`. */
export function updateAll(): Work {
  return async (session) => {
    const { shared, tenants } = await updateFleet(session, undisturbed());
    return { ...shared, steps: [shared, ...tenants].flatMap(({ steps }) => steps) };
  };
}

/** `pgs cluster pause` and `resume`. */
export function pause(paused: boolean): Work {
  return (session) => pauseCluster(session, tenant, paused, undisturbed());
}

export interface Fleets {
  /** Prepared hosts and nothing else. */
  bare: FleetState;
  /** With the neighbour. */
  empty: FleetState;
  /** With the neighbour and the tenant. */
  made: FleetState;
  /** The host of the tenant's second member is lost; what it led, another leads. */
  lost: FleetState;
  /** The tenant was stopped. */
  stopped: FleetState;
  /** The tenant was destroyed, its data is kept. */
  retired: FleetState;
  /** The hosts' sources have newer packages. */
  outdated: FleetState;
}

/** The host's sources have this version of these packages. */
export function offer(host: SimulatedHost, version: string, names = allPackages): void {
  for (const name of names) host.packages.set(name, { ...host.packages.get(name)!, candidate: version });
}

export async function makeFleets(): Promise<Fleets> {
  const fleet = new SimulatedFleet();
  const bare = fleet.snapshot();
  await fleet.run(create({}, neighbour));
  const empty = fleet.snapshot();
  await fleet.run(create());
  const made = fleet.snapshot();
  const outdated = new SimulatedFleet(made);
  for (const host of outdated.hosts.values()) offer(host, '2');
  const resting = new SimulatedFleet(made);
  await resting.run(stop('stopped'));
  const short = new SimulatedFleet(made);
  short.hosts.get(hostOf(short, 'acme-2'))!.powerOff();
  await fleet.run(destroy(false));
  return {
    bare,
    empty,
    made,
    lost: short.snapshot(),
    stopped: resting.snapshot(),
    retired: fleet.snapshot(),
    outdated: outdated.snapshot(),
  };
}

export interface StoredMembers {
  members: { name: string; host: string }[];
  leaving?: { name: string; host: string; login?: string }[];
  keptOn?: string[];
}

/** What is kept of the tenant's members. */
export function membersOf({ dcs }: SimulatedFleet): StoredMembers {
  const record = dcs.keys.get(`/pgs/state/tenants/${tenant}`)!.value;
  return (JSON.parse(record) as { allocation: StoredMembers }).allocation;
}

export function hostOf(fleet: SimulatedFleet, member: string): string {
  return membersOf(fleet).members.find((m) => m.name === member)!.host;
}

export function leaderOf({ dcs }: SimulatedFleet): string {
  return dcs.keys.get(`/pgs/dcs/${tenant}/leader`)!.value;
}
