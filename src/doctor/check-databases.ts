// Checks of what each member's PostgreSQL says of itself: slots, archiving, transactions, wraparound. Pure.

import { findLeader } from '../patroni/facts.js';
import type { Check, DoctorFacts, Found, TenantFacts } from './finding.js';
import { gib, inService, lookOf, onHost, onOperator } from './finding.js';
import type { MemberSql } from './host-facts.js';

/** WAL that a slot may keep: less for one that nobody uses. */
const slotLimitsBytes = { inactive: 256 * 2 ** 20, active: 2 ** 30 };
/** PostgreSQL stops taking writes at 2^31 less 3 million; autovacuum begins to force a freeze at 200 million. */
const xidLimits = { warning: 600_000_000, critical: 1_500_000_000 };
const transactionLimitsS = { idle: 600, any: 3600 };
const connectionsShare = 0.9;

export const databaseChecks: Check[] = [
  {
    id: 'slot-holds-wal',
    looksFor:
      'a replication slot that keeps more than 256 MiB of WAL with nobody at it, more than 1 GiB with somebody, or that is lost',
    mends: 'whoever uses it back; else `pg_drop_replication_slot`',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql, name, host, leads }) =>
      sql.slots.flatMap((slot): Found[] => {
        const limit = slot.active ? slotLimitsBytes.active : slotLimitsBytes.inactive;
        const lost = slot.walStatus === 'lost' || slot.walStatus === 'unreserved';
        // Slots of other members are kept on replicas too, where they are moved on by Patroni.
        if ((slot.heldBytes < limit && !lost) || (!leads && slot.type === 'physical' && !lost)) return [];
        const owner = t.cluster.members.find((m) => m.name.replaceAll('-', '_') === slot.name);
        const { tenant } = t.cluster;
        const drop = `pgs cluster psql ${tenant} --superuser --command "SELECT pg_drop_replication_slot('${slot.name}')"`;
        return [
          {
            tenant,
            host,
            severity: slot.heldBytes > 8 * limit || lost ? 'critical' : 'warning',
            what: `slot ${slot.name} of ${name} keeps ${gib(slot.heldBytes)} of WAL${slot.active ? '' : ', and nobody uses it'}`,
            evidence: `pg_replication_slots: restart_lsn ${slot.restartLsn}, wal_status ${slot.walStatus}`,
            mend: onOperator(owner ? `pgs apply ${tenant}` : drop),
          },
        ];
      }),
    ),
  },
  {
    id: 'archive-fails',
    looksFor: 'WAL that cannot be archived, and that therefore piles up',
    mends: '`archive_command` or the place that it writes to',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { archiver }, name, host, leads }) => {
      if (archiver.mode === 'off' || !archiver.failing || (!leads && archiver.mode !== 'always')) return [];
      return [
        {
          tenant: t.cluster.tenant,
          host,
          severity: 'critical',
          what: `${name} cannot archive its WAL`,
          evidence: `pg_stat_archiver: ${archiver.failedCount} failures, the last of ${archiver.lastFailedWal} at ${archiver.lastFailedAt}`,
          mend: onHost(
            host,
            `journalctl -u 'pgs-patroni@${t.cluster.tenant}.service' --grep 'archive' -n 20 --no-pager`,
          ),
        },
      ];
    }),
  },
  {
    id: 'wraparound',
    looksFor: 'a database whose oldest transaction id is 600 million behind (critical: 1500 million)',
    mends: '`VACUUM (FREEZE)`, after what holds it back',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { databases }, host, leads }) =>
      databases.flatMap((d): Found[] => {
        const age = Math.max(d.xidAge, d.multixactAge);
        if (!leads || age < xidLimits.warning) return [];
        return [
          {
            tenant: t.cluster.tenant,
            host,
            severity: age > xidLimits.critical ? 'critical' : 'warning',
            what: `database ${d.name} is ${Math.round(age / 1e6)} million transactions from its last freeze; it stops at 2100 million`,
            evidence: `age(datfrozenxid) ${d.xidAge}, mxid_age(datminmxid) ${d.multixactAge}`,
            mend: onOperator(`pgs cluster psql ${t.cluster.tenant} --superuser --command 'VACUUM (FREEZE)'`),
          },
        ];
      }),
    ),
  },
  {
    id: 'long-transaction',
    looksFor: 'a transaction that is open for an hour, or idle in it for ten minutes: nothing is cleaned up behind it',
    mends: '`pg_terminate_backend`',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { transactions }, name, host }) =>
      transactions
        .filter(
          (x) =>
            x.ageS > (x.state?.startsWith('idle in transaction') ? transactionLimitsS.idle : transactionLimitsS.any),
        )
        .map((x) => ({
          tenant: t.cluster.tenant,
          host,
          severity: 'warning' as const,
          what: `a transaction on ${name} is open for ${Math.round(x.ageS / 60)} minutes (${x.state})`,
          evidence: `pg_stat_activity: pid ${x.pid}, user ${x.user}, database ${x.database}, application ${x.application || '(none)'}`,
          mend: sqlOn(t, host, `SELECT pg_terminate_backend(${x.pid})`),
        })),
    ),
  },
  {
    id: 'prepared-transaction',
    looksFor: 'a prepared transaction that nobody ends',
    mends: '`COMMIT PREPARED` or `ROLLBACK PREPARED`, whichever its application means',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { prepared }, name, host, leads }) =>
      prepared
        .filter((x) => leads && x.ageS > transactionLimitsS.any)
        .map((x) => ({
          tenant: t.cluster.tenant,
          host,
          severity: 'warning' as const,
          what: `prepared transaction ${x.gid} on ${name} waits for ${Math.round(x.ageS / 60)} minutes`,
          evidence: `pg_prepared_xacts: database ${x.database}`,
          mend: onOperator(
            `pgs cluster psql ${t.cluster.tenant} --superuser --command "ROLLBACK PREPARED '${x.gid.replaceAll("'", "''")}'"`,
          ),
        })),
    ),
  },
  {
    id: 'checksum-failure',
    looksFor: 'pages whose checksum is wrong: the disk gave back something else than was written',
    mends: '`pgs cluster reinit` of a replica; of a leader after a switchover',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { checksumFailures }, name, host, leads }) => {
      if (checksumFailures === 0) return [];
      const { tenant } = t.cluster;
      return [
        {
          tenant,
          host,
          severity: 'critical',
          what: `${name} has read ${checksumFailures} damaged pages`,
          evidence: 'pg_stat_database.checksum_failures',
          mend: onOperator(leads ? `pgs switchover ${tenant}` : `pgs cluster reinit ${tenant} --member ${name}`),
        },
      ];
    }),
  },
  {
    id: 'connections-exhausted',
    looksFor: 'a server with nine of ten of its connections taken',
    mends: '`pgs cluster set <tenant> max_connections=…`, or fewer clients of `direct`',
    reference: 'README.md, What is wrong',
    judge: eachServer(({ t, sql: { connections, connectionsMax }, name, host }) => {
      if (connections < connectionsMax * connectionsShare) return [];
      return [
        {
          tenant: t.cluster.tenant,
          host,
          severity: 'warning',
          what: `${name} has ${connections} of ${connectionsMax} connections taken`,
          evidence: 'pg_stat_activity, client backends',
          mend: onOperator(`pgs cluster set ${t.cluster.tenant} max_connections=${2 * connectionsMax}`),
        },
      ];
    }),
  },
];

interface Server {
  t: TenantFacts;
  name: string;
  host: string;
  sql: MemberSql;
  leads: boolean;
}

/** Every member whose PostgreSQL answered; that one does not is what other checks tell. */
function eachServer(judge: (server: Server) => Found[]): Check['judge'] {
  return (facts: DoctorFacts) =>
    inService(facts).flatMap((t) =>
      t.cluster.members.flatMap(({ name, host }) => {
        const sql = lookOf(facts, host.name)?.tenants[t.cluster.tenant]?.sql;
        if (!sql) return [];
        return judge({ t, name, host: host.name, sql, leads: findLeader(t.patroni)?.name === name });
      }),
    );
}

function sqlOn({ cluster }: TenantFacts, host: string, sql: string) {
  const { osUser, paths, ports } = cluster;
  return onHost(
    host,
    `runuser -u ${osUser} -- psql -h ${paths.run} -p ${ports.postgres} -U postgres -d postgres -c '${sql}'`,
  );
}
