// The sandbox that a benchmark runs in: its own name, made for the run and taken down after it.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { runTimed, type Ran } from './measure.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const name = process.env.PGS_SANDBOX ?? 'bench';
const directory = `${process.env.PGS_SANDBOX_ROOT ?? '/var/lib/pgs-sandbox'}/${name}`;
const environment = { PGS_SANDBOX: name, PGS_CONFIG: `${directory}/pgs.yaml`, NO_COLOR: '1', FORCE_COLOR: '0' };

export interface Fleet {
  /** Where pgs.yaml and what belongs to it are. */
  directory: string;
  /** Addresses of the machines by name. */
  addresses: Record<string, string>;
  /** `pgs …`, which must succeed. */
  pgs(args: string[]): Promise<Ran>;
  /** Output of a shell line as root on a machine, which must succeed. */
  on(host: string, line: string): Promise<string>;
  /** Runs a script of this directory with the arguments, then where it may keep files, the ssh key, known_hosts and all NAME=ADDRESS. */
  script(path: string, args: string[], environment?: Record<string, string>): Promise<Ran>;
  /** Where scripts of that directory keep passwords and certificates. */
  scriptDirectory(scripts: string): string;
  /** The same cluster made by hand (see by-hand/up.sh), timed; and its removal. */
  byHandUp(order: 'in-turn' | 'together', environment?: Record<string, string>): Promise<Ran>;
  byHandDown(): Promise<Ran>;
  close(): Promise<void>;
}

/**
 * Prepared machines with etcd, and nothing else. What an interrupted run left is removed first. Machines beyond the third are bare
 * and not in pgs.yaml: h4 is where something else may have its monitor.
 */
export async function openFleet(progress: (line: string) => void, machines = 3): Promise<Fleet> {
  progress(`bringing up the sandbox ${name}`);
  await pgs(['sandbox', 'down']);
  await pgs(['sandbox', 'up', '--hosts', String(machines)]);
  leaveOut(Array.from({ length: machines - 3 }, (_, n) => `h${n + 4}`));
  await pgs(['host', 'prepare']);
  await pgs(['dcs', 'create']);
  const { hosts } = JSON.parse(readFileSync(`${directory}/sandbox.json`, 'utf8')) as {
    hosts: { name: string; address: string }[];
  };
  const keys: [string, string] = [`${directory}/ssh_key`, `${directory}/.pgs/known_hosts`];
  const sshOptions = ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR'];
  sshOptions.push('-o', 'ConnectTimeout=5', '-i', keys[0], '-o', `UserKnownHostsFile=${keys[1]}`);
  const named = hosts.map((host) => `${host.name}=${host.address}`);
  const script = (path: string, args: string[], more: Record<string, string> = {}, onlyMembers = false) => {
    const places = [scriptDirectory(dirname(path)), ...keys, ...(onlyMembers ? named.slice(0, 3) : named)];
    return succeed('timeout', ['180', `${root}test/bench/${path}`, ...args, ...places], more);
  };
  const addresses = Object.fromEntries(hosts.map((host) => [host.name, host.address]));
  return {
    directory,
    addresses,
    pgs,
    // Not by `pgs sandbox ssh`: a process more for each look would be felt by what is measured.
    on: async (host, line) => (await succeed('ssh', [...sshOptions, `root@${addresses[host]!}`, line])).stdout,
    script,
    scriptDirectory,
    byHandUp: (order, more) => script('by-hand/up.sh', [order], more, true),
    byHandDown: () => script('by-hand/down.sh', [], {}, true),
    close: async () => {
      progress(`taking down the sandbox ${name}`);
      await pgs(['sandbox', 'down']);
    },
  };
}

function scriptDirectory(scripts: string): string {
  return `/tmp/pgs-${name}-${scripts}`;
}

function leaveOut(hosts: string[]): void {
  const file = `${directory}/pgs.yaml`;
  const document = parseDocument(readFileSync(file, 'utf8'));
  for (const host of hosts) document.deleteIn(['hosts', host]);
  writeFileSync(file, document.toString());
}

function pgs(args: string[]): Promise<Ran> {
  return succeed(`${root}bin/pgs`, args);
}

async function succeed(program: string, args: string[], more: Record<string, string> = {}): Promise<Ran> {
  const ran = await runTimed(program, args, { ...environment, ...more });
  if (ran.code === 0) return ran;
  throw new Error(`${program} ${args.join(' ')} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
}
