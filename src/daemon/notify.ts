// Tells somebody that a drill went wrong: a POST to a URL, a command with JSON on its standard input, or both, as pgs.yaml says. It never
// throws: what went wrong is on record already.

import axios from 'axios';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { DrillRun } from '../drills/run.js';
import type { Inventory } from '../inventory/inventory.js';

const limitMs = 10_000;

/** What is sent; fields are added, never renamed. */
export interface Notification {
  fleet: string;
  tenant: string;
  /** One line for people; the key under which chat systems take text. */
  text: string;
  run: DrillRun;
}

export function notificationOf(fleet: string, run: DrillRun): Notification {
  const what = run.kind === 'drill' ? `drill ${run.what}` : 'switchover';
  const text = `pgs ${fleet}/${run.tenant}: ${what} ${run.outcome}${run.why ? `: ${run.why}` : ''} (pgs drill ack ${run.tenant})`;
  return { fleet, tenant: run.tenant, text, run };
}

/** Returns what could not be told, in words without the URL, which may be a secret. */
export async function notify(inventory: Pick<Inventory, 'fleet' | 'notify'>, run: DrillRun): Promise<string[]> {
  const { webhook, webhookPath, command } = inventory.notify;
  const body = notificationOf(inventory.fleet, run);
  const url = webhook ?? (webhookPath === null ? null : await readUrl(webhookPath));
  const done = await Promise.all([
    url === null ? Promise.resolve(null) : post(url, body),
    command === null ? Promise.resolve(null) : runCommand(command, body),
  ]);
  const unreadable = webhookPath !== null && url === null ? 'the file of notify.webhook_file cannot be read' : null;
  return [unreadable, ...done].filter((why) => why !== null);
}

async function readUrl(path: string): Promise<string | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim() || null;
}

async function post(url: string, body: Notification): Promise<string | null> {
  try {
    const { status } = await axios.post(url, body, {
      timeout: limitMs,
      signal: AbortSignal.timeout(limitMs),
      proxy: false,
      maxRedirects: 0,
      validateStatus: () => true,
    });
    return status < 300 ? null : `the webhook answered ${status}`;
  } catch (thrown) {
    return `the webhook did not answer: ${axios.isAxiosError(thrown) ? (thrown.code ?? 'no code') : 'failed'}`;
  }
}

function runCommand([program = '', ...args]: string[], body: Notification): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'ignore', 'ignore'],
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    child.on('error', (error) => resolve(`${program} could not be run: ${error.message}`));
    child.on('close', (code, signal) =>
      resolve(code === 0 ? null : `${program} ended with ${code === null ? signal : `code ${code}`}`),
    );
    // A command that does not read is none of our problems.
    child.stdin.on('error', () => undefined);
    child.stdin.end(`${JSON.stringify(body)}\n`);
  });
}
