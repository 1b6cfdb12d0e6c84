// Whether the etcd in use and the Patroni on the hosts can live together. Versions of the fleet's own etcd come from the same packages;
// an external one may be anything.

import { PgsError } from '../errors.js';
import type { MemberStatus } from '../etcd/facts.js';
import { brokenEtcdPair } from '../host/packages.js';
import type { Session } from './session.js';
import type { FleetSupply } from './supply.js';

/** @throws PgsError `unfit` naming the pair that does not work, before anything is made */
export async function refuseBrokenDcs(session: Session, supply: FleetSupply): Promise<void> {
  const dcs = await session.dcs();
  const problems = brokenPairs(supply, await dcs.maintenance.statuses());
  if (problems.length === 0) return;
  throw new PgsError('unfit', {
    doing: 'looking whether Patroni can work with etcd',
    found: problems.join('\n'),
    hint: 'Upgrade Patroni on the hosts, or use another release of etcd.',
  });
}

/** One line for each host and etcd member that do not go together, pure. */
export function brokenPairs({ facts }: FleetSupply, members: MemberStatus[]): string[] {
  return facts.flatMap(({ host, facts: found }) => {
    const patroni = found?.packages.patroni?.installed;
    if (!patroni) return [];
    return members.flatMap((member) => {
      const broken = member.answers ? brokenEtcdPair(patroni, member.version) : null;
      return broken ? [`${host.name} and ${member.name}: ${broken}`] : [];
    });
  });
}
