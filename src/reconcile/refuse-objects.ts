// What a tenant's file asks for and this fleet cannot do: found before anything is stored.

import equal from 'fast-deep-equal';
import { PgsError } from '../errors.js';
import type { Fault } from '../fault.js';
import { describeMissing, missingExtensions, wantedExtensions } from '../postgres/extensions.js';
import { groundOf, unreachable } from '../topology/hba.js';
import type { ObjectSpecs } from '../topology/objects.js';
import type { TenantSpec } from '../topology/tenant.js';
import { gatherExtensions, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** Faults of a file that only the fleet shows; whoever has its text can name the lines. */
export class SpecFaults extends PgsError {
  readonly faults: Fault[];

  constructor(source: string, faults: Fault[], hint: string) {
    super('configuration', {
      doing: `reading ${source}`,
      found: faults.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'),
      hint,
    });
    this.faults = faults;
  }
}

/**
 * Who has an extension already is not refused because a host lacks the package: the plan warns of that.
 * @throws SpecFaults naming host and package of every extension that is new and that a member's host does not have
 */
export async function refuseMissingPackages(
  session: Session,
  { cluster }: Pick<OpenCluster, 'cluster'>,
  source: string,
  before: ObjectSpecs,
): Promise<void> {
  const had = wantedExtensions(before).map(({ database, name }) => `${database}/${name}`);
  const wanted = wantedExtensions(cluster.spec).filter(({ database, name }) => !had.includes(`${database}/${name}`));
  if (wanted.length === 0) return;
  const major = cluster.spec.postgres;
  const missing = missingExtensions(wanted, await gatherExtensions(session, cluster), major);
  if (missing.length === 0) return;
  const faults = missing.map((one) => ({ path: one.path, message: describeMissing(one, major) }));
  throw new SpecFaults(
    source,
    faults,
    'Any member may lead, so all their hosts need the package. Nothing was changed.',
  );
}

/**
 * Of rules that were there already the plan warns.
 * @throws SpecFaults for access rules that cannot do what they say with the hosts of this fleet
 */
export function refuseUnreachableRules(
  { cluster }: Pick<OpenCluster, 'cluster'>,
  source: string,
  before: Partial<TenantSpec>,
): void {
  const { spec } = cluster;
  if (equal(spec.hba, before.hba) && spec.pool === before.pool) return;
  const ground = groundOf(cluster);
  const faults = (spec.hba ?? []).flatMap((rule, index): Fault[] => {
    const found = unreachable(rule, spec.pool, ground);
    return found ? [{ path: ['hba', index, found.key], message: found.why }] : [];
  });
  if (faults.length > 0) throw new SpecFaults(source, faults, 'Correct these places; nothing was changed.');
}
