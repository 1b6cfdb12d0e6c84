// Names of PostgreSQL roles that more than one component has to know.

/** PgBouncer's own login. It has no password, only a client certificate, and may do nothing but ask for one verifier at a time. */
export const poolerRole = 'pgs_pooler';
/** Owns the function that PgBouncer asks; nobody logs in as it. */
export const lookupRole = 'pgs_lookup';
/** `lookupFunction(name)` gives the name and the SCRAM verifier of a role that may use the pooled services. */
export const lookupFunction = 'pgs_pooler.lookup';

/**
 * Whether PgBouncer can be told to ask in one database only (1.19). Debian 12's 1.18 cannot, and it is the one that comes with a
 * PostgreSQL older than 16: there the function is in every database.
 */
export function asksInOneDatabase(postgresMajor: number): boolean {
  return postgresMajor >= 16;
}
