// What was found on one host, as data. `gatherHostFacts` asks, `parseHostFacts` reads the answer; both know only the
// names that the caller wants to compare.

export type HostFacts = ReachableHost | UnreachableHost;

export interface UnreachableHost {
  reachable: false;
  /** Why, in words for a person. Everything else about the host is unknown, never "absent". */
  why: string;
}

export interface ReachableHost {
  reachable: true;
  users: Record<string, UserFact>;
  paths: Record<string, PathFact>;
  units: Record<string, UnitFact>;
  /** TCP ports that something listens on, with the process that does where the kernel tells. */
  listening: ListeningPort[];
  memoryMiB: number;
  cores: number;
}

export type UserFact = { present: false } | { present: true; home: string };

export type PathFact =
  | { kind: 'absent' }
  | { kind: 'directory'; owner: string; group: string; mode: string; empty: boolean }
  | { kind: 'file'; owner: string; group: string; mode: string; sha256: string; content?: string }
  | { kind: 'other'; owner: string; group: string; mode: string };

export interface UnitFact {
  /** systemd's LoadState: loaded, not-found, masked, ... */
  load: string;
  /** systemd's ActiveState: active, inactive, failed, activating, ... */
  active: string;
  enabled: boolean;
  /** The unit file on disk is newer than what systemd has read. */
  needsDaemonReload: boolean;
  /** Seconds since the epoch, 0 when it never ran. */
  startedAtS: number;
  /** sha256 per path of what the running process has loaded, from the unit's stamp. */
  loaded: Record<string, string>;
}

export interface ListeningPort {
  address: string;
  port: number;
  process: string | null;
}
