// A tenant's spec from what people type: options of `cluster create` and YAML files of `apply -f`. Validated once, here.

import equal from 'fast-deep-equal';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import type { Fault } from '../fault.js';
import { parseTenantName } from '../inventory/names.js';
import { accessSchema, closedAccess, type Access } from './access.js';
import { isLimited, limitFaults, limitsSchema } from './limits.js';
import { objectShapes, type ObjectSpecs } from './objects.js';
import { objectFaults } from './object-rules.js';
import { rtoPresetNames } from './presets.js';
import { poolModes, type TenantSpec } from './tenant.js';
import { maxConnectionsOf, refuseSettings, sharedBuffersMiBOf } from './settings.js';

/** The most replicas that make sense of one leader: Patroni's slots and walsenders are sized for it. */
export const replicasMax = 15;

const scalar = z.union([z.string(), z.number(), z.boolean()]);

/** Newest form of the file that this pgs reads. */
export const specFormat = 1;

/** The YAML form. Every field but the name has a default from pgs.yaml. */
const specShape = z.strictObject({
  /** Of the file; absent: 1. */
  format: z.int().min(1).max(specFormat).optional(),
  tenant: z.string(),
  replicas: z.number().int().min(0).max(replicasMax).optional(),
  postgres: z.number().int().optional(),
  rto: z.enum(rtoPresetNames).optional(),
  rpo: z.number().int().min(0).optional(),
  durability: z.enum(['available', 'strict']).optional(),
  watchdog: z.enum(['required', 'automatic', 'off']).optional(),
  pool: z.enum(poolModes).optional(),
  production: z.boolean().optional(),
  access: accessSchema.optional(),
  limits: limitsSchema.optional(),
  settings: z.record(z.string(), scalar).optional(),
  ...objectShapes,
});

export const specSchema = specShape.superRefine((file, context) => {
  for (const { path, message, at } of objectFaults(file))
    context.addIssue({ code: 'custom', path, message, ...(at ? { params: { at } } : {}) });
});

export type SpecFile = z.infer<typeof specSchema>;

export interface SpecDefaults {
  /** Of the tenant, where it is there; default 2. */
  replicas?: number;
  rto: TenantSpec['rto'];
  rpoBytes: number;
  durability: TenantSpec['durability'];
  watchdog: TenantSpec['watchdog'];
  /** Default `transaction`. */
  pool?: TenantSpec['pool'];
  /** Default no. */
  production?: TenantSpec['production'];
  /** Default closed. */
  access?: TenantSpec['access'];
  /** Default none. */
  limits?: TenantSpec['limits'];
  postgres: number;
}

/**
 * A whole spec from a part of one.
 * @throws PgsError `usage` or `configuration`, naming every wrong field
 */
export function completeSpec(given: unknown, defaults: SpecDefaults, source: string): TenantSpec {
  const parsed = specSchema.safeParse(given);
  if (!parsed.success) {
    throw new PgsError('configuration', { doing: `reading ${source}`, found: z.prettifyError(parsed.error) });
  }
  const spec = fillSpec(parsed.data, defaults);
  refuseContradictions(spec, defaults, source);
  return spec;
}

/** A whole spec from a part of one that has the right shape; what is in it may still contradict itself (`specFaults`). */
export function fillSpec(file: SpecFile, defaults: SpecDefaults): TenantSpec {
  return {
    tenant: parseTenantName(file.tenant),
    replicas: file.replicas ?? defaults.replicas ?? 2,
    postgres: file.postgres ?? defaults.postgres,
    rto: file.rto ?? defaults.rto,
    rpoBytes: file.rpo ?? defaults.rpoBytes,
    durability: file.durability ?? defaults.durability,
    watchdog: file.watchdog ?? defaults.watchdog,
    pool: file.pool ?? defaults.pool ?? 'transaction',
    ...((file.production ?? defaults.production) ? { production: true } : {}),
    ...accessOf(file.access, defaults.access),
    ...limitsOf(file.limits ?? defaults.limits),
    settings: file.settings ?? {},
    ...objectsOf(file),
  };
}

/** With what to do instead, where no file can be pointed into. */
type HintedFault = Fault & { hint?: string };

/**
 * What is wrong in a whole spec, at the key that says it; the message follows the key.
 * @param defaults what the spec was filled with: no replicas are kept where there were none
 */
export function specFaults(spec: TenantSpec, defaults: Pick<SpecDefaults, 'replicas'>): HintedFault[] {
  const faults: HintedFault[] = [];
  if (spec.replicas === 0 && defaults.replicas !== 0) {
    faults.push({
      path: ['replicas'],
      message: 'must be at least 1: with none, what is acknowledged has one copy',
      hint: 'A cluster that is there is scaled to none by `pgs cluster scale --replicas 0`, which asks.',
    });
  }
  if (spec.durability === 'strict' && spec.rpoBytes > 0) {
    faults.push({
      path: ['durability'],
      message: `strict makes writes wait for a standby, but rpo ${spec.rpoBytes} allows them to be lost`,
      hint: 'Choose rpo 0 with strict durability, or leave durability at available.',
    });
  }
  const needs = { sharedBuffersMiB: sharedBuffersMiBOf(spec), maxConnections: maxConnectionsOf(spec) };
  return [...faults, ...limitFaults(spec.limits, needs)];
}

/** As a whole: what is left out of limits that are given is not limited any more. */
function limitsOf(limits: TenantSpec['limits']): Pick<TenantSpec, 'limits'> {
  return isLimited(limits) ? { limits } : {};
}

/** What is not in the file any more is not in the spec: the cluster keeps it until the file says `state: absent`. */
function objectsOf(file: SpecFile): ObjectSpecs & Pick<TenantSpec, 'labels'> {
  const some = <T extends object>(value: T | undefined) => (value && Object.keys(value).length > 0 ? value : undefined);
  const [labels, roles, databases, hba] = [some(file.labels), some(file.roles), some(file.databases), some(file.hba)];
  return {
    ...(labels ? { labels } : {}),
    ...(file.default_roles ? { defaultRoles: true } : {}),
    ...(roles ? { roles } : {}),
    ...(databases ? { databases } : {}),
    ...(hba ? { hba } : {}),
  };
}

/** A list that is not given is kept. What is closed to everybody is not written down: so it was before there was a front door. */
function accessOf(given: SpecFile['access'], before: Access = closedAccess): Pick<TenantSpec, 'access'> {
  const access = { ...before, ...given, from: given?.from ?? before.from };
  return equal(access, closedAccess) ? {} : { access };
}

function refuseContradictions(spec: TenantSpec, defaults: SpecDefaults, source: string): void {
  const [fault] = specFaults(spec, defaults);
  if (fault) {
    const { path, message, hint } = fault;
    const found = `${path.join('.')}: ${message}`;
    throw new PgsError('configuration', { doing: `reading ${source}`, found, ...(hint ? { hint } : {}) });
  }
  refuseSettings(spec, source);
}

/** The spec in its YAML form, as `pgs cluster show -o yaml` prints it and `pgs apply -f` takes it. */
export function specToFile(spec: TenantSpec): SpecFile {
  return {
    format: specFormat,
    tenant: spec.tenant,
    replicas: spec.replicas,
    postgres: spec.postgres,
    rto: spec.rto,
    rpo: spec.rpoBytes,
    durability: spec.durability,
    watchdog: spec.watchdog,
    pool: spec.pool,
    ...(spec.production ? { production: true } : {}),
    access: spec.access ?? closedAccess,
    ...(spec.limits ? { limits: spec.limits } : {}),
    settings: spec.settings,
    ...(spec.labels ? { labels: spec.labels } : {}),
    ...(spec.defaultRoles ? { default_roles: true } : {}),
    ...(spec.roles ? { roles: spec.roles } : {}),
    ...(spec.databases ? { databases: spec.databases } : {}),
    ...(spec.hba ? { hba: spec.hba } : {}),
  };
}

/** Fields of the spec that can be set by name like a parameter; PostgreSQL has none of these names. */
const ownFields = ['rto', 'rpo', 'durability', 'watchdog', 'pool', 'production'] as const;

/**
 * The spec in its YAML form with some of it set: its own fields by their names, everything else as PostgreSQL's parameters; an empty
 * value takes a parameter back.
 * @throws PgsError `usage` for a field that is to be taken back, or a value of `rpo` or `production` that cannot be one
 */
export function changeSpecFile(before: TenantSpec, changes: [name: string, value: string][]): SpecFile {
  const fields: Record<string, unknown> = {};
  const settings: Record<string, string | number | boolean> = { ...before.settings };
  for (const [name, value] of changes) {
    if ((ownFields as readonly string[]).includes(name)) fields[name] = parseField(name, value);
    else if (value === '') delete settings[name];
    else settings[name] = value;
  }
  return { ...specToFile(before), ...fields, settings };
}

function parseField(name: string, value: string): unknown {
  if (name === 'rpo' && /^\d{1,15}$/.test(value)) return Number(value);
  if (name === 'production' && ['true', 'false'].includes(value)) return value === 'true';
  if (value !== '' && name !== 'rpo' && name !== 'production') return value;
  throw new PgsError('usage', {
    doing: 'reading the command line',
    found: value === '' ? `${name} always has a value` : `${name} cannot be ${JSON.stringify(value)}`,
    hint:
      name === 'rpo'
        ? 'For example: rpo=0'
        : name === 'production'
          ? 'production=true or production=false'
          : `Say which, as in \`${name}=value\`.`,
  });
}

/** A readable name for a tenant that was given none, such as `calm-heron`. */
export function inventTenantName(taken: string[], random: () => number = Math.random): string {
  const pick = (words: string[]) => words[Math.floor(random() * words.length)]!;
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = `${pick(adjectives)}-${pick(animals)}`;
    if (!taken.includes(name)) return name;
  }
  return `${pick(adjectives)}-${pick(animals)}-${Math.floor(random() * 1e6)}`;
}

const adjectives =
  'amber brave bright calm clear deft eager fair gentle keen lively mellow noble quiet rapid solid steady swift warm wise'.split(
    ' ',
  );
const animals =
  'badger beaver bison crane egret falcon finch heron ibex kestrel lynx marten osprey otter puffin raven stork swan tapir wren'.split(
    ' ',
  );
