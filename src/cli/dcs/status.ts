// `pgs dcs status`

import type { Command } from 'commander';
import Table from 'cli-table3';
import { dcsAccess } from '../../etcd/access.js';
import { gatherCertificateEnds } from '../../etcd/certificates.js';
import { lookAtDcs } from '../../etcd/client.js';
import { judgeDcs, type DcsMember, type DcsStatus } from '../../etcd/status.js';
import { terminalOf, type Globals } from '../context.js';
import { openFleet } from '../fleet.js';
import type { Terminal } from '../terminal.js';

export async function showDcsStatus(command: Command): Promise<void> {
  const terminal = terminalOf(command);
  const { inventory, fleetSecrets } = await openFleet(command.optsWithGlobals<Globals>());
  const dcs = await lookAtDcs(inventory, fleetSecrets);
  try {
    const [members, certificates] = await Promise.all([
      dcs.maintenance.statuses(),
      dcsAccess(inventory, fleetSecrets).then(gatherCertificateEnds),
    ]);
    const status = judgeDcs(inventory.etcd.kind, members, certificates, new Date());
    await terminal.result(status, () => describeDcs(status, terminal));
    if (status.quorum === 'lost') process.exitCode = 1;
  } finally {
    dcs.close();
  }
}

function describeDcs(status: DcsStatus, { color }: Terminal): string {
  const paint = { healthy: color.green, degraded: color.yellow, lost: color.red }[status.quorum];
  const table = new Table({
    head: ['member', 'endpoint', 'state', 'version', 'term', 'db size / in use', 'alarms', 'latency', 'certificate'],
    style: { head: [], border: [] },
  });
  table.push(...status.members.map((m) => describeMember(m, color)));
  const silent = status.members.filter((m) => m.why !== null).map((m) => `${m.name}: ${m.why}`);
  return [
    `etcd (${status.kind === 'fleet' ? "the fleet's own" : 'external'}): quorum ${paint(status.quorum)}; ${status.seen}`,
    table.toString(),
    ...silent,
    ...status.warnings.map((warning) => color.yellow(`warning: ${warning}`)),
  ].join('\n');
}

function describeMember(m: DcsMember, color: Terminal['color']): string[] {
  const paint = { leader: color.green, follower: color.green, leaderless: color.red, silent: color.red }[m.state];
  return [
    m.name,
    m.endpoint,
    paint(m.state),
    m.version ?? '-',
    String(m.raftTerm ?? '-'),
    m.dbSizeBytes === null ? '-' : `${inMiB(m.dbSizeBytes)} / ${inMiB(m.dbInUseBytes ?? 0)}`,
    m.alarms.join(', ') || '-',
    m.latencyMs === null ? '-' : `${m.latencyMs} ms`,
    m.certificateDaysLeft === null ? '-' : `${m.certificateDaysLeft} days`,
  ];
}

function inMiB(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
