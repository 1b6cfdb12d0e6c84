// Installs and holds packages on a host, and tells in apt's own words why it could not.

import { PgsError } from '../errors.js';
import { runChecked, type HostAccess } from './command.js';
import { readTemplate } from './template.js';

/**
 * Installs packages so that none of them starts anything, finishes what an interrupted dpkg left, then holds packages at
 * their versions. May be repeated.
 * @throws PgsError `command-failed` naming the packages with the last lines of apt, `unknown-result` if the connection is
 * lost or the time is over
 */
export async function installPackages(
  access: HostAccess,
  packages: { install: string[]; hold: string[] },
  timeoutMs: number,
): Promise<void> {
  const { install, hold } = packages;
  if (install.length > 0) {
    const argv = ['sh', '-c', readTemplate('host/install.sh'), 'sh', ...install];
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
    /held broken packages|unmet dependencies/,
    'See `apt-mark showhold` and /etc/apt/preferences.d there: what is held or pinned keeps these packages out.',
  ],
  [
    /Unable to locate package|has no installation candidate/,
    'See that the sources of apt there (/etc/apt/sources.list*) are those of the release, component main.',
  ],
  [/NO_PUBKEY|is not signed|EXPKEYSIG/, 'See the key of that source (its Signed-By) there.'],
  [
    /Could not resolve|Could not connect|Connection (failed|timed out|refused)|Temporary failure|Unable to connect|Network is unreachable|Failed to fetch/,
    `See that the host reaches its mirror (/etc/apt/sources.list*, proxy in /etc/apt/apt.conf.d, DNS), ${again}`,
  ],
];

/** Lines that tell of a failure, the last dozen; without any, simply the last lines. */
const telling = /^(E:|Err:|W: Failed|dpkg: error|\s+\d{3} |.*(No space left|Depends:|Conflicts:|error processing))/;

export function installError(host: string, packages: string[], output: string): PgsError {
  const lines = output
    .trim()
    .split('\n')
    .filter((line) => line !== '@update-failed');
  const told = [...new Set(lines.filter((line) => telling.test(line)))];
  const shown = (told.length > 0 ? told : lines).slice(-12).join('\n');
  const hint =
    causes.find(([pattern]) => pattern.test(shown))?.[1] ?? `Mend that (\`apt-get -f install\` there), ${again}`;
  const stale = output.startsWith('@update-failed') ? 'The package lists could not be fetched either.\n' : '';
  return new PgsError('command-failed', {
    doing: `installing ${packages.join(', ')}`,
    host,
    found: `${stale}${shown || 'apt ended without a word'}`,
    hint,
  });
}
