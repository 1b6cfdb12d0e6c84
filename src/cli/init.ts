// `pgs init`: reads what was typed, sets the fleet up, and says what comes next.

import { relative, resolve } from 'node:path';
import { PgsError } from '../errors.js';
import { initFleet, type FleetInit, type FleetInitResult } from '../fleet/init.js';
import { addressFault, parseHostName } from '../inventory/names.js';
import { createTerminal, type OutputFormat, type Terminal } from './terminal.js';

export interface InitFlags {
  dir: string;
  fleet?: string;
  domain?: string;
  host: string[];
  user?: string;
  port?: string;
  key?: string;
  packages?: string;
  watchdog?: string;
}

export async function runInit(flags: InitFlags, globals: { output: OutputFormat }): Promise<void> {
  const terminal = createTerminal(globals.output);
  const result = await initFleet(parseFlags(flags));
  warnOfIgnored(flags, result, terminal);
  const value = {
    path: result.path,
    created: result.created,
    hosts: result.inventory?.hosts.map((host) => host.name) ?? [],
  };
  await terminal.result(value, () => describe(result));
}

function parseFlags(flags: InitFlags): FleetInit {
  return {
    dir: flags.dir,
    hosts: flags.host.map(parseHost),
    ...(flags.fleet === undefined ? {} : { fleet: flags.fleet }),
    ...(flags.domain === undefined ? {} : { domain: flags.domain }),
    ssh: {
      ...(flags.user === undefined ? {} : { user: flags.user }),
      ...(flags.port === undefined ? {} : { port: parsePort(flags.port) }),
      ...(flags.key === undefined ? {} : { key: keyPath(flags.key, flags.dir) }),
    },
    ...(flags.packages === undefined
      ? {}
      : { packages: parseChoice('--packages', flags.packages, ['distribution', 'pgdg'] as const) }),
    ...(flags.watchdog === undefined
      ? {}
      : {
          defaults: {
            watchdog: parseChoice('--watchdog', flags.watchdog, ['required', 'automatic', 'off'] as const),
          },
        }),
  };
}

/** `name=address` or `name=address,zone`. */
function parseHost(text: string): FleetInit['hosts'][number] {
  const found = /^([^=]*)=([^,]*)(?:,(.*))?$/s.exec(text);
  const [, name = '', address = '', zone] = found ?? [];
  if (found === null) throw optionError('--host', text, 'it is not name=address or name=address,zone');
  parseHostName(name);
  const fault = addressFault(address);
  if (fault !== null) throw optionError('--host', text, `of the address, ${fault}`);
  return { name, address, ...(zone === undefined ? {} : { zone }) };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65535) return port;
  throw optionError('--port', text, 'it is not a number from 1 to 65535');
}

function parseChoice<Choice extends string>(option: string, text: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === text);
  if (choice !== undefined) return choice;
  throw optionError(option, text, `it is none of ${choices.join(', ')}`);
}

/** pgs.yaml counts paths from its own directory, the shell from the current one. */
function keyPath(text: string, dir: string): string {
  if (text.startsWith('~')) return text;
  const path = resolve(text);
  const inside = relative(resolve(dir), path);
  return inside.startsWith('..') ? path : inside;
}

function optionError(option: string, text: string, fault: string): PgsError {
  return new PgsError('usage', {
    doing: `reading ${option}`,
    found: `${JSON.stringify(text.slice(0, 120))} is refused: ${fault}`,
    hint: 'See `pgs init --help` for examples.',
  });
}

/** A file that exists wins over what was typed; saying nothing would look like obedience. */
function warnOfIgnored(flags: InitFlags, result: FleetInitResult, terminal: Terminal): void {
  if (result.created.includes(result.path)) return;
  const known = new Set(result.inventory?.hosts.map((host) => host.name));
  const missing = flags.host.map((text) => text.split('=')[0]!).filter((name) => !known.has(name));
  const typed = [flags.fleet, flags.domain, flags.user, flags.port, flags.key, flags.packages, flags.watchdog];
  if (missing.length > 0) {
    terminal.warn(`${result.path} exists and was left as it is; add ${missing.join(', ')} under hosts there`);
  } else if (typed.some((value) => value !== undefined)) {
    terminal.warn(`${result.path} exists and was left as it is; options that differ from it had no effect`);
  }
}

function describe({ path, created, inventory }: FleetInitResult): string {
  const lines = created.length === 0 ? [`${path} and all that belongs to it were there; nothing was changed.`] : [];
  for (const file of created) lines.push(`made ${file}`);
  if (created.some((file) => file.endsWith('/fleet.key'))) {
    lines.push('', 'Keep a copy of fleet.key in a safe place: without it the stored secrets are lost.');
  }
  const steps = [
    ...(inventory === null
      ? [
          [`$EDITOR ${path}`, 'name at least three hosts'],
          ['pgs init', 'make their certificates'],
        ]
      : []),
    ['pgs host trust', "compare and accept the hosts' ssh keys"],
    ['pgs host check', 'see what is fit and what is not'],
    ['pgs host prepare', 'install and configure what is missing'],
    ['pgs dcs create', "make the fleet's etcd"],
    ['pgs cluster create demo --replicas 2', 'make the first cluster'],
  ];
  const width = Math.max(...steps.map(([command]) => command!.length));
  lines.push('', 'Next:', ...steps.map(([command, what]) => `  ${command!.padEnd(width)}   ${what}`));
  return lines.join('\n');
}
