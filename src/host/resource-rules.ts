// What a resource may be called before it is sent to a host: the scripts there take names as words, and a path that was
// built wrong must never be removed. A broken rule is a bug of ours; what people type is checked long before.

import { createHash } from 'node:crypto';
import { PgsError } from '../errors.js';
import { rememberedFor } from '../remembered.js';
import { reveal, type Secret } from '../secrets/secret.js';
import type { FileResource, Resource } from './resource.js';

const userName = /^[a-z_][a-z0-9_-]{0,31}$/;
const mode = /^[0-7]{4}$/;
// A backslash is legal: systemd escapes a dash in a slice's name as \x2d.
const absolutePath = /^(\/[A-Za-z0-9_@%+=:,.\\-]+)+$/;
const unitName = /^[A-Za-z0-9:_.\\@-]+\.(service|slice|timer|socket|target|path|mount)$/;

/** Directories that hold what is not ours: they are never a file, never removed and never given to somebody. */
const sharedDirectories = new Set(
  (
    '/bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var ' +
    '/etc/apt /etc/default /etc/modules-load.d /etc/systemd /etc/systemd/system /etc/udev /run/lock /run/systemd /usr/bin ' +
    '/usr/lib /usr/local /usr/local/bin /usr/local/lib /usr/local/sbin /usr/sbin /usr/share /var/cache /var/lib ' +
    '/var/lib/postgresql /var/log /var/run /var/spool /var/tmp'
  ).split(' '),
);

/** sha256 of a content as the host will hold it, in hex. */
export function contentHash(content: string | Secret): string {
  return createHash('sha256').update(reveal(content), 'utf8').digest('hex');
}

// A resource is data that nobody changes: what all tenants of a host share, or all hosts of a tenant, is hashed and checked once.
const checked = new WeakSet<Resource>();

/** `contentHash` of a file. */
export const fileHash = rememberedFor((file: FileResource) => contentHash(file.content));

/** @throws PgsError `bug` if a name, path or mode is not one that the host scripts take */
export function checkResources(resources: Resource[]): void {
  for (const resource of resources) {
    if (checked.has(resource)) continue;
    for (const [what, text, rule] of rulesOf(resource)) {
      if (!rule.test(text)) refuse(resource, `${JSON.stringify(text)} is no ${what}`);
    }
    const path = pathOf(resource);
    if (path?.split('/').some((part) => part === '.' || part === '..')) refuse(resource, `${path} is not a plain path`);
    if (path !== null && sharedDirectories.has(path)) refuse(resource, `${path} is shared with others`);
    if (resource.kind === 'file' && resource.validate?.some((word) => /[\n\0]/.test(word))) {
      refuse(resource, 'a word of its validating command holds a line break');
    }
    checked.add(resource);
  }
  refuseContradictions(resources);
}

/** @throws PgsError `bug` if a name is not one that the host scripts take; any path may be looked at */
export function checkNames(names: { users: string[]; paths: string[]; units: string[] }): void {
  const check = (what: string, rule: RegExp) => (name: string) => {
    if (!rule.test(name)) {
      throw new PgsError('bug', { doing: 'asking about a host', found: `${JSON.stringify(name)} is no ${what}` });
    }
  };
  names.users.forEach(check('user name', userName));
  names.paths.forEach(check('absolute path', absolutePath));
  names.units.forEach(check('unit name', unitName));
}

function rulesOf(resource: Resource): [what: string, text: string, rule: RegExp][] {
  switch (resource.kind) {
    case 'user':
      return [
        ['user name', resource.name, userName],
        ['absolute path', resource.home, absolutePath],
      ];
    case 'directory':
    case 'file':
    case 'device':
      return [
        ['absolute path', resource.path, absolutePath],
        ['user name', resource.owner, userName],
        ['group name', resource.group, userName],
        ['mode of four octal digits', resource.mode, mode],
      ];
    case 'unit':
      return [
        ['unit name', resource.name, unitName],
        ...resource.loads.map((path): [string, string, RegExp] => ['absolute path', path, absolutePath]),
      ];
    case 'absent':
      if (resource.what === 'user') return [['user name', resource.name, userName]];
      if (resource.what === 'unit') return [['unit name', resource.name, unitName]];
      return [['absolute path', resource.name, absolutePath]];
  }
}

function pathOf(resource: Resource): string | null {
  if (resource.kind === 'absent') return resource.what === 'path' ? resource.name : null;
  return 'path' in resource ? resource.path : null;
}

/** Wanting a thing and its absence at once would never converge. */
function refuseContradictions(resources: Resource[]): void {
  const gone = resources.filter((r) => r.kind === 'absent');
  if (gone.length === 0) return;
  const gonePaths = new Set(gone.filter((r) => r.what === 'path').map((r) => r.name));
  for (const resource of resources) {
    if (resource.kind === 'absent') continue;
    const path = pathOf(resource);
    if (path !== null && withParents(path).some((p) => gonePaths.has(p))) {
      refuse(resource, `${path} is wanted and, with a directory above it or by itself, wanted gone`);
    }
    if ('name' in resource && gone.some((r) => r.what === resource.kind && r.name === resource.name)) {
      refuse(resource, `${resource.name} is wanted and wanted gone`);
    }
  }
}

/** `/a/b` gives `/a/b`, `/a`. */
function withParents(path: string): string[] {
  const parents = [];
  for (let p = path; p !== ''; p = p.slice(0, p.lastIndexOf('/'))) parents.push(p);
  return parents;
}

function refuse(resource: Resource, found: string): never {
  throw new PgsError('bug', { doing: `describing a ${resource.kind} for a host`, found });
}
