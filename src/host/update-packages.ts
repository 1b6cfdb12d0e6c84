// Brings installed packages to other versions on one host: package lists first, then the packages themselves into apt's cache, and only
// then what changes anything.

import { PgsError } from '../errors.js';
import { runChecked, type HostAccess } from './command.js';
import { installError, installPackages } from './install-packages.js';

/** Version by package. */
export type Versions = Record<string, string>;

/** apt waits for the lock of another one. */
const options = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=2'];
const refreshTimeoutMs = 180_000;
const fetchTimeoutMs = 600_000;
export const updateTimeoutMs = 20 * 60_000;

/** @throws PgsError `command-failed` in apt's own words when a source does not answer: what it has would not be known */
export async function refreshLists(access: HostAccess): Promise<void> {
  const argv = ['apt-get', ...options, '-o', 'APT::Update::Error-Mode=any', 'update'];
  const { code, stdout, stderr } = await access.run({ argv, timeoutMs: refreshTimeoutMs });
  if (code === 0) return;
  const { found, hint } = installError(access.name, [], `${stdout}\n${stderr}`).details;
  throw new PgsError('command-failed', {
    doing: 'fetching the lists of packages',
    host: access.name,
    found,
    ...(hint ? { hint } : {}),
  });
}

/** Changes nothing but apt's cache. @throws PgsError `command-failed` */
export async function fetchPackages(access: HostAccess, versions: Versions): Promise<void> {
  const argv = ['apt-get', ...options, '--download-only', '--no-install-recommends', '--allow-change-held-packages'];
  const { code, stdout, stderr } = await access.run({
    argv: [...argv, 'install', '--', ...pinned(versions)],
    timeoutMs: fetchTimeoutMs,
  });
  if (code === 0) return;
  const { found, hint } = installError(access.name, [], `${stdout}\n${stderr}`).details;
  throw new PgsError('command-failed', {
    doing: `fetching ${pinned(versions).join(', ')}`,
    host: access.name,
    found,
    ...(hint ? { hint } : {}),
  });
}

/**
 * Installs these versions, and holds the packages at them. Nothing starts or restarts by it; interrupted, it is finished by the next one.
 * @throws PgsError as `installPackages`
 */
export async function updatePackages(access: HostAccess, versions: Versions, timeoutMs: number): Promise<void> {
  const names = Object.keys(versions);
  const argv = ['apt-mark', 'unhold', ...names];
  await runChecked(access, 'letting packages go to another version', { argv, timeoutMs: 60_000 });
  await installPackages(access, { install: pinned(versions), hold: names, lists: 'any-source' }, timeoutMs);
}

function pinned(versions: Versions): string[] {
  return Object.entries(versions).map(([name, version]) => `${name}=${version}`);
}
