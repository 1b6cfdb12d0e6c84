// Whether the etcd in use and the Patroni on the hosts can live together. Versions of the fleet's own etcd come from the same packages;
// an external one may be anything.

import { refuseBrokenPairs } from '../etcd/versions.js';
import type { Session } from './session.js';
import type { FleetSupply } from './supply.js';

/** @throws PgsError `unfit` naming the pair that does not work, before anything is made */
export async function refuseBrokenDcs(session: Session, supply: FleetSupply): Promise<void> {
  const dcs = await session.dcs();
  refuseBrokenPairs(patroniVersions(supply), await dcs.maintenance.statuses());
}

function patroniVersions({ facts }: FleetSupply): Record<string, string> {
  const known = facts.flatMap(({ host, facts: found }) => {
    const installed = found?.packages.patroni?.installed;
    return installed ? [[host.name, installed] as const] : [];
  });
  return Object.fromEntries(known);
}
