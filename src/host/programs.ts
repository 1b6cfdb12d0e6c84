// Which versions are installed on a host, which ones apt would install, and which programs run from files that an update has replaced.
// Asked by `templates/host/programs.py`.

import { z } from 'zod';
import { PgsError } from '../errors.js';
import { runChecked, type HostAccess } from './command.js';
import { readTemplate } from './template.js';

const installedPackage = z.object({
  /** Completely installed version, null: none. */
  installed: z.string().nullable(),
  held: z.boolean(),
  /** dpkg began with it and did not end. */
  broken: z.boolean(),
  /** What apt would install; null when it was not asked, or knows none. */
  candidate: z.string().nullable(),
});

const program = z.object({
  unit: z.string(),
  component: z.enum(['patroni', 'postgres', 'pgbouncer', 'pgbouncer-replica', 'haproxy', 'etcd']),
  /** Null for what all tenants share. */
  tenant: z.string().nullable(),
  /** What runs is not what is installed. */
  replaced: z.boolean(),
});

const answer = z.object({ packages: z.record(z.string(), installedPackage), programs: z.array(program) });

export type InstalledPackage = z.output<typeof installedPackage>;
export type RunningProgram = z.output<typeof program>;
export type ProgramFacts = z.output<typeof answer>;

/** apt reads all its lists for a candidate, which takes seconds on a slow disk. */
const looksTimeoutMs = { candidates: 60_000, installed: 20_000 };

/**
 * @param want `candidates`: what apt would install is asked as well
 * @throws PgsError `unreachable`, `unknown-result`, or `command-failed` if the answer makes no sense
 */
export async function gatherPrograms(
  access: HostAccess,
  packages: string[],
  want: 'candidates' | 'installed',
): Promise<ProgramFacts> {
  const doing = 'looking at the packages and programs';
  const printed = await runChecked(access, doing, {
    argv: ['python3', '-I', '-c', readTemplate('host/programs.py'), want, ...packages],
    timeoutMs: looksTimeoutMs[want],
  });
  return parsePrograms(printed, access.name);
}

/** @throws PgsError `command-failed` */
export function parsePrograms(printed: string, host: string): ProgramFacts {
  try {
    return answer.parse(JSON.parse(printed));
  } catch (thrown) {
    throw new PgsError('command-failed', {
      doing: 'looking at the packages and programs',
      host,
      found: `its answer cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      cause: thrown,
    });
  }
}
