// The files of the operator's machine that a daemon gets.

import { join } from 'node:path';

/** Where the operator's machine keeps what the daemon gets. */
export function daemonDirectory(stateDir: string): string {
  return join(stateDir, 'daemon');
}

export function daemonSshKeyPath(stateDir: string): string {
  return join(daemonDirectory(stateDir), 'ssh.key');
}
