// What a tenant's file says of the inside of its PostgreSQL: roles, databases, access rules. Kept in the spec as it is written, so that
// `pgs cluster show -o yaml` gives it back; rules that look at several places at once are in `object-rules.ts`.

import { z } from 'zod';
import { networkFaults } from './access.js';
import { serviceNames } from './cluster.js';

const state = z.enum(['present', 'absent']).optional();
const connections = z.int().min(0).max(262_143).optional();
const settings = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional();

/** What PostgreSQL stores of a password; the text is in no message. */
const verifier = /^SCRAM-SHA-256\$[1-9]\d{3,6}:[A-Za-z0-9+/]{16,}={0,2}\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/;
export const passwordWords = ['generated', 'kept', 'none'] as const;

const password = z.string().superRefine((text, context) => {
  if ((passwordWords as readonly string[]).includes(text) || verifier.test(text)) return;
  context.addIssue({
    code: 'custom',
    message: `must be ${passwordWords.join(', ')} or a SCRAM verifier (SCRAM-SHA-256$4096:…): no password belongs into a file`,
  });
});

/** A moment: `2027-01-31`, its beginning in UTC, or ISO 8601 with a zone. */
const moment = z.string().superRefine((text, context) => {
  if (/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?$/.test(text) && !Number.isNaN(Date.parse(text))) return;
  context.addIssue({
    code: 'custom',
    message: `must be a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z, not ${JSON.stringify(text.slice(0, 40))}`,
  });
});

/** A mapping of which everything may be left out, as in `shop:` with nothing behind it. */
function mapping<Shape extends z.ZodRawShape>(shape: Shape) {
  return z
    .strictObject(shape)
    .nullable()
    .transform((value) => value ?? ({} as NonNullable<typeof value>));
}

const roleShape = mapping({
  /** Default yes; a group says no. */
  login: z.boolean().optional(),
  createdb: z.boolean().optional(),
  createrole: z.boolean().optional(),
  replication: z.boolean().optional(),
  bypassrls: z.boolean().optional(),
  inherit: z.boolean().optional(),
  superuser: z.boolean().optional(),
  connections,
  /** Roles that it is a member of. */
  in: z.array(z.string()).optional(),
  expires: moment.optional(),
  settings,
  /** Default `generated` for who logs in. */
  password: password.optional(),
  state,
});

const schemaShape = z.union([z.string(), z.strictObject({ name: z.string(), owner: z.string().optional(), state })]);
const extensionShape = z.union([
  z.string(),
  z.strictObject({ name: z.string(), schema: z.string().optional(), version: z.string().optional(), state }),
]);

const databaseShape = mapping({
  /** Default `app`. */
  owner: z.string().optional(),
  extensions: z.array(extensionShape).optional(),
  schemas: z.array(schemaShape).optional(),
  connections,
  /** Whether everybody may connect and make temporary tables; default revoked. */
  public: z.enum(['revoked', 'open']).optional(),
  /** Server connections that the poolers of a service may open to it, all members together. */
  pool: z.int().min(1).max(10_000).optional(),
  state,
});

export const hbaAuths = ['ssl', 'cert', 'scram'] as const;
export const hbaPlaces = ['cluster', 'fleet', 'world'] as const;
/** `member`: a member's own port, past HAProxy. */
export const hbaServices = [...serviceNames, 'member'] as const;

const place = z.union([z.string(), z.array(z.string()).min(1)]).superRefine((given, context) => {
  if (Array.isArray(given)) {
    for (const { index, message } of networkFaults(given)) context.addIssue({ code: 'custom', path: [index], message });
    return;
  }
  const fault = (hbaPlaces as readonly string[]).includes(given) ? undefined : networkFaults([given])[0];
  if (fault)
    context.addIssue({ code: 'custom', message: `must be ${hbaPlaces.join(', ')} or a network: ${fault.message}` });
});

const hbaRuleShape = z.strictObject({
  name: z.string(),
  auth: z.enum(hbaAuths),
  addr: place,
  /** Default all. */
  databases: z.array(z.string()).min(1).optional(),
  /** Default all. */
  roles: z.array(z.string()).min(1).optional(),
  /** Default the four services. */
  services: z.array(z.enum(hbaServices)).min(1).optional(),
});

/** The parts of a spec that are about the inside of PostgreSQL; each may be missing. */
export const objectShapes = {
  default_roles: z.boolean().optional(),
  roles: z.record(z.string(), roleShape).optional(),
  databases: z.record(z.string(), databaseShape).optional(),
  hba: z.array(hbaRuleShape).optional(),
  labels: z.record(z.string(), z.string()).optional(),
};

export type RoleSpec = z.output<typeof roleShape>;
export type DatabaseSpec = z.output<typeof databaseShape>;
export type HbaRule = z.output<typeof hbaRuleShape>;

/** As they are in a tenant's spec: absent where nothing is said. */
export interface ObjectSpecs {
  defaultRoles?: boolean | undefined;
  roles?: Record<string, RoleSpec> | undefined;
  databases?: Record<string, DatabaseSpec> | undefined;
  hba?: HbaRule[] | undefined;
}

/** Groups that come with `default_roles`, in the order in which they are made. */
export const defaultRoleNames = ['readonly', 'readwrite', 'admin', 'monitor'] as const;

/** The role and the database that every tenant has. */
export const appName = 'app';

export interface NamedExtension {
  name: string;
  schema?: string | undefined;
  version?: string | undefined;
  state?: 'present' | 'absent' | undefined;
}

export interface NamedSchema {
  name: string;
  owner?: string | undefined;
  state?: 'present' | 'absent' | undefined;
}

export function extensionsOf({ extensions = [] }: DatabaseSpec): NamedExtension[] {
  return extensions.map((given) => (typeof given === 'string' ? { name: given } : given));
}

export function schemasOf({ schemas = [] }: DatabaseSpec): NamedSchema[] {
  return schemas.map((given) => (typeof given === 'string' ? { name: given } : given));
}

export function isPresent({ state: wanted }: { state?: 'present' | 'absent' | undefined }): boolean {
  return wanted !== 'absent';
}

export function logsIn({ login = true }: RoleSpec): boolean {
  return login;
}

/** What there is of the password: a word, or the verifier itself. */
export function passwordOf(role: RoleSpec): string {
  return role.password ?? (logsIn(role) ? 'generated' : 'none');
}

/** Addresses of a rule as a list. */
export function addressesOf({ addr }: HbaRule): string[] {
  return typeof addr === 'string' ? [addr] : addr;
}

/** `app` is among them where the default roles are to reach it. */
export function allDatabases({ databases = {}, defaultRoles = false }: ObjectSpecs): Record<string, DatabaseSpec> {
  return defaultRoles ? { [appName]: {}, ...databases } : databases;
}
