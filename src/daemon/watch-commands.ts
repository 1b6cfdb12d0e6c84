// What the daemon says to hosts to see which units run, and to start one: as values, which the gate has rules for.

import type { Command } from '../host/command.js';

/** Units that are loaded; one that is enabled stays so when it stops. */
export const lookAtUnits: Command = {
  argv: [
    ...['systemctl', 'show', '--timestamp=unix', '--property=Id,ActiveState,Result,InactiveEnterTimestamp'],
    ...['--', 'pgs-*.service'],
  ],
  timeoutMs: 15_000,
};

export function startUnit(unit: string): Command {
  return { argv: ['systemctl', 'start', '--', unit], timeoutMs: 60_000 };
}
