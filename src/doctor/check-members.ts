// Checks of a tenant's members: Patroni, PostgreSQL's processes, who leads, fencing, poolers and routing. Pure.

import { haproxyUnit } from '../../haproxy/desired.js';
import { fenceUnit } from '../../watchdog/desired.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader, streamingReplicas, type MemberFact } from '../patroni/facts.js';
import { poolerUnit } from '../pgbouncer/desired.js';
import { resumeByHand } from '../pgbouncer/pause.js';
import type { MemberStatus } from '../reconcile/status.js';
import { pooledServices, type PlacedMember } from '../topology/cluster.js';
import type { Check, DoctorFacts, Found, Severity, TenantFacts } from './finding.js';
import { gib, inService, lookedAt, lookOf, onHost, onOperator } from './finding.js';
import type { HostLook, MemberLook } from './host-facts.js';
import { causeInLog, logsOf } from './log-cause.js';

const lagWarningBytes = 64 * 2 ** 20;
const patroniIssue = (n: number) => `patroni#${n}`;

/** A member of a tenant in service, whose host answered. */
interface Seen {
  t: TenantFacts;
  member: PlacedMember;
  name: string;
  host: string;
  look: HostLook;
  /** Null: the tenant has no user there. */
  own: MemberLook | null;
  /** Patroni's word, asked from the operator's machine. */
  rest: MemberFact | undefined;
  status: MemberStatus;
  /** At a member of a cluster that has another leader a loss is a warning. */
  severity: Severity;
}

type Judge = (seen: Seen) => Partial<Found>[];

export const memberChecks: Check[] = [
  {
    id: 'no-leader',
    looksFor: 'a cluster that nobody leads, and that therefore takes no writes',
    mends: 'the findings of its members; `pgs failover <tenant>` if no member comes back',
    reference: patroniIssue(2265),
    judge: (facts) =>
      inService(facts).flatMap((t) => {
        if (findLeader(t.patroni) !== null || leaders(t).length > 1) return [];
        const evidence = t.status.members.map((m) => `${m.name}: ${m.state}`).join('; ');
        const down = t.cluster.members.some(({ host }) => {
          const unit = lookOf(facts, host.name)?.units[patroniUnit(t.cluster.tenant)];
          return unit !== undefined && unit.active !== 'active';
        });
        const command = `pgs ${down ? 'apply' : 'failover'} ${t.cluster.tenant}`;
        return [ofTenant(t, 'critical', 'nobody leads', evidence, command)];
      }),
  },
  {
    id: 'two-writable',
    looksFor: 'two members whose PostgreSQL takes writes, or that both say that they lead',
    mends: 'stop Patroni where the leader’s key is not, then `pgs cluster reinit`',
    reference: 'pigsty#455',
    judge: (facts) => inService(facts).flatMap((t) => judgeTwoWritable(facts, t)),
  },
  {
    id: 'second-postmaster',
    looksFor: 'more than one postmaster of a tenant on a host',
    mends: 'end the one that Patroni does not know',
    reference: 'docs/architecture.md, Decisions (No PrivateIPC for Patroni)',
    judge: eachMember(({ t, own, name, host }) => {
      const postmasters = own?.postmasters ?? [];
      if (postmasters.length < 2) return [];
      const evidence = postmasters.map(({ pid, data }) => `process ${pid} with ${data}`).join(', ');
      const stray = postmasters.find(({ data }) => data !== t.cluster.paths.data) ?? postmasters.at(-1)!;
      return [
        {
          severity: 'critical',
          what: `${postmasters.length} postmasters of ${name} run`,
          evidence,
          mend: onHost(
            host,
            `ps -o pid,lstart,args -p ${postmasters.map((p) => p.pid).join(',')}; kill -INT ${stray.pid}`,
          ),
        },
      ];
    }),
  },
  {
    id: 'process-stopped',
    looksFor: 'a process of a tenant that was stopped (SIGSTOP): a stopped postmaster may never fail over',
    mends: '`kill -CONT`',
    reference: patroniIssue(1371),
    judge: eachMember(({ own, name, host }) => {
      const stopped = own?.stopped ?? [];
      if (stopped.length === 0) return [];
      const pids = stopped.map(({ pid }) => pid);
      return [
        {
          severity: 'critical',
          what: `${stopped.length} ${stopped.length > 1 ? 'processes' : 'process'} of ${name} ${stopped.length > 1 ? 'are' : 'is'} stopped, and answers nobody`,
          evidence: stopped.map(({ pid, command }) => `${command} (process ${pid}) in state T`).join(', '),
          mend: onHost(host, `kill -CONT ${pids.join(' ')}`),
        },
      ];
    }),
  },
  {
    id: 'member-down',
    looksFor: 'a member whose Patroni does not run',
    mends: '`pgs apply <tenant>`',
    reference: patroniIssue(2263),
    judge: eachMember(({ t, look, name, host, rest, own }) => {
      const unit = look.units[patroniUnit(t.cluster.tenant)];
      if (unit?.active === 'active') return [];
      const line = causeInLog(own?.log ?? [], { tenant: t.cluster.tenant, name, host })?.line;
      return [
        {
          what: `Patroni of ${name} does not run${own && own.postmasters.length > 0 ? ', and PostgreSQL does' : ''}`,
          evidence: `unit ${patroniUnit(t.cluster.tenant)} is ${unit?.active ?? 'not there'}${unit?.result && unit.result !== 'success' ? ` (${unit.result})` : ''}${line ? `; ${line}` : ''}`,
          mend: onOperator(`pgs apply ${t.cluster.tenant}`),
          ...(rest?.reachable ? { severity: 'warning' as const } : {}),
        },
      ];
    }),
  },
  {
    id: 'member-does-not-start',
    looksFor: 'a member whose Patroni runs and whose PostgreSQL does not',
    mends: 'what the log line asks for: a reinit, space, a port, a parameter',
    reference: patroniIssue(3648),
    judge: eachMember(({ t, look, rest, own, name, host }) => {
      if (look.units[patroniUnit(t.cluster.tenant)]?.active !== 'active' || !own || !rest?.reachable) return [];
      if (rest.role !== 'other') return [];
      const cause = causeInLog(own.log, { tenant: t.cluster.tenant, name, host });
      return [
        {
          what: `PostgreSQL of ${name} does not serve (${rest.state})${cause ? `: ${cause.why}` : ''}`,
          evidence:
            cause?.line ??
            own.log.at(-1) ??
            `unit ${patroniUnit(t.cluster.tenant)}: its journal of 15 minutes says nothing`,
          mend: cause?.mend ?? logsOf(t.cluster, name),
        },
      ];
    }),
  },
  {
    id: 'replica-does-not-follow',
    looksFor:
      'a replica that runs and does not stream from its leader: a stuck pg_rewind, WAL that is gone, another timeline',
    mends: '`pgs cluster reinit <tenant> --member <member>`, when it does not catch up',
    reference: patroniIssue(3648),
    judge: eachMember(({ t, rest, own, name, host }) => {
      const leader = findLeader(t.patroni);
      if (!rest?.reachable || rest.role !== 'replica' || leader === null) return [];
      if (rest.streaming && rest.timeline === leader.fact.timeline) return [];
      const cause = causeInLog(own?.log ?? [], { tenant: t.cluster.tenant, name, host });
      return [
        {
          what: `${name} does not follow ${leader.name}${cause ? `: ${cause.why}` : ''}`,
          evidence:
            cause?.line ??
            `it is ${rest.state} on timeline ${rest.timeline}, ${leader.name} on ${leader.fact.timeline}`,
          mend: cause?.mend ?? onOperator(`pgs cluster reinit ${t.cluster.tenant} --member ${name}`),
        },
      ];
    }),
  },
  {
    id: 'replica-lags',
    looksFor: 'a replica that streams and is more than 64 MiB behind',
    mends: 'the disk or network of its host',
    reference: 'README.md, Services',
    judge: eachMember(({ status, name, host, t }) => {
      if (status.state !== 'streaming' || (status.lagBytes ?? 0) < lagWarningBytes) return [];
      return [
        {
          severity: 'warning',
          what: `${name} is ${gib(status.lagBytes!)} behind`,
          evidence: `replayed position of ${name}, beside its leader's`,
          mend: onHost(
            host,
            `journalctl -u '${patroniUnit(t.cluster.tenant)}' -n 50 --no-pager; cat /proc/pressure/io`,
          ),
        },
      ];
    }),
  },
  {
    id: 'rest-unreachable',
    looksFor:
      'a Patroni that does not answer while its PostgreSQL runs: HAProxy drops such a leader in time, and nobody fails over',
    mends: 'what keeps it from answering: a firewall rule, a hung process',
    reference: patroniIssue(2263),
    judge: eachMember(({ t, look, rest, own, name, host }) => {
      const active = look.units[patroniUnit(t.cluster.tenant)]?.active === 'active';
      if (!active || !own || own.postmasters.length === 0 || rest?.reachable !== false) return [];
      if (own.stopped.some(({ pid }) => own.patroni.some((p) => p.pid === pid))) return [];
      return [
        {
          what: `Patroni of ${name} does not answer, and its PostgreSQL runs`,
          evidence: `${rest.why}; port ${t.cluster.ports.rest}, process ${own.patroni.map((p) => p.pid).join(', ') || '(none)'}`,
          mend: onHost(host, `nft list ruleset; journalctl -u '${patroniUnit(t.cluster.tenant)}' -n 30 --no-pager`),
        },
      ];
    }),
  },
  {
    id: 'foreign-data',
    looksFor: "a member whose data is of another cluster than etcd's key says, or a cluster without that key",
    mends: '`pgs cluster reinit`; for a missing key, `pgs cluster restart`',
    reference: 'autobase#283',
    judge: (facts) => inService(facts).flatMap((t) => judgeIdentifiers(facts, t)),
  },
  {
    id: 'rpo-suspended',
    looksFor: 'RPO 0 without a standby that commits wait for: what is acknowledged has one copy, or writes wait',
    mends: 'the findings of the replicas',
    reference: 'README.md, What is promised',
    judge: (facts) =>
      inService(facts).flatMap((t) => {
        const { verdict } = t.status.rpo;
        if (verdict !== 'suspended' && verdict !== 'waiting') return [];
        const what = verdict === 'suspended' ? 'acknowledged commits have one copy' : 'writes wait: no standby is left';
        const evidence = `none of ${t.cluster.members.length - 1} replicas streams and is synchronous`;
        return [ofTenant(t, 'critical', what, evidence, `pgs apply ${t.cluster.tenant}`)];
      }),
  },
  {
    id: 'fencing-service-down',
    looksFor: 'the fencing service of a host that does not run',
    mends: '`pgs apply <tenant>`',
    reference: 'docs/architecture.md, Fencing',
    judge: eachMember(({ t, look, status }) => {
      if (status.fencing.mode === 'off' || status.fencing.mechanism !== 'pipe') return [];
      const unit = look.units[fenceUnit];
      if (unit?.active === 'active') return [];
      return [
        {
          severity: 'critical',
          what: 'the fencing service does not run: an old leader that hangs is not killed',
          evidence: `unit ${fenceUnit} is ${unit?.active ?? 'not there'}`,
          mend: onOperator(`pgs apply ${t.cluster.tenant}`),
        },
      ];
    }),
  },
  {
    id: 'watchdog-unarmed',
    looksFor:
      'a member that is not fenced though its spec wants it: a device that is lost or held by somebody else, a leader that has not armed',
    mends: 'what `pgs watchdog status` says: `pgs apply` or `pgs host prepare`',
    reference: patroniIssue(2296),
    judge: eachMember(({ t, look, status: { fencing, role }, host }) => {
      const { mode, verdict, reason, fix, device } = fencing;
      // A pause releases the watchdog, and has a finding of its own.
      if (mode === 'off' || verdict !== 'not fenced' || t.status.paused) return [];
      if (fencing.mechanism === 'pipe' && look.units[fenceUnit]?.active !== 'active') return [];
      // `automatic` accepts a machine without any watchdog.
      if (mode === 'automatic' && device === null && fix === null && (role !== 'leader' || fencing.armed)) return [];
      const command = fix?.includes('host prepare') ? `pgs host prepare ${host}` : `pgs apply ${t.cluster.tenant}`;
      return [
        {
          severity: mode === 'required' ? 'critical' : 'warning',
          what: `not fenced: ${reason}`,
          evidence: `watchdog ${device ?? '(none)'}, armed: ${fencing.armed === null ? 'not known' : fencing.armed ? 'yes' : 'no'}`,
          mend: onOperator(command),
        },
      ];
    }),
  },
  {
    id: 'pooler-down',
    looksFor: 'a pooler that does not run',
    mends: '`pgs apply <tenant>`',
    reference: 'autobase#539',
    judge: eachMember(({ t, look, name }) => {
      if (t.cluster.spec.pool === 'off') return [];
      return pooledServices.flatMap((service) => {
        const unit = poolerUnit(t.cluster.tenant, service);
        const active = look.units[unit]?.active;
        if (active === 'active') return [];
        return [
          {
            severity: 'warning' as const,
            what: `the pooler of ${service} beside ${name} does not run`,
            evidence: `unit ${unit} is ${active ?? 'not there'}${look.units[unit] ? `, restarted ${look.units[unit].restarts} times` : ''}`,
            mend: onOperator(`pgs apply ${t.cluster.tenant}`),
          },
        ];
      });
    }),
  },
  {
    id: 'pooler-paused',
    looksFor: 'a pooler that holds its clients, with or without the timer that lets them go',
    mends: 'RESUME on its host; with a timer, eight seconds',
    reference: 'docs/architecture.md, How a leader is changed',
    judge: eachMember(({ t, look, own, name, host }) => {
      if (own?.poolerPaused !== true) return [];
      const timers = look.faults.resumeTimers.filter((timer) => timer.endsWith(`@${t.cluster.tenant}.timer`));
      return [
        {
          severity: timers.length > 0 ? 'warning' : 'critical',
          what: `the pooler beside ${name} is paused: clients of primary wait`,
          evidence: `SHOW STATE says paused; ${timers.length > 0 ? `${timers.join(', ')} lets them go` : 'no timer is armed that would let them go'}`,
          mend: onHost(host, resumeByHand(t.cluster)),
        },
      ];
    }),
  },
  {
    id: 'haproxy-down',
    looksFor: 'a host whose HAProxy does not run: clients that name it first wait or go elsewhere',
    mends: '`pgs apply <tenant>`',
    reference: 'README.md, Services',
    judge: (facts) => {
      const tenant = inService(facts)[0]?.cluster.tenant;
      if (tenant === undefined) return [];
      return lookedAt(facts).flatMap(([host, { units }]): Found[] => {
        const active = units[haproxyUnit]?.active;
        if (active === 'active') return [];
        const evidence = `unit ${haproxyUnit} is ${active ?? 'not there'}`;
        const mend = onOperator(`pgs apply ${tenant}`);
        return [{ host, tenant: null, severity: 'critical', what: `HAProxy does not run on ${host}`, evidence, mend }];
      });
    },
  },
  {
    id: 'haproxy-stale',
    looksFor: 'an HAProxy that has not loaded the files that are there (its stamp is old)',
    mends: '`pgs apply <tenant>`',
    reference: 'docs/architecture.md, How a change happens (Stamps)',
    judge: (facts) =>
      inService(facts).flatMap((t) =>
        t.plan.steps.flatMap(({ action, host, reason }): Found[] => {
          if (action.kind !== 'unit' || action.unit !== haproxyUnit || action.verb === 'start') return [];
          return [
            {
              ...ofTenant(
                t,
                'warning',
                `HAProxy on ${host} runs with old files`,
                reason,
                `pgs apply ${t.cluster.tenant}`,
              ),
              host,
            },
          ];
        }),
      ),
  },
];

function ofTenant(t: TenantFacts, severity: Severity, what: string, evidence: string, command: string): Found {
  return { tenant: t.cluster.tenant, host: null, severity, what, evidence, mend: onOperator(command) };
}

/** Runs a check for every member of every tenant in service whose host answered. */
function eachMember(judge: Judge): Check['judge'] {
  return (facts) =>
    inService(facts).flatMap((t) =>
      t.cluster.members.flatMap((member, i): Found[] => {
        const look = lookOf(facts, member.host.name);
        if (look === null) return [];
        const leader = findLeader(t.patroni)?.name;
        const severity: Severity = leader === undefined || leader === member.name ? 'critical' : 'warning';
        const seen: Seen = {
          t,
          member,
          name: member.name,
          host: member.host.name,
          look,
          own: look.tenants[t.cluster.tenant] ?? null,
          rest: t.patroni.members[member.name],
          status: t.status.members[i]!,
          severity,
        };
        return judge(seen).map((found) => complete(seen, found));
      }),
    );
}

function complete({ t, name, host, severity }: Seen, found: Partial<Found>): Found {
  const mend = logsOf(t.cluster, name);
  return { tenant: t.cluster.tenant, host, severity, what: '', evidence: '', mend, ...found };
}

function leaders({ patroni }: TenantFacts): string[] {
  return Object.entries(patroni.members).flatMap(([name, m]) => (m.reachable && m.role === 'leader' ? [name] : []));
}

function judgeTwoWritable(facts: DoctorFacts, t: TenantFacts): Found[] {
  const writable = t.cluster.members.filter(
    ({ name, host }) =>
      lookOf(facts, host.name)?.tenants[t.cluster.tenant]?.sql?.inRecovery === false || leaders(t).includes(name),
  );
  if (writable.length < 2) return [];
  const keeps = leaders(t).find(
    (name) => streamingReplicas(t.patroni).length > 0 && name === findLeader(t.patroni)?.name,
  );
  const other = writable.find(({ name }) => name !== (keeps ?? t.status.leader ?? leaders(t)[0])) ?? writable[1]!;
  const unit = patroniUnit(t.cluster.tenant);
  return [
    {
      tenant: t.cluster.tenant,
      host: other.host.name,
      severity: 'critical',
      what: `${writable.map((m) => m.name).join(' and ')} take writes at the same time`,
      evidence: `pg_is_in_recovery() is false on ${writable.map((m) => m.host.name).join(' and ')}; ${keeps ?? 'nobody'} holds the leader's key`,
      mend: onHost(
        other.host.name,
        `systemctl stop '${unit}' && pkill -INT -u ${t.cluster.osUser} -x postgres --oldest`,
      ),
    },
  ];
}

function judgeIdentifiers(facts: DoctorFacts, t: TenantFacts): Found[] {
  const { tenant } = t.cluster;
  const key = `/pgs/dcs/${tenant}/initialize`;
  if (t.initialize === null) {
    if (findLeader(t.patroni) === null) return [];
    const what = 'etcd does not say which cluster this is: a member with other data could take it over';
    return [ofTenant(t, 'critical', what, `key ${key} is not there`, `pgs cluster restart ${tenant}`)];
  }
  return t.cluster.members.flatMap(({ name, host }): Found[] => {
    const found = lookOf(facts, host.name)?.tenants[tenant]?.systemId ?? null;
    if (found === null || found === t.initialize) return [];
    return [
      {
        tenant,
        host: host.name,
        severity: 'critical',
        what: `the data of ${name} is that of another cluster`,
        evidence: `system identifier ${found}; key ${key} says ${t.initialize}`,
        mend: onOperator(`pgs cluster reinit ${tenant} --member ${name}`),
      },
    ];
  });
}
