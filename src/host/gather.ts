// Looks at one host in one round trip: a constant script gets the names of what is of interest and prints what it finds.

import { toPgsError } from '../errors.js';
import type { HostAccess } from './command.js';
import type { HostFacts, UnreachableHost } from './facts.js';
import { parseHostFacts } from './parse-facts.js';
import type { Resource } from './resource.js';
import { checkNames } from './resource-rules.js';
import { readTemplate } from './template.js';
import { unitFilePaths } from './unit-files.js';

/** Names of what the caller wants to compare. */
export interface WantedFacts {
  users: string[];
  paths: WantedPath[];
  /** Their stamps (`templates/stamp.sh`) are read too. */
  units: string[];
}

export interface WantedPath {
  path: string;
  /** Its content may be read back for a diff (up to 256 KiB); otherwise only its hash is. */
  public: boolean;
}

const gatherTimeoutMs = 20_000;

/** What must be known of a host to compare it with these resources. */
export function wantedFor(resources: Resource[]): WantedFacts {
  const users = new Set<string>();
  const paths = new Map<string, boolean>();
  const units = new Set<string>();
  const wantPath = (path: string, isPublic: boolean) => paths.set(path, isPublic && (paths.get(path) ?? true));
  // Whether a file may be shown is said by whoever writes it, not by who loads it or wants it gone.
  for (const resource of resources)
    if (resource.kind === 'file') wantPath(resource.path, typeof resource.content === 'string');
  const onlyKnow = (path: string) => !paths.has(path) && wantPath(path, false);
  for (const resource of resources) {
    if (resource.kind === 'file') continue;
    if (resource.kind === 'user') users.add(resource.name);
    else if (resource.kind === 'directory' || resource.kind === 'device') wantPath(resource.path, false);
    else if (resource.kind === 'unit') {
      units.add(resource.name);
      resource.loads.forEach(onlyKnow);
    } else if (resource.what === 'user') users.add(resource.name);
    else if (resource.what === 'path') onlyKnow(resource.name);
    else {
      units.add(resource.name);
      onlyKnow(unitFilePaths(resource.name)[0]!);
    }
  }
  return {
    users: [...users],
    paths: [...paths].map(([path, isPublic]) => ({ path, public: isPublic })),
    units: [...units],
  };
}

/** Asked of one host several times at once (a tenant's plan, a fleet's plan), the answers must not differ in shape. */
export function mergeWanted(all: WantedFacts[]): WantedFacts {
  const paths = new Map<string, boolean>();
  for (const { path, public: isPublic } of all.flatMap((wanted) => wanted.paths)) {
    paths.set(path, isPublic && (paths.get(path) ?? true));
  }
  return {
    users: [...new Set(all.flatMap((wanted) => wanted.users))],
    paths: [...paths].map(([path, isPublic]) => ({ path, public: isPublic })),
    units: [...new Set(all.flatMap((wanted) => wanted.units))],
  };
}

/**
 * Looks at a host. Never throws for what a host can do: one that cannot be reached, that refuses the key or sudo, or whose
 * answer makes no sense is `{reachable: false, why}`, and all about it is unknown.
 * @throws PgsError `bug` if a name is not one that the script takes
 */
export async function gatherHostFacts(access: HostAccess, wanted: WantedFacts): Promise<HostFacts> {
  checkNames({ ...wanted, paths: wanted.paths.map(({ path }) => path) });
  const request = [
    ...wanted.users.map((name) => `user ${name}`),
    ...wanted.paths.map(({ path, public: isPublic }) => `${isPublic ? 'public' : 'path'} ${path}`),
    ...wanted.units.map((name) => `unit ${name}\nstamp ${name}`),
  ];
  const first = await look(access, request);
  if (typeof first !== 'string') return first;
  const facts = parseHostFacts(first, wanted);
  if (facts.reachable) return facts;
  // A file that vanishes between two looks makes an answer that contradicts itself: looking again settles it.
  const second = await look(access, request);
  return typeof second === 'string' ? parseHostFacts(second, wanted) : second;
}

async function look(access: HostAccess, request: string[]): Promise<string | UnreachableHost> {
  try {
    const result = await access.run({
      argv: ['sh', '-c', readTemplate('host/gather.sh')],
      stdin: `${request.join('\n')}\n`,
      timeoutMs: gatherTimeoutMs,
    });
    if (result.code === 0) return result.stdout;
    const why = `looking at it ended with code ${result.code}: ${result.stderr.trim().slice(0, 500)}`;
    return { reachable: false, why };
  } catch (thrown) {
    const { found, hint } = toPgsError(thrown, 'looking at the host').details;
    return { reachable: false, why: hint ? `${found} (${hint})` : found };
  }
}
