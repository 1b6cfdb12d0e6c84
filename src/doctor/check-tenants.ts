// Checks of a tenant as a whole: settings, what was begun and not finished, certificates, drift, and what runs from old files. Pure.

import { haproxyUnit } from '../../haproxy/desired.js';
import { patroniUnit } from '../patroni/desired.js';
import type { Check, Found, Severity, TenantFacts } from './finding.js';
import { inService, lookedAt, onHost, onOperator } from './finding.js';

export const tenantChecks: Check[] = [
  {
    id: 'tenant-unknown',
    looksFor: 'a tenant that cannot be looked at, because etcd or its record cannot be read',
    mends: '`pgs dcs status`, and what it names',
    reference: 'docs/architecture.md, State',
    judge: ({ unopened }) =>
      unopened.map(({ tenant, why }) => ({
        tenant,
        host: null,
        severity: 'unknown',
        what: tenant === null ? 'no tenant could be looked at' : `${tenant} could not be looked at`,
        evidence: why,
        mend: onOperator('pgs dcs status'),
      })),
  },
  {
    id: 'patroni-paused',
    looksFor: 'a Patroni that was paused and forgotten: nobody fails over, and nobody is fenced',
    mends: '`pgs cluster resume <tenant>`',
    reference: 'README.md, Day two',
    judge: eachInService((t) =>
      t.status.paused
        ? [
            {
              severity: 'critical',
              what: 'Patroni is paused: nobody fails over',
              evidence: `key /pgs/dcs/${t.cluster.tenant}/config: pause`,
              command: `pgs cluster resume ${t.cluster.tenant}`,
            },
          ]
        : [],
    ),
  },
  {
    id: 'failsafe-off',
    looksFor: 'a cluster without failsafe mode: a loss of etcd stops its leader',
    mends: '`pgs apply <tenant>`',
    reference: 'docs/architecture.md, How a drill runs',
    judge: eachInService((t) =>
      t.settings !== null && t.settings.failsafe_mode !== true
        ? [
            {
              severity: 'warning',
              what: 'failsafe mode is off: a loss of etcd stops the leader',
              evidence: `key /pgs/dcs/${t.cluster.tenant}/config: failsafe_mode ${String(t.settings.failsafe_mode)}`,
              command: `pgs apply ${t.cluster.tenant}`,
            },
          ]
        : [],
    ),
  },
  {
    id: 'restart-pending',
    looksFor: 'a member that waits for a restart to take a parameter',
    mends: '`pgs cluster restart <tenant> --pending-only`',
    reference: 'README.md, Day two',
    judge: eachInService((t) => {
      const pending = t.status.members.filter((m) => m.pendingRestart).map((m) => m.name);
      if (pending.length === 0) return [];
      return [
        {
          severity: 'warning',
          what: `${pending.join(', ')} ${pending.length > 1 ? 'wait' : 'waits'} for a restart`,
          evidence: 'Patroni says pending_restart',
          command: `pgs cluster restart ${t.cluster.tenant} --pending-only`,
        },
      ];
    }),
  },
  {
    id: 'unfinished',
    looksFor: 'a create, restart, reinit or removal that was begun and not finished, while nobody is at it',
    mends: '`pgs apply <tenant>`; for a removal `pgs cluster destroy <tenant>`',
    reference: 'docs/architecture.md, Restarts, and what was asked for once',
    judge: ({ tenants }) =>
      tenants.flatMap((t) => {
        if (t.changing !== null) return [];
        const { tenant } = t.cluster;
        const key = `/pgs/state/tenants/${tenant}`;
        if (t.phase === 'creating' || t.phase === 'destroying') {
          const command = t.phase === 'creating' ? `pgs apply ${tenant}` : `pgs cluster destroy ${tenant}`;
          const what = `its ${t.phase === 'creating' ? 'creation' : 'removal'} was begun and not finished`;
          return [found(t, { severity: 'warning', what, evidence: `key ${key}: phase ${t.phase}`, command })];
        }
        if (t.job === null) return [];
        const what = `a ${t.job.kind} was begun ${t.job.since} and not finished`;
        return [found(t, { severity: 'warning', what, evidence: `key ${key}: job`, command: `pgs apply ${tenant}` })];
      }),
  },
  {
    id: 'certificate-ends',
    looksFor: 'a certificate or CA of a tenant with fewer than 30 days',
    mends: '`pgs apply <tenant>` renews certificates',
    reference: 'docs/architecture.md, Trust',
    judge: ({ tenants }) =>
      tenants.flatMap((t) =>
        t.certificates.map((what) =>
          found(t, {
            severity: /ended/.test(what) ? 'critical' : 'warning',
            what,
            evidence: 'its notAfter, of the stored certificate',
            command: `pgs apply ${t.cluster.tenant}`,
          }),
        ),
      ),
  },
  {
    id: 'program-replaced',
    looksFor: 'a program that runs from files which an update has replaced',
    mends: '`pgs update <tenant>`; for HAProxy and etcd `pgs update --fleet`',
    reference: 'README.md, Updates',
    judge: ({ programs }) =>
      Object.entries(programs).flatMap(([host, facts]) =>
        (facts?.programs ?? [])
          .filter(({ replaced }) => replaced)
          .map(({ unit, component, tenant }) => ({
            tenant,
            host,
            severity: 'warning' as const,
            what: `${component} of ${unit} is older than what is installed`,
            evidence: `unit ${unit}: its files were replaced after its start`,
            mend: onOperator(tenant === null ? 'pgs update --fleet' : `pgs update ${tenant}`),
          })),
      ),
  },
  {
    id: 'undo-armed',
    looksFor: 'a timer that lets a pooler’s clients go, while nobody changes the leader',
    mends: 'eight seconds, or its service now',
    reference: 'docs/architecture.md, How a leader is changed',
    judge: (facts) =>
      lookedAt(facts).flatMap(([host, { faults }]) =>
        faults.resumeTimers.flatMap((timer): Found[] => {
          const tenant = /@([a-z0-9-]+)\.timer$/.exec(timer)?.[1] ?? null;
          const t = facts.tenants.find(({ cluster }) => cluster.tenant === tenant);
          if (!t || t.changing !== null) return [];
          return [
            {
              tenant,
              host,
              severity: 'warning',
              what: 'a change of leader ended in its middle: the host lets the clients go by itself',
              evidence: `unit ${timer}`,
              mend: onHost(host, `systemctl start '${timer.replace(/\.timer$/, '.service')}'`),
            },
          ];
        }),
      ),
  },
  {
    id: 'drill-failed',
    looksFor: 'a drill or timed switchover that did not pass and that nobody acknowledged',
    mends: '`pgs drill history <tenant>`, then `pgs drill ack <tenant>`',
    reference: 'README.md, Scheduled drills',
    judge: ({ tenants }) =>
      tenants.flatMap((t) =>
        (t.status.drills ?? []).map(({ what, outcome, started, why }) =>
          found(t, {
            severity: 'warning',
            what: `the drill ${what} of ${started} ended with ${outcome}`,
            evidence: why ?? outcome,
            command: `pgs drill ack ${t.cluster.tenant}`,
          }),
        ),
      ),
  },
  {
    id: 'drift',
    looksFor:
      'a file that was edited, a unit that was stopped, a setting or role that was changed: all that `pgs plan` shows',
    mends: '`pgs apply <tenant>`',
    reference: 'docs/architecture.md, How a change happens',
    judge: ({ tenants }) =>
      tenants.flatMap((t) =>
        t.changing !== null || t.phase === 'creating' || t.phase === 'destroying'
          ? []
          : t.plan.steps
              .filter((step) => step.action.kind !== 'none' && !saidElsewhere(step.action, t))
              .map((step) => ({
                ...found(t, {
                  severity: 'warning',
                  what: `differs from its spec: ${step.title}`,
                  evidence: evidenceOf(step),
                  command: `pgs apply ${t.cluster.tenant}`,
                }),
                host: step.host,
              })),
      ),
  },
];

type Step = TenantFacts['plan']['steps'][number];

function evidenceOf({ reason, diff }: Step): string {
  const what = diff
    .slice(0, 3)
    .map((d) => d.what)
    .join(', ');
  return what === '' ? reason : `${reason}: ${what}`;
}

/** Starts of units that do not run, and reloads of HAProxy, are findings of their own. */
function saidElsewhere(action: Step['action'], { cluster, job }: TenantFacts): boolean {
  if (action.kind === 'record-job-done') return job !== null;
  if (action.kind !== 'unit') return false;
  if (action.unit === haproxyUnit) return true;
  return (
    action.verb === 'start' &&
    (action.unit === patroniUnit(cluster.tenant) ||
      action.unit.startsWith('pgs-pgbouncer') ||
      action.unit === 'pgs-fence.service')
  );
}

interface Said {
  severity: Severity;
  what: string;
  evidence: string;
  command: string;
}

function found({ cluster }: TenantFacts, { severity, what, evidence, command }: Said): Found {
  return { tenant: cluster.tenant, host: null, severity, what, evidence, mend: onOperator(command) };
}

function eachInService(judge: (t: TenantFacts) => Said[]): Check['judge'] {
  return (facts) => inService(facts).flatMap((t) => judge(t).map((said) => found(t, said)));
}
