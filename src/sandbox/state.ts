// What a sandbox consists of, as its sandbox.json says. It is written before a thing is made, so that whatever an
// interrupted run left behind is known to be ours, and nothing else is.

import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import { writeFileAtomically } from '../operator-files.js';
import { checkSandboxName, releases } from './names.js';
import { sandboxPaths, type SandboxPaths } from './paths.js';

export const machineKinds = ['container', 'vm'] as const;
export type MachineKind = (typeof machineKinds)[number];

const hostSchema = z.strictObject({
  name: z.string(),
  /** A container shares this box's kernel; a virtual machine has its own, with a watchdog. */
  kind: z.enum(machineKinds).default('container'),
  address: z.string(),
  /** This box's end of the machine's cable; null while it is off. */
  veth: z.string().nullable(),
  /** The nspawn or QEMU process that runs it. What decides whether it runs is its cgroup; these are for people. */
  pid: z.int().nullable(),
  /** Clock ticks after boot at which the process started (field 22 of /proc/<pid>/stat). */
  pidStartTicks: z.int().nullable(),
});

const stateSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  release: z.enum(releases),
  bridge: z.string(),
  /** Random: a bridge of our name with another address is somebody else's. */
  bridgeMac: z.string(),
  /** IPv4 CIDR, a /24 */
  subnet: z.string(),
  /** Directories of the cache that the machines' roots lie on, lowest first; null until they are known. */
  layers: z.array(z.string()).nullable(),
  hosts: z.array(hostSchema),
});

export type SandboxState = z.output<typeof stateSchema>;
export type SandboxHost = SandboxState['hosts'][number];

/** A sandbox that exists, whatever state it is in. */
export interface Sandbox {
  name: string;
  paths: SandboxPaths;
  state: SandboxState;
}

/**
 * Reads a sandbox's state; null when there is no such sandbox.
 * @throws PgsError `configuration` if the file is damaged.
 */
export function findSandbox(name: string): Sandbox | null {
  const paths = sandboxPaths(name);
  if (!existsSync(paths.state)) return null;
  try {
    return { name, paths, state: stateSchema.parse(JSON.parse(readFileSync(paths.state, 'utf8'))) };
  } catch (cause) {
    throw new PgsError('configuration', {
      doing: `reading the state of sandbox ${name}`,
      found: `${paths.state} is not what pgs writes there: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: `Look at the file. Only if nothing of the sandbox runs any more, remove ${paths.directory} and run \`pgs sandbox up\`.`,
      cause,
    });
  }
}

/**
 * The sandbox of that name.
 * @throws PgsError `usage` when there is none, or the name is none.
 */
export function loadSandbox(name: string): Sandbox {
  const sandbox = findSandbox(checkSandboxName(name));
  if (sandbox) return sandbox;
  throw new PgsError('usage', {
    doing: `looking for the sandbox ${name}`,
    found: `there is no ${sandboxPaths(name).state}`,
    hint: 'Make it with `pgs sandbox up`.',
  });
}

export async function saveSandbox(sandbox: Sandbox): Promise<void> {
  await mkdir(sandbox.paths.directory, { recursive: true, mode: 0o711 });
  await writeFileAtomically(sandbox.paths.state, `${JSON.stringify(sandbox.state, null, 2)}\n`, 0o644);
}

/**
 * The host of that name in the sandbox.
 * @throws PgsError `usage`
 */
export function sandboxHost(sandbox: Sandbox, host: string): SandboxHost {
  const found = sandbox.state.hosts.find((candidate) => candidate.name === host);
  if (found) return found;
  throw new PgsError('usage', {
    doing: `looking for a machine of sandbox ${sandbox.name}`,
    found: `${JSON.stringify(host)} is none of ${sandbox.state.hosts.map((known) => known.name).join(', ')}`,
    hint: 'See `pgs sandbox status`.',
  });
}
