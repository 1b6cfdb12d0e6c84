// What a change of roles or databases is: statements for psql that belong together. Names and values are quoted by the pg library alone.

import { escapeIdentifier as id, escapeLiteral as text } from 'pg';
import { Secret } from '../secrets/secret.js';
import type { ObjectSpecs } from '../topology/objects.js';

/** Statements that belong together, for psql; run again they do the same. */
export interface ObjectChange {
  /** Unique among them, such as `database/shop`. */
  id: string;
  title: string;
  reasons: string[];
  script: Secret;
  destructive: boolean;
}

export interface DesiredObjects {
  spec: ObjectSpecs;
  postgresMajor: number;
  /** Verifiers of generated passwords by role. */
  verifiers: Record<string, Secret>;
  /** `database` or `database/extension`, whose data may go. */
  dropData: string[];
  /** Extensions, as `database/extension`, that a member's host does not have: they are not made. */
  missing: string[];
}

/** What was found and what should be, with the statements that make it so. */
export interface Difference {
  reasons: string[];
  statements: string[];
}

/** Statements are not logged, with what they hold; none waits for a lock so long that clients queue up behind it. */
const prelude = [
  '\\set ON_ERROR_STOP on',
  "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic'; SET lock_timeout = '10s';",
];

export function change(
  id: string,
  title: string,
  { reasons, statements }: Difference,
  destructive = false,
): ObjectChange[] {
  if (statements.length === 0) return [];
  return [{ id, title, reasons, script: new Secret([...prelude, ...statements].join('\n')), destructive }];
}

export function joined(parts: Difference[]): Difference {
  return { reasons: parts.flatMap((p) => p.reasons), statements: parts.flatMap((p) => p.statements) };
}

/** A statement that has no form for "if it is not there". */
export function whereNone(catalogue: string, column: string, name: string, statement: string): string {
  return `SELECT ${text(statement)} WHERE NOT EXISTS (SELECT FROM ${catalogue} WHERE ${column} = ${text(name)}) \\gexec`;
}

export function described(limit = -1): string {
  return limit === -1 ? 'any number of' : String(limit);
}

/** The statements that follow are of another database; what was set is not set there. */
export function goTo(database: string): string[] {
  return [`\\connect ${id(database)}`, ...prelude.slice(1)];
}
