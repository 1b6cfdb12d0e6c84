// What is said to a running HAProxy, as values.

import type { Command } from '../src/host/command.js';
import { readTemplate } from '../src/host/template.js';
import { accessMap, type Access } from '../src/topology/access.js';
import { accessFile } from './desired-door.js';
import { poolersOf } from './desired.js';
import { adminSocket, masterSocket } from './places.js';

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

/**
 * Lets others in at the front door from now on, in the running process and in its file. Prints how many sessions were cut because they are
 * not permitted any more.
 */
export function setAccess(tenant: string, access: Access, sessions: 'cut' | 'keep'): Command {
  const script = readTemplate('haproxy/access.sh');
  return {
    argv: ['sh', '-c', script, 'sh', masterSocket, adminSocket, accessFile(tenant), tenant, sessions],
    stdin: accessMap(access),
    timeoutMs: 70_000,
  };
}
