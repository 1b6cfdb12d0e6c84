// The shape of pgs.yaml, as zod schemas over the parsed YAML. Rules that need two places of the file at once are in
// `rules.ts`; positions and messages are made in `parse.ts`.

import { z } from 'zod';
import { accessSchema } from '../topology/access.js';
import { rtoPresetNames } from '../topology/presets.js';
import { addressFault, domainFault, fleetNameFault } from './names.js';

const port = z.int().min(1).max(65535);
const zone = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$/, 'must be a word of letters, digits, dots, hyphens and underscores');
const path = z
  .string()
  .min(1)
  .regex(/^[^\p{Cc}]+$/u, 'must be a path without control characters');
const userName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, 'must be the name of a user, such as root');

function named(faultOf: (text: string) => string | null) {
  return z.string().superRefine((text, context) => {
    const fault = faultOf(text);
    if (fault !== null) context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is refused: ${fault}` });
  });
}

const endpoint = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url?.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  // Never shows the text: somebody may have put a password into the address.
  if (url?.protocol === 'http:') {
    context.addIssue({
      code: 'custom',
      message: 'must begin with https://, passwords would cross the network readable',
    });
  } else if (url?.protocol !== 'https:' || !plain || url.hostname === '') {
    context.addIssue({ code: 'custom', message: 'must be https://host:port and nothing more' });
  }
});

const argv = z.array(z.string().min(1)).min(1);

/** Its text is never shown: whoever has it may write where it leads. */
const webhook = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return;
  context.addIssue({ code: 'custom', message: 'must be a URL that begins with https:// or http://' });
});

const external = z.strictObject({
  endpoints: z.array(endpoint).min(1),
  ca: path,
  cert: path.optional(),
  key: path.optional(),
  user: userName,
  password_file: path,
});

/** `ca`: by which clients verify it, for the strings that pgs prints. */
const certificate = z.strictObject({ cert: path, key: path, ca: path.optional() });

export const inventorySchema = z.strictObject({
  fleet: named(fleetNameFault),
  domain: named(domainFault).optional(),
  hosts: z.record(
    z.string(),
    z.strictObject({
      address: named(addressFault),
      zone: zone.optional(),
      fencing: z.enum(['shared', 'device']).optional(),
    }),
  ),
  ssh: z
    .strictObject({
      user: userName.default('root'),
      port: port.default(22),
      key: path.optional(),
      known_hosts: path.optional(),
    })
    .prefault({}),
  packages: z.enum(['distribution', 'pgdg']).default('distribution'),
  ports: z
    .strictObject({
      from: z.int().min(1024).max(65535).default(20000),
      to: z.int().min(1024).max(65535).default(29999),
    })
    .prefault({}),
  etcd: z
    .strictObject({
      members: z.array(z.string()).optional(),
      client_port: port.optional(),
      peer_port: port.optional(),
      external: external.optional(),
    })
    .prefault({}),
  door: z
    .strictObject({
      port: port.default(5432),
      certificate: certificate.optional(),
      tenants: z.record(z.string(), certificate).optional(),
    })
    .prefault({}),
  defaults: z
    .strictObject({
      postgres: z.int().min(13).max(40).optional(),
      rto: z.enum(rtoPresetNames).default('norm'),
      rpo: z.int().min(0).default(0),
      durability: z.enum(['available', 'strict']).default('available'),
      watchdog: z.enum(['required', 'automatic', 'off']).default('required'),
      access: accessSchema.optional(),
    })
    .prefault({}),
  notify: z
    .strictObject({ webhook: webhook.optional(), webhook_file: path.optional(), command: argv.optional() })
    .prefault({}),
  watch: z.strictObject({ repair: z.enum(['off', 'report', 'start-units']).default('report') }).prefault({}),
  drills: z
    .strictObject({
      backup: z.strictObject({ command: argv, max_age_hours: z.number().positive().max(10_000) }).optional(),
    })
    .prefault({}),
});

export type InventoryFile = z.output<typeof inventorySchema>;
