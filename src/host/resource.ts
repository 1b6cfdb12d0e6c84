// What pgs can want of one host, as data. A component's `desired` returns a list of these; `planHost` compares them with
// the facts; one mechanism puts every file, user and unit of every component in place, so it is right or wrong once.

import type { Secret } from '../secrets/secret.js';

export type Resource = UserResource | DirectoryResource | FileResource | DeviceResource | UnitResource | AbsentResource;

/** A system user with a group of the same name, no password, no shell. */
export interface UserResource {
  kind: 'user';
  name: string;
  home: string;
}

export interface DirectoryResource {
  kind: 'directory';
  path: string;
  owner: string;
  group: string;
  /** Four octal digits, such as `0700`. */
  mode: string;
}

export interface FileResource {
  kind: 'file';
  path: string;
  owner: string;
  group: string;
  mode: string;
  /** A `Secret` is never read back, diffed or shown; only its hash is compared. */
  content: string | Secret;
  /**
   * Run on the host before the file takes its place, with `{}` replaced by the path of the new content; a non-zero exit
   * code leaves the old file.
   */
  validate?: string[];
}

/** Whose a device node is. pgs makes none: one that is not there is left for the kernel to make, and for others to miss. */
export interface DeviceResource {
  kind: 'device';
  path: string;
  owner: string;
  group: string;
  mode: string;
}

/** A systemd unit (its file is a FileResource of its own). */
export interface UnitResource {
  kind: 'unit';
  name: string;
  state: 'running' | 'stopped' | 'masked';
  enabled: boolean;
  /**
   * Files whose content the running process must have loaded. The unit stamps the hashes of what it loads (see
   * `templates/stamp.sh`), so a change that was written but not loaded, because pgs died in between, is still seen.
   */
  loads: string[];
  /** How a running unit takes a changed file in `loads`; a changed unit file is always a restart. `never`: leave it to another step. */
  onChange: 'reload' | 'restart' | 'never';
}

/** Something that must not be there. Removing a directory removes what is in it. */
export interface AbsentResource {
  kind: 'absent';
  what: 'path' | 'user' | 'unit';
  name: string;
  /** Data of a tenant goes with it: the step is destructive and is refused on unknown facts. */
  destructive: boolean;
}
