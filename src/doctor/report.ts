// What `pgs doctor` prints: findings with their evidence and the command that mends them, for people.

import pc from 'picocolors';
import type { DoctorFacts, Finding, Severity } from './finding.js';

/** The shape of `pgs doctor -o json`; fields are added, never renamed. */
export interface DoctorReport {
  findings: Finding[];
  /** What was looked at. */
  tenants: string[];
  hosts: string[];
  /** Who changes a tenant or runs a drill just now: what is under way may look wrong. */
  underWay: string[];
}

export function reportOf({ tenants, fleet, drill }: DoctorFacts, findings: Finding[]): DoctorReport {
  const changing = tenants.flatMap((t) => (t.changing ? [`${t.changing} changes ${t.cluster.tenant} just now`] : []));
  return {
    findings,
    tenants: tenants.map((t) => t.cluster.tenant),
    hosts: fleet.hosts.map((h) => h.name),
    underWay: [...changing, ...(drill ? [`${drill} runs a drill just now`] : [])],
  };
}

/** 0: nothing is wrong; 1: something is; 4: nothing is known to be wrong, and something could not be looked at. */
export function exitCodeOf({ findings }: DoctorReport): number {
  if (findings.some((f) => f.severity !== 'unknown')) return 1;
  return findings.length > 0 ? 4 : 0;
}

const paint: Record<Severity, (text: string) => string> = { critical: pc.red, warning: pc.yellow, unknown: pc.yellow };

export function describeReport(report: DoctorReport): string {
  const { findings, tenants, hosts, underWay } = report;
  const looked = `${hosts.length} hosts, etcd, ${tenants.length === 1 ? `tenant ${tenants[0]}` : `${tenants.length} tenants`}`;
  const notes = underWay.map((text) => pc.yellow(`note: ${text}`));
  if (findings.length === 0) return [...notes, `${pc.green('nothing is wrong')} (${looked})`].join('\n');
  const count = (severity: Severity) => findings.filter((f) => f.severity === severity).length;
  const counts = (['critical', 'warning', 'unknown'] as const)
    .filter((s) => count(s) > 0)
    .map((s) => `${count(s)} ${s}`);
  return [...notes, ...findings.map(describeFinding), `${counts.join(', ')} (${looked})`].join('\n');
}

function describeFinding({ id, severity, tenant, host, what, evidence, mend, reference }: Finding): string {
  const where = [tenant, host].filter((x) => x !== null).join(' on ');
  const lines = [
    `${paint[severity](severity.padEnd(8))} ${pc.bold(what)}${where ? `  ${pc.dim(where)}` : ''}`,
    `         evidence  ${evidence}`,
    `         mend      ${mend.on === null ? '' : `on ${mend.on}: `}${mend.command}`,
    `         ${pc.dim(`${id}, see ${reference}`)}`,
  ];
  return lines.join('\n');
}
