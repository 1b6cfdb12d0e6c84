// The search for leaked secrets: every form in which one could appear, in texts, in the files and journals of machines, and in what
// processes show of themselves while pgs works.

import { createPublicKey } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { on } from './machines.js';

export interface Leak {
  where: string;
  /** Index of the secret, never the secret: this is printed. */
  secret: number;
  form: 'raw' | 'base64' | 'url';
}

/** What shorter texts match could be chance. */
const shortest = 16;

export class SecretSearch {
  readonly #needles = new Map<string, Pick<Leak, 'secret' | 'form'>>();

  /** A text of several lines is searched line by line: whoever leaks it may end lines otherwise. */
  constructor(secrets: string[]) {
    const known = secrets.filter((text) => text.includes('PRIVATE KEY-----')).map(publicHalf);
    const isPublic = (line: string) => known.some((half) => half.includes(Buffer.from(line, 'base64')));
    secrets.forEach((text, secret) => {
      const lines = text.split('\n').filter((l) => l.length >= shortest && !l.startsWith('-----'));
      for (const line of lines.filter((l) => !isPublic(l))) {
        for (const [form, needle] of formsOf(line)) {
          if (!this.#needles.has(needle)) this.#needles.set(needle, { secret, form });
        }
      }
    });
  }

  get size(): number {
    return this.#needles.size;
  }

  inText(where: string, text: string): Leak[] {
    return [...this.#needles].filter(([needle]) => text.includes(needle)).map(([, leak]) => ({ where, ...leak }));
  }

  /** Searches on the machine itself: what to look for goes over standard input, so it is in no argument and no file. */
  async onMachine(host: string): Promise<Leak[]> {
    const ran = await on(host, machineScript, `${[...this.#needles.keys()].join('\n')}\n`);
    if (ran.code !== 0) throw new Error(`the search on ${host} ended with ${ran.code}: ${ran.stderr}`);
    const lines = ran.stdout.split('\n').filter((line) => line.includes('\t'));
    const leaks = lines.map((line) => {
      const [path, needle] = line.split('\t');
      return { where: `${host}:${path}`, ...this.#needles.get(needle!)! };
    });
    return [...new Map(leaks.map((leak) => [JSON.stringify(leak), leak])).values()];
  }
}

/** The journal is read through journalctl too: its files may be compressed. */
const machineScript = `set -f
needles=$(cat)
wanted() { printf '%s\\n' "$needles"; }
grep -raoFHZf <(wanted) /etc /root /home /srv /opt /tmp /run /var /dev/shm /usr/local 2>/dev/null | tr '\\0' '\\t'
journalctl --no-pager --all -o json | grep -aoFf <(wanted) | sed 's/^/journal\\t/'
exit 0`;

/** A key's file ends with its public half, which is in its certificate too, sometimes at the same place in a line. */
function publicHalf(keyPem: string): Buffer {
  return createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
}

function formsOf(line: string): [Leak['form'], string][] {
  const base64 = [0, 1, 2].map((offset): [Leak['form'], string] => ['base64', base64Within(line, offset)]);
  return [['raw', line], ['url', encodeURIComponent(line)], ...base64];
}

/** What every base64 text has in it that encodes `line` with `offset` bytes, modulo 3, before it, whatever stands around it. */
function base64Within(line: string, offset: number): string {
  const encoded = Buffer.from('\0'.repeat(offset) + line)
    .toString('base64')
    .replace(/=+$/, '');
  const isPartial = (offset + Buffer.byteLength(line)) % 3 !== 0;
  return encoded.slice(offset === 0 ? 0 : offset + 1, isPartial ? -1 : undefined);
}

/** Watches arguments and environments of all processes of this box; a sandbox's machines are containers of it, so theirs too. */
export function watchProcesses(): { stop(): Promise<string[]> } {
  const worker = new Worker(watcher, { eval: true });
  return {
    stop: () =>
      new Promise((resolve, reject) => {
        worker.on('message', (seen: string[]) => resolve(seen));
        worker.on('error', reject);
        worker.postMessage('stop');
      }),
  };
}

const watcher = `
const { readdirSync, readFileSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');
const seen = new Set();
const timer = setInterval(() => {
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    for (const file of ['cmdline', 'environ']) {
      try { seen.add(readFileSync('/proc/' + pid + '/' + file, 'utf8')); } catch {}
    }
  }
}, 20);
parentPort.on('message', () => { clearInterval(timer); parentPort.postMessage([...seen]); parentPort.close(); });
`;
