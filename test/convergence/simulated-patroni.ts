// The Patronis and PostgreSQLs of a simulated fleet: what their units start, with the files that lie there at that moment. They
// agree on a leader through the simulated DCS, copy data, and answer REST and SQL; all at once, so that a test needs no waiting.

import { parse } from 'yaml';
import { PgsError } from '../../src/errors.js';
import type { Command, CommandResult } from '../../src/host/command.js';
import { parseMember } from '../../src/patroni/facts.js';
import type { PatroniClient, RestAnswer } from '../../src/patroni/client.js';
import { objectFactsScript, type ObjectFacts } from '../../src/postgres/object-facts.js';
import { replicatesAsQuery, sqlFactsQuery, type SqlFacts } from '../../src/postgres/desired.js';
import { scramVerifier } from '../../src/secrets/password.js';
import { alsoLetIn, restTrust } from '../../src/secrets/rotation.js';
import { reveal, Secret } from '../../src/secrets/secret.js';
import type { TenantSecrets } from '../../src/secrets/tenant-secrets.js';
import { objectsAnswer, objectStatements, simulatedObjects } from './simulated-objects.js';
import { issuerOnPaper } from './paper-certificates.js';
import { orderedParameters, type InForce } from '../../src/topology/in-force.js';
import { changesAtStart, numberOf } from '../../src/topology/parameters.js';
import type { Settings } from '../../src/topology/settings.js';
import { pathsOf, type Cluster, type PlacedMember } from '../../src/topology/cluster.js';
import { createHash } from 'node:crypto';
import type { SimulatedDcs } from './simulated-dcs.js';
import type { SimulatedHost } from './simulated-host.js';

/** Of patroni.yml, what the simulation goes by. */
interface PatroniConfig {
  scope: string;
  name: string;
  etcd3: { username: string; password: string };
  restapi: { listen: string; authentication: { password: string } };
  bootstrap: { dcs: Record<string, unknown> };
  postgresql: { listen: string; authentication: { replication: Login; rewind: Login }; pg_ident: string[] };
}

interface Login {
  username: string;
  password: string;
}

/** A running Patroni: what it has loaded, and the PostgreSQL that it started. */
interface Running {
  tenant: string;
  host: string;
  config: PatroniConfig;
  tls: Record<string, string>;
  /** Null until it has data. */
  postgres: Postmaster | null;
}

interface Postmaster {
  startedAt: string;
  /** What it runs with, in each parameter's own unit. */
  parameters: Record<string, number | string>;
}

/** What is in a database cluster; all copies of it are always the same. */
interface Database {
  timeline: number;
  /** Verifiers of the roles that may log in. */
  roles: Record<string, string>;
  databases: string[];
  proofOwner: string | null;
  lookupOwner: string | null;
  /** Of `orderedParameters`: what the WAL says that a standby needs at least, as a leader wrote it at its start. */
  needed: Record<string, number>;
  /** What a tenant's file is about. */
  objects: ObjectFacts;
}

export interface PatroniState {
  starts: number;
  running: Running[];
  databases: [string, Database][];
}

export class SimulatedPatroni {
  #running: Running[] = [];
  #starts = 0;
  #databases = new Map<string, Database>();
  readonly #hosts: Map<string, SimulatedHost>;
  readonly #dcs: SimulatedDcs;
  /** Called before every change that pgs makes by REST or SQL. */
  onChange: (what: string) => void = () => undefined;

  constructor(hosts: Map<string, SimulatedHost>, dcs: SimulatedDcs) {
    this.#hosts = hosts;
    this.#dcs = dcs;
  }

  snapshot(): PatroniState {
    return structuredClone({ starts: this.#starts, running: this.#running, databases: [...this.#databases] });
  }

  restore(state: PatroniState): void {
    const { starts, running, databases } = structuredClone(state);
    this.#starts = starts;
    this.#running = running;
    this.#databases = new Map(databases);
  }

  // Units.

  /** Null when the process runs with what it found, otherwise why it ended. */
  start(host: string, tenant: string): string | null {
    const loaded = this.#load(host, tenant);
    if (typeof loaded === 'string') return loaded;
    this.#running.push(loaded);
    this.#write(host, tenant, pathsOf(tenant).run);
    this.settle();
    return null;
  }

  stop(host: string, tenant: string): null {
    this.#running = this.#running.filter((r) => r.host !== host || r.tenant !== tenant);
    this.settle();
    return null;
  }

  reload(host: string, tenant: string): string | null {
    const loaded = this.#load(host, tenant);
    if (typeof loaded === 'string') return loaded;
    const same = (r: Running) => r.host === host && r.tenant === tenant;
    this.#running = this.#running.map((r) => (same(r) ? { ...loaded, postgres: r.postgres } : r));
    this.settle();
    return null;
  }

  #load(host: string, tenant: string): Running | string {
    const { paths } = this.#hosts.get(host)!;
    const { patroniConfig, tls } = pathsOf(tenant);
    const config = paths.get(patroniConfig);
    if (!config) return `no ${patroniConfig}`;
    const within = [...paths].filter(([path]) => path.startsWith(`${tls}/`));
    return {
      tenant,
      host,
      postgres: null,
      config: parse(config.content, { version: '1.1' }) as PatroniConfig,
      tls: Object.fromEntries(within.map(([path, { content }]) => [path.slice(tls.length + 1), content])),
    };
  }

  /** Ports that the tenants' processes on a host listen on. */
  ports(host: string): { port: number; process: string }[] {
    return this.#running
      .filter((r) => r.host === host)
      .flatMap(({ config }) => [
        { port: portIn(config.restapi.listen), process: 'patroni' },
        { port: portIn(config.postgresql.listen), process: 'postgres' },
      ]);
  }

  // Who leads, who follows.

  /** What Patroni's loops come to: called whenever something that they look at may have changed. */
  settle(): void {
    for (const tenant of new Set(this.#running.map((r) => r.tenant))) this.#elect(tenant);
    for (const { key, value } of this.#dcs.withPrefix('/pgs/dcs/')) {
      const tenant = key.split('/')[3]!;
      if (key.endsWith('/leader') && !this.#able(tenant).some((r) => r.config.name === value)) this.#dcs.remove(key);
    }
  }

  #elect(tenant: string): void {
    const key = (name: string) => `/pgs/dcs/${tenant}/${name}`;
    const read = (name: string) => this.#dcs.keys.get(key(name))?.value;
    const able = this.#able(tenant);
    if (able.length === 0) return;
    let systemId = read('initialize') ?? able.map((r) => this.#systemId(r)).find((id) => id !== null) ?? null;
    if (systemId === null) systemId = this.#bootstrap(able[0]!);
    if (read('initialize') === undefined) this.#dcs.put(key('initialize'), systemId);
    const candidates = able.filter((r) => this.#systemId(r) === systemId);
    if (candidates.length > 0 && !able.some((r) => r.config.name === read('leader'))) {
      this.#lead(tenant, candidates[0]!.config.name, systemId);
    }
    if (read('config') === undefined) this.#dcs.put(key('config'), JSON.stringify(able[0]!.config.bootstrap.dcs));
    if (read('leader') === undefined) return;
    for (const r of able) if (this.#systemId(r) === null) this.#copyData(r, systemId);
    for (const r of able) {
      if (this.#systemId(r) !== systemId) continue;
      if (r.postgres === null) this.#startPostgres(r, 'standby');
      else this.#reloadPostgres(r);
    }
    this.#writeNeeded(tenant);
  }

  /** A leader that is promoted goes on with what it has, and its WAL says so. */
  #writeNeeded(tenant: string): void {
    const leads = this.#running.find((r) => this.role(r.host, tenant) === 'leader');
    const database = this.database(tenant);
    if (!leads?.postgres || !database) return;
    database.needed = ordered(leads.postgres.parameters);
  }

  /** What Patroni tells PostgreSQL: the DCS's settings, with Patroni's own defaults. */
  #told({ tenant, config }: Running): Record<string, number | string> {
    const stored = this.#dcs.keys.get(`/pgs/dcs/${tenant}/config`)?.value;
    const settings = (stored === undefined ? config.bootstrap.dcs : JSON.parse(stored)) as {
      postgresql: { parameters: Settings };
    };
    const defaults: Settings = {
      max_prepared_transactions: 0,
      max_locks_per_transaction: 64,
      track_commit_timestamp: 'off',
    };
    const all = Object.entries({ ...defaults, ...settings.postgresql.parameters });
    return Object.fromEntries(all.map(([name, value]) => [name, numberOf(name, value) ?? String(value)]));
  }

  #startPostgres(r: Running, as: 'standby' | 'leader'): void {
    const told = this.#told(r);
    const { needed } = this.#databases.get(this.#systemId(r)!)!;
    // Patroni starts a standby with no less than the control file asks for (`effective_configuration`).
    const raised = Object.entries(needed).filter(([name, value]) => Number(told[name]) < value);
    r.postgres = {
      startedAt: `start ${++this.#starts}`,
      parameters: { ...told, ...(as === 'standby' ? Object.fromEntries(raised) : {}) },
    };
    if (as === 'leader') this.#writeNeeded(r.tenant);
  }

  /** What needs no restart is taken at once. */
  #reloadPostgres(r: Running): void {
    const { parameters } = r.postgres!;
    const told = this.#told(r);
    const kept = Object.entries(parameters).filter(([name]) => changesAtStart(name) === true);
    r.postgres!.parameters = { ...told, ...Object.fromEntries(kept) };
  }

  #pending(r: Running): string[] {
    const told = this.#told(r);
    const names = new Set([...Object.keys(told), ...Object.keys(r.postgres?.parameters ?? {})]);
    return [...names].filter((name) => r.postgres?.parameters[name] !== told[name]);
  }

  /** By host; for comparing what fleets come to. */
  parameters(tenant: string): Record<string, unknown> {
    const members = this.#running.filter((r) => r.tenant === tenant);
    return Object.fromEntries(members.map((r) => [r.host, r.postgres?.parameters ?? null]));
  }

  /** Members that can work: the DCS lets them in. */
  #able(tenant: string): Running[] {
    return this.#running
      .filter((r) => r.tenant === tenant)
      .filter(({ config: { etcd3 } }) => this.#dcs.mayWrite(etcd3.username, etcd3.password, `/pgs/dcs/${tenant}/`))
      .sort((a, b) => (a.config.name < b.config.name ? -1 : 1));
  }

  #lead(tenant: string, name: string, systemId: string): void {
    this.#dcs.put(`/pgs/dcs/${tenant}/leader`, name);
    this.#databases.get(systemId)!.timeline++;
  }

  #bootstrap(first: Running): string {
    const systemId = `system-${first.tenant}-${this.#databases.size + 1}`;
    const { replication, rewind } = first.config.postgresql.authentication;
    const verifiers = [replication, rewind].map(({ username, password }) => [username, ownVerifier(password)]);
    this.#databases.set(systemId, {
      timeline: 0,
      roles: Object.fromEntries(verifiers) as Record<string, string>,
      databases: [],
      proofOwner: null,
      lookupOwner: null,
      needed: {},
      objects: simulatedObjects(),
    });
    this.#copyData(first, systemId);
    return systemId;
  }

  #copyData({ host, tenant }: Running, systemId: string): void {
    const { data } = pathsOf(tenant);
    this.#write(host, tenant, data);
    this.#write(host, tenant, `${data}/system-id`, systemId);
  }

  #write(host: string, tenant: string, path: string, content?: string): void {
    const own = { owner: `pgs-${tenant}`, group: `pgs-${tenant}`, content: content ?? '' };
    const [kind, mode] = content === undefined ? (['directory', '0700'] as const) : (['file', '0600'] as const);
    this.#hosts.get(host)!.paths.set(path, { kind, mode, ...own });
  }

  #systemId({ host, tenant }: Running): string | null {
    return this.#hosts.get(host)!.paths.get(`${pathsOf(tenant).data}/system-id`)?.content ?? null;
  }

  /** Null: its PostgreSQL does not run. */
  role(host: string, tenant: string): 'leader' | 'replica' | null {
    const running = this.#able(tenant).find((r) => r.host === host);
    if (!running) return null;
    const systemId = this.#systemId(running);
    if (systemId === null || systemId !== this.#dcs.keys.get(`/pgs/dcs/${tenant}/initialize`)?.value) return null;
    const leader = this.#dcs.keys.get(`/pgs/dcs/${tenant}/leader`)?.value;
    if (leader === running.config.name) return 'leader';
    // With less than its leader it stops replaying.
    const { needed } = this.#databases.get(systemId)!;
    const has = running.postgres?.parameters;
    if (has && Object.entries(needed).some(([name, value]) => Number(has[name]) < value)) return null;
    const { replication } = running.config.postgresql.authentication;
    return letsIn(this.#databases.get(systemId)!, replication) ? 'replica' : null;
  }

  loadedFile(host: string, tenant: string, name: string): string | undefined {
    return this.#running.find((r) => r.host === host && r.tenant === tenant)?.tls[name];
  }

  database(tenant: string): Database | null {
    const systemId = this.#dcs.keys.get(`/pgs/dcs/${tenant}/initialize`)?.value;
    return (systemId !== undefined && this.#databases.get(systemId)) || null;
  }

  // REST.

  /** The client that one process of pgs gets; `enter` is awaited by every call: for a dead process it has no end. */
  connect(cluster: Cluster, secrets: TenantSecrets, enter: () => Promise<void>): PatroniClient {
    const request: PatroniClient['request'] = async (member, method, path, body) => {
      await enter();
      return this.#answer(cluster, secrets, member, method, path, body);
    };
    const client: PatroniClient = {
      request,
      requestAs: async ({ password }, member) => {
        await enter();
        const running = this.#reach(cluster, secrets, member);
        return { status: running.config.restapi.authentication.password === password.reveal() ? 404 : 401, body: '' };
      },
      member: async (m) => {
        try {
          return parseMember((await request(m, 'GET', '/patroni')).body);
        } catch (thrown) {
          if (!(thrown instanceof PgsError)) throw thrown;
          return { reachable: false, why: thrown.details.found };
        }
      },
      gather: async () => {
        const members = cluster.members.map(async (m) => [m.name, await client.member(m)] as const);
        return { members: Object.fromEntries(await Promise.all(members)) };
      },
      putSettings: async (wanted) => {
        for (const m of cluster.members) {
          const answer = await request(m, 'PUT', '/config', wanted).catch((thrown: unknown) => {
            if (!(thrown instanceof PgsError)) throw thrown;
            return null;
          });
          if (answer?.status === 200) return;
        }
        throw new PgsError('command-failed', { doing: 'storing settings', found: 'no member answered' });
      },
      close: () => undefined,
    };
    return client;
  }

  /** The member's Patroni when both sides know each other's CA. */
  #reach({ tenant, ports }: Cluster, secrets: TenantSecrets, member: PlacedMember): Running {
    const refuse = (found: string) =>
      new PgsError('unreachable', { doing: `asking Patroni of ${member.name}`, host: member.host.name, found });
    const host = member.host.name;
    const running = this.#running.find((r) => r.host === host && r.tenant === tenant);
    if (!this.#hosts.get(host)?.reachable) throw refuse('no answer');
    if (!running || portIn(running.config.restapi.listen) !== ports.rest) throw refuse('connection refused');
    if (!knows(restTrust(secrets), running.tls['rest.crt'] ?? '')) throw refuse('unknown certificate authority');
    if (!knows(running.tls['rest-ca.crt'] ?? '', secrets.restOperator.certPem)) throw refuse('tlsv1 alert unknown ca');
    return running;
  }

  #answer(
    cluster: Cluster,
    secrets: TenantSecrets,
    member: PlacedMember,
    method: string,
    path: string,
    body: unknown,
  ): RestAnswer {
    const running = this.#reach(cluster, secrets, member);
    const { tenant } = cluster;
    const host = member.host.name;
    const key = (name: string) => `/pgs/dcs/${tenant}/${name}`;
    if (method === 'GET' && path === '/patroni') return { status: 200, body: this.#memberBody(host, tenant) };
    if (method === 'GET' && path === '/config') {
      return { status: 200, body: JSON.parse(this.#dcs.keys.get(key('config'))?.value ?? '{}') as unknown };
    }
    const logins = [secrets.passwords.rest, alsoLetIn(secrets).rest];
    if (!logins.some((login) => login?.password.reveal() === running.config.restapi.authentication.password)) {
      return { status: 401, body: 'no auth' };
    }
    if (method === 'PUT' && path === '/config') {
      this.onChange(`settings of ${tenant}`);
      this.#dcs.put(key('config'), JSON.stringify(body));
      this.settle();
      return { status: 200, body };
    }
    if (method === 'PATCH' && path === '/config') return { status: 200, body };
    if (method === 'POST' && path === '/restart') return this.#restart(running, body as { role?: string });
    if (method === 'POST' && path === '/reinitialize') return this.#reinit(running);
    if (method === 'POST' && path === '/switchover') return this.#switchOver(tenant, body as SwitchoverBody);
    return { status: 404, body: '' };
  }

  #reinit(r: Running): RestAnswer {
    if (this.role(r.host, r.tenant) === 'leader') return { status: 503, body: 'I am the leader, can not reinitialize' };
    this.onChange(`reinitialise ${r.config.name}`);
    this.#startPostgres(r, 'standby');
    return { status: 200, body: 'reinitialize started' };
  }

  #restart(r: Running, { role }: { role?: string }): RestAnswer {
    const now = this.role(r.host, r.tenant);
    if (role !== undefined && role !== now) return { status: 503, body: 'restart conditions are not satisfied' };
    this.onChange(`restart of ${r.config.name}${now === 'leader' ? ' in place' : ''}`);
    this.#startPostgres(r, now === 'leader' ? 'leader' : 'standby');
    return { status: 200, body: 'restarted successfully' };
  }

  #switchOver(tenant: string, { leader, candidate }: SwitchoverBody): RestAnswer {
    const members = this.#able(tenant);
    const follows = members.some((r) => r.config.name === candidate && this.role(r.host, tenant) === 'replica');
    if (this.#dcs.keys.get(`/pgs/dcs/${tenant}/leader`)?.value !== leader || !follows) {
      return { status: 412, body: 'leader name does not match or candidate is not there' };
    }
    this.onChange(`switchover of ${tenant}`);
    this.#lead(tenant, candidate, this.#dcs.keys.get(`/pgs/dcs/${tenant}/initialize`)!.value);
    return { status: 200, body: `Successfully switched over to "${candidate}"` };
  }

  /** PostgreSQL of the leader is stopped in order: Patroni fails over to the replica that has everything. */
  stopLeader(tenant: string, host: string, successor: string): CommandResult {
    const leader = this.#running.find((r) => r.tenant === tenant && r.host === host)?.config.name ?? '';
    const { status, body } = this.#switchOver(tenant, { leader, candidate: successor });
    return { code: status === 200 ? 0 : 1, stdout: '0/3000000\n', stderr: String(body) };
  }

  #memberBody(host: string, tenant: string): Record<string, unknown> {
    const role = this.role(host, tenant);
    if (role === null) return { state: 'starting', role: 'uninitialized', patroni: { version: '4.0.7' } };
    const { timeline } = this.database(tenant)!;
    const running = this.#running.find((r) => r.host === host && r.tenant === tenant)!;
    const stored = this.#dcs.keys.get(`/pgs/dcs/${tenant}/config`)?.value ?? '{}';
    const told = JSON.parse(stored) as { synchronous_mode?: unknown; pause?: boolean };
    const common = {
      ...(told.pause ? { pause: true } : {}),
      state: 'running',
      timeline,
      server_version: 170012,
      patroni: { version: '4.0.7' },
      postmaster_start_time: running.postgres?.startedAt,
      ...(this.#pending(running).length > 0 ? { pending_restart: true } : {}),
    };
    if (role === 'leader') return { ...common, role: 'primary', xlog: { location: 50331648 } };
    const xlog = { received_location: 50331648, replayed_location: 50331648 };
    const standby = told.synchronous_mode ? { quorum_standby: true } : {};
    return { ...common, role, replication_state: 'streaming', ...standby, xlog };
  }

  // SQL.

  /** psql as the superuser through the socket on a host. */
  psql(host: string, { argv, stdin = '' }: Command): CommandResult {
    const tenant = argv[2]!.replace(/^pgs-/, '');
    const port = Number(argv[argv.indexOf('-p') + 1]);
    const role = this.role(host, tenant);
    const running = this.#running.find((r) => r.host === host && r.tenant === tenant);
    if (role === null || portIn(running!.config.postgresql.listen) !== port) {
      return { code: 2, stdout: '', stderr: 'psql: error: connection to server on socket failed' };
    }
    const database = this.database(tenant)!;
    const text = reveal(stdin);
    if (text === replicatesAsQuery) {
      const replicas = this.#running.filter((r) => this.role(r.host, tenant) === 'replica' && r.tenant === tenant);
      const users = replicas.map((r) => r.config.postgresql.authentication.replication.username);
      return { code: 0, stdout: JSON.stringify(users), stderr: '' };
    }
    if (text === 'CHECKPOINT') return { code: 0, stdout: '', stderr: '' };
    if (text === sqlFactsQuery) {
      const facts = { ...sqlFacts(database), parameters: this.#inForce(running!) };
      return { code: 0, stdout: JSON.stringify(facts), stderr: '' };
    }
    if (text.startsWith(objectFactsScript([]))) {
      return { code: 0, stdout: objectsAnswer(database.objects, text), stderr: '' };
    }
    if (role !== 'leader') return { code: 3, stdout: '', stderr: 'ERROR: cannot execute in a read-only transaction' };
    const onPassword = (name: string, verifier: string) => (database.roles[name] = verifier);
    const changes = text.includes('lock_timeout')
      ? objectStatements(database.objects, text, onPassword)
      : sqlChanges(database, text);
    for (const change of changes) {
      this.onChange(`SQL of ${tenant}`);
      change();
    }
    return { code: 0, stdout: '', stderr: '' };
  }

  /** `templates/postgres/try-login.sh` on a member's host. */
  tryLogin(host: string, { argv, stdin = '' }: Command): CommandResult {
    const [osUser, , , how, conninfo] = argv.slice(4) as [string, string, string, string, string];
    const tenant = osUser.replace(/^pgs-/, '');
    const user = /user=(\S+)/.exec(conninfo)![1]!;
    const running = this.#running.find((r) => r.tenant === tenant && r.host === host);
    const database = this.database(tenant);
    const answer = (accepted: boolean) => ({
      ...{ code: 0, stderr: '' },
      stdout: accepted ? 'accepted\n' : `FATAL:  password authentication failed for user "${user}"\n`,
    });
    if (!running || !database) return { code: 0, stdout: 'connection refused\n', stderr: '' };
    const given = reveal(stdin);
    if (how === 'passfile') return answer(letsIn(database, { username: user, password: given.trim().slice(8) }));
    const name = /"commonName":"([^"]*)"/.exec(given)?.[1] ?? '';
    const mapped = running.config.postgresql.pg_ident.filter((line) => line.startsWith('pooler '));
    const named = mapped.length === 0 ? name === user : mapped.includes(`pooler ${name} ${user}`);
    return answer(named && knows(running.tls['sql-ca.crt'] ?? '', given));
  }

  #inForce(r: Running): InForce {
    const values = Object.entries(r.postgres!.parameters).map(([name, value]) => [name, String(value)]);
    const given = values.filter(([name]) => changesAtStart(name!) === true).map(([name]) => [name, '0']);
    return {
      values: Object.fromEntries(values) as Record<string, string>,
      given: Object.fromEntries(given) as Record<string, string>,
      pending: this.#pending(r),
      overridden: [],
    };
  }
}

function ordered(parameters: Record<string, number | string>): Record<string, number> {
  return Object.fromEntries(orderedParameters.map((name) => [name, Number(parameters[name] ?? 0)]));
}

interface SwitchoverBody {
  leader: string;
  candidate: string;
}

function portIn(listen: string): number {
  return Number(listen.slice(listen.lastIndexOf(':') + 1));
}

/** The statements that change something, one by one: psql commits each. */
function sqlChanges(database: Database, text: string): (() => void)[] {
  return text.split('\n').flatMap((statement): (() => void)[] => {
    const role = /^ALTER ROLE (\S+) LOGIN PASSWORD '(.*)';$/.exec(statement);
    if (role) return [() => (database.roles[role[1]!] = role[2]!)];
    const dropped = /^DROP ROLE IF EXISTS (\S+);$/.exec(statement);
    if (dropped && database.roles[dropped[1]!] !== undefined) return [() => delete database.roles[dropped[1]!]];
    const plain = /^SELECT 'CREATE ROLE (\S+) LOGIN'/.exec(statement);
    if (plain && database.roles[plain[1]!] === undefined) return [() => (database.roles[plain[1]!] = '')];
    const created = /^SELECT 'CREATE DATABASE (\S+) /.exec(statement);
    if (created) return [() => (database.databases = [...new Set([...database.databases, created[1]!])])];
    const owner = /^ALTER TABLE pgs\.proof OWNER TO (\S+);$/.exec(statement);
    if (owner) return [() => (database.proofOwner = owner[1]!)];
    const lookup = /^ALTER FUNCTION pgs_pooler\.lookup\(text\) OWNER TO (\S+);$/.exec(statement);
    return lookup ? [() => (database.lookupOwner = lookup[1]!)] : [];
  });
}

function sqlFacts({ roles, databases, proofOwner, lookupOwner }: Database): Omit<SqlFacts, 'parameters'> {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  return {
    roles: Object.fromEntries(
      Object.entries(roles).map(([name, verifier]) => [name, verifier === '' ? '' : sha256(verifier)]),
    ),
    databases: Object.fromEntries(databases.map((name) => [name, { owner: 'app', publicMayConnect: false }])),
    proofOwner,
    lookupOwner,
  };
}

/** What Patroni makes of a password by itself: another verifier than pgs's, of the same password. */
function ownVerifier(password: string): string {
  return `own ${password}`;
}

const tried = new Map<string, boolean>();

/** Whether the database lets a login in; verifiers are slow by intent, so what was tried is remembered. */
export function letsIn({ roles }: Pick<Database, 'roles'>, { username, password }: Login): boolean {
  const stored = roles[username] ?? '';
  if (stored.startsWith('own ')) return stored === ownVerifier(password);
  const known = tried.get(`${stored} ${password}`);
  if (known !== undefined) return known;
  const salt = /^SCRAM-SHA-256\$\d+:([^$]+)\$/.exec(stored)?.[1];
  const right =
    salt !== undefined && scramVerifier(new Secret(password), Buffer.from(salt, 'base64')).reveal() === stored;
  tried.set(`${stored} ${password}`, right);
  return right;
}

/** Whether one of the CAs in a bundle issued a certificate, which is on paper (`paper-certificates.ts`). */
function knows(bundle: string, certificate: string): boolean {
  const authorities = bundle.split(/(?=-----BEGIN CERTIFICATE-----)/);
  return authorities.some((pem) => pem !== '' && certificate.includes(`issued by ${issuerOnPaper(pem)} for`));
}
