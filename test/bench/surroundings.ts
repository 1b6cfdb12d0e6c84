// What a result is worth nothing without: the machine, the versions, the commit.

import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { root, type Fleet } from './fleet.js';
import type { Machine } from './report.js';

export function describeMachine(): Machine {
  return {
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: Math.round(loadavg()[0]! * 10) / 10,
  };
}

/** @param more - further packages and what to call them. */
export async function gatherVersions(fleet: Fleet, more: Record<string, string> = {}): Promise<Record<string, string>> {
  const usual = { 'postgresql-17': 'PostgreSQL', patroni: 'Patroni', 'etcd-server': 'etcd', haproxy: 'HAProxy' };
  const packages: Record<string, string> = { ...usual, ...more };
  const answer = await fleet.on(
    'h1',
    `dpkg-query -W -f '\${Package} \${Version}\\n' ${Object.keys(packages).join(' ')}`,
  );
  const found = Object.fromEntries(
    answer
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
  const named = Object.entries(packages).map(([name, title]) => [title, found[name]!.split('-')[0]!] as const);
  return { Node: process.versions.node, ...Object.fromEntries(named) };
}

export function commit(): string {
  const git = (args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const changed = git(['status', '--porcelain', '--', 'src', 'haproxy', 'watchdog', 'templates']);
  return `${git(['rev-parse', '--short', 'HEAD'])}${changed ? ' with changes' : ''}`;
}
