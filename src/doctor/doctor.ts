// `pgs doctor`: gather, examine, report.

import type { Session } from '../reconcile/session.js';
import { examine } from './checks.js';
import { gatherDoctor } from './gather.js';
import { reportOf, type DoctorReport } from './report.js';

/**
 * Changes nothing.
 * @param tenant null: all of the fleet
 * @throws PgsError `usage` when there is no tenant of that name
 */
export async function runDoctor(session: Session, tenant: string | null): Promise<DoctorReport> {
  const facts = await gatherDoctor(session, tenant);
  return reportOf(facts, examine(facts));
}
