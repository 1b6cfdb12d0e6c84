// What is left of a pgs.yaml after its misshapen places are taken out, so that the rules that look across the file can
// report their faults in the same run.

import type { z } from 'zod';
import { inventorySchema, type InventoryFile } from './schema.js';

export interface Salvaged {
  file: InventoryFile;
  /** Names of all hosts of the file, the misshapen ones included; null if there is no mapping of hosts. */
  hostNames: string[] | null;
  /** Sections in which values are missing or stand at their defaults now. */
  broken: ReadonlySet<PropertyKey>;
}

/** `value` as parsed from YAML, with the issues that the schema found in it. Null if nothing useful is left. */
export function salvage(value: unknown, issues: z.core.$ZodIssue[]): Salvaged | null {
  const wrong = issues.filter((issue) => issue.code !== 'unrecognized_keys');
  if (!isObject(value) || wrong.some((issue) => issue.path.length === 0)) return null;
  const broken = new Set(wrong.flatMap((issue) => issue.path.slice(0, 1)));
  const hostNames = wrong.some((issue) => issue.path.length === 1 && issue.path[0] === 'hosts')
    ? null
    : Object.keys(value.hosts as object);
  const file = withoutIssues({ ...structuredClone(value), ...(broken.has('fleet') ? { fleet: 'x' } : {}) });
  return file === null ? null : { file, hostNames, broken };
}

function withoutIssues(value: Record<PropertyKey, unknown>): InventoryFile | null {
  const candidate: Record<PropertyKey, unknown> = isObject(value.hosts) ? value : { ...value, hosts: {} };
  // Each round takes out a level at least, and the file has four.
  for (let round = 0; round < 8; round += 1) {
    const parsed = inventorySchema.safeParse(candidate);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) {
      const keys = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
      keys.forEach((path) => remove(candidate, path));
    }
  }
  return null;
}

/** Removes the value at `path`, or the mapping around it where it is the missing value that is wrong. */
function remove(root: Record<PropertyKey, unknown>, path: readonly PropertyKey[]): void {
  const parents: Record<PropertyKey, unknown>[] = [root];
  for (const part of path.slice(0, -1)) {
    const next = parents.at(-1)?.[part];
    if (!isObject(next)) break;
    parents.push(next);
  }
  for (let depth = parents.length - 1; depth >= 0; depth -= 1) {
    const key = path[depth];
    if (key !== undefined && Object.hasOwn(parents[depth]!, key)) {
      delete parents[depth]![key];
      return;
    }
  }
}

function isObject(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}
