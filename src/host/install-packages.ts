// Installs and holds packages on a host, and tells in apt's own words why it could not.

import { PgsError } from '../errors.js';
import { runChecked, type HostAccess } from './command.js';
import { readTemplate } from './template.js';

export interface PackageChange {
  install: string[];
  hold: string[];
  /**
   * `every-source`: package lists that cannot be fetched are an error, because a package may come from another source than
   * was meant; `any-source`: only when a package is found in none.
   */
  lists: 'every-source' | 'any-source';
}

/**
 * Installs packages so that none of them starts anything, finishes what an interrupted dpkg left, then holds packages at
 * their versions. May be repeated.
 * @throws PgsError `command-failed` naming the packages with the last lines of apt, `unknown-result` if the connection is
 * lost or the time is over
 */
export async function installPackages(access: HostAccess, change: PackageChange, timeoutMs: number): Promise<void> {
  const { install, hold, lists } = change;
  if (install.length > 0) {
    const argv = ['sh', '-c', readTemplate('host/install.sh'), 'sh', lists, ...install];
    const { code, stdout } = await access.run({ argv, timeoutMs });
    if (code !== 0) throw installError(access.name, install, stdout);
  }
  if (hold.length > 0) {
    const argv = ['apt-mark', 'hold', ...hold];
    await runChecked(access, 'holding packages at their versions', { argv, timeoutMs: 60_000 });
  }
}

const again = 'then run the same command again: it goes on from there.';

/** What apt and dpkg say, and what helps. The first that fits is the cause; those below may follow from it. */
const causes: [RegExp, string][] = [
  [/No space left on device|enough free space/, `Free space there (df -h / /var/cache/apt), ${again}`],
  [/Could not get lock|is locked by another process|frontend lock/, `Wait for the other apt or dpkg to end, ${again}`],
  [
    /Could not resolve|Could not connect|Connection (failed|timed out|refused)|Temporary failure|Unable to connect|Network is unreachable/,
    `See that the host reaches its mirror (/etc/apt/sources.list*, proxy in /etc/apt/apt.conf.d, DNS), ${again}`,
  ],
  [/NO_PUBKEY|is not signed|EXPKEYSIG/, 'See the key of that source (its Signed-By) there.'],
  [
    /held broken packages|unmet dependencies/,
    'See `apt-mark showhold` and /etc/apt/preferences.d there: what is held or pinned keeps these packages out.',
  ],
  [
    /Unable to locate package|has no installation candidate/,
    'See that the sources of apt there (/etc/apt/sources.list*) are those of the release, component main, and that nothing in /etc/apt/preferences.d keeps the package out.',
  ],
  [/Failed to fetch/, `See that the mirror of /etc/apt/sources.list* is whole and reachable, ${again}`],
];

/** Lines that tell of a failure. Without any, the last lines are shown as they are. */
const telling = /^(E:|Err:|W: Failed|dpkg: error|.*(No space left|Depends:|Conflicts:|error processing))/;

/** The error for an install that failed, from what `templates/host/install.sh` printed. Pure. */
export function installError(host: string, packages: string[], output: string): PgsError {
  const stale = output.startsWith('@update-failed');
  const lines = output.replace('@update-failed\n', '').trim().split('\n');
  const told = firstOfKind([...new Set(lines.filter((line) => telling.test(line)))]);
  // The cause comes first, what follows from it last.
  const ends = told.length > 8 ? [...told.slice(0, 4), ...told.slice(-4)] : told;
  const shown = (ends.length > 0 ? ends : lines.slice(-8)).join('\n') || 'apt ended without a word';
  const hint =
    causes.find(([pattern]) => pattern.test(output))?.[1] ?? `Mend that (\`apt-get -f install\` there), ${again}`;
  return new PgsError('command-failed', {
    doing: `installing ${packages.join(', ')}`,
    host,
    found: stale ? `package lists could not be fetched:\n${shown}` : shown,
    hint,
  });
}

/** A dead mirror fails for each of a hundred files in the same words: two of them are enough. */
function firstOfKind(lines: string[]): string[] {
  const seen = new Map<string, number>();
  return lines.filter((line) => {
    const kind = line.replace(/\S*:\/\/\S+/g, '').replace(/\d+/g, '');
    const count = (seen.get(kind) ?? 0) + 1;
    seen.set(kind, count);
    return count <= 2;
  });
}
