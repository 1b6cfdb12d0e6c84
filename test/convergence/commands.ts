// The commands that convergence tests run, and fleets on which they start.

import type { ChangeOptions } from '../../src/reconcile/change.js';
import { createCluster, type CreateRequest } from '../../src/reconcile/create.js';
import { destroyCluster } from '../../src/reconcile/destroy.js';
import { respecCluster } from '../../src/reconcile/respec.js';
import type { Session } from '../../src/reconcile/session.js';
import type { Plan } from '../../src/reconcile/step.js';
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
  return (session) => respecCluster(session, { tenant, ...change }, 'acme.yaml', undisturbed());
}

export interface Fleets {
  /** Prepared hosts and nothing else. */
  bare: FleetState;
  /** With the neighbour. */
  empty: FleetState;
  /** With the neighbour and the tenant. */
  made: FleetState;
  /** The tenant was destroyed, its data is kept. */
  retired: FleetState;
}

export async function makeFleets(): Promise<Fleets> {
  const fleet = new SimulatedFleet();
  const bare = fleet.snapshot();
  await fleet.run(create({}, neighbour));
  const empty = fleet.snapshot();
  await fleet.run(create());
  const made = fleet.snapshot();
  await fleet.run(destroy(false));
  return { bare, empty, made, retired: fleet.snapshot() };
}
