// A Debian host in memory that understands what pgs's host scripts do: it takes the same commands over the same interface,
// so that planning, applying and looking run unchanged on it. pgs can be "killed" between any two changes.

import { createHash } from 'node:crypto';
import { PgsError } from '../../src/errors.js';
import type { Command, CommandResult, HostAccess } from '../../src/host/command.js';
import { readTemplate } from '../../src/host/template.js';
import { fileOfUnit, isUnitFile, unitFilePaths } from '../../src/host/unit-files.js';
import { reveal } from '../../src/secrets/secret.js';
import type { SimulatedPackage } from './simulated-packages.js';

/** Thrown instead of a result when the simulated pgs is killed. */
export class Killed extends Error {}

export interface SimulatedPath {
  kind: 'directory' | 'file' | 'other';
  owner: string;
  group: string;
  mode: string;
  content: string;
}

export interface SimulatedUnit {
  active: 'active' | 'activating' | 'inactive' | 'failed';
  enabled: boolean;
  masked: boolean;
  startedAtS: number;
  loaded: Record<string, string>;
  /** Files of the unit as systemd last read them. */
  read: Record<string, string>;
  /** Versions of all packages when its program was started. */
  runs: Record<string, string | null>;
}

export interface HostSnapshot {
  reachable: boolean;
  users: [string, { home: string }][];
  /** Entries are replaced, never changed, so they may be shared. */
  paths: [string, SimulatedPath][];
  units: [string, SimulatedUnit][];
  packaged: string[];
  packages: [string, SimulatedPackage][];
  listening: { port: number; process: string }[];
  nowS: number;
}

const baseDirectories = [
  '/etc',
  '/etc/pgs',
  '/etc/systemd/system',
  '/usr/local/lib/pgs',
  '/etc/default',
  '/run',
  '/run/pgs',
  '/usr/local/lib',
  '/usr/local/lib/pgs',
  '/var/lib',
];

export class SimulatedHost implements HostAccess {
  readonly name: string;
  reachable = true;
  /** Units whose next start fails. */
  readonly failing = new Set<string>();
  /** Units that come with packages: they exist without a file in /etc/systemd/system. */
  readonly packaged = new Set<string>();
  readonly users = new Map<string, { home: string }>([['root', { home: '/root' }]]);
  readonly paths = new Map<string, SimulatedPath>();
  readonly units = new Map<string, SimulatedUnit>();
  /** Entries are replaced, never changed. */
  readonly packages = new Map<string, SimulatedPackage>();
  listening: { port: number; process: string }[] = [];
  memoryMiB = 2048;
  cores = 2;
  /** What happened, in order, for assertions: `write /etc/x`, `restart pgs-x.service`. */
  readonly log: string[] = [];
  /** Answers commands other than the host scripts. */
  onCommand: (command: Command) => CommandResult | undefined = () => undefined;
  /** Called before every change that pgs makes; what it throws keeps the change from happening. */
  onChange: (what: string) => void = () => undefined;
  /** Called when a unit starts, stops or reloads; a reason makes the start or reload fail. */
  onUnit: (unit: string, verb: 'start' | 'stop' | 'reload') => string | null = () => null;
  #changesLeft = Infinity;
  #nowS = 1_700_000_000;

  constructor(name: string) {
    this.name = name;
    for (const path of baseDirectories) this.paths.set(path, directory('root', 'root', '0755'));
  }

  /** Lets `changes` more changes happen on this host, then kills pgs at the next; Infinity: never. */
  killAfter(changes: number): void {
    this.#changesLeft = changes;
  }

  powerOff(): void {
    this.reachable = false;
    for (const [name, unit] of this.units) {
      if (isUp(unit)) this.onUnit(name, 'stop');
      Object.assign(unit, { active: 'inactive', loaded: {}, read: {} });
    }
  }

  powerOn(): void {
    this.reachable = true;
    for (const [name, unit] of this.units) if (unit.enabled && this.#exists(name)) this.#start(name);
  }

  /** Everything about the host but what listens to it. */
  snapshot(): HostSnapshot {
    return {
      reachable: this.reachable,
      users: [...this.users],
      paths: [...this.paths],
      units: structuredClone([...this.units]),
      packaged: [...this.packaged],
      packages: [...this.packages],
      listening: [...this.listening],
      nowS: this.#nowS,
    };
  }

  restore({ reachable, users, paths, units, packaged, packages, listening, nowS }: HostSnapshot): void {
    this.reachable = reachable;
    for (const [name, user] of users) this.users.set(name, user);
    this.paths.clear();
    for (const [path, entry] of paths) this.paths.set(path, entry);
    for (const [name, unit] of structuredClone(units)) this.units.set(name, unit);
    for (const name of packaged) this.packaged.add(name);
    for (const [name, found] of packages) this.packages.set(name, found);
    this.listening.push(...listening);
    this.#nowS = nowS;
  }

  run(command: Command): Promise<CommandResult> {
    // As with ssh, what goes wrong is a rejection.
    return Promise.resolve().then(() => this.#run(command));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #run(command: Command): CommandResult {
    if (!this.reachable) {
      throw new PgsError('unreachable', { doing: 'connecting by ssh', host: this.name, found: 'no answer' });
    }
    const stdin = command.stdin === undefined ? '' : reveal(command.stdin);
    try {
      if (command.argv[2] === readTemplate('host/gather.sh')) return ok(this.#look(stdin));
      if (command.argv[2] === readTemplate('host/apply.sh')) return ok(this.#apply(stdin));
      if (command.argv[2] === readTemplate('host/unit.sh')) return ok(this.#verb(command.argv[4]!, command.argv[5]!));
    } catch (thrown) {
      if (thrown instanceof Refused) return { code: 1, stdout: `@failed ${thrown.doing}\n`, stderr: thrown.message };
      throw thrown;
    }
    const answer = this.onCommand(command);
    if (answer) return answer;
    throw new Error(`the simulated ${this.name} does not know the command ${command.argv.slice(0, 3).join(' ')}`);
  }

  /** Before anything is changed on the host. */
  change(what: string): void {
    if (this.#changesLeft-- <= 0) throw new Killed(`killed before: ${what} on ${this.name}`);
    this.onChange(what);
    this.log.push(what);
    this.#nowS++;
  }

  // Looking, in the format of gather.sh.

  #look(request: string): string {
    const asked = request
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]);
    const of = (...kinds: string[]) => asked.filter(([kind]) => kinds.includes(kind)).map(([, name]) => name);
    const here = of('path', 'public').filter((path) => this.paths.has(path));
    const files = here.filter((path) => this.paths.get(path)!.kind === 'file');
    const shown = of('public').filter((path) => files.includes(path));
    const content = (path: string) => this.paths.get(path)!.content;
    return [
      '@users',
      ...of('user').flatMap((name) => {
        const user = this.users.get(name);
        return user ? [`${name}:x:999:999::${user.home}:/usr/sbin/nologin`] : [];
      }),
      '@paths',
      ...of('path', 'public')
        .filter((path) => !this.paths.has(path))
        .map((path) => `find: '${path}': No such file or directory`),
      ...here.map((path) => this.#pathLine(path)),
      '@hashes',
      ...files.map((path) => `${sha256(content(path))}  ${path}`),
      ['@contents', ...shown].join(' '),
      Buffer.from(shown.map(content).join('')).toString('base64'),
      ['@units', ...of('unit')].join(' '),
      ...of('unit').flatMap((name) => this.#unitLines(name)),
      ...of('stamp').flatMap((name) => [
        `@stamp ${name}`,
        ...Object.entries(this.units.get(name)?.loaded ?? {}).map(([path, hash]) => `${hash}  ${path}`),
      ]),
      '@listening',
      ...this.listening.map(({ port, process }) => `LISTEN 0 9 *:${port} *:* users:(("${process}",pid=9,fd=3))`),
      `@machine\n${this.cores}\n${this.memoryMiB * 1024}`,
      '@end\n',
    ].join('\n');
  }

  #pathLine(path: string): string {
    const { kind, owner, group, mode, content } = this.paths.get(path)!;
    const empty = ![...this.paths.keys()].some((other) => other.startsWith(`${path}/`));
    const type = kind === 'file' ? 'f' : kind === 'other' ? 'l' : empty ? 'e' : 'd';
    return `${type} ${owner} ${group} ${mode.replace(/^0+/, '')} ${Buffer.byteLength(content)} ${path}`;
  }

  #unitLines(name: string): string[] {
    const unit = this.units.get(name);
    const read = unit?.read ?? {};
    const stale = Object.keys(read).length > 0 && !same(read, this.#filesOf(name));
    const load = unit?.masked ? 'masked' : this.#exists(name) || isUp(unit) ? 'loaded' : 'not-found';
    return [
      `Id=${name}`,
      `LoadState=${load}`,
      `ActiveState=${unit?.active ?? 'inactive'}`,
      `UnitFileState=${unit?.masked ? 'masked' : unit?.enabled ? 'enabled' : load === 'loaded' ? 'disabled' : ''}`,
      `NeedDaemonReload=${stale ? 'yes' : 'no'}`,
      `ExecMainStartTimestamp=${unit?.startedAtS ? `@${unit.startedAtS}` : ''}`,
      '',
    ];
  }

  // Changing, in the format of apply.sh.

  #apply(list: string): string {
    let rest = Buffer.from(list);
    const takeLine = () => {
      const end = rest.indexOf(10);
      const line = rest.subarray(0, end).toString();
      rest = rest.subarray(end + 1);
      return line;
    };
    let reload = false;
    const settings: [string, string][] = [];
    for (let words = takeLine().split(' '); words[0] !== 'end'; words = takeLine().split(' ')) {
      const [kind = '', a = '', b = '', c = '', d = '', e = '', f = ''] = words;
      if (kind === 'unit-gone') this.#forget(a);
      else if (kind === 'user') this.#addUser(a, b);
      else if (kind === 'directory') this.#put(d, directory(a, b, c));
      else if (kind === 'device') this.#own(d, a, b, c);
      else if (kind === 'file') {
        for (let i = 0; i < Number(e); i++) takeLine();
        const content = rest.subarray(0, Number(d)).toString();
        rest = rest.subarray(Number(d) + 1);
        this.#put(f, { kind: 'file', owner: a, group: b, mode: c, content });
      } else if (kind === 'remove') this.#remove(a);
      else if (kind === 'user-gone') this.#removeUser(a);
      else settings.push([kind, a]);
      reload ||= kind === 'unit-gone' || [a, f].some(isUnitFile);
    }
    for (const [verb, name] of settings) reload = this.#setUnit(verb, name) || reload;
    if (reload) this.#daemonReload();
    return '';
  }

  #own(path: string, owner: string, group: string, mode: string): void {
    const device = this.paths.get(path);
    if (!device || same(device, { ...device, owner, group, mode })) return;
    this.change(`give ${path} to ${owner}`);
    this.paths.set(path, { ...device, owner, group, mode });
  }

  #addUser(name: string, home: string): void {
    if (this.users.get(name)?.home === home) return;
    this.change(`user ${name}`);
    this.users.set(name, { home });
  }

  #removeUser(name: string): void {
    if (!this.users.has(name)) return;
    const runs = [...this.units].find(([unit, { active, read }]) => {
      return active === 'active' && read[unitFilePaths(unit)[0]!]?.includes(`User=${name}\n`);
    });
    if (runs) throw new Refused(`removing user ${name}`, `userdel: user ${name} is currently used by process 1`);
    this.change(`remove user ${name}`);
    this.users.delete(name);
  }

  #put(path: string, entry: SimulatedPath): void {
    const doing = `${entry.kind === 'file' ? 'writing' : 'creating directory'} ${path}`;
    if (!this.users.has(entry.owner)) throw new Refused(doing, `chown: invalid user: '${entry.owner}'`);
    const parent = path.slice(0, path.lastIndexOf('/'));
    const above = this.paths.get(parent);
    if (entry.kind === 'file' && above?.kind !== 'directory') throw new Refused(doing, 'Directory nonexistent');
    const found = this.paths.get(path);
    if (found && found.kind !== entry.kind) throw new Refused(doing, `cannot overwrite ${found.kind}`);
    if (found && same(found, entry)) return;
    if (!above && parent !== '') this.#put(parent, directory('root', 'root', '0755'));
    this.change(`write ${path}`);
    this.paths.set(path, entry);
  }

  #remove(path: string): void {
    const gone = [...this.paths.keys()].filter((other) => other === path || other.startsWith(`${path}/`));
    // The deepest go first, and a kill may come between any two.
    for (const other of gone.sort().reverse()) {
      this.change(`remove ${other}`);
      this.paths.delete(other);
    }
  }

  #forget(name: string): void {
    this.change(`forget ${name}`);
    const unit = this.units.get(name);
    if (unit) unit.enabled = false;
    this.paths.delete(unitFilePaths(name)[0]!);
    if (!isUp(unit)) this.units.delete(name);
  }

  #setUnit(verb: string, name: string): boolean {
    if (verb === 'unit') return !same(this.#unit(name).read, this.#filesOf(name));
    const wanted = { enable: { enabled: true }, disable: { enabled: false }, mask: { masked: true } }[verb];
    const change: Partial<SimulatedUnit> = wanted ?? { masked: false };
    if (same({ ...this.#unit(name), ...change }, this.#unit(name))) return false;
    if (verb === 'enable' && !this.#exists(name)) {
      throw new Refused(`systemctl enable ${name}`, `Failed to enable unit: Unit file ${name} does not exist.`);
    }
    this.change(`${verb} ${name}`);
    Object.assign(this.#unit(name), change);
    return true;
  }

  #daemonReload(): void {
    this.change('daemon-reload');
    for (const [name, unit] of this.units) unit.read = this.#filesOf(name);
  }

  // Units.

  #verb(verb: string, name: string): string {
    const unit = this.#unit(name);
    const refuse = (why: string) => new Refused(`${verb} ${name}`, why);
    if (verb === 'stop' && !isUp(unit)) return '';
    if (verb !== 'stop' && unit.masked) throw refuse(`Unit ${name} is masked.`);
    if (verb !== 'stop' && !this.#exists(name)) throw refuse(`Unit ${name} not found.`);
    if (verb === 'reload' && unit.active !== 'active') throw refuse(`${name} is not active, cannot reload.`);
    this.change(`${verb} ${name}`);
    if (isUp(unit) && (verb === 'stop' || verb === 'restart')) this.onUnit(name, 'stop');
    // As `templates/host/unit.sh` does: what somebody else started meanwhile is reloaded.
    const joins =
      verb === 'start' && unit.active === 'active' && /^ExecReload=/m.test(Object.values(unit.read).join('\n'));
    if (verb === 'stop') unit.active = 'inactive';
    else if (verb === 'reload' || joins) {
      const why = this.onUnit(name, 'reload');
      if (why) throw refuse(why);
      this.#stampReload(name);
      // HAProxy's master process becomes the program that is installed; others only read their files again.
      if (name === 'pgs-haproxy.service') unit.runs = this.#versions();
    } else if (verb === 'restart' || !isUp(unit)) this.#start(name);
    if (unit.active === 'failed') throw refuse(`Job for ${name} failed.`);
    return '';
  }

  #start(name: string): void {
    const unit = this.#unit(name);
    if (Object.keys(unit.read).length === 0) unit.read = this.#filesOf(name);
    unit.startedAtS = this.#nowS;
    unit.runs = this.#versions();
    unit.loaded = {};
    unit.active = this.failing.delete(name) || this.onUnit(name, 'start') !== null ? 'failed' : 'active';
    const stamped = this.#stampedPaths(name, 'ExecStartPre');
    if (unit.active === 'failed' || stamped.length === 0) return;
    unit.loaded = { ...this.#hashes(stamped), ...this.#hashes(Object.keys(this.#filesOf(name))) };
  }

  #versions(): SimulatedUnit['runs'] {
    return Object.fromEntries([...this.packages].map(([name, { installed }]) => [name, installed]));
  }

  #stampReload(name: string): void {
    const unit = this.#unit(name);
    const named = this.#stampedPaths(name, 'ExecReload');
    const isNamed = (path: string) => named.some((dir) => path === dir || path.startsWith(`${dir}/`));
    const kept = Object.entries(unit.loaded).filter(([path]) => !isNamed(path));
    unit.loaded = { ...Object.fromEntries(kept), ...this.#hashes(named) };
  }

  /** What the unit's own lines say that it stamps: a `loads` that the unit does not stamp never converges here either. */
  #stampedPaths(name: string, setting: string): string[] {
    const lines = Object.values(this.#unit(name).read).join('\n').split('\n');
    return lines.flatMap((line) => {
      const words = line.startsWith(`${setting}=`) ? line.split(/\s+/) : [];
      // What haproxy-reload stamps comes after the unit, the user, two sockets and the state.
      const before = words[0]?.endsWith('/stamp') ? 2 : words[0]?.endsWith('/haproxy-reload') ? 6 : 0;
      if (before === 0 || words[1] === '--commit') return [];
      const instance = /@(.*)\.[a-z]+$/.exec(name)?.[1] ?? '';
      return words.slice(before).map((word) => word.replaceAll('%i', instance));
    });
  }

  #hashes(named: string[]): Record<string, string> {
    const within = (path: string) => named.some((dir) => path === dir || path.startsWith(`${dir}/`));
    const files = [...this.paths].filter(([path, { kind }]) => kind === 'file' && within(path));
    return Object.fromEntries(files.map(([path, { content }]) => [path, sha256(content)]));
  }

  #filesOf(name: string): Record<string, string> {
    const isOwn = fileOfUnit(name);
    const files = [...this.paths].filter(([path]) => isOwn(path));
    return Object.fromEntries(files.map(([path, { content }]) => [path, content]));
  }

  #exists(name: string): boolean {
    return this.packaged.has(name) || unitFilePaths(name).some((path) => this.paths.has(path));
  }

  #unit(name: string): SimulatedUnit {
    const unit = this.units.get(name) ?? {
      active: 'inactive',
      enabled: false,
      masked: false,
      startedAtS: 0,
      loaded: {},
      read: {},
      runs: {},
    };
    this.units.set(name, unit);
    return unit;
  }
}

/** A change that the host refuses, as the scripts tell it. */
class Refused extends Error {
  constructor(
    readonly doing: string,
    message: string,
  ) {
    super(message);
  }
}

function directory(owner: string, group: string, mode: string): SimulatedPath {
  return { kind: 'directory', owner, group, mode, content: '' };
}

function isUp(unit: SimulatedUnit | undefined): boolean {
  return unit?.active === 'active' || unit?.active === 'activating';
}

function ok(stdout: string): CommandResult {
  return { code: 0, stdout, stderr: '' };
}

function same(a: object, b: object): boolean {
  const sorted = (of: object) => JSON.stringify(Object.entries(of).sort(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
