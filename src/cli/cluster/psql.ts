import type { Command } from 'commander';
import { spawn } from 'node:child_process';
import { PgsError } from '../../errors.js';
import { runSuperuserSql } from '../../postgres/client.js';
import { findLeader } from '../../patroni/facts.js';
import { refuseStopped } from '../../reconcile/change.js';
import { withCluster, type OpenCluster } from '../../reconcile/cluster.js';
import type { Session } from '../../reconcile/session.js';
import type { ServiceName } from '../../topology/cluster.js';
import { libpqUrl } from '../../topology/urls.js';
import { withSession } from '../context.js';
import { appAccount, writeClientFiles } from './client-files.js';
import { resolveTenant } from './tenant.js';

export interface PsqlOptions {
  service: string;
  superuser: boolean;
  command?: string;
}

export async function psql(given: string | undefined, options: PsqlOptions, command: Command): Promise<void> {
  const target = await withSession(command, async ({ session }) => {
    return withCluster(session, await resolveTenant(session, given), async (open) => {
      refuseStopped(open.record.phase, open.cluster.tenant, `opening psql on ${open.cluster.tenant}`);
      if (options.superuser) return await runAsSuperuser(session, open, options);
      return libpqUrl(
        open.cluster,
        options.service as ServiceName,
        appAccount(open),
        await writeClientFiles(session, open),
      );
    });
  });
  if (target !== null)
    process.exitCode = await runPsql([target, ...(options.command === undefined ? [] : ['-c', options.command])]);
}

/** Statements come from `--command` or standard input; there is no terminal on the other side. */
async function runAsSuperuser(session: Session, open: OpenCluster, options: PsqlOptions): Promise<null> {
  const leader = findLeader(await open.patroni.gather());
  const host = open.cluster.members.find((m) => m.name === leader?.name)?.host.name;
  if (!host)
    throw new PgsError('unreachable', { doing: `opening psql on ${open.cluster.tenant}`, found: 'no member leads' });
  const statements = options.command ?? (await readStandardInput());
  process.stdout.write(
    await runSuperuserSql(session.hosts.get(host), open.cluster, 'running SQL as the superuser', statements, 300_000),
  );
  return null;
}

async function readStandardInput(): Promise<string> {
  if (process.stdin.isTTY) {
    throw new PgsError('usage', {
      doing: 'running SQL as the superuser',
      found: 'no statements',
      hint: 'Give them with --command or on standard input.',
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function runPsql(args: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('psql', args, { stdio: 'inherit' });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      reject(
        new PgsError('unfit', {
          doing: 'starting psql',
          found: missing ? 'psql is not installed on this machine' : cause.message,
          hint: 'Install it: apt-get install postgresql-client',
        }),
      );
    });
    // psql handles Ctrl-C itself.
    process.on('SIGINT', () => undefined);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
