// What is said to a host to fire a member's watchdog, and to undo that if it does not fire. As values.

import type { Command } from '../src/host/command.js';

const timeoutMs = 15_000;

function undoUnit(tenant: string): string {
  return `pgs-verify-undo-${tenant}`;
}

/** Lets a stopped Patroni go on after a time, whether pgs lives then or not; told to the host before anything is stopped. */
export function armUndo(tenant: string, unit: string, afterS: number): Command {
  const undo = continuePatroni(unit).argv;
  return {
    argv: ['systemd-run', '--quiet', '--collect', `--unit=${undoUnit(tenant)}`, `--on-active=${afterS}`, ...undo],
    timeoutMs,
  };
}

/** Stops Patroni's process as a hang would: it keeps its memory, its sockets and its watchdog. */
export function stopPatroni(unit: string): Command {
  return { argv: ['systemctl', 'kill', '--signal=STOP', '--kill-whom=main', unit], timeoutMs };
}

export function continuePatroni(unit: string): Command {
  return { argv: ['systemctl', 'kill', '--signal=CONT', '--kill-whom=main', unit], timeoutMs };
}

export function disarmUndo(tenant: string): Command {
  return { argv: ['systemctl', 'stop', `${undoUnit(tenant)}.timer`], timeoutMs };
}
