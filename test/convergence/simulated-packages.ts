// apt, dpkg and what runs from their files on a simulated host, as `pgs update` sees and changes them.

import type { Command, CommandResult } from '../../src/host/command.js';
import { readTemplate } from '../../src/host/template.js';
import { sharedPackages, tenantPackages } from '../../src/reconcile/plan-update.js';
import type { SimulatedHost } from './simulated-host.js';

export interface SimulatedPackage {
  installed: string | null;
  /** What the host's sources have. */
  candidate: string | null;
  held: boolean;
}

export const allPackages = [...tenantPackages(17), ...sharedPackages];

export function preparedPackages(): [string, SimulatedPackage][] {
  return allPackages.map((name) => [name, { installed: '1', candidate: '1', held: true }]);
}

const packageOf: Record<string, string[]> = {
  patroni: ['patroni', 'postgresql-17'],
  pgbouncer: ['pgbouncer'],
  'pgbouncer-replica': ['pgbouncer'],
  haproxy: ['haproxy'],
  etcd: ['etcd-server'],
};

/** Undefined for a command that is about something else. */
export function packageCommand(host: SimulatedHost, { argv }: Command): CommandResult | undefined {
  if (argv[3] === readTemplate('host/programs.py')) return ok(JSON.stringify(look(host, argv.slice(5))));
  if (argv[0] === 'apt-get' && argv.at(-1) === 'update') return ok('');
  if (argv[0] === 'apt-get' && argv.includes('--download-only'))
    return fetched(host, argv.slice(argv.indexOf('--') + 1));
  if (argv[0] === 'apt-mark') return mark(host, argv[1] === 'hold', argv.slice(2));
  if (argv[2] === readTemplate('host/install.sh')) return install(host, argv.slice(5));
  return undefined;
}

function look(host: SimulatedHost, names: string[]): unknown {
  const missing = { installed: null, candidate: null, held: false };
  const packages = names.map((name) => [name, { ...(host.packages.get(name) ?? missing), broken: false }] as const);
  const programs = [...host.units].flatMap(([unit, { active, runs }]) => {
    const [, component = '', tenant = null] = /^pgs-([a-z-]+)(?:@(.+))?\.service$/.exec(unit) ?? [];
    return (active === 'active' ? (packageOf[component] ?? []) : []).map((name) => ({
      unit,
      component: name.startsWith('postgresql') ? 'postgres' : component,
      tenant,
      replaced: runs[name] !== host.packages.get(name)?.installed,
    }));
  });
  return { packages: Object.fromEntries(packages), programs };
}

function fetched(host: SimulatedHost, wanted: string[]): CommandResult {
  const unknown = unknownTo(host, wanted);
  if (unknown) return { code: 100, stdout: '', stderr: `E: Version '${unknown}' was not found` };
  host.change(`fetch ${wanted.join(' ')}`);
  return ok('');
}

function install(host: SimulatedHost, wanted: string[]): CommandResult {
  const unknown = unknownTo(host, wanted);
  if (unknown) return { code: 100, stdout: `E: Version '${unknown}' was not found`, stderr: '' };
  for (const text of wanted) {
    const [name, version] = text.split('=') as [string, string];
    const found = host.packages.get(name)!;
    if (found.installed === version) continue;
    if (found.held) return { code: 100, stdout: 'E: Held packages were changed', stderr: '' };
    // dpkg goes through them one by one, and may be interrupted in between.
    host.change(`install ${text}`);
    host.packages.set(name, { ...found, installed: version });
  }
  return ok('');
}

function mark(host: SimulatedHost, held: boolean, names: string[]): CommandResult {
  const others = names.filter((name) => host.packages.get(name)?.held !== held);
  if (others.length > 0) host.change(`${held ? 'hold' : 'unhold'} ${others.join(' ')}`);
  for (const name of others) host.packages.set(name, { ...host.packages.get(name)!, held });
  return ok('');
}

function unknownTo({ packages }: SimulatedHost, wanted: string[]): string | undefined {
  return wanted.find((text) => {
    const [name, version] = text.split('=') as [string, string];
    const found = packages.get(name);
    return found?.candidate !== version && found?.installed !== version;
  });
}

function ok(stdout: string): CommandResult {
  return { code: 0, stdout, stderr: '' };
}
