// What is compared: three ways to have a PostgreSQL that survives, on the same machines. Each says how its clients connect, who leads,
// whether it is whole, and how its leader is changed.

import type pg from 'pg';
import type { Fleet } from '../fleet.js';

export const systemNames = ['pgs', 'guide', 'auto-failover'] as const;
export type SystemName = (typeof systemNames)[number];

export interface System {
  name: SystemName;
  /** One line of what it is. */
  title: string;
  /** Period of its slowest loop, milliseconds: rounds begin at a random phase of it. */
  periodMs: number;
  /** Of PostgreSQL, on each host. */
  dataDirectory: string;
  /** Makes it, with the role and database `app` and the ledger's table. */
  up(): Promise<void>;
  /** How the n-th client connects; each begins with another host. */
  connector(client: number): () => Promise<pg.Client>;
  /** Host of the leader; null while nobody leads. */
  leader(): Promise<string | null>;
  /** Null when all three members are there, in step, and synchronous; else what is missing. */
  missing(): Promise<string | null>;
  /** The planned change of the leader, as its manual says; to a host if one is given. */
  switchover(to?: string): Promise<void>;
  /** Keys of the ledger in a range. */
  keys(first: number, end: number): Promise<number[]>;
  /** Units whose journal tells what happened. */
  units: string[];
}

/** The hosts that have members, and the order in which a client tries them. */
export function hostsFor(fleet: Fleet, client: number): string[] {
  const addresses = ['h1', 'h2', 'h3'].map((host) => fleet.addresses[host]!);
  return addresses.map((_, i) => addresses[(i + client) % addresses.length]!);
}

export function hostNamed(fleet: Fleet, address: string): string {
  return Object.entries(fleet.addresses).find(([, own]) => own === address)![0];
}

/** Keys from what psql prints, with its heading or without. */
export function parseKeys(printed: string): number[] {
  return printed
    .split('\n')
    .filter((line) => /^\s*\d+\s*$/.test(line))
    .map(Number);
}

export const makeTable = 'CREATE TABLE IF NOT EXISTS ledger (key bigint)';

export function selectKeys(first: number, end: number): string {
  return `SELECT key FROM ledger WHERE key >= ${first} AND key < ${end}`;
}
