import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { patroniUnit } from '../../patroni/desired.js';
import { openCluster } from '../../reconcile/cluster.js';
import { withSession } from '../context.js';
import { resolveTenant } from './tenant.js';

/** The units' journals, member by member; `-o json`: {members: [{name, host, lines: […]}]} */
export async function logs(
  given: string | undefined,
  options: { member?: string; lines: string },
  command: Command,
): Promise<void> {
  const count = Number(options.lines);
  if (!Number.isInteger(count) || count < 1) {
    throw new PgsError('usage', {
      doing: 'reading --lines',
      found: `${JSON.stringify(options.lines)} is not a number of lines`,
    });
  }
  await withSession(command, async ({ session, terminal }) => {
    const { cluster, patroni } = await openCluster(session, await resolveTenant(session, given));
    patroni.close();
    const members = cluster.members.filter((m) => options.member === undefined || m.name === options.member);
    if (members.length === 0) {
      throw new PgsError('usage', {
        doing: 'choosing the member',
        found: `${cluster.tenant} has no member ${options.member}; it has ${cluster.members.map((m) => m.name).join(', ')}`,
      });
    }
    const argv = [
      'journalctl',
      '-u',
      patroniUnit(cluster.tenant),
      '-n',
      String(count),
      '--no-pager',
      '-o',
      'short-iso',
    ];
    const answers = await Promise.all(
      members.map(async (m) => {
        const run = session.hosts.get(m.host.name).run({ argv, timeoutMs: 15_000 });
        const output = await run.then((r) => r.stdout).catch((e: PgsError) => `(${e.message})`);
        return { name: m.name, host: m.host.name, lines: output.trimEnd().split('\n') };
      }),
    );
    await terminal.result({ members: answers }, () =>
      answers.map((a) => [`==> ${a.name} on ${a.host} <==`, ...a.lines].join('\n')).join('\n\n'),
    );
  });
}
