// A scenario: what has to hold before, what is broken, and what the cluster promises meanwhile. Read from YAML, in the spirit of the
// experiments of Chaos Toolkit; every fault of the file is said with line and column.

import { z } from 'zod';
import { readYaml } from '../src/yaml-file.js';
import { failureKinds } from '../src/topology/rto.js';
import { faultNamed, faultNames } from './faults/catalogue.js';

export const families = ['postgresql', 'patroni', 'etcd', 'network', 'host', 'proxy', 'life-cycle'] as const;
export const severities = ['safe', 'disruptive', 'destructive'] as const;
export const roles = [
  'leader',
  'sync',
  'async',
  'replica',
  'etcd-leader',
  'etcd-follower',
  'entry',
  'client',
  'every',
] as const;
/** What a machine must have for a fault; looked at before. */
export const needNames = ['netem', 'own-kernel', 'power', 'tmpfs'] as const;

export type Family = (typeof families)[number];
export type Severity = (typeof severities)[number];
export type Role = (typeof roles)[number];
export type Need = (typeof needNames)[number];

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };

/** `500ms`, `10s`, `2m` as milliseconds. */
const duration = z.string().transform((text, context): number => {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (found) return Number(found[1]) * units[found[2]!]!;
  context.addIssue({
    code: 'custom',
    message: `must be a duration such as 500ms, 10s or 2m, not ${JSON.stringify(text)}`,
  });
  return z.NEVER;
});

const name = z.string().regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'must be words of a-z and 0-9 with single hyphens');

/** No fault outlasts this: its undo on the host comes half a minute later, so that a pgs that is killed strands nothing for two minutes. */
export const faultMaxMs = 90_000;

const step = z.strictObject({
  fault: z.enum(faultNames),
  on: z
    .strictObject({ role: z.enum(roles), count: z.int().min(1).max(16).default(1) })
    .default({ role: 'leader', count: 1 }),
  /** From the beginning of the method. */
  at: duration.default(0),
  /** From the end of the step before, its heal included; `at` counts for nothing then. */
  after: duration.optional(),
  for: duration.default(0),
  jitter: duration.default(0),
  arguments: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
});

const probe = z.strictObject({
  probe: z.enum([
    'streaming',
    'synchronous',
    'quorum',
    'writable',
    'fenced',
    'not-paused',
    'leaders-apart',
    'leaders-together',
  ]),
  tolerance: z.union([z.boolean(), z.int()]).default(true),
});

const scenarioSchema = z.strictObject({
  name,
  title: z.string().min(1),
  description: z.string().optional(),
  family: z.enum(families),
  severity: z.enum(severities),
  needs: z.array(z.enum(needNames)).default([]),
  'steady-state-hypothesis': z.strictObject({ title: z.string().optional(), probes: z.array(probe).min(1) }).default({
    probes: [
      { probe: 'writable', tolerance: true },
      { probe: 'streaming', tolerance: true },
      { probe: 'quorum', tolerance: true },
      { probe: 'not-paused', tolerance: true },
    ],
  }),
  workload: z
    .strictObject({
      service: z.enum(['primary', 'direct']).default('primary'),
      'session-every': duration.prefault('20ms'),
      'each-every': duration.prefault('250ms'),
      'read-every': duration.prefault('100ms'),
      before: duration.prefault('3s'),
      after: duration.prefault('3s'),
    })
    .prefault({}),
  method: z.array(step).min(1).max(60),
  abort: z
    .strictObject({ 'write-outage': duration.prefault('120s'), 'members-lost': z.int().min(1).default(16) })
    .prefault({}),
  expect: z.strictObject({
    failover: z.enum(['required', 'forbidden', 'allowed']),
    /** The model's word for a kind of failure, or a limit. */
    rto: z
      .strictObject({ model: z.enum(failureKinds).optional(), within: duration.optional() })
      .refine((rto) => (rto.model === undefined) !== (rto.within === undefined), 'must have either model or within')
      .optional(),
    lost: z.union([z.int().min(0), z.literal('any')]).default(0),
    writers: z.union([z.int().min(1), z.literal('any')]).default(1),
    timelines: z.int().min(0).optional(),
    'read-outage': duration.optional(),
    'stale-reads': duration.optional(),
    'redundancy-within': duration.prefault('120s'),
  }),
  repeat: z.strictObject({ count: z.int().min(1).max(100).default(1), seed: z.int().min(0).default(1) }).prefault({}),
});

export type Scenario = z.output<typeof scenarioSchema>;
export type Step = Scenario['method'][number];

/**
 * Reads a scenario from the text of the file at `path`.
 * @throws PgsError `configuration` with every fault as `FILE:LINE:COLUMN: path: message`
 */
export function parseScenario(text: string, path: string): Scenario {
  return readYaml(text, path, scenarioSchema, (_document, value) => stepFaults(value));
}

/** What a step says of its fault: arguments that the fault does not know, and times that cannot be. */
function stepFaults(value: unknown) {
  const method = (value as { method?: unknown }).method;
  if (!Array.isArray(method)) return [];
  return method.flatMap((given: unknown, i) => {
    const parsed = step.safeParse(given);
    if (!parsed.success) return [];
    const fault = faultNamed(parsed.data.fault);
    const checked = fault.arguments.safeParse(parsed.data.arguments);
    const wrong = (checked.error?.issues ?? []).map((issue) => ({
      path: ['method', i, 'arguments', ...issue.path],
      message: issue.code === 'unrecognized_keys' ? `${fault.name} knows no ${issue.keys.join(', ')}` : issue.message,
    }));
    const path = ['method', i, 'for'];
    if (parsed.data.for > faultMaxMs) {
      wrong.push({
        path,
        message: `must be at most ${faultMaxMs / 1000}s, or what a killed pgs leaves would stay too long`,
      });
    }
    if (fault.lasting && parsed.data.for === 0)
      wrong.push({ path, message: `is missing: ${fault.name} lasts until it is healed` });
    return wrong;
  });
}
