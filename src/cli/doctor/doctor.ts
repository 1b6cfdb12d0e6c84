// `pgs doctor`

import type { Command } from 'commander';
import { parseTenantName } from '../../inventory/names.js';
import { runDoctor } from '../../doctor/doctor.js';
import { describeReport, exitCodeOf } from '../../doctor/report.js';
import { withHosts } from '../context.js';

/** `-o json`: {findings: [{id, severity, tenant, host, what, evidence, mend: {command, on}, reference}], tenants, hosts, underWay} */
export async function doctor(given: string | undefined, command: Command): Promise<void> {
  const tenant = given === undefined ? null : parseTenantName(given);
  await withHosts(command, async ({ session, terminal }) => {
    const report = await runDoctor(session, tenant);
    await terminal.result(report, () => describeReport(report));
    process.exitCode = exitCodeOf(report);
  });
}
