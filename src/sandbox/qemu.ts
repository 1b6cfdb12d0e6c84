// What is said to a running QEMU: its monitor, and the machine's second serial port.

import { createConnection, type Socket } from 'node:net';

export interface Port {
  send(text: string): void;
  /** Waits for a word of the machine. @throws Error when it does not come in time or QEMU ends */
  expect(word: string, timeoutMs: number): Promise<void>;
  close(): void;
}

export async function connectPort(path: string): Promise<Port> {
  const socket = await open(path);
  let heard = '';
  let ended = false;
  let wake = () => undefined as void;
  socket.setEncoding('utf8').on('data', (text: string) => {
    heard = (heard + text).slice(-4096);
    wake();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    ended = true;
    wake();
  });
  return {
    send: (text) => void socket.write(text),
    close: () => socket.destroy(),
    expect: async (word, timeoutMs) => {
      const timer = setTimeout(() => wake(), timeoutMs);
      const deadlineMs = performance.now() + timeoutMs;
      while (!heard.includes(word)) {
        if (ended) throw new Error(`QEMU ended before the machine said "${word}"`);
        if (performance.now() >= deadlineMs)
          throw new Error(
            `the machine did not say "${word}" in ${timeoutMs / 1000} s, but ${JSON.stringify(heard.trim())}`,
          );
        await new Promise<void>((resolve) => (wake = resolve));
      }
      clearTimeout(timer);
      heard = heard.slice(heard.indexOf(word) + word.length);
    },
  };
}

/** Runs lines of QEMU's monitor one after the other. @throws Error with what it said when one fails */
export async function askMonitor(path: string, lines: string[], timeoutMs = 60_000): Promise<void> {
  const socket = await open(path);
  socket.setTimeout(timeoutMs, () =>
    socket.destroy(new Error(`QEMU's monitor did not answer in ${timeoutMs / 1000} s`)),
  );
  try {
    const answers = answersOf(socket);
    const ask = async (message: object): Promise<Record<string, unknown>> => {
      socket.write(`${JSON.stringify(message)}\n`);
      for (;;) {
        const next = await answers.next();
        if (next.done) throw new Error("QEMU's monitor closed");
        if ('return' in next.value || 'error' in next.value) return next.value;
      }
    };
    await ask({ execute: 'qmp_capabilities' });
    for (const line of lines) {
      const answer = await ask({
        execute: 'human-monitor-command',
        arguments: { 'command-line': line },
      });
      const said = answer.error ?? answer.return;
      if (said !== '') throw new Error(`QEMU's monitor refused ${line}: ${JSON.stringify(said)}`);
    }
  } finally {
    socket.destroy();
  }
}

async function* answersOf(socket: Socket): AsyncGenerator<Record<string, unknown>, void> {
  let rest = '';
  for await (const chunk of socket.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim()) yield JSON.parse(line) as Record<string, unknown>;
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
