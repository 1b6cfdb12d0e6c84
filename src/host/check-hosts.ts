// Looks at hosts side by side and judges them: what `pgs host check` does. A host that cannot be reached is a result too.

import { toPgsError, type PgsError } from '../errors.js';
import type { Inventory } from '../inventory/inventory.js';
import { factItems, fit, judgeHost, type CheckItem } from './check.js';
import { gatherCheckFacts } from './check-facts.js';
import type { HostAccess } from './command.js';
import { desiredHost } from './desired-host.js';
import type { HostFacts } from './facts.js';
import { gatherHostFacts, wantedFor } from './gather.js';
import { packagesOfInterest } from './plan-prepare.js';
import { planResources } from './plan-resources.js';

export interface HostCheck {
  host: string;
  /** Nothing is unfit, and nothing is unknown. */
  fit: boolean;
  items: CheckItem[];
}

/** Never throws for what a host does: every host gets its verdicts. */
export async function checkHosts(
  pool: { get(name: string): HostAccess },
  inventory: Inventory,
  names: string[],
): Promise<HostCheck[]> {
  return Promise.all(
    names.map(async (host) => {
      const items = await checkHost(pool.get(host), inventory);
      return { host, fit: items.every(({ verdict }) => verdict !== 'unfit' && verdict !== 'unknown'), items };
    }),
  );
}

async function checkHost(access: HostAccess, inventory: Inventory): Promise<CheckItem[]> {
  const address = inventory.hosts.find(({ name }) => name === access.name)?.address ?? access.name;
  try {
    // Connects, so that the time for it is not taken for the clocks being apart.
    await access.run({ argv: ['true'], timeoutMs: 10_000 });
  } catch (thrown) {
    return judgeUnreachable(toPgsError(thrown, 'connecting by ssh'), address);
  }
  const { user, port } = inventory.ssh;
  const reached: CheckItem[] = [
    { item: 'ssh', ...fit(`${address} port ${port} as ${user}, host key known`) },
    {
      item: 'sudo',
      ...fit(user === 'root' ? 'not needed: logs in as root' : `${user} becomes root without a password`),
    },
  ];
  try {
    const facts = await gatherCheckFacts(access, packagesOfInterest(inventory));
    const files = await gatherHostFacts(access, wantedFor(desiredHost(inventory)));
    return [...reached, ...judgeHost(facts, inventory, access.name), judgePrepared(files, inventory, access.name)];
  } catch (thrown) {
    const { found, hint } = toPgsError(thrown, 'looking at the host').details;
    return [...reached, ...factItems.map((item) => ({ item, verdict: 'unknown' as const, found, hint: hint ?? null }))];
  }
}

/** What can be said of a host on which no command can be run. */
export function judgeUnreachable(error: PgsError, address: string): CheckItem[] {
  const { found, hint = null } = error.details;
  const unknown = (item: string): CheckItem => ({
    item,
    verdict: 'unknown',
    found: 'the host did not let us look',
    hint: null,
  });
  const refused = error.code === 'unfit';
  return [
    refused ? { item: 'ssh', ...fit(`${address} answers`) } : { item: 'ssh', verdict: 'unfit', found, hint },
    refused ? { item: 'sudo', verdict: 'unfit', found, hint } : unknown('sudo'),
    ...factItems.map(unknown),
  ];
}

/** Whether what `prepare` writes besides packages is in place. */
function judgePrepared(facts: HostFacts, inventory: Inventory, host: string): CheckItem {
  const steps = planResources({ host, subject: 'prepare', resources: desiredHost(inventory), facts });
  if (!facts.reachable) return { item: 'prepared', verdict: 'unknown', found: facts.why, hint: null };
  const differing = steps.flatMap(({ diff }) => diff.map(({ what }) => what));
  if (differing.length === 0) return { item: 'prepared', ...fit('all that pgs keeps on a host is in place') };
  return {
    item: 'prepared',
    verdict: 'unfit',
    found: `${differing.length} things differ: ${differing.slice(0, 4).join(', ')}${differing.length > 4 ? ', …' : ''}`,
    hint: `Run \`pgs host prepare ${host}\`.`,
  };
}
