// What is said to a running HAProxy, as values.

import type { Command } from '../src/host/command.js';
import { adminSocket } from './desired.js';

/** Every frontend, backend and server with its state, as CSV. */
export function showStat(): Command {
  return { argv: ['socat', '-t', '5', '-', `UNIX-CONNECT:${adminSocket}`], stdin: 'show stat\n', timeoutMs: 5000 };
}
