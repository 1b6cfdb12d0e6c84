// All that `pgs doctor` looks for, in the order in which it says it. Pure: facts in, findings out.

import { databaseChecks } from './check-databases.js';
import { etcdChecks } from './check-etcd.js';
import { hostChecks } from './check-hosts.js';
import { memberChecks } from './check-members.js';
import { tenantChecks } from './check-tenants.js';
import type { Check, DoctorFacts, Finding, Severity } from './finding.js';

export const checks: Check[] = [...hostChecks, ...etcdChecks, ...memberChecks, ...databaseChecks, ...tenantChecks];

const order: Severity[] = ['critical', 'warning', 'unknown'];

/** What is wrong, the gravest first; nothing for a fleet that is as it should be. */
export function examine(facts: DoctorFacts): Finding[] {
  const found = checks.flatMap(({ id, reference, judge }) =>
    judge(facts).map((f): Finding => ({ id, ...f, reference })),
  );
  return found.sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

/** The list of findings as the README shows it: a table of Markdown. */
export function describeChecks(): string {
  const rows = checks.map(({ id, looksFor, mends }) => `| \`${id}\` | ${looksFor} | ${mends} |`);
  return ['| finding | means | mended by |', '|---|---|---|', ...rows].join('\n');
}
