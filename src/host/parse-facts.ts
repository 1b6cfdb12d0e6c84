// Reads what `templates/host/gather.sh` prints. Pure: the cases of its test were recorded on real machines.

import { createHash } from 'node:crypto';
import type { HostFacts, ListeningPort, PathFact, UnitFact, UserFact } from './facts.js';

interface Section {
  /** Words after the section's name. */
  words: string[];
  lines: string[];
}

/** What the script was asked for; what is not in the answer is absent. */
interface Asked {
  users: string[];
  paths: { path: string }[];
  units: string[];
}

/** The facts in an answer. One that is cut off or contradicts itself says nothing: the host is unknown. */
export function parseHostFacts(answer: string, asked: Asked): HostFacts {
  try {
    const sections = splitSections(answer);
    const [cores, memoryKiB] = one(sections, 'machine').lines.map(Number);
    if (!cores || !memoryKiB) throw new Error('cores or memory are missing');
    return {
      reachable: true,
      users: parseUsers(one(sections, 'users').lines, asked.users),
      paths: parsePaths(sections, asked.paths),
      units: parseUnits(one(sections, 'units'), stampsIn(sections)),
      listening: sections.has('listening')
        ? parseListening(one(sections, 'listening').lines)
        : parseSocketTables(one(sections, 'sockets').lines),
      cores,
      memoryMiB: Math.floor(memoryKiB / 1024),
    };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { reachable: false, why: `its answer cannot be read: ${why}` };
  }
}

function splitSections(answer: string): Map<string, Section> {
  const sections = new Map<string, Section>();
  let current: Section | undefined;
  for (const line of answer.split('\n')) {
    if (line.startsWith('@')) {
      const [name = '', ...words] = line.slice(1).split(' ');
      current = { words, lines: [] };
      sections.set(name === 'stamp' ? `stamp ${words[0]}` : name, current);
    } else if (line !== '') current?.lines.push(line);
    // Blank lines part the units from each other; elsewhere they mean nothing.
    else if (sections.get('units') === current) current?.lines.push('');
  }
  if (!sections.has('end')) throw new Error('it ends early');
  const failed = sections.get('failed');
  if (failed) throw new Error(`${failed.words.join(' ')} failed: ${sections.get('units')?.lines.join(' ').trim()}`);
  return sections;
}

function one(sections: Map<string, Section>, name: string): Section {
  const section = sections.get(name);
  if (!section) throw new Error(`section ${name} is missing`);
  return section;
}

/** Lines of passwd(5). */
function parseUsers(lines: string[], asked: string[]): Record<string, UserFact> {
  const users: Record<string, UserFact> = Object.fromEntries(asked.map((name) => [name, { present: false }]));
  for (const line of lines) {
    const [name = '', , , , , home = ''] = line.split(':');
    users[name] = { present: true, home };
  }
  return users;
}

const kinds: Record<string, 'directory' | 'file'> = { d: 'directory', e: 'directory', f: 'file' };

function parsePaths(sections: Map<string, Section>, asked: { path: string }[]): Record<string, PathFact> {
  const paths: Record<string, PathFact> = {};
  const hashes = parseHashes(sections.get('hashes')?.lines ?? []);
  const sizes = new Map<string, number>();
  for (const line of one(sections, 'paths').lines) {
    if (line.startsWith('find: ')) {
      const absent = /^find: '(.*)': (No such file or directory|Not a directory)$/.exec(line);
      if (!absent) throw new Error(line);
      // find doubles a backslash in a name.
      paths[absent[1]!.replaceAll('\\\\', '\\')] = { kind: 'absent' };
      continue;
    }
    const [type = '', owner = '', group = '', mode = '', size = '', path = ''] = line.split(' ');
    const fact = { owner, group, mode: mode.padStart(4, '0') };
    const kind = kinds[type];
    if (kind === 'directory') paths[path] = { kind, ...fact, empty: type === 'e' };
    else if (kind === 'file') {
      const sha256 = hashes.get(path);
      if (!sha256) throw new Error(`${path} vanished while it was read`);
      paths[path] = { kind, ...fact, sha256 };
      sizes.set(path, Number(size));
    } else paths[path] = { kind: 'other', ...fact };
  }
  for (const { path } of asked) if (!paths[path]) throw new Error(`it does not say whether ${path} is there`);
  addContents(paths, one(sections, 'contents'), sizes);
  return paths;
}

/** Lines of sha256sum; one about a name with a backslash begins with a backslash and doubles those in the name. */
function parseHashes(lines: string[]): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const line of lines) {
    const [, escaped, hash, name] = /^(\\?)([0-9a-f]{64}) [ *](.*)$/.exec(line) ?? [];
    if (hash && name) hashes.set(escaped ? name.replaceAll('\\\\', '\\') : name, hash);
  }
  return hashes;
}

/** Cuts the contents apart; a piece that does not match its hash was changed meanwhile and is left out. */
function addContents(paths: Record<string, PathFact>, section: Section, sizes: Map<string, number>): void {
  const bytes = Buffer.from(section.lines[0] ?? '', 'base64');
  let from = 0;
  for (const path of section.words) {
    const piece = bytes.subarray(from, (from += sizes.get(path) ?? 0));
    const fact = paths[path];
    if (fact?.kind === 'file' && createHash('sha256').update(piece).digest('hex') === fact.sha256) {
      fact.content = piece.toString('utf8');
    }
  }
}

/** Blocks of `systemctl show`, in the order in which the units were asked for. */
function parseUnits(section: Section, stamps: Map<string, Record<string, string>>): Record<string, UnitFact> {
  const blocks = section.lines
    .join('\n')
    .split('\n\n')
    .map((block) => block.trim())
    .filter((block) => block !== '');
  if (blocks.length !== section.words.length) throw new Error('systemctl show does not tell of every unit');
  return Object.fromEntries(
    section.words.map((unit, i) => {
      const shown = new Map(blocks[i]!.split('\n').map((line) => cut(line, '=')));
      const active = shown.get('ActiveState') ?? '';
      // What a starting process reads was noted just before; only when it is up does the note become the stamp.
      const next = active === 'activating' ? stamps.get(`${unit}.next`) : undefined;
      const fact: UnitFact = {
        load: shown.get('LoadState') ?? '',
        active,
        enabled: shown.get('UnitFileState') === 'enabled',
        needsDaemonReload: shown.get('NeedDaemonReload') === 'yes',
        startedAtS: unixTime(shown.get('ExecMainStartTimestamp')) || unixTime(shown.get('ActiveEnterTimestamp')),
        loaded: next ?? stamps.get(unit) ?? {},
      };
      return [unit, fact];
    }),
  );
}

/** `@1763683200`, or nothing when it never happened. */
function unixTime(text: string | undefined): number {
  return Number(/^@(\d+)$/.exec(text ?? '')?.[1] ?? 0);
}

function stampsIn(sections: Map<string, Section>): Map<string, Record<string, string>> {
  const stamps = new Map<string, Record<string, string>>();
  for (const [name, section] of sections) {
    if (name.startsWith('stamp ')) {
      stamps.set(name.slice('stamp '.length), Object.fromEntries([...parseHashes(section.lines)]));
    }
  }
  return stamps;
}

/** Lines of `ss -Hltnp`: `LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=1,fd=3))`. */
function parseListening(lines: string[]): ListeningPort[] {
  return lines.map((line) => {
    const [, , , local = '', , users = ''] = line.trim().split(/\s+/);
    const [address, port] = cutLast(local, ':');
    const process = /\(\("([^"]*)"/.exec(users)?.[1] ?? null;
    return { address: address.replace(/^\[|\]$/g, '').replace(/%.*$/, ''), port: Number(port), process };
  });
}

/** Lines of /proc/net/tcp and tcp6, for a machine without `ss`; state 0A is LISTEN. Addresses stay as the kernel prints them. */
function parseSocketTables(lines: string[]): ListeningPort[] {
  return lines.flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/);
    const [address, port] = cutLast(local, ':');
    return state === '0A' ? [{ address, port: parseInt(port, 16), process: null }] : [];
  });
}

function cut(text: string, at: string): [string, string] {
  const i = text.indexOf(at);
  return [text.slice(0, i), text.slice(i + at.length)];
}

function cutLast(text: string, at: string): [string, string] {
  const i = text.lastIndexOf(at);
  return [text.slice(0, i), text.slice(i + at.length)];
}
