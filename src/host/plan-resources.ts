// From what is wanted of a host and what was found there to the steps between. Pure: equal facts give an empty plan.

import { PgsError } from '../errors.js';
import type { Diff, Step } from '../reconcile/step.js';
import { compareUnit, isUp, unitCondition, type UnitChange } from './compare-units.js';
import { differences } from './compare-resources.js';
import type { HostFacts, ReachableHost } from './facts.js';
import type { AbsentResource, Resource, UnitResource } from './resource.js';
import { checkResources } from './resource-rules.js';

export interface ResourcesInput {
  host: string;
  /** What the resources make up together, part of the steps' ids: `etcd`, a tenant's name. */
  subject: string;
  resources: Resource[];
  facts: HostFacts;
  /** Ids of steps that must be done before any of these. */
  needs?: string[];
}

/** As long as a host under load may take for the files, accounts and systemd's reading of unit files. */
const filesTimeoutMs = 60_000;
/** systemd's own limit for a start and a stop is 90 s unless the unit says otherwise. */
const unitTimeoutMs = 120_000;

/**
 * The steps that make a host what the resources say: units that go are stopped, then one step puts users, directories,
 * files and unit settings in order and removes what must go, then units are stopped, started, restarted or reloaded.
 * A host that could not be looked at gives one step that does nothing but say so (`isUnknownStep`).
 * @throws PgsError `endangers` if something destructive is asked of a host that could not be looked at, `unfit` if
 * something of another kind is in the way
 */
export function planResources({ host, subject, resources, facts, needs = [] }: ResourcesInput): Step[] {
  checkResources(resources);
  if (!facts.reachable) return [unknownStep(host, subject, resources, facts.why, needs)];
  const base = { host, needs };
  const id = (what: string) => `${host}/${subject}/${what}`;

  const stops = resources.filter((r): r is AbsentResource => isRunningAbsentUnit(r, facts));
  const stopSteps = stops.map((unit): Step => ({
    ...base,
    ...unitStep(id(unit.name), unit.name, { verb: 'stop', reason: 'it is running and should be gone' }),
    done: { kind: 'unit', unit: unit.name, active: false, loaded: {} },
  }));

  const afterStops = [...needs, ...stopSteps.map((step) => step.id)];
  const filesStep = planFiles(id('files'), host, subject, resources, facts, afterStops);
  const afterFiles = filesStep ? [...needs, filesStep.id] : needs;

  const unitSteps = resources
    .filter((r): r is UnitResource => r.kind === 'unit')
    .flatMap((unit): Step[] => {
      const change = compareUnit(unit, resources, host, facts);
      if (!change) return [];
      const done = unitCondition(unit, resources, facts);
      return [{ ...base, ...unitStep(id(unit.name), unit.name, change), needs: afterFiles, done }];
    });
  return [...stopSteps, ...(filesStep ? [filesStep] : []), ...unitSteps];
}

function isRunningAbsentUnit(resource: Resource, facts: ReachableHost): resource is AbsentResource {
  if (resource.kind !== 'absent' || resource.what !== 'unit') return false;
  const found = facts.units[resource.name];
  return found !== undefined && (isUp(found) || found.active === 'deactivating');
}

function unitStep(id: string, unit: string, { verb, reason }: UnitChange): Omit<Step, 'host' | 'needs' | 'done'> {
  return {
    id,
    title: `${verb} ${unit}`,
    reason,
    diff: [],
    timeoutMs: unitTimeoutMs,
    destructive: false,
    action: { kind: 'unit', unit, verb },
  };
}

function planFiles(
  id: string,
  host: string,
  subject: string,
  resources: Resource[],
  facts: ReachableHost,
  needs: string[],
): Step | null {
  const changed: { resource: Resource; diff: Diff[] }[] = [];
  for (const resource of inOrder(resources)) {
    const diff = differences(resource, host, facts);
    // A unit that is still running leaves a stamp or a failure behind only once it is stopped: it is cleared up in any case.
    if (diff.length > 0 || isRunningAbsentUnit(resource, facts)) changed.push({ resource, diff });
  }
  if (changed.length === 0) return null;
  const removed = changed.filter(({ resource }) => resource.kind === 'absent');
  return {
    id,
    host,
    title: `${titleOf(changed.length, removed.length)} of ${subject}`,
    reason: reasonOf(changed.length - removed.length, removed.length),
    diff: changed.flatMap(({ diff }) => diff),
    needs,
    timeoutMs: filesTimeoutMs,
    destructive: removed.some(({ resource }) => resource.kind === 'absent' && resource.destructive),
    action: { kind: 'resources', resources: changed.map(({ resource }) => resource) },
    done: { kind: 'none' },
  };
}

function titleOf(changed: number, removed: number): string {
  if (removed === 0) return 'write the files';
  return removed === changed ? 'remove the files' : 'write and remove files';
}

function reasonOf(written: number, removed: number): string {
  const differs = written > 0 ? [`${written} ${written === 1 ? 'thing differs' : 'things differ'}`] : [];
  const present = removed > 0 ? [`${removed} ${removed === 1 ? 'thing' : 'things'} should be gone`] : [];
  return [...differs, ...present].join(', ');
}

/**
 * The order in which a host takes changes: units that go, users, directories from the top, files, then removals with the
 * deepest path first and users last, then unit settings (systemd must find the files).
 */
export function inOrder(resources: Resource[]): Resource[] {
  const depth = (path: string) => path.split('/').length;
  const gone = (what: AbsentResource['what']) =>
    resources.filter((r): r is AbsentResource => r.kind === 'absent' && r.what === what);
  const directories = resources.filter((r) => r.kind === 'directory');
  return [
    ...gone('unit'),
    ...resources.filter((r) => r.kind === 'user'),
    ...directories.sort((a, b) => depth(a.path) - depth(b.path)),
    ...resources.filter((r) => r.kind === 'file' || r.kind === 'device'),
    ...gone('path').sort((a, b) => depth(b.name) - depth(a.name)),
    ...gone('user'),
    ...resources.filter((r) => r.kind === 'unit'),
  ];
}

function unknownStep(host: string, subject: string, resources: Resource[], why: string, needs: string[]): Step {
  const destructive = resources.filter((r) => r.kind === 'absent' && r.destructive);
  if (destructive.length > 0) {
    throw new PgsError('endangers', {
      doing: `planning to remove ${destructive.map((r) => (r.kind === 'absent' ? r.name : '')).join(', ')}`,
      host,
      found: `the host could not be looked at, so what is there is unknown: ${why}`,
      hint: 'Bring the host back and run the same command again; nothing was removed.',
    });
  }
  return {
    id: `${host}/${subject}/unknown`,
    host,
    title: `leave ${host} as it is`,
    reason: `it could not be looked at: ${why}`,
    diff: [],
    needs,
    timeoutMs: 1_000,
    destructive: false,
    action: { kind: 'none' },
    done: { kind: 'none' },
  };
}

/** Whether a step only says that its host could not be looked at. */
export function isUnknownStep(step: Step): boolean {
  return step.action.kind === 'none' && step.id.endsWith('/unknown');
}
