// The first pgs.yaml of a fleet, with comments that say what can be changed. Later changes go through `edit.ts`.

import { stringify } from 'yaml';
import type { Host, Inventory } from './inventory.js';

export interface NewInventory {
  fleet: string;
  domain?: string;
  /** None: examples in comments are written instead, for the operator to fill in. */
  hosts: (Pick<Host, 'name' | 'address'> & { zone?: string })[];
  ssh?: { user?: string; port?: number; key?: string; knownHosts?: string };
  packages?: Inventory['packages'];
  defaults?: Partial<Inventory['defaults']>;
  notes?: {
    /** Why `defaults.watchdog` is what it is, as a comment above it. */
    watchdog?: string;
  };
}

export function renderInventory(wanted: NewInventory): string {
  const { ssh = {}, defaults = {}, notes = {} } = wanted;
  return `# The fleet: the machines on which pgs runs PostgreSQL clusters. Keep this file in version control.
# \`pgs host check\` says what is fit and what is not.
fleet: ${scalar(wanted.fleet)}
# Tenants are <tenant>.<domain> in certificates; clients that resolve these names to the hosts can verify them.
${setOr(wanted.domain, 'domain', `${wanted.fleet}.internal`)}
# Name, IP address (from everywhere the same), and zone: what fails together. Members of a cluster go to different zones.
${renderHosts(wanted.hosts)}
ssh:
  # root, or a user that may use sudo without a password.
  user: ${scalar(ssh.user ?? 'root')}
  ${setOr(ssh.port, 'port', 22)}
  # Private key; without this line the keys of the ssh agent are used.
  ${setOr(ssh.key, 'key', '~/.ssh/id_ed25519')}
  ${setOr(ssh.knownHosts, 'known_hosts', '.pgs/known_hosts')}

# Where PostgreSQL, Patroni and etcd come from: the Debian release itself, or apt.postgresql.org.
packages: ${scalar(wanted.packages ?? 'distribution')}

# Each tenant takes a block of ten ports, the same on every host. Below 32768, where Linux's own choices begin.
ports: { from: 20000, to: 29999 }

# The front door: on every host, every tenant by its name, as <tenant>.<domain>.
door:
  port: 5432
  # A certificate for *.<domain>, with its chain; without it each tenant's own CA issues one.
  # certificate: { cert: door.crt, key: door.key }

etcd:
  # Three or five of the hosts; without this line the first three.
  # members: [${exampleNames(wanted.hosts)}]
  client_port: 2379
  peer_port: 2380
  # Or one that somebody else runs, with authentication on, instead of all of the above:
  # external: { endpoints: ["https://10.0.0.1:2379"], ca: etcd-ca.crt, user: root, password_file: etcd-password }

# What \`pgs cluster create\` takes where nothing else is said.
defaults:
  # PostgreSQL's major version; without this line the one that the packages have.
  ${setOr(defaults.postgres ?? undefined, 'postgres', 17)}
  # fast, norm, safe or wide: how long writes may stop at a failure, against how much network trouble is ridden out.
  rto: ${scalar(defaults.rto ?? 'norm')}
  # Bytes of acknowledged WAL that may be lost. 0 is synchronous replication.
  rpo: ${scalar(defaults.rpoBytes ?? 0)}
  # available: with every standby gone, writes go on with one copy. strict: they wait.
  durability: ${scalar(defaults.durability ?? 'available')}
${comment(notes.watchdog ?? 'required: only a leader with an armed watchdog takes writes. automatic: one where there is a device. off: an old leader that hangs is NOT FENCED.')}
  watchdog: ${scalar(defaults.watchdog ?? 'required')}
  # Who may come through the front door, in networks; without this line nobody, until \`pgs access enable\`.
  # access: { enabled: true, from: [10.0.0.0/8] }

# Who is told when a scheduled drill goes wrong: a URL that is POSTed to, or a command that gets JSON on its standard input.
# notify: { webhook_file: .pgs/webhook-url, command: [/usr/local/bin/page, dba] }

# Drills only with a young backup; the command gets the tenant's name and prints when its last backup ended.
# drills: { backup: { command: [/usr/local/bin/last-backup], max_age_hours: 26 } }

# What the daemon does about units that do not run: off, report (the default), or start-units.
# watch: { repair: start-units }
`;
}

function renderHosts(hosts: NewInventory['hosts']): string {
  if (hosts.length === 0) {
    return `# At least three: take the marks away and put yours in.
hosts:
#  h1: { address: 10.0.0.11, zone: rack-1 }
#  h2: { address: 10.0.0.12, zone: rack-2 }
#  h3: { address: 10.0.0.13, zone: rack-3 }`;
  }
  const lines = hosts.map(({ name, address, zone }) => {
    const place = zone === undefined ? '' : `, zone: ${scalar(zone)}`;
    return `  ${scalar(name)}: { address: ${scalar(address)}${place} }`;
  });
  return ['hosts:', ...lines].join('\n');
}

function exampleNames(hosts: NewInventory['hosts']): string {
  return (hosts.length >= 3 ? hosts.slice(0, 3).map((host) => scalar(host.name)) : ['h1', 'h2', 'h3']).join(', ');
}

/** `key: value`, or the same with an example in a comment. */
function setOr(value: string | number | undefined, key: string, example: string | number): string {
  return value === undefined ? `# ${key}: ${scalar(example)}` : `${key}: ${scalar(value)}`;
}

/** Wrapped at words; a comment can hold no line break, so no text can become YAML. */
function comment(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length > 110) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map((line) => `  # ${line}`).join('\n');
}

/** Plain where YAML reads it back as the same text inside a flow mapping too, else quoted; JSON's quotes are YAML's. */
function scalar(value: string | number): string {
  if (typeof value === 'number') return String(value);
  return /^[\w~./-]+$/.test(value) && stringify(value, { lineWidth: 0 }).trimEnd() === value
    ? value
    : JSON.stringify(value);
}
