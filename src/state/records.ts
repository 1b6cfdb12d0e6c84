// The shape of what pgs keeps about a tenant in the DCS, checked whenever it is read: a record of a newer pgs is refused
// rather than understood by halves.

import { z } from 'zod';
import { PgsError } from '../errors.js';
import { limitsSchema } from '../topology/limits.js';
import { objectShapes } from '../topology/objects.js';
import { rtoPresetNames } from '../topology/presets.js';
import { poolModes, type TenantRecord } from '../topology/tenant.js';

/** Newest version of `TenantRecord` that this pgs writes and reads. */
const recordVersion = 1;

const spec = z.strictObject({
  tenant: z.string(),
  replicas: z.number().int(),
  postgres: z.number().int(),
  rto: z.enum(rtoPresetNames),
  rpoBytes: z.number().int(),
  durability: z.enum(['available', 'strict']),
  watchdog: z.enum(['required', 'automatic', 'off']),
  // Tenants from before there was a pooler go without: transaction pooling would surprise a client that keeps state in its session.
  pool: z.enum(poolModes).default('off'),
  production: z.boolean().optional(),
  access: z.strictObject({ enabled: z.boolean(), from: z.array(z.string()) }).optional(),
  limits: limitsSchema.optional(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  labels: objectShapes.labels,
  defaultRoles: objectShapes.default_roles,
  roles: objectShapes.roles,
  databases: objectShapes.databases,
  hba: objectShapes.hba,
});

const names = z.array(z.string());
const left = z.strictObject({ roles: names, databases: names, schemas: names, extensions: names });

const dataFate = z.enum(['keep', 'purge']);

const member = z.strictObject({
  name: z.string(),
  host: z.string(),
  joining: z.strictObject({ replaces: z.string().nullable(), data: dataFate }).optional(),
});

const leavingMember = z.strictObject({
  name: z.string(),
  host: z.string(),
  data: dataFate,
  login: z.enum(['works', 'changing', 'changed']).optional(),
});

const allocation = z.strictObject({
  slot: z.number().int().min(0),
  members: z.array(member).min(1),
  leaving: z.array(leavingMember).optional(),
  keptOn: z.array(z.string()).optional(),
  lastNumber: z.number().int().optional(),
  walSenders: z.number().int().optional(),
  memoryMiB: z.number(),
  cores: z.number(),
  quorumCommit: z.boolean(),
});

const job = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('restart'), since: z.string(), members: z.record(z.string(), z.string()) }),
  z.strictObject({
    kind: z.literal('reinit'),
    since: z.string(),
    member: z.string(),
    startedAt: z.string().nullable(),
  }),
]);

/** Strict: a field that this pgs does not know would be lost when it writes the record back. */
const record = z.strictObject({
  version: z.literal(recordVersion),
  spec,
  allocation,
  phase: z.enum(['creating', 'ready', 'stopped', 'destroying', 'retired']),
  createdAt: z.string(),
  left: left.optional(),
  job: job.optional(),
}) satisfies z.ZodType<TenantRecord>;

/**
 * @param key where it was read, for the error
 * @throws PgsError `unfit` if the record is newer than this pgs or is none
 */
export function parseRecord(key: string, text: string): TenantRecord {
  const doing = `reading ${key} in etcd`;
  const value = parseJson(doing, text);
  const version = z.looseObject({ version: z.number() }).safeParse(value);
  if (version.success && version.data.version > recordVersion) {
    throw new PgsError('unfit', {
      doing,
      found: `the record has version ${version.data.version}, and this pgs knows versions up to ${recordVersion}`,
      hint: 'Use the newer pgs that wrote it.',
    });
  }
  const parsed = record.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PgsError('unfit', {
    doing,
    found: z.prettifyError(parsed.error),
    hint: 'Somebody changed the record by hand, or another pgs wrote it; use that one, or restore the record.',
  });
}

function parseJson(doing: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PgsError('unfit', { doing, found: 'it is not JSON', hint: 'Restore the record.', cause });
  }
}
