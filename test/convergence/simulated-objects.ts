// Roles and databases of a simulated PostgreSQL: what pgs's statements about them change, one by one, and what the catalogues then say.

import { createHash } from 'node:crypto';
import { firstObjects } from '../../src/postgres/desired-objects.js';
import type { InsideFact, ObjectFacts, RoleFact } from '../../src/postgres/object-facts.js';

/** As a cluster begins. */
export function simulatedObjects(): ObjectFacts {
  return structuredClone(firstObjects());
}

/** The answer to the script of `objectFactsScript`. */
export function objectsAnswer({ roles, databases, inside }: ObjectFacts, script: string): string {
  const asked = [...script.matchAll(/^\\connect "(.*)"$/gm)].map((found) => found[1]!);
  const contents = asked.filter((name) => inside[name]).map((name) => ({ database: name, ...inside[name]! }));
  return [{ roles, databases }, ...contents].map((answer) => JSON.stringify(answer)).join('\n');
}

const named = '"([^"]+)"';

/** The statements of a script that change something; what none of the forms fits is a fault of the simulation. */
export function objectStatements(
  objects: ObjectFacts,
  script: string,
  onPassword: (role: string, verifier: string) => void,
): (() => void)[] {
  let current = 'postgres';
  return script.split('\n').flatMap((line): (() => void)[] => {
    const connected = /^\\connect "(.*)"$/.exec(line);
    if (connected) current = connected[1]!;
    if (/^(\\|SET |SELECT count|BEGIN|COMMIT)/.test(line)) return [];
    const conditional = /^SELECT '(.*)' WHERE (NOT )?EXISTS \(SELECT FROM (\S+) WHERE \S+ = '([^']*)'\) \\gexec$/.exec(
      line,
    );
    const database = current;
    if (!conditional) return [() => perform(objects, database, line, onPassword)];
    const [, statement, not, catalogue, name] = conditional;
    const isThere = (catalogue === 'pg_roles' ? objects.roles : objects.databases)[name!] !== undefined;
    return isThere === (not === undefined) ? [() => perform(objects, database, statement!, onPassword)] : [];
  });
}

type Rule = [RegExp, (objects: ObjectFacts, found: string[], database: string) => void];

const rules: Rule[] = [
  [new RegExp(`^CREATE ROLE ${named}`), ({ roles }, [name]) => (roles[name!] = newRole())],
  [new RegExp(`^DROP ROLE IF EXISTS ${named}`), ({ roles }, [name]) => delete roles[name!]],
  [
    new RegExp(`^ALTER ROLE ${named} SET "(.*)" TO '(.*)';`),
    ({ roles }, [name, key, value]) => setParameter(roles[name!]!, key!, value!),
  ],
  [
    new RegExp(`^ALTER ROLE ${named} RESET "(.*)";`),
    ({ roles }, [name, key]) => setParameter(roles[name!]!, key!, null),
  ],
  [new RegExp(`^GRANT ${named} TO ${named};`), ({ roles }, [group, name]) => void roles[name!]!.groups.push(group!)],
  [
    new RegExp(`^CREATE DATABASE ${named} OWNER ${named}`),
    ({ databases, inside }, [name, owner]) => {
      databases[name!] = {
        owner: owner!,
        connections: -1,
        mayConnect: true,
        grants: ['public CONNECT', 'public TEMPORARY'],
      };
      inside[name!] = structuredClone(firstObjects().inside.app!);
    },
  ],
  [
    new RegExp(`^DROP DATABASE IF EXISTS ${named}`),
    ({ databases, inside }, [name]) => {
      delete databases[name!];
      delete inside[name!];
    },
  ],
  [
    new RegExp(`^ALTER DATABASE ${named} CONNECTION LIMIT (.*);`),
    ({ databases }, [name, limit]) => (databases[name!]!.connections = Number(limit)),
  ],
  [
    new RegExp(`^ALTER DATABASE ${named} OWNER TO ${named}`),
    ({ databases }, [name, owner]) => (databases[name!]!.owner = owner!),
  ],
  [
    new RegExp(`^REVOKE ALL ON DATABASE ${named} FROM PUBLIC`),
    ({ databases }, [name]) =>
      (databases[name!]!.grants = databases[name!]!.grants.filter((grant) => !grant.startsWith('public '))),
  ],
  [
    new RegExp(`^GRANT (.*) ON DATABASE ${named} TO ${named}`),
    ({ databases }, [what, name, to]) => void databases[name!]!.grants.push(...each(what!, to!)),
  ],
  [
    new RegExp(`^CREATE SCHEMA IF NOT EXISTS ${named} AUTHORIZATION ${named}`),
    ({ inside }, [name, owner], database) =>
      (inside[database]!.schemas[name!] ??= { owner: owner!, grants: [], empty: true }),
  ],
  [
    new RegExp(`^GRANT (.*) ON SCHEMA ${named} TO ${named}`),
    ({ inside }, [what, name, to], database) => void inside[database]!.schemas[name!]!.grants.push(...each(what!, to!)),
  ],
  [
    new RegExp(`^CREATE EXTENSION IF NOT EXISTS ${named}`),
    ({ inside }, [name], database) =>
      (inside[database]!.extensions[name!] ??= { version: '1.0', schema: 'public', tables: false }),
  ],
  [
    new RegExp(`^ALTER DEFAULT PRIVILEGES FOR ROLE ${named} GRANT (.*) ON (\\S+) TO ${named}`),
    ({ inside }, [creator, what, type, to], database) =>
      void inside[database]!.defaults.push(...each(what!, `${creator} ${letters[type!]} ${to}`)),
  ],
  [/^GRANT .* ON ALL /, () => undefined],
  [/^(REASSIGN|DROP) OWNED BY /, () => undefined],
];

const letters: Record<string, string> = { TABLES: 'r', SEQUENCES: 'S', SCHEMAS: 'n' };

function perform(
  objects: ObjectFacts,
  database: string,
  statement: string,
  onPassword: (role: string, verifier: string) => void,
): void {
  for (const [form, change] of rules) {
    const found = form.exec(statement);
    if (found) return change(objects, found.slice(1), database);
  }
  const altered = new RegExp(`^ALTER ROLE ${named} (.*);$`).exec(statement);
  if (!altered) throw new Error(`the simulation does not know ${statement}`);
  alterRole(objects.roles[altered[1]!]!, altered[2]!, (verifier) => onPassword(altered[1]!, verifier));
}

function alterRole(role: RoleFact, options: string, onPassword: (verifier: string) => void): void {
  for (const key of ['login', 'createdb', 'createrole', 'replication', 'bypassrls', 'inherit'] as const) {
    const word = new RegExp(`(^| )(NO)?${key.toUpperCase()}( |$)`).exec(options);
    if (word) role[key] = word[2] === undefined;
  }
  const limit = /CONNECTION LIMIT (-?\d+)/.exec(options);
  if (limit) role.connections = Number(limit[1]);
  const until = /VALID UNTIL '([^']+)'/.exec(options);
  if (until) role.expires = until[1] === 'infinity' ? null : Date.parse(until[1]!) / 1000;
  const verifier = /PASSWORD '([^']+)'/.exec(options);
  if (!verifier) return;
  role.verifier = createHash('sha256').update(verifier[1]!).digest('hex');
  onPassword(verifier[1]!);
}

function setParameter({ settings }: RoleFact, key: string, value: string | null): void {
  const at = settings.findIndex((line) => line.startsWith(`${key}=`));
  if (at >= 0) settings.splice(at, 1);
  if (value !== null) settings.push(`${key}=${value}`);
}

function each(privileges: string, to: string): string[] {
  return privileges.split(', ').map((privilege) => `${to} ${privilege}`);
}

function newRole(): RoleFact {
  const none = {
    login: false,
    createdb: false,
    createrole: false,
    replication: false,
    bypassrls: false,
    superuser: false,
  };
  return { ...none, inherit: true, connections: -1, expires: null, verifier: '', groups: [], settings: [] };
}

/** What a fleet comes to, without verifiers, which are random. */
export function comparableObjects({ roles, databases, inside }: ObjectFacts): unknown {
  const sorted = (facts: InsideFact) => ({ ...facts, defaults: [...facts.defaults].sort() });
  return {
    roles: Object.fromEntries(
      Object.entries(roles).map(([name, role]) => [name, { ...role, verifier: role.verifier !== '' }]),
    ),
    databases,
    inside: Object.fromEntries(Object.entries(inside).map(([name, facts]) => [name, sorted(facts)])),
  };
}
