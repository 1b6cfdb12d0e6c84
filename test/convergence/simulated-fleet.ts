// A fleet in memory behind the one seam, the session: hosts, DCS, Patroni, HAProxy. Its state can be kept before every change
// that pgs makes, which is every state that a killed pgs may leave behind.

import { readFileSync } from 'node:fs';
import { haproxyUnit } from '../../haproxy/desired.js';
import type { Command, CommandResult, HostAccess } from '../../src/host/command.js';
import type { HostPool } from '../../src/host/ssh-host.js';
import { readTemplate } from '../../src/host/template.js';
import type { HostChange } from '../../src/inventory/hosts.js';
import type { Inventory } from '../../src/inventory/inventory.js';
import type { Session } from '../../src/reconcile/session.js';
import { completeFleetSecrets } from '../../src/secrets/fleet-secrets.js';
import { Secret } from '../../src/secrets/secret.js';
import { StateStore } from '../../src/state/store.js';
import { inventory as fixture } from '../fixtures/fleet.js';
import { SimulatedDcs, type DcsState } from './simulated-dcs.js';
import { proveSimulated, SimulatedHaproxy } from './simulated-haproxy.js';
import type { TenantRecord } from '../../src/topology/tenant.js';
import { Killed, SimulatedHost, type HostSnapshot } from './simulated-host.js';
import { letsIn, SimulatedPatroni, type PatroniState } from './simulated-patroni.js';
import { packageCommand, preparedPackages } from './simulated-packages.js';

export interface FleetState {
  inventory: Inventory;
  hosts: [string, HostSnapshot][];
  dcs: DcsState;
  patroni: PatroniState;
  haproxy: [string, Record<string, string>][];
}

/** A change that pgs made, in order: `h1: write /etc/x`, `dcs: put /pgs/state/…`, `cluster: SQL of acme`. */
export type ChangeListener = (what: string) => void;

const fleetKey = new Secret(Buffer.alloc(32, 7).toString('base64'));
const fleetSecrets = await completeFleetSecrets(null, fixture, new Date());
/** Above the tenants' own; whoever comes first makes it, and it stays. */
const sharedDirectory = { kind: 'directory', owner: 'root', group: 'root', mode: '0755', content: '' } as const;
const checkAnswer = readFileSync(new URL('recorded/trixie-prepared.txt', import.meta.url), 'utf8');

export class SimulatedFleet {
  inventory: Inventory = fixture;
  readonly hosts = new Map<string, SimulatedHost>();
  readonly dcs = new SimulatedDcs();
  readonly haproxy = new SimulatedHaproxy();
  readonly patroni: SimulatedPatroni;
  readonly changes: string[] = [];
  /** Called before every change; what it throws keeps the change from happening. */
  onChange: ChangeListener = () => undefined;

  constructor(state?: FleetState) {
    this.patroni = new SimulatedPatroni(this.hosts, this.dcs);
    if (state) this.inventory = state.inventory;
    const names = [...this.inventory.hosts.map((h) => h.name), ...(state?.hosts ?? []).map(([name]) => name)];
    for (const name of new Set(names)) this.#addHost(name);
    this.dcs.onChange = (what) => this.#changed('dcs', what);
    this.dcs.onChanged = () => this.patroni.settle();
    this.patroni.onChange = (what) => this.#changed('cluster', what);
    if (state) this.#restore(state);
  }

  #changed(where: string, what: string): void {
    this.onChange(`${where}: ${what}`);
    this.changes.push(`${where}: ${what}`);
  }

  #addHost(name: string): void {
    const host = new SimulatedHost(name);
    host.onChange = (what) => this.#changed(name, what);
    host.onUnit = (unit, verb) => this.#unit(host, unit, verb);
    host.onCommand = (command) => this.#command(host, command);
    for (const path of ['/var/lib/pgs', '/etc/pgs/tenants']) host.paths.set(path, sharedDirectory);
    for (const [title, found] of preparedPackages()) host.packages.set(title, found);
    this.hosts.set(name, host);
  }

  /** What an edit of pgs.yaml comes to. A host that is new is a machine that is prepared. */
  edit(change: HostChange): void {
    const { hosts, etcd } = this.inventory;
    if (change.kind === 'add' && hosts.some((h) => h.name === change.host.name)) return;
    this.#changed('pgs.yaml', change.kind);
    if (change.kind === 'add') {
      const { name, address, zone = name } = change.host;
      this.inventory = { ...this.inventory, hosts: [...hosts, { name, address, zone }] };
      if (!this.hosts.has(name)) this.#addHost(name);
    } else if (change.kind === 'remove') {
      this.inventory = { ...this.inventory, hosts: hosts.filter((h) => h.name !== change.host) };
    } else if (etcd.kind === 'fleet') {
      this.inventory = { ...this.inventory, etcd: { ...etcd, members: change.members } };
    }
  }

  snapshot(): FleetState {
    return {
      inventory: this.inventory,
      hosts: [...this.hosts].map(([name, host]) => [name, host.snapshot()]),
      dcs: this.dcs.snapshot(),
      patroni: this.patroni.snapshot(),
      haproxy: [...this.haproxy.loaded],
    };
  }

  #restore({ hosts, dcs, patroni, haproxy }: Omit<FleetState, 'inventory'>): void {
    for (const [name, state] of hosts) this.hosts.get(name)!.restore(state);
    this.dcs.restore(dcs);
    this.patroni.restore(patroni);
    this.haproxy.loaded = new Map(haproxy);
  }

  #unit(host: SimulatedHost, unit: string, verb: 'start' | 'stop' | 'reload'): string | null {
    const tenant = /^pgs-patroni@(.*)\.service$/.exec(unit)?.[1];
    const why = tenant !== undefined ? this.patroni[verb](host.name, tenant) : this.#haproxy(host, unit, verb);
    const strangers = host.listening.filter(({ process }) => process === 'stranger');
    host.listening = [...strangers, ...this.patroni.ports(host.name), ...this.haproxy.ports(host.name)];
    return why;
  }

  #haproxy(host: SimulatedHost, unit: string, verb: 'start' | 'stop' | 'reload'): string | null {
    if (unit !== haproxyUnit) return null;
    if (verb === 'stop') return this.haproxy.stop(host.name);
    return this.haproxy.load(
      host,
      host.listening.filter((l) => l.process !== 'haproxy'),
    );
  }

  #command(host: SimulatedHost, command: Command): CommandResult | undefined {
    const { argv } = command;
    if (argv[0] === 'true') return { code: 0, stdout: '', stderr: '' };
    if (argv[0] === 'find') return { code: 0, stdout: 'hstore.control\npg_trgm.control\n', stderr: '' };
    if (argv[0] === 'runuser') return this.patroni.psql(host.name, command);
    if (argv[2] === readTemplate('host/check.sh')) return { code: 0, stdout: checkAnswerOf(host), stderr: '' };
    if (argv[2] === readTemplate('postgres/try-login.sh')) return this.patroni.tryLogin(host.name, command);
    if (argv[2] === readTemplate('pgbouncer/pause.sh')) return { code: 0, stdout: 'absent\n', stderr: '' };
    if (argv[2] === readTemplate('postgres/stop-leader.sh')) {
      const [user, , , successor] = argv.slice(6) as [string, string, string, string];
      return this.patroni.stopLeader(user.replace(/^pgs-/, ''), host.name, successor);
    }
    return packageCommand(host, command);
  }

  /**
   * A process of pgs at its work. When a host kills it (`killAfter`) this rejects with `Killed`, and what the process still does
   * gets no answer, as if it were not done.
   */
  run<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work(this.#open(reject)).then(resolve, reject);
    });
  }

  #open(onKill: (killed: Killed) => void): Session {
    let alive = true;
    const enter = async () => {
      if (!alive) await new Promise<never>(() => undefined);
    };
    const access = (host: SimulatedHost): HostAccess => ({
      name: host.name,
      run: async (command) => {
        await enter();
        return host.run(command).catch((thrown: unknown) => {
          if (!(thrown instanceof Killed)) throw thrown;
          alive = false;
          onKill(thrown);
          return new Promise<never>(() => undefined);
        });
      },
      close: () => Promise.resolve(),
    });
    const dcs = this.dcs.connect(enter);
    const session: Session = {
      inventory: this.inventory,
      fleetKey,
      fleetSecrets,
      rights: 'operator',
      hosts: { get: (name) => access(this.hosts.get(name)!), close: () => Promise.resolve() } as HostPool,
      patroni: (cluster, secrets) => this.patroni.connect(cluster, secrets, enter),
      prove: async (cluster, secrets) => {
        await enter();
        return proveSimulated(this.hosts, this.haproxy, this.patroni, cluster, secrets);
      },
      probe: () => {
        throw new Error('no convergence test switches over by the command');
      },
      shown: async ({ address, port }) => {
        await enter();
        return this.#shown(address, port);
      },
      tryService: async (cluster, _entry, _service, { user, password }) => {
        await enter();
        const database = this.patroni.database(cluster.tenant);
        const right = database !== null && letsIn(database, { username: user, password: password.reveal() });
        return right ? { result: 'accepted', said: '' } : { result: 'refused', said: 'authentication failed' };
      },
      dcs: () => Promise.resolve(dcs),
      store: () => Promise.resolve(new StateStore(dcs)),
      close: () => Promise.resolve(),
      stateChanged: () => false,
      reopen: (secrets) => ({ ...session, fleetSecrets: secrets }),
    };
    return session;
  }

  /** What the process on a port shows: of a tenant's block of ten, the sixth is its REST. */
  #shown(address: string, port: number): string | null {
    const host = this.inventory.hosts.find((h) => h.address === address)?.name ?? '';
    const slot = Math.floor((port - this.inventory.ports.from) / 10);
    const tenants = this.dcs.withPrefix('/pgs/state/tenants/').map(({ value }) => JSON.parse(value) as TenantRecord);
    const tenant = tenants.find(({ allocation }) => allocation.slot === slot)?.spec.tenant ?? '';
    return this.patroni.loadedFile(host, tenant, port % 10 === 5 ? 'rest.crt' : 'sql.crt') ?? null;
  }

  /** Locks of a process that died long ago are gone; those of one that died just now on this machine are still there. */
  bury(died: 'long ago' | 'just now'): void {
    for (const { key, value, lease } of this.dcs.withPrefix('/pgs/state/locks/')) {
      if (died === 'long ago') this.dcs.endLease(lease!);
      else {
        const found = this.dcs.keys.get(key)!;
        const holder = { ...(JSON.parse(value) as object), pidStart: 'another process has this id now' };
        this.dcs.keys.set(key, { ...found, value: JSON.stringify(holder) });
      }
    }
  }
}

/** What a prepared Debian 13 answers to `check.sh`, with this machine's clock and this host's ports. */
function checkAnswerOf({ listening }: SimulatedHost): string {
  const clock = `@clock ${Date.now()}000000`;
  const lines = listening.map(
    ({ port, process }, i) => `LISTEN 0 9 0.0.0.0:${port} 0.0.0.0:* users:(("${process}",pid=${i + 900},fd=3))`,
  );
  const processes = listening.map(({ process }, i) => {
    const unit = process === 'stranger' ? 'stranger.service' : `pgs-${process}.service`;
    return `${i + 900} 0::/system.slice/${unit}`;
  });
  return checkAnswer
    .replace(/^@clock .*$/gm, clock)
    .replace(
      /^@listening\n[^@]*^@processes\n[^@]*/m,
      ['@listening', ...lines, '@processes', ...processes, ''].join('\n'),
    );
}
