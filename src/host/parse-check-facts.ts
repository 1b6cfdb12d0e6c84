// Reads what `templates/host/check.sh` prints. Pure: the cases of its test were recorded on real machines.

import { PgsError } from '../errors.js';
import type {
  Asked,
  CheckFacts,
  ClockFact,
  DiskFact,
  DistributionUnit,
  Listener,
  PackageFact,
  PortRange,
  WatchdogFact,
} from './check-facts.js';

/** @throws PgsError `command-failed` if the answer is cut off or lacks what every Debian says of itself */
export function parseCheckFacts(answer: string, packages: string[], asked: Asked, host: string): CheckFacts {
  try {
    return parse(splitSections(answer), packages, asked);
  } catch (thrown) {
    throw new PgsError('command-failed', {
      doing: 'looking at the host',
      host,
      found: `its answer cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      hint: 'pgs needs a Debian that runs systemd. If this is one, report it with the output of `cat /etc/os-release`.',
      cause: thrown,
    });
  }
}

type Sections = Map<string, string[]>;

function parse(sections: Sections, packages: string[], asked: Asked): CheckFacts {
  const release = keyValues(section(sections, 'release'), '=');
  const machine = keyValues(section(sections, 'machine'), ' ');
  const id = unquote(release.get('ID') ?? '');
  return {
    release: {
      id,
      codename: unquote(release.get('VERSION_CODENAME') ?? ''),
      title: unquote(release.get('PRETTY_NAME') ?? id),
    },
    architecture: machine.get('architecture') ?? '',
    uid: number(machine.get('uid'), 'uid'),
    container: containerOf(machine.get('container')),
    cores: number(machine.get('cores'), 'cores'),
    memoryMiB: Math.floor(number(machine.get('memory-kib'), 'memory') / 1024),
    disk: parseDisk(section(sections, 'disk')),
    controllers: words(keyValues(section(sections, 'cgroup'), ' ').get('controllers') ?? ''),
    watchdogs: parseWatchdogs(section(sections, 'watchdog')),
    softdogAvailable: section(sections, 'watchdog').includes('softdog'),
    clock: parseClock(section(sections, 'clock'), section(sections, 'time'), asked),
    listening: sections.has('listening')
      ? parseListening(section(sections, 'listening'), section(sections, 'processes'))
      : null,
    ephemeralPorts: parseEphemeral(section(sections, 'ephemeral')[0] ?? ''),
    reservedPorts: parseRanges(section(sections, 'ephemeral')[1] ?? ''),
    packages: parsePackages(sections, packages),
    dpkgInterrupted: section(sections, 'interrupted').length > 0,
    units: parseUnits(section(sections, 'units'), section(sections, 'unit-files')),
    guards: section(sections, 'guards'),
    journalLimitsLoaded: parseJournald(section(sections, 'journald')),
  };
}

function splitSections(answer: string): Sections {
  const sections: Sections = new Map();
  let current: string[] = [];
  for (const line of answer.split('\n')) {
    if (/^@[a-z]/.test(line)) {
      const [name = '', ...rest] = line.slice(1).split(' ');
      // The clock is read at the beginning and at the end.
      current = name === 'clock' ? (sections.get(name) ?? []) : [];
      sections.set(name, current);
      if (rest.length > 0) current.push(rest.join(' '));
    } else if (line.trim() !== '') current.push(line);
  }
  if (!sections.has('end')) throw new Error('it ends early');
  return sections;
}

function section(sections: Sections, name: string): string[] {
  const lines = sections.get(name);
  if (!lines) throw new Error(`section ${name} is missing`);
  return lines;
}

function keyValues(lines: string[], separator: string): Map<string, string> {
  return new Map(
    lines.map((line) => {
      const at = line.indexOf(separator);
      return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + separator.length)];
    }),
  );
}

function unquote(text: string): string {
  return text.replace(/^(["'])(.*)\1$/, '$2');
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function number(text: string | undefined, what: string): number {
  const value = Number(text);
  if (text === undefined || text.trim() === '' || !Number.isFinite(value)) throw new Error(`${what} is missing`);
  return value;
}

function containerOf(text: string | undefined): string | null {
  return text === undefined || text === '' || text === 'none' ? null : text;
}

/** Two lines of df: 1024-byte blocks, then inodes. */
function parseDisk(lines: string[]): DiskFact {
  const [blocks, inodes] = lines.map(words);
  return {
    sizeMiB: Math.floor(number(blocks?.[1], 'disk size') / 1024),
    freeMiB: Math.floor(number(blocks?.[3], 'free disk space') / 1024),
    inodes: Number(inodes?.[1]) || 0,
    inodesFree: Number(inodes?.[3]) || 0,
  };
}

function parseWatchdogs(lines: string[]): WatchdogFact[] {
  const identities = new Map(
    lines
      .filter((line) => line.startsWith('identity '))
      .map((line) => {
        const [, name = '', ...identity] = line.split(' ');
        return [name, identity.join(' ').trim()];
      }),
  );
  return lines
    .filter((line) => line.startsWith('device '))
    .map((line) => {
      const device = line.slice('device '.length);
      const holders = lines.filter((holder) => holder.startsWith(`holder ${device} `)).map(parseHolder);
      return { device, identity: identities.get(device.replace('/dev/', '')) || null, holders };
    });
}

/** `holder DEVICE PID USER COMMAND` */
function parseHolder(line: string): WatchdogFact['holders'][number] {
  const [, , pid = '0', user = '', ...command] = line.split(' ');
  return { pid: Number(pid), user, command: command.join(' ') };
}

/**
 * The offset as NTP computes it: the host's first and last reading lie between the operator's question and the answer, so
 * what is left of the round trip beside the host's own work bounds the error.
 */
function parseClock(readings: string[], time: string[], asked: Asked): ClockFact {
  const [firstMs = NaN, lastMs = NaN] = readings.map((ns) => Number(ns) / 1e6);
  if (!Number.isFinite(firstMs) || !Number.isFinite(lastMs)) throw new Error('the clock is missing');
  const wayMs = asked.answeredAtMs - asked.atMs - (lastMs - firstMs);
  return {
    offsetMs: Math.round((firstMs - asked.atMs + (lastMs - asked.answeredAtMs)) / 2),
    uncertaintyMs: Math.max(0, Math.round(wayMs / 2)),
    services: time.map((line) => words(line)[0] ?? '').filter((name) => name.endsWith('.service')),
    synchronized: time.includes('synchronized yes'),
  };
}

/** Lines of `ss -Hltnp`, and `PID CGROUP` lines. */
function parseListening(lines: string[], processes: string[]): Listener[] {
  const units = new Map(processes.map((line) => [words(line)[0] ?? '', unitOf(line)]));
  return lines.map((line) => {
    const [, , , local = '', , users = ''] = words(line);
    const colon = local.lastIndexOf(':');
    const [, process = null, pid = ''] = /"([^"]*)",pid=(\d+)/.exec(users) ?? [];
    return {
      address: local
        .slice(0, colon)
        .replace(/^\[|\]$/g, '')
        .replace(/%.*$/, ''),
      port: number(local.slice(colon + 1), 'a listening port'),
      process,
      unit: units.get(pid) ?? null,
    };
  });
}

/** `0::/pgs.slice/pgs-etcd.service/sub` belongs to pgs-etcd.service. */
function unitOf(cgroup: string): string | null {
  const units = cgroup.split('/').filter((part) => part.endsWith('.service'));
  return units.at(-1) ?? null;
}

function parseEphemeral(text: string): PortRange {
  const [from, to] = words(text);
  return { from: number(from, 'the range of ephemeral ports'), to: number(to, 'the range of ephemeral ports') };
}

/** `2379-2380,20000` as the kernel lists reserved ports. */
function parseRanges(text: string): PortRange[] {
  return text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const [from, to] = part.split('-');
      return { from: Number(from), to: Number(to ?? from) };
    });
}

function parsePackages(sections: Sections, asked: string[]): Record<string, PackageFact> {
  const held = new Set(section(sections, 'holds').map((line) => line.trim()));
  const candidates = parseCandidates(section(sections, 'candidates'));
  const found = new Map<string, { status: string; version: string }>();
  for (const line of section(sections, 'packages')) {
    const [name = '', status = '', version = ''] = words(line);
    found.set(name, { status, version });
  }
  const names = new Set([...asked, ...found.keys()]);
  return Object.fromEntries(
    [...names].map((name) => {
      // Second letter: n(ot installed), c(onfiguration left), i(nstalled); all others are stations on the way. A third: broken.
      const { status = '', version = '' } = found.get(name) ?? {};
      const installed = /^.i$/.test(status);
      return [
        name,
        {
          installed: installed ? version : null,
          halfInstalled: !installed && status !== '' && !/^.[nc]$/.test(status),
          candidate: candidates.get(name) ?? null,
          held: held.has(name),
        },
      ];
    }),
  );
}

/** Output of `apt-cache policy`: a name with a colon, then indented lines. */
function parseCandidates(lines: string[]): Map<string, string> {
  const candidates = new Map<string, string>();
  let name = '';
  for (const line of lines) {
    if (/^\S+:$/.test(line)) name = line.slice(0, -1);
    const candidate = /^ {2}Candidate: (\S+)$/.exec(line)?.[1];
    if (candidate !== undefined && candidate !== '(none)') candidates.set(name, candidate);
  }
  return candidates;
}

/** Lines of `systemctl list-units` and of `systemctl list-unit-files`. */
function parseUnits(loaded: string[], files: string[]): Record<string, DistributionUnit> {
  const units: Record<string, DistributionUnit> = {};
  for (const line of loaded) {
    const [name = '', load = '', active = ''] = words(line);
    units[name] = { active, masked: load === 'masked', enabled: false };
  }
  for (const line of files) {
    const [name = '', state = ''] = words(line);
    const known = units[name] ?? { active: 'inactive', masked: false, enabled: false };
    units[name] = { ...known, masked: known.masked || state === 'masked', enabled: state === 'enabled' };
  }
  return units;
}

/** Time of the file or `absent`, then `@` and the start of journald, in seconds since the epoch. */
function parseJournald([written = '', started = '']: string[]): boolean {
  return written !== 'absent' && Number(started.replace('@', '')) >= number(written, 'the time of journald.conf');
}
