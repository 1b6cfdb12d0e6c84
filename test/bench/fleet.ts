// The sandbox that a benchmark runs in: its own name, made for the run and taken down after it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runTimed, type Ran } from './measure.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const name = process.env.PGS_SANDBOX ?? 'bench';
const directory = `${process.env.PGS_SANDBOX_ROOT ?? '/var/lib/pgs-sandbox'}/${name}`;
const environment = { PGS_SANDBOX: name, PGS_CONFIG: `${directory}/pgs.yaml`, NO_COLOR: '1', FORCE_COLOR: '0' };
/** Where the by-hand cluster's operator keeps its files. */
const byHandDirectory = `/tmp/pgs-${name}-by-hand`;

export interface Fleet {
  /** Addresses of the machines by name. */
  addresses: Record<string, string>;
  /** `pgs …`, which must succeed. */
  pgs(args: string[]): Promise<Ran>;
  /** Output of a shell line as root on a machine, which must succeed. */
  on(host: string, line: string): Promise<string>;
  /** The same cluster made by hand (see by-hand/up.sh), timed; and its removal. */
  byHandUp(order: 'in-turn' | 'together'): Promise<Ran>;
  byHandDown(): Promise<Ran>;
  close(): Promise<void>;
}

/** Prepared machines with etcd, and nothing else. What an interrupted run left is removed first. */
export async function openFleet(progress: (line: string) => void): Promise<Fleet> {
  progress(`bringing up the sandbox ${name}`);
  await pgs(['sandbox', 'down']);
  await pgs(['sandbox', 'up']);
  await pgs(['host', 'prepare']);
  await pgs(['dcs', 'create']);
  const { hosts } = JSON.parse(readFileSync(`${directory}/sandbox.json`, 'utf8')) as {
    hosts: { name: string; address: string }[];
  };
  const places = [byHandDirectory, `${directory}/ssh_key`, `${directory}/.pgs/known_hosts`];
  const named = hosts.map((host) => `${host.name}=${host.address}`);
  const byHand = (script: string, args: string[]) =>
    succeed('timeout', ['180', `${root}test/bench/by-hand/${script}`, ...args, ...places, ...named]);
  return {
    addresses: Object.fromEntries(hosts.map((host) => [host.name, host.address])),
    pgs,
    on: async (host, line) => (await pgs(['sandbox', 'ssh', host, '--', line])).stdout,
    byHandUp: (order) => byHand('up.sh', [order]),
    byHandDown: () => byHand('down.sh', []),
    close: async () => {
      progress(`taking down the sandbox ${name}`);
      await pgs(['sandbox', 'down']);
    },
  };
}

function pgs(args: string[]): Promise<Ran> {
  return succeed(`${root}bin/pgs`, args);
}

async function succeed(program: string, args: string[]): Promise<Ran> {
  const ran = await runTimed(program, args, environment);
  if (ran.code === 0) return ran;
  throw new Error(`${program} ${args.join(' ')} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
}
