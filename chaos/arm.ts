// The undo of a fault as something that a host does by itself: armed before the fault, done after a time or at the next boot.

import type { Command } from '../src/host/command.js';
import { shellLine } from '../src/host/shell-words.js';
import { readTemplate } from '../src/host/template.js';
import type { Act } from './faults/fault.js';
import { reveal } from '../src/secrets/secret.js';

/** From the end that a fault was given to the host's own undo: pgs comes first as long as it lives. */
export const undoAfterMs = 30_000;

export function armUndo(id: string, tenant: string, heal: Act[], forMs: number): Command {
  const seconds = Math.ceil((forMs + undoAfterMs) / 1000);
  return {
    argv: ['sh', '-c', readTemplate('chaos/arm.sh'), 'sh', id, tenant, String(seconds)],
    stdin: renderUndo(heal),
    timeoutMs: 20_000,
  };
}

/** Undoes now what is armed; every undo of the tenant's when no id is given. */
export function undoNow(tenant: string, id?: string): Command {
  return {
    argv: ['sh', '-c', readTemplate('chaos/disarm.sh'), 'sh', tenant, ...(id === undefined ? [] : [id])],
    timeoutMs: 60_000,
  };
}

/** What is armed on a host, one id a line. */
export function listUndos(tenant: string): Command {
  const script =
    'for n in /var/lib/pgs-chaos/*.tenant; do [ "$(cat "$n" 2>/dev/null)" = "$1" ] && basename "$n" .tenant; done; :';
  return { argv: ['sh', '-c', script, 'sh', tenant], timeoutMs: 10_000 };
}

/** The host's part of a heal as a shell script, every command tried, ending with a code other than 0 if one failed. */
export function renderUndo(heal: Act[]): string {
  const lines = heal.flatMap((act) => {
    if (act.kind !== 'host') return [];
    const { argv, stdin } = act.command;
    const command =
      stdin === undefined ? shellLine(argv) : `${shellLine(['printf', '%s', reveal(stdin)])} | ${shellLine(argv)}`;
    const fine = act.fine ?? [0];
    return [command, `case $? in ${fine.join('|')}) ;; *) failed=1 ;; esac`];
  });
  return ['failed=0', ...lines, 'exit $failed', ''].join('\n');
}
