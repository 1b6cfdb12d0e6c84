// Access rules of a tenant's file: which of them can do what they say, and the lines of pg_hba that they become. Pure.
//
// PostgreSQL sees the last hop. Through a service that is HAProxy of an entry, behind a pooler it is the HAProxy of the pooler's own host;
// TLS goes through HAProxy to PostgreSQL, and ends in a pooler.

import { isInside, overlaps } from './access.js';
import { pooledServices, serviceNames, type Cluster } from './cluster.js';
import { addressesOf, appName, logsIn, type HbaRule, type ObjectSpecs, type RoleSpec } from './objects.js';
import type { PoolMode } from './tenant.js';

type HbaService = NonNullable<HbaRule['services']>[number];

export function servicesOf(rule: HbaRule): HbaService[] {
  return rule.services ?? [...serviceNames];
}

/** What of the fleet decides whether a rule by address can do what it says. */
export interface Ground {
  entries: { name: string; address: string }[];
  /** Names of the members' hosts. */
  members: string[];
}

/** Why a rule cannot reach PostgreSQL on one of its services; null when it can. `ground` null: only what needs no fleet is judged. */
export function unreachable(
  rule: HbaRule,
  pool: PoolMode,
  ground: Ground | null,
): { key: 'auth' | 'addr'; why: string } | null {
  for (const service of servicesOf(rule)) {
    const pooled = pool !== 'off' && pooledServices.some((name) => name === service);
    if (pooled && rule.auth === 'cert') return { key: 'auth', why: certificateEnds(service) };
    const why = addressFault(rule, service, pooled, ground);
    if (why !== null) return { key: 'addr', why };
  }
  return null;
}

function certificateEnds(service: HbaService): string {
  return (
    `cert cannot reach PostgreSQL on ${service}: the client's TLS ends in PgBouncer there, and its certificate with it. ` +
    'Say services: [direct, direct-ro], where TLS goes through to PostgreSQL'
  );
}

function addressFault(rule: HbaRule, service: HbaService, pooled: boolean, ground: Ground | null): string | null {
  const addresses = addressesOf(rule);
  const network = addresses.find((a) => !['cluster', 'fleet', 'world'].includes(a));
  if (network !== undefined && service !== 'member') {
    const proxy = pooled ? 'HAProxy and PgBouncer' : 'HAProxy';
    return (
      `${network} cannot reach PostgreSQL on ${service}: clients come through ${proxy}, so PostgreSQL sees the address of an entry and ` +
      "never the client's. Who may come by address is `access: { from: […] }` at the front door, or services: [member]"
    );
  }
  if (!ground) return null;
  if (network !== undefined) {
    const entry = ground.entries.find(({ address }) => isInside(address, addresses));
    return entry === undefined
      ? null
      : `${network} holds ${entry.address} of ${entry.name}: PostgreSQL would let in whoever comes through HAProxy there`;
  }
  const other = ground.entries.find(({ name }) => !ground.members.includes(name));
  if (!addresses.includes('cluster') || pooled || service === 'member' || other === undefined) return null;
  return (
    `cluster cannot be told on ${service}: who comes in at ${other.name}, where no member is, has its address in PostgreSQL. ` +
    'Say addr: fleet'
  );
}

/** Whether the rule keeps `app` out of its database, by which pgs and its drills log in with a password. */
export function locksAppOut({ auth, roles, databases }: HbaRule): boolean {
  const takes = (names: string[] | undefined) => names === undefined || names.includes(appName);
  return auth === 'cert' && takes(roles) && takes(databases);
}

/** Rules of which the second is meant for sessions that the first takes, with another way to log in; null when there is none. */
export function shadowedBy(rule: HbaRule, before: HbaRule[]): HbaRule | null {
  const meets = (a: string[] | undefined, b: string[] | undefined) => !a || !b || a.some((name) => b.includes(name));
  const found = before.find(
    (other) =>
      other.auth !== rule.auth &&
      meets(other.databases, rule.databases) &&
      meets(other.roles, rule.roles) &&
      addressesOf(other).some((a) => addressesOf(rule).some((b) => meetsAt(a, b))),
  );
  return found ?? null;
}

/** `cluster` is part of `fleet`; neither is compared with networks, which may not hold its hosts. */
function meetsAt(a: string, b: string): boolean {
  if (a === 'world' || b === 'world') return true;
  const words = [a, b].map((one) => one === 'cluster' || one === 'fleet');
  return words[0] || words[1] ? words[0] === words[1] : overlaps(a, b);
}

/**
 * Lines of pg_hba in the order of the rules. Who is named in one comes in by the rules only: otherwise a rule would take nothing away. A rule that
 * cannot do what it says (a host joined the fleet since) is left out, and who is named in it stays out.
 */
export function hbaLines(cluster: Pick<Cluster, 'spec' | 'entries' | 'members'>): string[] {
  const { spec } = cluster;
  const rules = spec.hba ?? [];
  const lines = rules
    .filter((rule) => unreachable(rule, spec.pool, groundOf(cluster)) === null)
    .flatMap((rule) =>
      addressesOf(rule)
        .flatMap((place) => addressesAt(place, cluster))
        .map(
          (address) =>
            `${head(rule)} ${databasesOf(rule)} ${rolesOf(rule, spec)} ${address} ${method(rule)} # ${rule.name}`,
        ),
    );
  const named = [...new Set(rules.flatMap((rule) => (rule.roles ?? []).map((name) => asNamed(name, spec))))];
  return [...lines, ...(named.length > 0 ? [`host all ${named.join()} all reject`] : [])];
}

export function groundOf({ entries, members }: Pick<Cluster, 'entries' | 'members'>): Ground {
  return { entries, members: members.map((m) => m.host.name) };
}

/** `scram` alone takes sessions without TLS too. */
function head({ auth }: HbaRule): string {
  return auth === 'scram' ? 'host' : 'hostssl';
}

function method({ auth }: HbaRule): string {
  return auth === 'cert' ? 'cert' : 'scram-sha-256';
}

function databasesOf({ databases }: HbaRule): string {
  return databases?.join() ?? 'all';
}

function rolesOf({ roles }: HbaRule, spec: ObjectSpecs): string {
  return roles?.map((name) => asNamed(name, spec)).join() ?? 'all';
}

/** Nobody logs in as a group, so its members are meant. */
function asNamed(name: string, spec: ObjectSpecs): string {
  return isGroup(name, spec) ? `+${name}` : name;
}

function isGroup(name: string, { roles = {} }: ObjectSpecs): boolean {
  const role: RoleSpec | undefined = roles[name];
  return role ? !logsIn(role) : name !== appName;
}

function addressesAt(place: string, { entries, members }: Pick<Cluster, 'entries' | 'members'>): string[] {
  const single = (address: string) => `${address}/${address.includes(':') ? 128 : 32}`;
  if (place === 'world') return ['all'];
  if (place === 'fleet') return entries.map(({ address }) => single(address));
  if (place === 'cluster') return members.map(({ host }) => single(host.address));
  return [place.includes('/') ? place : single(place)];
}
