// The same work for many tenants: a bounded number at a time, and one that fails does not stop the others.

import pLimit from 'p-limit';
import { toPgsError, type PgsError } from '../errors.js';

export interface Bounds {
  /** Items that are worked on at the same time. */
  parallel: number;
  /** Once aborted, nothing further is begun; absent: all are. */
  signal?: AbortSignal;
}

export type Ended<T> =
  | { state: 'done'; value: T; tookMs: number }
  | { state: 'failed'; error: PgsError; tookMs: number }
  | { state: 'not begun' };

/**
 * What became of each item, in their order; never throws.
 * @param doing for an error that is none of pgs's
 * @param onEnd called for each when it is over, in the order in which that happens
 */
export function runBounded<I, T>(
  items: I[],
  { parallel, signal }: Bounds,
  doing: string,
  work: (item: I) => Promise<T>,
  onEnd: (item: I, ended: Ended<T>) => void = () => undefined,
): Promise<Ended<T>[]> {
  const limit = pLimit(parallel);
  const run = async (item: I): Promise<Ended<T>> => {
    if (signal?.aborted) return { state: 'not begun' };
    const startedMs = performance.now();
    const tookMs = () => performance.now() - startedMs;
    try {
      const value = await work(item);
      return { state: 'done', value, tookMs: tookMs() };
    } catch (thrown) {
      return { state: 'failed', error: toPgsError(thrown, doing), tookMs: tookMs() };
    }
  };
  return Promise.all(
    items.map((item) =>
      limit(async () => {
        const ended = await run(item);
        onEnd(item, ended);
        return ended;
      }),
    ),
  );
}
