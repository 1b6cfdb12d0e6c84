// What tests on real machines work with: pgs as a user runs it, ssh to a machine, SQL through a service. They use a sandbox of
// their own, so that one that is up beside them is never touched.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { rotateHosts } from '../../templates/client/node-postgres.mjs';

export const sandboxName = process.env.PGS_TEST_SANDBOX ?? 'ci';
export const root = fileURLToPath(new URL('../../', import.meta.url));
export const fleetDir = `/var/lib/pgs-sandbox/${sandboxName}`;
/** The operator of the tests knows the sandbox's fleet only; every call may add to or replace this. */
export const environment = {
  ...process.env,
  PGS_SANDBOX: sandboxName,
  PGS_CONFIG: `${fleetDir}/pgs.yaml`,
  NO_COLOR: '1',
  FORCE_COLOR: '0',
};

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
  /** Killed with SIGKILL when aborted. */
  signal?: AbortSignal;
}

/** Runs a program and waits for its end; a code other than 0 is a result. */
export function run(program: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const { input } = options;
    const child = spawn(program, args, {
      // Without input there is no pipe: a program that ends before an empty one is closed would be an EPIPE.
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...environment, ...options.env },
      cwd: options.cwd ?? root,
      ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' } : {}),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', (error) => (error.name === 'AbortError' ? undefined : reject(error)));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    // A program may end without reading all: its exit code says whether that was wrong.
    child.stdin?.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? undefined : reject(error)));
    child.stdin?.end(input);
  });
}

/** `pgs …` as a user types it. */
export function pgs(args: string[], options?: RunOptions): Promise<Ran> {
  return run(`${root}bin/pgs`, args, options);
}

/** The same, for what must succeed; the error holds all that was printed. */
export async function pgsOk(args: string[], options?: RunOptions): Promise<string> {
  const ran = await pgs(args, options);
  if (ran.code !== 0) throw new Error(`pgs ${args.join(' ')} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
  return ran.stdout;
}

/** The result of `pgs … -o json`. */
export async function pgsJson<T>(args: string[], options?: RunOptions): Promise<T> {
  return JSON.parse(await pgsOk([...args, '-o', 'json'], options)) as T;
}

/** Runs a shell line as root on a machine. */
export async function on(host: string, line: string, input?: string): Promise<Ran> {
  return run(`${root}bin/pgs`, ['sandbox', 'ssh', host, '--', line], input === undefined ? {} : { input });
}

export async function onOk(host: string, line: string): Promise<string> {
  const ran = await on(host, line);
  if (ran.code !== 0) throw new Error(`${line} on ${host} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
  return ran.stdout;
}

/** Switches a machine off, as hard as pulling its plug, or on. */
export async function power(host: string, state: 'off' | 'on'): Promise<void> {
  await pgsOk(['sandbox', 'power', host, state]);
}

/** SQL through a service with the string that `pgs cluster url` gives, as a user pastes it. */
export async function psql(tenant: string, service: string, sql: string): Promise<Ran> {
  const url = (await pgsOk(['cluster', 'url', tenant, '--service', service])).trim();
  return run('psql', ['-XqAt', url, '-c', sql]);
}

export async function psqlOk(tenant: string, service: string, sql: string): Promise<string> {
  const ran = await psql(tenant, service, sql);
  if (ran.code !== 0) throw new Error(`${sql} through ${service} of ${tenant} ended with ${ran.code}: ${ran.stderr}`);
  return ran.stdout.trim();
}

/** A node-postgres client through one entry, TLS verified; the caller connects and ends it. */
export function serviceClient(
  tenant: string,
  address: string,
  port: number,
  change: Partial<pg.ClientConfig> = {},
): pg.Client {
  const client = new pg.Client({ ...serviceConfig(tenant, port), host: address, ...change });
  client.on('error', () => undefined);
  return client;
}

/** Connects to the first of the entries that answers, as applications with the client snippet do. */
export function serviceConnector(tenant: string, entries: string[], port: number): () => Promise<pg.Client> {
  return rotateHosts(entries, serviceConfig(tenant, port));
}

/** Each connection through the next entry, and no other. */
export function entriesInTurn(tenant: string, entries: string[], port: number, first = 0): () => Promise<pg.Client> {
  const connectors = entries.map((entry) => serviceConnector(tenant, [entry], port));
  let next = first;
  return () => connectors[next++ % connectors.length]!();
}

function serviceConfig(tenant: string, port: number): pg.ClientConfig {
  const ca = readFileSync(`${fleetDir}/.pgs/tenants/${tenant}/ca.crt`, 'utf8');
  const password = readFileSync(`${fleetDir}/.pgs/tenants/${tenant}/pgpass`, 'utf8').split('\n')[0]!.split(':').at(-1)!;
  return {
    port,
    user: 'app',
    database: 'app',
    password,
    ssl: { ca },
    connectionTimeoutMillis: 5000,
    query_timeout: 10_000,
  };
}

/** Looks again until it holds; the deadline is for a broken run, not a promise. */
export async function until(
  what: string,
  holds: () => Promise<boolean>,
  limitMs = 90_000,
  pauseMs = 200,
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${limitMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

export interface Member {
  name: string;
  host: string;
  role: string;
  state: string;
  timeline: number | null;
}

export interface Status {
  tenant: string;
  healthy: boolean;
  leader: string | null;
  members: Member[];
  services: { service: string; port: number; routes: Record<string, string[] | null> }[];
  rpo: { verdict: string };
  fencing: { verdict: string };
  drift: unknown[];
  warnings: string[];
}

/** Status whatever the exit code: a cluster that is not healthy has one too. */
export async function statusOf(tenant: string): Promise<Status> {
  const ran = await pgs(['cluster', 'status', tenant, '-o', 'json']);
  try {
    return JSON.parse(ran.stdout) as Status;
  } catch {
    throw new Error(`no status of ${tenant}: ${ran.stdout}\n${ran.stderr}`);
  }
}

export async function untilHealthy(tenant: string, limitMs?: number, pauseMs?: number): Promise<Status> {
  let status: Status;
  const isHealthy = async () => (status = await statusOf(tenant)).healthy;
  await until(`${tenant} is healthy`, isHealthy, limitMs, pauseMs);
  return status!;
}

/** The addresses of the machines by name. */
export function addresses(): Record<string, string> {
  const sandbox = JSON.parse(readFileSync(`${fleetDir}/sandbox.json`, 'utf8')) as {
    hosts: { name: string; address: string }[];
  };
  return Object.fromEntries(sandbox.hosts.map((h) => [h.name, h.address]));
}

/** Another fleet in the place of the one that is there, for tests that change the hosts themselves. */
export async function freshSandbox(hosts: number): Promise<void> {
  await pgsOk(['sandbox', 'down']);
  await pgsOk(['sandbox', 'up', '--hosts', String(hosts)]);
  await pgsOk(['host', 'prepare']);
  await pgsOk(['dcs', 'create']);
}

export async function destroyQuietly(tenant: string): Promise<void> {
  await pgs(['cluster', 'destroy', tenant, '--purge-data', '--yes']);
}

/** What of drills is on the machines: rules, undos, units, a stopped Patroni. */
export async function leftOfDrills(): Promise<string> {
  const look =
    'nft list tables | grep pgs_chaos; ls /var/lib/pgs-chaos 2>/dev/null; ls /etc/systemd/system | grep pgs-chaos; ps -eo state,args | grep "^T .*patroni"; true';
  const found = await Promise.all(Object.keys(addresses()).map((host) => onOk(host, look)));
  return found.join('').trim();
}
