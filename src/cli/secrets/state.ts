// `pgs state export`, `import` and `passphrase`

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { exportTo, readPassphraseFile, setPassphrase } from '../../fleet/exports.js';
import { fleetKeyAt, restoreFiles } from '../../fleet/restore-files.js';
import { readFileIfPresent, withFileLock } from '../../operator-files.js';
import { gatherLoss, recordsOf, recoverDcs, type DcsLoss } from '../../reconcile/recover-dcs.js';
import type { Released } from '../../reconcile/release-tenants.js';
import { openSession, type Session } from '../../reconcile/session.js';
import { openExport, parseExportFile, type ExportContent } from '../../state/export.js';
import { confirmByTyping, interruptible, terminalOf, withSession } from '../context.js';
import type { ImportFlags } from '../commands/state.js';
import { openFleet } from '../fleet.js';
import { reportSteps } from '../plan-text.js';
import type { Terminal } from '../terminal.js';

/** `-o json`: {path, passphrase} */
export async function exportState(file: string, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const path = resolve(file);
    const passphrase = (await exportTo(path, session, await session.dcs(), new Date())) === 'with passphrase';
    await terminal.result({ path, passphrase }, () =>
      passphrase
        ? `${path} holds everything; the fleet key or the passphrase opens it`
        : `${path} holds everything; only the fleet key opens it (\`pgs state passphrase\` lets a passphrase do so)`,
    );
  });
}

export async function setStatePassphrase(file: string, command: Command): Promise<void> {
  const passphrase = await readPassphraseFile(resolve(file));
  await withSession(command, async ({ session, terminal }) => {
    await setPassphrase(session, passphrase);
    await terminal.result({ passphrase: true }, () => 'the passphrase opens every export from now on');
  });
}

interface Imported {
  files: string[];
  etcd: DcsLoss['state'];
  tenants: Released[];
}

/** `-o json`: {files: [path], etcd, tenants: [{tenant, leader, kept}]} */
export async function importState(file: string, flags: ImportFlags, command: Command): Promise<void> {
  const terminal = terminalOf(command);
  const directory = resolve(flags.dir);
  const content = await readContent(file, directory, flags);
  const files = await restoreFiles(directory, content);
  files.forEach((path) => terminal.progress(`wrote ${path}`));
  const session = openSession(await openFleet({ config: join(directory, 'pgs.yaml') }));
  try {
    const done = await interruptible(terminal, (signal) => importDcs({ session, terminal, signal }, content, flags));
    await terminal.result({ files, ...done }, () => describe({ files, ...done }, content));
  } finally {
    await session.close();
  }
}

async function readContent(file: string, directory: string, { passphraseFile }: ImportFlags): Promise<ExportContent> {
  const path = resolve(file);
  const text = await readFileIfPresent(path, 'reading the export');
  if (text === null) throw new PgsError('usage', { doing: 'reading the export', found: `${path} does not exist` });
  const parsed = parseExportFile(text, path);
  const passphrase = passphraseFile === undefined ? null : await readPassphraseFile(resolve(passphraseFile));
  return openExport(parsed, { fleetKey: await fleetKeyAt(directory), passphrase });
}

async function importDcs(
  { session, terminal, signal }: { session: Session; terminal: Terminal; signal: AbortSignal },
  content: ExportContent,
  flags: ImportFlags,
): Promise<Omit<Imported, 'files'>> {
  if (session.inventory.etcd.kind === 'external') return { etcd: 'whole', tenants: [] };
  return withFileLock(join(session.inventory.stateDir, 'dcs'), async () => {
    const loss = await gatherLoss(session);
    if (loss.state === 'whole') return { etcd: loss.state, tenants: [] };
    refuseHalf(loss, flags);
    if (loss.state !== 'begun' && !flags.yes) {
      const tenants = recordsOf(content).map(({ spec }) => spec.tenant);
      const question = `etcd of ${content.fleet} will be filled again (${loss.seen}), for ${tenants.join(', ') || 'no tenant'}.`;
      await confirmByTyping(content.fleet, question, '--yes');
    }
    const onPhase = (what: string) => terminal.progress(what);
    const options = { signal, onEvent: reportSteps(terminal), onPhase };
    return { etcd: loss.state, tenants: await recoverDcs(session, content, options) };
  });
}

/** @throws PgsError `endangers` when there are members of etcd that could come back with their data */
function refuseHalf({ state, seen }: DcsLoss, { discardEtcdData }: ImportFlags): void {
  if (state !== 'no quorum' || discardEtcdData) return;
  throw new PgsError('endangers', {
    doing: 'filling etcd again',
    found: seen,
    hint:
      'Bring the members with data back, a majority is enough (`pgs dcs status`). If they never can, --discard-etcd-data moves what is there ' +
      'aside. Nothing was changed in etcd.',
  });
}

function describe({ files, etcd, tenants }: Imported, { fleet }: ExportContent): string {
  const mine = files.length > 0 ? `${files.length} files of fleet ${fleet} were brought back` : 'every file was there';
  if (etcd === 'whole') return `${mine}; etcd has its data, and was left as it is`;
  const led = tenants.map(
    ({ tenant, leader, kept }) => `  ${tenant}: ${leader} ${kept ? 'leads as before' : 'was elected'}`,
  );
  return [`${mine}; etcd is filled again, and lets all members in`, ...led].join('\n');
}
