// What every host can offer a new tenant: looked at once, before anything is decided.

import { refuseWatchdog } from '../../watchdog/policy.js';
import { gatherCheckFacts, type CheckFacts } from '../host/check-facts.js';
import { factItems, judgeHost } from '../host/check.js';
import { findRelease, postgresMajorOf } from '../host/packages.js';
import { packagesOfInterest } from '../host/plan-prepare.js';
import type { Host, Inventory } from '../inventory/inventory.js';
import { PgsError, toPgsError } from '../errors.js';
import type { HostSupply } from '../topology/placement.js';
import type { TenantSpec } from '../topology/tenant.js';
import { readHostNotes } from '../state/hosts.js';
import type { Session } from './session.js';

export interface FleetSupply {
  facts: { host: Host; facts: CheckFacts | null; why: string | null }[];
}

const drained = 'it is being drained';

/** Items of `pgs host check` that say nothing about whether a member can live there. */
const notForPlacement = ['tenant-ports', 'door-port', 'etcd-ports', 'watchdog'];

export async function gatherSupply(session: Session): Promise<FleetSupply> {
  const notes = await readHostNotes(await session.dcs());
  const looked = session.inventory.hosts.map(async (host) => {
    if (notes[host.name]?.state === 'draining') return { host, facts: null, why: drained };
    try {
      const access = session.hosts.get(host.name);
      // Connects first: the time for it must not look like clocks that are apart.
      await access.run({ argv: ['true'], timeoutMs: 10_000 });
      return { host, facts: await gatherCheckFacts(access, packagesOfInterest(session.inventory)), why: null };
    } catch (thrown) {
      return { host, facts: null, why: toPgsError(thrown).details.found };
    }
  });
  return { facts: await Promise.all(looked) };
}

/** Looks again only when the last look is older than that: creates that run side by side need not each look at every host. */
export function sharedSupply(session: Session, forMs: number): () => Promise<FleetSupply> {
  let last: { atMs: number; supply: Promise<FleetSupply> } | null = null;
  return () => {
    if (last === null || performance.now() - last.atMs > forMs) {
      last = { atMs: performance.now(), supply: gatherSupply(session) };
      // What failed is asked anew by whoever comes next.
      last.supply.catch(() => (last = null));
    }
    return last.supply;
  };
}

/** The PostgreSQL major that all hosts' packages give. @throws PgsError `unfit` when they differ or no host answers */
export function commonPostgresMajor({ facts }: FleetSupply, inventory: Inventory): number {
  const majors = facts.flatMap(({ facts: f }) => {
    const release = f ? findRelease(f.release.codename) : null;
    return release ? [postgresMajorOf(inventory, release)] : [];
  });
  const distinct = [...new Set(majors)];
  if (distinct.length === 1) return distinct[0]!;
  throw new PgsError('unfit', {
    doing: 'choosing the PostgreSQL version',
    found:
      distinct.length === 0
        ? 'no host of a supported release answers'
        : `the hosts have different ones: ${distinct.join(', ')}`,
    hint: distinct.length === 0 ? 'See `pgs host check`.' : 'Choose with --postgres and --hosts.',
  });
}

/** Each host's supply for a spec, pure. */
export function judgeSupply(
  { facts }: FleetSupply,
  spec: Pick<TenantSpec, 'watchdog' | 'postgres'>,
  inventory: Inventory,
): HostSupply[] {
  return facts.map(({ host, facts: found, why }) => {
    if (!found)
      return {
        host,
        unfit: why === drained ? why : `cannot be looked at: ${why}`,
        memoryMiB: 0,
        cores: 0,
        portsTaken: [],
      };
    return {
      host,
      unfit: unfitFor(found, spec, inventory, host.name),
      memoryMiB: found.memoryMiB,
      cores: found.cores,
      portsTaken: (found.listening ?? []).map((l) => l.port),
    };
  });
}

function unfitFor(
  found: CheckFacts,
  spec: Pick<TenantSpec, 'watchdog' | 'postgres'>,
  inventory: Inventory,
  host: string,
): string | null {
  const items = judgeHost(found, inventory, host).filter(
    (i) => factItems.includes(i.item) && !notForPlacement.includes(i.item),
  );
  const unfit = items
    .filter((i) => i.verdict === 'unfit')
    .map((i) => `${i.item}: ${i.found}${i.hint ? ` (${i.hint})` : ''}`);
  const release = findRelease(found.release.codename);
  const major = release ? postgresMajorOf(inventory, release) : null;
  if (major !== null && major !== spec.postgres) unfit.push(`it has PostgreSQL ${major}, not ${spec.postgres}`);
  const device = found.watchdogs[0]?.device ?? null;
  const watchdog = refuseWatchdog(spec.watchdog, {
    host,
    device,
    softdogAvailable: found.softdogAvailable,
    container: found.container !== null,
  });
  if (watchdog) unfit.push(watchdog);
  return unfit.length > 0 ? unfit.join('; ') : null;
}

/** Whether every host's Patroni knows quorum commit, which came with 4.0. */
export function allKnowQuorumCommit({ facts }: FleetSupply): boolean {
  return facts.every(({ facts: f }) => !f || Number((f.packages.patroni?.installed ?? '0').split('.')[0]) >= 4);
}

/** With the hosts that would not take part in quorum commit named as unfit, for a tenant that has it. */
export function quorumCommitFit({ facts }: FleetSupply, supply: HostSupply[]): HostSupply[] {
  return supply.map((s) => {
    const found = facts.find(({ host }) => host.name === s.host.name)?.facts;
    const version = found?.packages.patroni?.installed ?? '';
    if (s.unfit !== null || !found || Number(version.split('.')[0]) >= 4) return s;
    return { ...s, unfit: `its Patroni ${version} does not know quorum commit, which the tenant has` };
  });
}
