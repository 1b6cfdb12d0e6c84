// Which tenant a command means when it names none.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PgsError } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import type { Session } from '../../reconcile/session.js';

/** File in the operator's state directory that `pgs use` writes. */
export function currentTenantPath(session: Session): string {
  return join(session.inventory.stateDir, 'current-tenant');
}

/**
 * The named one, else the one of `pgs use`, else the only one.
 * @throws PgsError `usage` when there are several or none
 */
export async function resolveTenant(session: Session, given: string | undefined): Promise<string> {
  if (given !== undefined) return parseTenantName(given);
  const current = await readFile(currentTenantPath(session), 'utf8').catch(() => '');
  if (current.trim()) return parseTenantName(current.trim());
  const tenants = (await (await session.store()).listTenants()).filter((t) => t.record.phase !== 'retired');
  if (tenants.length === 1) return tenants[0]!.record.spec.tenant;
  throw new PgsError('usage', {
    doing: 'choosing the tenant',
    found:
      tenants.length === 0
        ? 'the fleet has no tenants yet'
        : `none is named, and the fleet has ${tenants.map((t) => t.record.spec.tenant).join(', ')}`,
    hint:
      tenants.length === 0 ? 'Make one with `pgs cluster create`.' : 'Name one, or choose one with `pgs use <tenant>`.',
  });
}
