// Files on the operator's own machine: written whole or not at all, so that a crash at any point leaves the old content
// or the new one, and changed by one pgs at a time.

import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from './errors.js';

/** Text of a file, or null if there is none. Other failures are `configuration` errors. */
export async function readFileIfPresent(path: string, doing: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return null;
    throw fileError(doing, path, thrown);
  }
}

/** Replaces a file, or makes it. A symbolic link stays one and its target is replaced. `mode` such as 0o600. */
export async function writeFileAtomically(path: string, content: string, mode: number): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const temporary = await writeTemporary(target, content, mode);
  try {
    await rename(temporary, target);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw fileError('writing a file', path, thrown);
  }
  await syncDirectory(dirname(target));
}

/** Makes a file that must not exist yet, whole from its first moment. Returns false, and changes nothing, if it does. */
export async function createFileOnce(path: string, content: string, mode: number): Promise<boolean> {
  const temporary = await writeTemporary(path, content, mode);
  try {
    await link(temporary, path);
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return false;
    throw fileError('writing a file', path, thrown);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(path));
  return true;
}

/** Makes a directory with its parents, 0700 unless it is there already. */
export async function ensurePrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw fileError('making a directory', path, thrown);
  }
}

/**
 * Runs `work` while no other pgs on this machine does so for the same file. The lock is `<path>.lock` with the holder's
 * process id; that of a dead process is taken over.
 * @throws PgsError `held` if a living process keeps it longer than `waitMs`.
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>, waitMs = 15_000): Promise<T> {
  const lock = `${path}.lock`;
  const deadline = performance.now() + waitMs;
  while (!(await createFileOnce(lock, `${process.pid}\n`, 0o600))) {
    const holder = Number.parseInt((await readFileIfPresent(lock, 'reading a lock')) ?? '', 10);
    if (Number.isInteger(holder) && !isAlive(holder)) await removeStaleLock(lock, holder);
    else if (performance.now() > deadline) {
      throw new PgsError('held', {
        doing: `locking ${path}`,
        found: `process ${holder} has held ${lock} for more than ${Math.round(waitMs / 1000)} s`,
        hint: 'Wait for the other pgs to end, or end it, and run again.',
      });
    } else await sleep(25);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** Two waiters may both see the dead holder; renaming lets one of them win and never removes a living one's new lock. */
async function removeStaleLock(lock: string, holder: number): Promise<void> {
  const aside = `${lock}.${process.pid}.stale`;
  try {
    await rename(lock, aside);
  } catch {
    return;
  }
  const moved = Number.parseInt((await readFileIfPresent(aside, 'reading a lock')) ?? '', 10);
  if (moved !== holder) await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return errnoOf(thrown) === 'EPERM';
  }
}

async function writeTemporary(path: string, content: string, mode: number): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.chmod(mode); // the umask may have taken bits away
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw fileError('writing a file', path, thrown);
  }
  return temporary;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function fileError(doing: string, path: string, thrown: unknown): PgsError {
  const reasons: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of its path is not a directory',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
    ENOENT: 'the directory does not exist',
  };
  const code = errnoOf(thrown);
  return new PgsError('configuration', {
    doing,
    found: `${path}: ${reasons[code] ?? code}`,
    hint: 'Make the path accessible to the user who runs pgs, and run again.',
    cause: thrown,
  });
}

function errnoOf(thrown: unknown): string {
  return (thrown as NodeJS.ErrnoException | undefined)?.code ?? String(thrown);
}
