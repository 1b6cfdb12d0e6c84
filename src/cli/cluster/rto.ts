// `pgs cluster rto`

import type { Command } from 'commander';
import Table from 'cli-table3';
import { withCluster } from '../../reconcile/cluster.js';
import { reportRto, type RtoReport } from '../../reconcile/rto.js';
import { describeBytes } from '../../reconcile/status-text.js';
import { withHosts } from '../context.js';
import type { Terminal } from '../terminal.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: see `RtoReport`. Exit code 1 when a setting breaks a promise. */
export async function rto(given: string | undefined, options: { explain: boolean }, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    await withCluster(session, await resolveTenant(session, given), async (open) => {
      const report = await reportRto(session, open);
      await terminal.result(report, () => describeRto(report, options.explain, terminal));
      if (report.findings.some((f) => f.verdict === 'broken')) process.exitCode = 1;
    });
  });
}

const seconds = (ms: number) => (ms / 1000).toFixed(1);

function describeRto(report: RtoReport, explain: boolean, { color }: Terminal): string {
  const { tenant, rto, timing, predictions, findings, leadsBoth } = report;
  const { patroni, etcd, checks } = timing;
  const table = new Table({ head: ['writes stop for (s)', 'min', 'average', 'max'], style: { head: [], border: [] } });
  for (const p of predictions) {
    table.push([p.what, seconds(p.minMs), seconds(p.avgMs), seconds(p.maxMs)]);
    if (!explain) continue;
    for (const phase of p.phases) {
      const name = `  ${phase.phase}\n    ${color.dim(phase.rule)}`;
      table.push([name, ...[phase.minMs, phase.avgMs, phase.maxMs].map((ms) => color.dim(seconds(ms)))]);
    }
  }
  return [
    `cluster ${color.bold(tenant)}  preset ${rto}: ttl ${patroni.ttlS} s, loop_wait ${patroni.loopWaitS} s, retry_timeout ${patroni.retryTimeoutS} s; ` +
      `HAProxy checks ${checks.interMs}/${checks.changingMs} ms, rise ${checks.rise}, fall ${checks.fall}; etcd elects after ${etcd.electionMs} ms`,
    table.toString(),
    `loss     ${describeLoss(report)}`,
    ...(leadsBoth
      ? [color.yellow(`note     ${leadsBoth} leads PostgreSQL and etcd now: its loss would be the last line`)]
      : []),
    ...timing.assumed.map((line) => color.yellow(`warning  ${line}`)),
    ...findings.map(
      (f) => `${f.verdict === 'broken' ? color.red('broken  ') : color.yellow('slower  ')} ${f.setting}: ${f.why}`,
    ),
  ].join('\n');
}

function describeLoss({ loss }: RtoReport): string {
  const { kind, lagBytesMax, walBytesPerS, ttlS, worstBytes } = loss;
  if (kind === 'none') return 'RPO 0: nothing that was acknowledged, from a healthy state';
  const sum = `lag limit ${describeBytes(lagBytesMax)} + WAL rate x ttl ${ttlS} s`;
  if (worstBytes === null || walBytesPerS === null) return `${sum} (the WAL rate could not be measured)`;
  return `up to ${describeBytes(worstBytes)} right now: ${sum}, at ${describeBytes(walBytesPerS)}/s`;
}
