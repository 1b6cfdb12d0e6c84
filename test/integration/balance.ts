// Who leads where in the whole fleet, by one look.

import { pgs } from './machines.js';

export interface Balance {
  hosts: { host: string; leaders: number; leadersAfter: number; members: number }[];
  moves: { tenant: string }[];
  /** Tenants that are not whole, and why. */
  skipped: { tenant: string; why: string }[];
  isEven: boolean;
  done: { tenant: string; tookMs: number; writeGapMs: number | null }[];
}

/** Nothing is changed. The exit code says whether leaders would move. */
export async function balance(): Promise<Balance> {
  return JSON.parse((await pgs(['fleet', 'rebalance', '--dry-run', '-o', 'json'])).stdout) as Balance;
}
