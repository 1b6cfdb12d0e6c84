// `pgs cluster status` for people.

import Table from 'cli-table3';
import pc from 'picocolors';
import type { ClusterStatus, ServiceStatus } from './status.js';

export function describeStatus(status: ClusterStatus): string {
  const { tenant, phase, postgres, rto, rpo, fencing } = status;
  const head = [
    `cluster ${pc.bold(tenant)}  ${describeHealth(status)}  PostgreSQL ${postgres}, rto ${rto}${phase === 'ready' || phase === 'stopped' ? '' : `, ${phase}`}`,
  ];
  if (status.paused) {
    head.push(pc.yellow(`PAUSED: Patroni does not fail over until it is resumed (pgs cluster resume ${tenant})`));
  }
  const lines = [
    ...head,
    memberTable(status),
    phase === 'stopped' ? 'services  none: connections are refused' : serviceTable(status.services),
    ...(phase === 'stopped'
      ? []
      : [`RPO      ${describeRpo(rpo)}`, `fencing  ${describeFencing(fencing)}`, ...describeJob(status)]),
    ...describeDrills(status),
    describeDrift(status),
    ...status.warnings.map((w) => pc.yellow(`warning  ${w.replaceAll('\n', '\n         ')}`)),
  ];
  return lines.join('\n');
}

function describeHealth({ phase, healthy, tenant, drift }: ClusterStatus): string {
  if (phase !== 'stopped') return healthy ? pc.green('healthy') : pc.red('NOT HEALTHY');
  return pc.yellow(drift.length === 0 ? `STOPPED (pgs cluster start ${tenant})` : 'NOT STOPPED YET');
}

function describeJob({ job, tenant }: ClusterStatus): string[] {
  if (job === null) return [];
  return [pc.yellow(`job      the ${job.kind} that was begun ${job.since} is not finished (pgs apply ${tenant})`)];
}

/** The promise where it holds; else why not, and what can happen. */
function describeFencing({ verdict, reason, guarantee }: ClusterStatus['fencing']): string {
  if (verdict === 'fenced') return pc.green(`fenced: ${guarantee}`);
  const head = pc.yellow(`${verdict.toUpperCase()} (${reason})`);
  return verdict === 'unknown' ? head : `${head}\n         ${guarantee}`;
}

export function plainTable(head: string[]): Table.Table {
  return new Table({
    head: head.map((h) => pc.bold(h)),
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '  ',
    },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
}

function memberTable({ members }: ClusterStatus): string {
  const table = plainTable(['member', 'host', 'role', 'state', 'timeline', 'lag', 'watchdog', '']);
  for (const m of members) {
    const role =
      m.role === 'leader' ? pc.green(m.role) : m.role === 'unknown' || m.role === 'other' ? pc.red(m.role) : m.role;
    const lag = m.lagBytes === null ? '' : describeBytes(m.lagBytes);
    table.push([
      m.name,
      m.host,
      role,
      m.state,
      m.timeline ?? '',
      lag,
      m.fencing.verdict,
      m.pendingRestart ? pc.yellow('restart pending') : '',
    ]);
  }
  return table.toString();
}

function serviceTable(services: ServiceStatus[]): string {
  const table = plainTable(['service', 'port', 'routes to', 'pooled']);
  for (const { service, port, routes, pooling, poolers } of services)
    table.push([service, String(port), describeRoutes(routes), describePoolers(poolers, pooling)]);
  return table.toString();
}

/** By transaction or session, and what an entry lacks of its poolers. */
function describePoolers(poolers: ServiceStatus['poolers'], pooling: ServiceStatus['pooling']): string {
  if (pooling === null) return '';
  const answers = Object.entries(poolers);
  const most = Math.max(...answers.map(([, up]) => up?.length ?? 0));
  const lacking = answers.flatMap(([entry, up]) => (up !== null && up.length < most ? [entry] : []));
  if (most === 0 && answers.some(([, up]) => up !== null)) return pc.red(`by ${pooling}: NO POOLER ANSWERS`);
  return lacking.length > 0
    ? pc.yellow(`by ${pooling}, not all poolers answer ${lacking.join(', ')}`)
    : `by ${pooling}`;
}

/** One answer when all entries agree, else each entry's own. */
function describeRoutes(routes: ServiceStatus['routes']): string {
  const text = (to: string[] | null) =>
    to === null ? pc.yellow('not known') : to.length === 0 ? pc.red('nothing') : [...to].sort().join(', ');
  const answers = Object.entries(routes).map(([entry, to]) => [entry, text(to)] as const);
  const distinct = new Set(answers.map(([, answer]) => answer));
  if (distinct.size === 1)
    return `${[...distinct][0]} (from ${answers.length === 1 ? answers[0]![0] : `all ${answers.length} entries`})`;
  return answers.map(([entry, answer]) => `${entry}: ${answer}`).join('; ');
}

function describeRpo({ bytes, verdict }: ClusterStatus['rpo']): string {
  switch (verdict) {
    case 'holds':
      return pc.green('RPO 0 holds: every acknowledged commit is on two members');
    case 'suspended':
      return pc.red('RPO 0 SUSPENDED: no standby is left, acknowledged commits have one copy');
    case 'waiting':
      return pc.red('RPO 0 holds by waiting: no standby is left, writes wait (durability strict)');
    case 'asynchronous':
      return `asynchronous: up to ${describeBytes(bytes)} plus what is written within ttl seconds can be lost`;
    case 'unknown':
      return pc.yellow('not known: no leader answers');
  }
}

function describeDrills({ drills, tenant }: ClusterStatus): string[] {
  if (drills === null) return [pc.yellow('drills   not known: what is stored of them cannot be read')];
  if (drills.length === 0) return [];
  return [
    pc.red(`drills   ${drills.length} did not pass (pgs drill history ${tenant}; pgs drill ack ${tenant}):`),
    ...drills.map(
      (d) =>
        `         ${d.started.slice(0, 16).replace('T', ' ')} ${d.what}: ${d.outcome}${d.why ? `: ${d.why.slice(0, 140)}` : ''}`,
    ),
  ];
}

function describeDrift({ drift, tenant }: ClusterStatus): string {
  if (drift.length === 0) return `spec     nothing differs`;
  return [
    pc.yellow(`spec     ${drift.length} differences (pgs plan ${tenant}):`),
    ...drift.map((d) => `         ${d.host ?? 'cluster'}: ${d.title}: ${d.reason}`),
  ].join('\n');
}

export function describeBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
