// What every command does around its work: find the fleet, open the session, close it again, and stop in order on Ctrl-C.

import type { Command } from 'commander';
import { PgsError } from '../errors.js';
import type { Session } from '../reconcile/session.js';
import { createTerminal, type OutputFormat, type Terminal } from './terminal.js';

export interface Globals {
  output: OutputFormat;
  config?: string;
}

export interface Context {
  session: Session;
  terminal: Terminal;
  /** Aborted by the first Ctrl-C or SIGTERM; the second one ends pgs at once. */
  signal: AbortSignal;
}

export function terminalOf(command: Command): Terminal {
  return createTerminal(command.optsWithGlobals<Globals>().output);
}

/** `withSession` for work that looks at all hosts: connecting to them begins at once, beside the DCS. */
export async function withHosts<T>(command: Command, work: (context: Context) => Promise<T>): Promise<T> {
  return withSession(command, (context) => {
    context.session.hosts.connectAll();
    return work(context);
  });
}

export async function withSession<T>(command: Command, work: (context: Context) => Promise<T>): Promise<T> {
  const globals = command.optsWithGlobals<Globals>();
  const terminal = createTerminal(globals.output);
  const [{ openFleet }, { openSession }] = await Promise.all([import('./fleet.js'), import('../reconcile/session.js')]);
  const session = openSession(await openFleet(globals));
  try {
    return await interruptible(terminal, (signal) => work({ session, terminal, signal }));
  } finally {
    await keepExportOf(session, terminal);
    await session.close();
  }
}

/** After a change a copy of everything is on the operator's disk; that it could not be written is no fault of the change. */
async function keepExportOf(session: Session, terminal: Terminal): Promise<void> {
  if (session.rights !== 'operator' || !session.stateChanged()) return;
  try {
    const [{ keepExport }, { readFleetSecrets }] = await Promise.all([
      import('../fleet/exports.js'),
      import('../secrets/fleet-secrets.js'),
    ]);
    // What was changed may be how etcd is reached.
    const anew = session.reopen(await readFleetSecrets(session.inventory.stateDir, session.fleetKey));
    try {
      await keepExport(anew, await anew.dcs(), new Date());
    } finally {
      await anew.close();
    }
  } catch (thrown) {
    const { toPgsError } = await import('../errors.js');
    terminal.warn(
      `no export was written after this change (\`pgs state export\`): ${toPgsError(thrown).details.found}`,
    );
  }
}

/** Runs `work` with a signal that Ctrl-C aborts. */
export async function interruptible<T>(terminal: Terminal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupt = new AbortController();
  const onSignal = () => {
    if (interrupt.signal.aborted) process.exit(130);
    terminal.warn('stopping after the steps under way (again to stop at once)');
    interrupt.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await work(interrupt.signal);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

/** Asks for a word on the terminal; without one the caller's option is the only way. */
export async function confirmByTyping(word: string, question: string, option: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new PgsError('usage', {
      doing: question,
      found: 'there is no terminal to ask on',
      hint: `Say ${option} if you mean it.`,
    });
  }
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question}\nType ${word} to go on: `);
    if (answer.trim() === word) return;
  } finally {
    lines.close();
  }
  throw new PgsError('usage', { doing: question, found: 'the answer was another one; nothing was changed' });
}
