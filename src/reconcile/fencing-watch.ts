// Two things that are watched while a watchdog fires: whether a PostgreSQL still takes connections, and when the leader's key expires.
// Both by this machine's monotonic clock, so that their difference is a time.

import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dcs } from '../etcd/client.js';

export interface PortWatch {
  /** When connections were first refused or unanswered for good; null when that did not happen in time. By performance.now(). */
  died(limitMs: number, signal: AbortSignal): Promise<number | null>;
  end(): void;
}

export interface KeyWatch {
  /** When the leader's lease runs out at the earliest unless it is renewed, by performance.now(); null while it was not seen. */
  expiresMs(): number | null;
  /** When the key was first seen to belong to somebody else or to nobody; null while it has not. */
  leftMs(): number | null;
  end(): void;
}

const pollMs = 100;
/** A machine that was reset answers nothing: two tries in a row without an answer count as its end. */
const answerLimitMs = 500;

export function watchPort(address: string, port: number): PortWatch {
  let ended = false;
  return {
    end: () => (ended = true),
    died: async (limitMs, signal) => {
      const deadlineMs = performance.now() + limitMs;
      let firstMs: number | null = null;
      let misses = 0;
      while (!ended && !signal.aborted && performance.now() < deadlineMs) {
        const askedMs = performance.now();
        const answer = await tryPort(address, port);
        if (answer === 'open') {
          firstMs = null;
          misses = 0;
        } else {
          // A refusal comes after the death, so what is reported is at most one poll too late.
          firstMs ??= askedMs;
          misses += 1;
          if (answer === 'refused' || misses >= 2) return firstMs;
        }
        await sleep(pollMs);
      }
      return null;
    },
  };
}

function tryPort(address: string, port: number): Promise<'open' | 'refused' | 'silent'> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    const end = (answer: 'open' | 'refused' | 'silent') => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end('silent'), answerLimitMs);
    socket.on('connect', () => end('open'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'));
  });
}

/** @param holder - the member whose key it is */
export function watchKey(dcs: Dcs, key: string, holder: string): KeyWatch {
  let ended = false;
  let expiresMs: number | null = null;
  let leftMs: number | null = null;
  const watch = async () => {
    while (!ended && leftMs === null) {
      try {
        const found = await dcs.get(key);
        if (found?.value !== holder) leftMs = performance.now();
        else if (found.lease !== null) {
          const askedMs = performance.now();
          // Whole seconds, rounded down, and at least as many as were left when it was asked.
          const leftS = await dcs.leaseRemainingS(found.lease);
          if (leftS > 0) expiresMs = Math.max(expiresMs ?? 0, askedMs + leftS * 1000);
        }
      } catch {
        // The next look may succeed; a key that cannot be looked at says nothing.
      }
      await sleep(pollMs);
    }
  };
  void watch();
  return { expiresMs: () => expiresMs, leftMs: () => leftMs, end: () => (ended = true) };
}
