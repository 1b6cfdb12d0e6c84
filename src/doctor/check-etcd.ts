// Checks of the fleet's etcd. Pure.

import { etcdConfigFile, etcdLogin, etcdTls } from '../etcd/desired.js';
import { quorumOf } from '../etcd/facts.js';
import { brokenEtcdPair } from '../host/packages.js';
import type { Check, DoctorFacts, Found, Mend } from './finding.js';
import { onHost, onOperator } from './finding.js';

const dbWarningBytes = 1.5 * 1024 ** 3;
const certificateDaysMin = 30;
const dayMs = 24 * 3600 * 1000;
const reference = 'docs/architecture.md, State';

export const etcdChecks: Check[] = [
  {
    id: 'etcd-quorum-lost',
    looksFor: 'etcd without a majority: nothing can be changed, and leaders stay only by failsafe mode',
    mends: '`pgs dcs create` starts what does not run',
    reference,
    judge: ({ etcd }) => {
      const { state, seen } = quorumOf(etcd.members);
      if (state !== 'lost') return [];
      return [
        {
          ...fleet,
          severity: 'critical',
          what: 'etcd has no quorum',
          evidence: seen,
          mend: onOperator('pgs dcs create'),
        },
      ];
    },
  },
  {
    id: 'etcd-member-down',
    looksFor: 'a member of etcd that does not answer or knows no leader, while the others go on',
    mends: '`pgs dcs create`',
    reference,
    judge: judgeMembers,
  },
  {
    id: 'etcd-members-differ',
    looksFor: 'etcd with other members than pgs.yaml names: one too many after an add, or one that is gone for good',
    mends: '`etcdctl member remove`, or the member back in pgs.yaml',
    reference: 'patroni#2625',
    judge: judgeMembership,
  },
  {
    id: 'etcd-alarm',
    looksFor: 'an alarm of etcd: NOSPACE (no writes) or CORRUPT (members differ)',
    mends: 'compact, defragment and disarm; for CORRUPT compare first',
    reference,
    judge: judgeAlarms,
  },
  {
    id: 'etcd-grows',
    looksFor: 'an etcd database at three quarters of its quota',
    mends: '`etcdctl defrag`',
    reference,
    judge: (facts) =>
      facts.etcd.members.flatMap((m): Found[] => {
        if (!m.answers || m.dbSizeBytes < dbWarningBytes || m.alarms.length > 0) return [];
        const what = `etcd on ${m.name} uses ${Math.round(m.dbSizeBytes / 2 ** 20)} of 2048 MiB`;
        const evidence = `in use of that: ${Math.round(m.dbInUseBytes / 2 ** 20)} MiB`;
        return [{ tenant: null, host: m.name, severity: 'warning', what, evidence, mend: freeSpace(facts, m.name) }];
      }),
  },
  {
    id: 'etcd-authentication-off',
    looksFor: 'etcd without authentication: every client certificate of the fleet opens every key',
    mends: '`pgs dcs create`',
    reference: 'docs/architecture.md, Trust',
    judge: ({ etcd, fleet: { etcd: kind } }) =>
      etcd.authentication === 'off' && kind.kind === 'fleet'
        ? [
            {
              ...fleet,
              severity: 'critical',
              what: "etcd's authentication is off",
              evidence: 'etcd says so (auth status)',
              mend: onOperator('pgs dcs create'),
            },
          ]
        : [],
  },
  {
    id: 'etcd-certificate-ends',
    looksFor: 'a certificate of etcd with fewer than 30 days',
    mends: '`pgs dcs create` renews it',
    reference: 'docs/architecture.md, Trust',
    judge: ({ etcd, now }) =>
      Object.entries(etcd.certificates).flatMap(([name, endsAt]): Found[] => {
        const days = endsAt === null ? Infinity : Math.floor((endsAt.getTime() - now.getTime()) / dayMs);
        if (days >= certificateDaysMin) return [];
        return [
          {
            tenant: null,
            host: name,
            severity: days < 7 ? 'critical' : 'warning',
            what:
              days < 0
                ? `the certificate of etcd on ${name} has ended`
                : `the certificate of etcd on ${name} ends in ${days} days`,
            evidence: `what it shows to clients ends ${endsAt!.toISOString()}`,
            mend: onOperator('pgs dcs create'),
          },
        ];
      }),
  },
  {
    id: 'etcd-breaks-patroni',
    looksFor: 'an etcd that wants a token for keeping leases alive, and a Patroni that sends none',
    mends: 'an older etcd, or Patroni 4.1.1 and newer (`pgs update --fleet`)',
    reference: 'patroni#3580',
    judge: ({ programs }) =>
      Object.entries(programs).flatMap(([host, found]): Found[] => {
        const version = (name: string) => found?.packages[name]?.installed;
        const [patroni, etcd] = [version('patroni'), version('etcd-server')];
        const broken = patroni && etcd ? brokenEtcdPair(patroni, etcd) : null;
        if (broken === null) return [];
        const evidence = `patroni ${patroni}, etcd-server ${etcd}`;
        return [
          { tenant: null, host, severity: 'critical', what: broken, evidence, mend: onOperator('pgs update --fleet') },
        ];
      }),
  },
  {
    id: 'foreign-key',
    looksFor: 'a key under /pgs/ in etcd that belongs to no tenant and to nothing of pgs',
    mends: '`etcdctl del <key>`, once you know whose it is',
    reference,
    judge: (facts) =>
      (facts.etcd.foreignKeys ?? []).map((key) => ({
        ...fleet,
        severity: 'warning',
        what: `${key} in etcd belongs to nobody that pgs knows`,
        evidence: `key ${key}`,
        mend: etcdctl(facts, `del ${quoted(key)}`),
      })),
  },
];

const fleet = { tenant: null, host: null };

function judgeMembers(facts: DoctorFacts): Found[] {
  if (quorumOf(facts.etcd.members).state === 'lost') return [];
  return facts.etcd.members.flatMap((m): Found[] => {
    if (m.answers && m.leaderId !== null) return [];
    const unit = facts.hosts[m.name];
    const state = unit?.reachable
      ? `; unit pgs-etcd.service is ${unit.units['pgs-etcd.service']?.active ?? 'not there'}`
      : '';
    const known = unit !== undefined;
    return [
      {
        tenant: null,
        host: known ? m.name : null,
        severity: 'warning',
        what: `etcd on ${m.name} ${m.answers ? 'knows no leader' : 'does not answer'}: one more loss, and there is no quorum`,
        evidence: `${m.endpoint}: ${m.answers ? 'no leader' : m.why}${state}`,
        mend: onOperator(facts.fleet.etcd.kind === 'fleet' ? 'pgs dcs create' : 'pgs dcs status'),
      },
    ];
  });
}

function judgeMembership(facts: DoctorFacts): Found[] {
  const { etcd, fleet: inventory } = facts;
  if (inventory.etcd.kind !== 'fleet' || etcd.memberNames === null) return [];
  const wanted = inventory.etcd.members;
  const extra = etcd.memberNames.filter((name) => !wanted.includes(name));
  const missing = wanted.filter((name) => !etcd.memberNames!.includes(name));
  if (extra.length === 0 && missing.length === 0) return [];
  const evidence = `etcd has ${etcd.memberNames.join(', ')}; ${inventory.path} names ${wanted.join(', ')}`;
  const even = etcd.memberNames.length % 2 === 0;
  return [
    {
      ...fleet,
      severity: 'critical',
      what: `etcd has ${etcd.memberNames.length} members, not the ${wanted.length} of pgs.yaml${even ? ': a quorum takes more of them, and gains nothing' : ''}`,
      evidence,
      mend: extra[0] ? etcdctl(facts, removal(extra[0])) : onOperator('pgs dcs status'),
    },
  ];
}

/** One that never started has no name, and its id in its place. */
function removal(extra: string): string {
  if (/^\d{10,20}$/.test(extra)) return `member remove ${BigInt(extra).toString(16)}`;
  return `member remove $(E member list | awk -F', ' '$3 == "${extra}" {print $1}')`;
}

function judgeAlarms(facts: DoctorFacts): Found[] {
  const kinds = new Set(facts.etcd.members.flatMap((m) => (m.answers ? m.alarms.map((a) => a.kind) : [])));
  return [...kinds].map((kind): Found => {
    const who = facts.etcd.members.filter((m) => m.answers && m.alarms.some((a) => a.kind === kind)).map((m) => m.name);
    const evidence = `alarm ${kind}, as ${who.join(', ')} know it`;
    if (kind === 'NOSPACE') {
      const host = who[0]!;
      return {
        ...fleet,
        severity: 'critical',
        what: 'etcd is full and takes no writes',
        evidence,
        mend: freeSpace(facts, host),
      };
    }
    const what = `etcd raised the alarm ${kind}: its members hold different data`;
    return { ...fleet, severity: 'critical', what, evidence, mend: etcdctl(facts, 'endpoint hashkv --cluster') };
  });
}

function freeSpace(facts: DoctorFacts, host: string): Mend {
  const revision = `$(E endpoint status -w json | grep -o '"revision":[0-9]*' | head -n 1 | grep -o '[0-9]*$')`;
  return etcdctl(facts, [`compact ${revision}`, 'defrag --cluster', 'alarm disarm'], host);
}

/** As root of etcd, whose password stands in a file that only root reads, and comes in no argument list. */
function etcdctl({ fleet: { etcd }, hosts }: DoctorFacts, what: string | string[], host?: string): Mend {
  if (etcd.kind !== 'fleet') return onOperator('pgs dcs status');
  const on = host ?? etcd.members.find((name) => hosts[name]?.reachable) ?? etcd.members[0]!;
  const login = `set -a; . ${etcdLogin}; ETCDCTL_CACERT=${etcdTls}/client-ca.crt; ETCDCTL_CERT=${etcdTls}/server.crt; ETCDCTL_KEY=${etcdTls}/server.key`;
  const where = `ETCDCTL_API=3; ETCDCTL_ENDPOINTS=$(sed -n 's/^advertise-client-urls: *//p' ${etcdConfigFile})`;
  const calls = [what].flat().map((words) => `E ${words}`);
  return onHost(on, `${login}; ${where}; E() { etcdctl --command-timeout=60s "$@"; }; ${calls.join('; ')}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
