// The shapes of schedules and runs in etcd, checked whenever they are read.

import { z } from 'zod';
import { PgsError } from '../errors.js';
import { outcomes, type DrillRun } from './run.js';
import type { Schedule } from './schedule.js';

const job = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('drill'),
    suite: z.string(),
    folder: z.string().nullable(),
    consent: z.literal('disruptive').nullable(),
    outageMaxMs: z.number().positive(),
  }),
  z.strictObject({ kind: z.literal('switchover'), to: z.string().nullable(), force: z.boolean() }),
]);

export const scheduleSchema = z.strictObject({
  version: z.literal(1),
  tenant: z.string(),
  name: z.string(),
  job,
  when: z.union([z.strictObject({ cron: z.string(), tz: z.string() }), z.strictObject({ at: z.string() })]),
  window: z.strictObject({ from: z.string(), to: z.string(), tz: z.string() }).nullable(),
  deadlineMs: z.number().positive(),
  paused: z.boolean(),
  createdAt: z.string(),
  handledUntil: z.string(),
}) satisfies z.ZodType<Schedule>;

const result = z.strictObject({
  scenario: z.string(),
  verdict: z.enum(['pass', 'fail', 'unknown', 'skipped']),
  rtoMs: z.number().nullable(),
  predictedRtoMs: z.number().nullable(),
  ackedLost: z.number().nullable(),
  dualWritableMs: z.number().nullable(),
  errors: z.number().nullable(),
  started: z.string(),
  ended: z.string(),
  folder: z.string().nullable(),
  why: z.string().nullable(),
});

export const runSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  tenant: z.string(),
  schedule: z.string().nullable(),
  kind: z.enum(['drill', 'switchover']),
  what: z.string(),
  due: z.string(),
  started: z.string(),
  ended: z.string().nullable(),
  outcome: z.enum(outcomes),
  why: z.string().nullable(),
  results: z.array(result),
  ranOn: z.string(),
  acknowledged: z.strictObject({ by: z.string(), at: z.string() }).nullable(),
}) satisfies z.ZodType<DrillRun>;

/** @throws PgsError `unfit` for what a newer pgs wrote, or nobody */
export function parseStored<T>(schema: z.ZodType<T>, key: string, text: string): T {
  const doing = `reading ${key} in etcd`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PgsError('unfit', { doing, found: 'it is not JSON', hint: 'Remove the key.', cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const hint = 'Use the pgs that wrote it.';
  throw new PgsError('unfit', { doing, found: z.prettifyError(parsed.error), hint });
}
