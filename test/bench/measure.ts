// Times whole processes from the outside, as a user waits for them, and says what the machine did meanwhile.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
  /** From spawn to exit, milliseconds. */
  ms: number;
  /** CPU time of the whole machine meanwhile, seconds; it is the cost of what was measured if nothing else runs. */
  cpuS: number;
}

/** Runs a program to its end. Its output is kept, not shown; what failed is the caller's to judge. */
export function runTimed(program: string, args: string[], environment: Record<string, string>): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const cpuBeforeS = busyS();
    const startedMs = performance.now();
    const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    let ms = 0;
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('exit', () => (ms = performance.now() - startedMs));
    child.on('close', (code) => resolve({ code, stdout, stderr, ms, cpuS: busyS() - cpuBeforeS }));
  });
}

const ticksPerS = 100;

/** Seconds in which any core was neither idle nor waiting for a disk, since boot: user, nice, system, irq, softirq. */
function busyS(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) / ticksPerS;
}
