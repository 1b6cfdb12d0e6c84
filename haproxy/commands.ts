// What is said to a running HAProxy, as values.

import type { Command } from '../src/host/command.js';
import { adminSocket, poolersOf } from './desired.js';

/** The servers of a tenant's backends with their state, as CSV; other tenants' would only make it long. */
export function showStat(tenant: string): Command {
  const backends = ['leader', 'replicas', ...Object.values(poolersOf)];
  const servers = backends.map((backend) => `show stat ${tenant}:${backend} 4 -1`);
  return {
    argv: ['socat', '-t', '5', '-', `UNIX-CONNECT:${adminSocket}`],
    stdin: `${servers.join(';')}\n`,
    timeoutMs: 5000,
  };
}
