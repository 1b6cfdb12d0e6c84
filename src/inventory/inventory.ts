// The fleet as pgs.yaml describes it, after validation. `loadInventory` (load.ts) makes it; nothing else reads the file.

import type { RtoPreset } from '../topology/presets.js';
import type { TenantSpec } from '../topology/tenant.js';

export interface Inventory {
  /** Absolute path of pgs.yaml. */
  path: string;
  /** Directory beside it for what belongs to the operator: keys, known hosts, CA certificates. `<dir of pgs.yaml>/.pgs` */
  stateDir: string;
  /** Name of the fleet, a DNS label. */
  fleet: string;
  /** Tenants are `<tenant>.<domain>` in certificates. */
  domain: string;
  hosts: Host[];
  ssh: SshSettings;
  packages: 'distribution' | 'pgdg';
  /** Range from which tenants' ports come, both ends included. Each tenant takes a block of ten. */
  ports: { from: number; to: number };
  etcd: FleetEtcd | ExternalEtcd;
  door: FrontDoor;
  notify: Notify;
  drills: { backup: BackupCheck | null };
  /** What the daemon does about units that do not run: `report` says it, `start-units` starts them too. Default: report. */
  watch?: 'off' | 'report' | 'start-units' | undefined;
  defaults: Pick<TenantSpec, 'rpoBytes' | 'durability' | 'watchdog' | 'access'> & {
    rto: RtoPreset;
    postgres: number | null;
  };
}

/** Where all tenants are reached by name, on every host. */
export interface FrontDoor {
  port: number;
  /** Given by the operator for the names of all tenants; without one each tenant's CA issues its own. */
  certificate?: GivenCertificate | undefined;
  /** The same for single tenants. */
  tenants?: Record<string, GivenCertificate> | undefined;
}

/** Absolute paths of PEM files; the first with its chain. */
export interface GivenCertificate {
  certPath: string;
  keyPath: string;
  /** By which clients verify it; null: what their system trusts. */
  caPath: string | null;
}

/** Who is told when a drill went wrong. */
export interface Notify {
  /** POSTed to. May be a secret, and is never shown. */
  webhook: string | null;
  /** File that holds the URL instead. */
  webhookPath: string | null;
  /** Argument list; gets JSON on its standard input. */
  command: string[] | null;
}

/** Drills wait for a young enough backup where this is set. */
export interface BackupCheck {
  /** Argument list; called with the tenant's name as the last one, prints when the last backup ended (ISO 8601, or seconds since 1970). */
  command: string[];
  maxAgeMs: number;
}

export interface Host {
  /** DNS label, unique in the fleet. */
  name: string;
  /** IP address by which the operator, the other hosts and the clients reach it. */
  address: string;
  /** Failure domain; members of a tenant are placed in different zones where possible. Default: the host's own name. */
  zone: string;
  /**
   * `shared`: the host's fencing service guards every tenant's members, and systemd holds the kernel's watchdog. `device`: the only
   * tenant of the host holds it itself. Default: shared.
   */
  fencing?: 'shared' | 'device' | undefined;
}

export interface SshSettings {
  /** root, or a user that may use sudo without a password. */
  user: string;
  port: number;
  /** Private key file, absolute; null: the agent at SSH_AUTH_SOCK. */
  keyPath: string | null;
  /** OpenSSH known_hosts file, absolute; default `<stateDir>/known_hosts`. */
  knownHostsPath: string;
}

/** etcd that pgs runs on three (or five) hosts of the fleet. */
export interface FleetEtcd {
  kind: 'fleet';
  /** Names of hosts. */
  members: string[];
  clientPort: number;
  peerPort: number;
}

/** An etcd that somebody else runs, with authentication on. */
export interface ExternalEtcd {
  kind: 'external';
  /** `https://host:port` */
  endpoints: string[];
  caPath: string;
  certPath: string | null;
  keyPath: string | null;
  /** A user with the root role: pgs makes a user and a role per tenant. */
  user: string;
  /** File that holds the password, 0600. */
  passwordPath: string;
}
