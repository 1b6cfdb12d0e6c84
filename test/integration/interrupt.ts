// pgs stopped by a signal in the middle of what it does.

import { spawn } from 'node:child_process';
import { environment, root, type Ran } from './machines.js';

/** Runs pgs and sends it a signal as soon as it has reported so many steps as done; `sent` is false where it ended before. */
export function interrupt(args: string[], signal: NodeJS.Signals, steps: number): Promise<Ran & { sent: boolean }> {
  return new Promise((resolve, reject) => {
    const child = spawn(`${root}bin/pgs`, args, { env: environment, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr, sent] = ['', '', false];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (sent || stderr.split('✓').length <= steps) return;
      sent = child.kill(signal);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr, sent }));
  });
}
