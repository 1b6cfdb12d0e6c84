// Why a member does not serve, from the telling lines of its journal. Pure.

import type { Cluster } from '../topology/cluster.js';
import type { Mend } from './finding.js';
import { onHost, onOperator } from './finding.js';

export interface LogCause {
  /** In words. */
  why: string;
  /** The line that says it. */
  line: string;
  mend: Mend;
}

interface Known {
  pattern: RegExp;
  why: string;
  mend: (member: { tenant: string; name: string; host: string }, line: string) => Mend;
}

const reinit: Known['mend'] = ({ tenant, name }) => onOperator(`pgs cluster reinit ${tenant} --member ${name}`);

/** The first that fits the newest line that any fits; what comes below may follow from what stands above. */
const known: Known[] = [
  {
    pattern: /No space left on device/,
    why: 'its disk is full',
    mend: ({ tenant, host }) => onHost(host, `du -xam /var/lib/pgs/${tenant} | sort -n | tail -n 20`),
  },
  {
    pattern: /pg_rewind.*(error|fatal|failed|could not)|Failed to rewind|rewind.*(exit code|failed)/i,
    why: 'pg_rewind fails: it cannot find its way back to the leader',
    mend: reinit,
  },
  {
    pattern: /requested WAL segment \S+ has already been removed/,
    why: 'the leader has no longer the WAL that it needs',
    mend: reinit,
  },
  {
    pattern: /system ID mismatch|database system identifier differs/,
    why: 'its data is that of another cluster',
    mend: reinit,
  },
  {
    pattern:
      /could not locate a valid checkpoint record|invalid (primary )?checkpoint|incorrect checksum in control file|could not open file "(pg_|global|base)|could not read (block|file)|invalid page/,
    why: 'its data is damaged',
    mend: reinit,
  },
  {
    pattern: /could not bind .*|[Aa]ddress already in use/,
    why: 'something else listens on its port',
    mend: ({ host }) => onHost(host, 'ss -ltnp'),
  },
  {
    pattern:
      /unrecognized configuration parameter "([^"]+)"|invalid value for parameter "([^"]+)"|parameter "([^"]+)" requires/,
    why: 'a parameter is not one that this PostgreSQL takes',
    mend: ({ tenant }, line) => onOperator(`pgs cluster set ${tenant} ${/"([^"]+)"/.exec(line)?.[1] ?? 'name'}=`),
  },
  {
    pattern: /insufficient parameter settings/,
    why: 'a parameter is lower than its leader had',
    mend: ({ tenant }) => onOperator(`pgs apply ${tenant}`),
  },
  {
    pattern:
      /could not (open|access|read|create|write) (file|directory)|Permission denied|data directory .* has (wrong ownership|invalid permissions)/,
    why: 'it cannot read or write its files',
    mend: ({ tenant }) => onOperator(`pgs apply ${tenant}`),
  },
  {
    pattern: /[Ww]atchdog .*(not|fail|could)|could not activate .*watchdog/,
    why: 'it cannot arm its watchdog',
    mend: ({ tenant }) => onOperator(`pgs apply ${tenant}`),
  },
];

/** Null: no line tells. The newest line counts. */
export function causeInLog(log: string[], member: { tenant: string; name: string; host: string }): LogCause | null {
  for (const line of [...log].reverse()) {
    const cause = known.find(({ pattern }) => pattern.test(line));
    if (cause) return { why: cause.why, line, mend: cause.mend(member, line) };
  }
  return null;
}

/** What an operator types to see more of a member. */
export function logsOf({ tenant }: Pick<Cluster, 'tenant'>, member: string): Mend {
  return onOperator(`pgs cluster logs ${tenant} --member ${member}`);
}
