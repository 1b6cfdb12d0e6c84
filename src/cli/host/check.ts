// `pgs host check`

import type { Command } from 'commander';
import type { CheckItem, Verdict } from '../../host/check.js';
import { checkHosts, type HostCheck } from '../../host/check-hosts.js';
import { openHosts } from '../../host/ssh-host.js';
import type { Terminal } from '../terminal.js';
import { openFleet } from './fleet.js';
import { describeGone, gatherGone } from './gone.js';

export async function check(asked: string[], options: { all: boolean }, command: Command): Promise<void> {
  const { inventory, names, terminal } = await openFleet(command, asked);
  const pool = openHosts(inventory);
  try {
    const [hosts, gone] = await Promise.all([
      checkHosts(pool, inventory, names),
      asked.length > 0 ? [] : gatherGone(inventory),
    ]);
    await terminal.result({ hosts, gone }, () =>
      [...hosts.map((host) => describe(host, options.all, terminal)), ...gone.map(describeGone)].join('\n\n'),
    );
    if (hosts.some(({ fit }) => !fit)) process.exitCode = 1;
  } finally {
    await pool.close();
  }
}

const marks: Record<Verdict, string> = { fit: '✓', warning: '!', unfit: '✗', unknown: '?' };

function describe({ host, fit, items }: HostCheck, all: boolean, { color }: Terminal): string {
  const paint = { fit: color.green, warning: color.yellow, unfit: color.red, unknown: color.yellow };
  const count = items.filter(({ verdict }) => verdict === 'fit').length;
  const line = ({ item, verdict, found, hint }: CheckItem) => [
    `  ${paint[verdict](marks[verdict])} ${item.padEnd(13)} ${found.replaceAll('\n', `\n    ${''.padEnd(13)} `)}`,
    ...(hint ? [`    ${''.padEnd(13)} ${color.dim(hint)}`] : []),
  ];
  const shown = items.filter(({ verdict }) => all || verdict !== 'fit');
  return [
    `${host}: ${fit ? 'fit' : 'not fit'} (${count} of ${items.length} items as they should be)`,
    ...sameUnknown(shown).flatMap(line),
  ].join('\n');
}

/** What is unknown for one reason is one line. */
function sameUnknown(items: CheckItem[]): CheckItem[] {
  const first = items.find(({ verdict }) => verdict === 'unknown');
  const alike = items.filter(({ verdict, found }) => verdict === 'unknown' && found === first?.found);
  if (!first || alike.length < 3) return items;
  const rest = items.filter((item) => !alike.includes(item));
  return [...rest, { ...first, item: 'the rest' }];
}
