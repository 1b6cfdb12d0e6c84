// Roles and databases of a tenant's file in the plan of its cluster. Pure.

import { firstObjects, objectChanges } from '../postgres/desired-objects.js';
import { keptObjects } from '../postgres/dropped-objects.js';
import { describeMissing, missingExtensions, wantedExtensions } from '../postgres/extensions.js';
import type { DesiredObjects } from '../postgres/object-change.js';
import type { ObjectFacts } from '../postgres/object-facts.js';
import { groundOf, unreachable } from '../topology/hba.js';
import { allDatabases, type ObjectSpecs } from '../topology/objects.js';
import type { LeftObjects } from '../topology/tenant.js';
import type { PlanInput } from './plan-cluster.js';
import { blankStep, type Step } from './step.js';

const nothingLeft: LeftObjects = { roles: [], databases: [], schemas: [], extensions: [] };

/** Whether a tenant's file is about the inside of its PostgreSQL, or was. */
export function hasObjects(spec: ObjectSpecs, left: LeftObjects | undefined): boolean {
  return Boolean(spec.roles ?? spec.databases ?? spec.defaultRoles ?? left);
}

/** Databases that have to be looked into. */
export function askedDatabases(spec: ObjectSpecs, left: LeftObjects = nothingLeft): string[] {
  const ofLeft = [...left.schemas, ...left.extensions].map((name) => name.split('.')[0]!);
  return [...new Set([...Object.keys(allDatabases(spec)), ...ofLeft])];
}

/** Null: what is there is unknown, and nothing is planned from it. */
function foundObjects({ cluster, facts, left, phase }: PlanInput): ObjectFacts | null {
  if (!hasObjects(cluster.spec, left)) return null;
  // While a cluster is made, no answer means that it is not there yet.
  return facts.objects ?? (phase === 'creating' ? firstObjects() : null);
}

function wantedObjects({ cluster: { spec }, secrets, dropData = [], facts }: PlanInput): DesiredObjects {
  const missing = missingExtensions(wantedExtensions(spec), facts.extensions ?? {}, spec.postgres);
  return {
    spec,
    postgresMajor: spec.postgres,
    verifiers: Object.fromEntries(Object.entries(secrets.roles ?? {}).map(([name, { scram }]) => [name, scram])),
    dropData,
    missing: missing.map(({ database, name }) => `${database}/${name}`),
  };
}

/** One after the other: a database needs its owner, and who is dropped may own what an earlier step gives away. */
export function objectSteps(input: PlanInput, needs: string[]): Step[] {
  const found = foundObjects(input);
  if (!found) return [];
  const { tenant } = input.cluster;
  let before = needs;
  return objectChanges(wantedObjects(input), found).map((change) => {
    const step: Step = {
      ...blankStep(`${tenant}/objects/${change.id}`),
      title: change.title,
      reason: change.reasons.join('; '),
      needs: before,
      timeoutMs: 120_000,
      destructive: change.destructive,
      action: { kind: 'objects', tenant, script: change.script },
    };
    before = [step.id];
    return step;
  });
}

/** What stays though no file wants it. */
export function objectNotes(input: PlanInput): string[] {
  const found = foundObjects(input);
  if (!found) return [];
  return keptObjects(input.cluster.tenant, wantedObjects(input), input.left ?? nothingLeft, found);
}

/** Rules that could do what they say when they were applied, and cannot any more. */
export function unreachableRuleWarnings({ cluster }: Pick<PlanInput, 'cluster'>): string[] {
  const { spec } = cluster;
  return (spec.hba ?? []).flatMap((rule) => {
    const found = unreachable(rule, spec.pool, groundOf(cluster));
    return found ? [`access rule ${rule.name} is left out, and who it names stays out: ${found.why}`] : [];
  });
}

export function missingExtensionWarnings({ cluster: { spec }, facts }: PlanInput): string[] {
  return missingExtensions(wantedExtensions(spec), facts.extensions ?? {}, spec.postgres).map((missing) =>
    describeMissing(missing, spec.postgres),
  );
}
