// Names of roles, databases and what is in them, as a tenant's file may have them. What passes means itself in SQL, in pg_hba and in
// PgBouncer's file, and PostgreSQL does not cut it.

/** PostgreSQL's NAMEDATALEN - 1: what is longer is cut without an error. */
export const sqlNameBytesMax = 63;

/** Words that pg_hba gives a meaning to of its own. */
const rulesWords = ['all', 'replication', 'sameuser', 'samerole', 'samegroup'];
const roleWords = ['public', 'none', 'postgres', 'current_user', 'session_user', 'current_role', 'user'];
/** `pgbouncer` is its console, `pgs_lookup` the way by which it asks for verifiers. */
const databaseWords = ['postgres', 'template0', 'template1', 'pgbouncer'];

const reserved: Record<SqlNoun, string[]> = {
  role: [...rulesWords, ...roleWords],
  database: [...rulesWords, ...databaseWords],
  schema: ['information_schema'],
  extension: ['plpgsql'],
};

export type SqlNoun = 'role' | 'database' | 'schema' | 'extension';

/**
 * Why `text` cannot be the name, or null.
 * @param others names beside it, of which one may be the same once both are cut
 */
export function sqlNameFault(noun: SqlNoun, text: string, others: readonly string[] = []): string | null {
  if (text === '') return 'it is empty';
  if (text.includes('@')) return 'it has an @, which connection strings and PgBouncer read as something else';
  if (/^[^a-z_]/.test(text)) return 'it does not begin with a letter from a to z or an underscore';
  if (/[^a-z0-9_-]/.test(text)) return 'it has characters other than a-z, 0-9, the underscore and the hyphen';
  if (text.length > sqlNameBytesMax) return tooLong(text, others);
  if (reserved[noun].includes(text)) return 'it is reserved';
  if (noun === 'extension') return null;
  if (text.startsWith('pg_')) return 'names that begin with pg_ are PostgreSQL’s own';
  return text === 'pgs' || text.startsWith('pgs_') ? 'names that begin with pgs_ are those of pgs itself' : null;
}

function tooLong(text: string, others: readonly string[]): string {
  const cut = text.slice(0, sqlNameBytesMax);
  const twin = others.find((other) => other !== text && other.slice(0, sqlNameBytesMax) === cut);
  const collides =
    twin === undefined ? '' : `, which is ${twin.length > sqlNameBytesMax ? `what ${twin} becomes, too` : twin}`;
  return `it has ${text.length} characters, and PostgreSQL cuts it after ${sqlNameBytesMax} to ${cut}${collides}`;
}
