// What has to be done to a unit so that it runs, with the content that is wanted, or does not run. Pure.

import type { Condition } from '../reconcile/step.js';
import { rememberedFor } from '../remembered.js';
import { known } from './compare-resources.js';
import type { ReachableHost, UnitFact } from './facts.js';
import type { AbsentResource, FileResource, Resource, UnitResource } from './resource.js';
import { fileHash } from './resource-rules.js';
import { fileOfUnit, unitFilePaths } from './unit-files.js';

export interface UnitChange {
  verb: 'start' | 'restart' | 'reload' | 'stop';
  /** What was found, for the step's reason. */
  reason: string;
}

type UnitCondition = Extract<Condition, { kind: 'unit' }>;

/** Null when the unit is as wanted; `onChange: 'never'` hides what a running unit has not loaded. */
export function compareUnit(
  wanted: UnitResource,
  resources: Resource[],
  host: string,
  facts: ReachableHost,
): UnitChange | null {
  const found = known(facts.units[wanted.name], `unit ${wanted.name}`, host);
  if (wanted.state !== 'running') {
    return isUp(found) ? { verb: 'stop', reason: `it is ${found.active} and should be ${wanted.state}` } : null;
  }
  if (!isUp(found)) return { verb: 'start', reason: `it is ${found.active}` };
  const { unitFiles, loads } = unitDrift(wanted, resources, facts);
  if (wanted.onChange !== 'never') {
    if (unitFiles.length > 0) return { verb: 'restart', reason: `it runs by an older ${unitFiles.join(', ')}` };
    // Only an active unit can be reloaded; one that starts again and again would pass the new content by.
    const verb = found.active === 'active' ? wanted.onChange : 'restart';
    if (loads.length > 0) return { verb, reason: `it has not loaded ${loads.join(', ')}` };
  }
  // Joins the start that is under way.
  return found.active === 'activating' ? { verb: 'start', reason: 'it is still starting' } : null;
}

/** Whether there is something to stop; a unit that is on its way down will be. */
export function isUp(unit: UnitFact): boolean {
  return ['active', 'activating', 'reloading', 'refreshing'].includes(unit.active);
}

/** Paths whose wanted content a running unit has not loaded: its own files, and those in `loads`. */
export function unitDrift(
  wanted: UnitResource,
  resources: Resource[],
  facts: ReachableHost,
): { unitFiles: string[]; loads: string[] } {
  const found = facts.units[wanted.name];
  if (!found) return { unitFiles: [], loads: [] };
  const stamped = unitFilePaths(wanted.name).some((path) => found.loaded[path] !== undefined);
  const { isOwn } = pathsOf(wanted);
  const unitFiles = filesOf(resources).filter((file) => {
    const { path } = file;
    if (!isOwn(path)) return false;
    if (stamped) return found.loaded[path] !== fileHash(file);
    // A unit that stamps nothing (a slice) or lost its stamp tells only at the time of the change: it is not restarted on a guess.
    const onDisk = facts.paths[path];
    return found.needsDaemonReload || onDisk?.kind !== 'file' || onDisk.sha256 !== fileHash(file);
  });
  const toLoad = wantedLoads(wanted, resources, facts);
  const loads = Object.keys(toLoad).filter((path) => (found.loaded[path] ?? '') !== toLoad[path]);
  return { unitFiles: unitFiles.map(({ path }) => path), loads };
}

interface UnitPaths {
  /** What the unit loads. */
  within: (path: string) => boolean;
  /** What makes it a unit. */
  isOwn: (path: string) => boolean;
}

/** Of a unit that is wanted on many hosts they are made once. */
const pathsOf = rememberedFor((unit: UnitResource): UnitPaths => {
  const named = new Set(unit.loads);
  const folders = unit.loads.map((load) => `${load}/`);
  const within = (path: string) => named.has(path) || folders.some((folder) => path.startsWith(folder));
  return { within, isOwn: fileOfUnit(unit.name) };
});

/**
 * Hash per path that the running process should have loaded; `''` for one that it should not have loaded any more. A path
 * in `loads` that no resource describes is compared with what is on disk.
 */
function wantedLoads(unit: UnitResource, resources: Resource[], facts: ReachableHost): Record<string, string> {
  const { within, isOwn } = pathsOf(unit);
  const wanted: Record<string, string> = {};
  for (const r of resources) {
    if (r.kind === 'file' && within(r.path) && !isOwn(r.path)) wanted[r.path] = fileHash(r);
  }
  const gone = resources.filter((r): r is AbsentResource => r.kind === 'absent' && r.what === 'path');
  const isGone = (path: string) => gone.some((r) => path === r.name || path.startsWith(`${r.name}/`));
  for (const load of unit.loads) {
    if (wanted[load] !== undefined) continue;
    const onDisk = facts.paths[load];
    if (onDisk?.kind === 'file' && !isGone(load)) wanted[load] = onDisk.sha256;
  }
  const loaded = gone.length > 0 ? Object.keys(facts.units[unit.name]?.loaded ?? {}) : [];
  for (const path of loaded) {
    if (isGone(path) && within(path)) wanted[path] = '';
  }
  return wanted;
}

function filesOf(resources: Resource[]): FileResource[] {
  return resources.filter((r) => r.kind === 'file');
}

/** How to see that a unit is as wanted. */
export function unitCondition(wanted: UnitResource, resources: Resource[], facts: ReachableHost): UnitCondition {
  const running = wanted.state === 'running';
  const loaded = running && wanted.onChange !== 'never' ? wantedLoads(wanted, resources, facts) : {};
  return { kind: 'unit', unit: wanted.name, active: running, loaded };
}

/** Whether a unit condition of a step holds; `''` in `loaded` means "not loaded". */
export function unitConditionHolds(condition: UnitCondition, found: UnitFact): boolean {
  if (!condition.active) return !isUp(found) && found.active !== 'deactivating';
  if (found.active !== 'active') return false;
  return Object.entries(condition.loaded).every(([path, hash]) => (found.loaded[path] ?? '') === hash);
}
