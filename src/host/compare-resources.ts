// Which of a host's users, directories and files differ from what is wanted, and how, in words for a person. Pure.

import { PgsError } from '../errors.js';
import type { Diff } from '../reconcile/step.js';
import { rememberedFor } from '../remembered.js';
import { reveal, Secret } from '../secrets/secret.js';
import type { PathFact, ReachableHost } from './facts.js';
import type {
  AbsentResource,
  DeviceResource,
  DirectoryResource,
  FileResource,
  Resource,
  UnitResource,
} from './resource.js';
import { fileHash } from './resource-rules.js';
import { unitFilePaths } from './unit-files.js';

const diffLinesMax = 12;

/**
 * The differences between a resource and what was found; none when it is as wanted. Of a unit only what is set by files
 * is compared (enabled, masked, read by systemd): whether it runs is `compareUnit`'s.
 * @throws PgsError `unfit` when something of another kind is in the way; `bug` when the facts do not tell of it
 */
export function differences(resource: Resource, host: string, facts: ReachableHost): Diff[] {
  switch (resource.kind) {
    case 'user': {
      const found = known(facts.users[resource.name], `user ${resource.name}`, host);
      if (found.present && found.home === resource.home) return none;
      const before = found.present ? `home ${found.home}` : 'absent';
      return differ(`user ${resource.name}`, before, `home ${resource.home}`);
    }
    case 'directory':
      return compareDirectory(resource, host, known(facts.paths[resource.path], resource.path, host));
    case 'file':
      return compareFile(resource, host, known(facts.paths[resource.path], resource.path, host));
    case 'device':
      return compareDevice(resource, host, known(facts.paths[resource.path], resource.path, host));
    case 'unit':
      return compareUnitSetting(resource, host, facts);
    case 'absent':
      return compareAbsent(resource, host, facts);
  }
}

/** A fact that was not asked for says nothing; taking it for "absent" would be a guess. */
export function known<T>(fact: T | undefined, what: string, host: string): T {
  if (fact !== undefined) return fact;
  throw new PgsError('bug', {
    doing: 'comparing a host with what it should be',
    host,
    found: `${what} was not looked at`,
  });
}

/** Of a fleet that is as it should be, hundreds of thousands of resources say this: so it costs nothing, and no words are made before it. */
const none: Diff[] = [];

function differ(what: string, before: string, after: string): Diff[] {
  return before === after ? none : [{ what, before, after }];
}

interface Access {
  owner: string;
  group: string;
  mode: string;
}

function access(of: Access): string {
  return `${of.owner}:${of.group} ${of.mode}`;
}

function hasAccess(found: Access, wanted: Access): boolean {
  return found.owner === wanted.owner && found.group === wanted.group && found.mode === wanted.mode;
}

function compareDirectory(wanted: DirectoryResource, host: string, found: PathFact): Diff[] {
  if (found.kind === 'absent') return differ(wanted.path, 'absent', `directory ${access(wanted)}`);
  if (found.kind !== 'directory') throw inTheWay(wanted.path, host, 'directory');
  return hasAccess(found, wanted) ? none : differ(wanted.path, access(found), access(wanted));
}

function compareDevice(wanted: DeviceResource, host: string, found: PathFact): Diff[] {
  if (found.kind === 'absent') return [];
  if (found.kind !== 'other') throw inTheWay(wanted.path, host, 'device');
  return differ(wanted.path, access(found), access(wanted));
}

function compareFile(wanted: FileResource, host: string, found: PathFact): Diff[] {
  const secret = wanted.content instanceof Secret;
  if (found.kind === 'absent') {
    const size = secret ? 'secret' : `${lineCount(wanted)} lines`;
    return differ(wanted.path, 'absent', `file ${access(wanted)}, ${size}`);
  }
  if (found.kind !== 'file') throw inTheWay(wanted.path, host, 'file');
  const changed = found.sha256 !== fileHash(wanted);
  if (!changed && hasAccess(found, wanted)) return none;
  return [
    ...differ(`${wanted.path} (owner and mode)`, access(found), access(wanted)),
    ...(changed ? [contentDiff(wanted, found.content)] : []),
  ];
}

function contentDiff(wanted: FileResource, found: string | undefined): Diff {
  if (wanted.content instanceof Secret || found === undefined) {
    const what = wanted.content instanceof Secret ? '(secret, changed)' : '(changed)';
    return { what: wanted.path, before: '(hidden)', after: what };
  }
  return { what: wanted.path, ...changedLines(linesOf(found), linesOf(wanted.content)) };
}

/** The lines between the common beginning and the common end. */
function changedLines(before: string[], after: string[]): { before: string; after: string } {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const shown = (lines: string[]) => {
    const changed = lines.slice(start, lines.length - end);
    const more = changed.length - diffLinesMax;
    return [...changed.slice(0, diffLinesMax), ...(more > 0 ? [`(${more} more lines)`] : [])].join('\n');
  };
  return { before: shown(before), after: shown(after) };
}

/** As many as `linesOf` gives, without making them: of new files nothing else is wanted. Many hosts may get the same one. */
const lineCount = rememberedFor((file: FileResource): number => {
  const text = reveal(file.content);
  let count = 1;
  const end = text.endsWith('\n') ? text.length - 1 : text.length;
  for (let at = text.indexOf('\n'); at !== -1 && at < end; at = text.indexOf('\n', at + 1)) count++;
  return count;
});

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

function compareUnitSetting(wanted: UnitResource, host: string, facts: ReachableHost): Diff[] {
  const found = known(facts.units[wanted.name], `unit ${wanted.name}`, host);
  const setting = (masked: boolean, enabled: boolean) => (masked ? 'masked' : enabled ? 'enabled' : 'not enabled');
  const before = setting(found.load === 'masked', found.enabled);
  const after = setting(wanted.state === 'masked', wanted.enabled);
  // What does not exist cannot be enabled or disabled.
  const moot = after === 'not enabled' && found.load === 'not-found';
  return [
    ...(moot ? [] : differ(`unit ${wanted.name}`, before, after)),
    ...(found.needsDaemonReload ? differ(`unit ${wanted.name}`, 'not read since it changed', 'read by systemd') : []),
  ];
}

function compareAbsent(unwanted: AbsentResource, host: string, facts: ReachableHost): Diff[] {
  const { what, name } = unwanted;
  if (what === 'user') {
    const found = known(facts.users[name], `user ${name}`, host);
    return found.present ? differ(`user ${name}`, 'present', 'removed') : [];
  }
  if (what === 'path') {
    const found = known(facts.paths[name], name, host);
    return found.kind === 'absent' ? [] : differ(name, describePath(found), 'removed');
  }
  const unit = known(facts.units[name], `unit ${name}`, host);
  const file = known(facts.paths[unitFilePaths(name)[0]!], `the file of unit ${name}`, host);
  const left = [
    ...(unit.enabled ? ['enabled'] : []),
    ...(file.kind === 'absent' ? [] : ['has a file']),
    ...(unit.active === 'failed' ? ['failed'] : []),
    ...(Object.keys(unit.loaded).length > 0 ? ['has a stamp'] : []),
  ];
  return left.length > 0 ? differ(`unit ${name}`, left.join(', '), 'removed') : [];
}

function describePath(found: PathFact): string {
  if (found.kind === 'directory') return found.empty ? 'empty directory' : 'directory';
  return found.kind === 'file' ? 'file' : 'present';
}

function inTheWay(path: string, host: string, wanted: string): PgsError {
  return new PgsError('unfit', {
    doing: `planning ${wanted} ${path}`,
    host,
    found: `something else than a ${wanted} is there`,
    hint: `See what it is (ls -ld ${path}) and move it away; pgs does not remove what it did not make.`,
  });
}
