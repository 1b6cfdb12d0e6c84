// `pgs cluster pause` and `resume`: Patroni looks on and does nothing, for work by hand. Patroni's own key in the DCS says it, whoever
// wrote that; an apply leaves it as it is.

import { PgsError } from '../errors.js';
import type { ClusterFacts } from './plan-cluster.js';
import { refuseNotReady, withTenantLock, type ChangeOptions } from './change.js';
import { gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { describeSettings } from './plan-cluster.js';
import type { Session } from './session.js';
import { blankStep, type Plan } from './step.js';

/** Twice loop_wait of preset wide, and a reload. */
const knownTimeoutMs = 60_000;

/** Looks only. @throws PgsError `endangers` when the tenant is not in service or nobody leads */
export async function planPauseOf(session: Session, tenant: string, paused: boolean): Promise<Plan> {
  return withCluster(session, tenant, async (open) => planPause(open, await gatherCluster(session, open), paused));
}

/** Ends when every member that answers knows it. @throws PgsError as `planPauseOf`, and as `executePlan` */
export async function pauseCluster(
  session: Session,
  tenant: string,
  paused: boolean,
  options: ChangeOptions,
): Promise<Plan> {
  const command = `cluster ${paused ? 'pause' : 'resume'} ${tenant}`;
  return withTenantLock(session, tenant, command, options.signal, (lock, signal) =>
    withCluster(session, tenant, async (open) => {
      const plan = planPause(open, await gatherCluster(session, open), paused);
      options.onPlan?.(plan);
      await executePlan(plan, createEffects(session, open, lock), { onEvent: options.onEvent, signal });
      return plan;
    }),
  );
}

function planPause({ cluster, record }: OpenCluster, facts: ClusterFacts, paused: boolean): Plan {
  const { tenant } = cluster;
  const doing = `${paused ? 'pausing' : 'resuming'} ${tenant}`;
  refuseNotReady(record.phase, tenant, doing);
  const { settings } = facts;
  if (settings === null) {
    const hint = `See \`pgs cluster status ${tenant}\`.`;
    throw new PgsError('endangers', { doing, found: 'its settings are not in etcd', hint });
  }
  const { pause, ...others } = settings;
  const answering = Object.values(facts.patroni.members).filter((fact) => fact.reachable);
  const known = answering.every((fact) => fact.paused === paused);
  const stored = (pause === true) === paused;
  const config = paused ? { ...others, pause: true } : others;
  const store = {
    ...blankStep(`${tenant}/pause`),
    title: `${paused ? 'pause' : 'resume'} Patroni of ${tenant}`,
    reason: paused ? 'it was asked for' : 'it is paused',
    diff: describeSettings(settings, config),
    timeoutMs: 20_000,
    action: { kind: 'patroni-settings' as const, tenant, config },
    done: { kind: 'patroni-settings' as const, tenant, config },
  };
  const wait = {
    ...blankStep(`${tenant}/pause-known`),
    title: `wait until every member of ${tenant} knows`,
    reason: 'they look at their settings once in loop_wait',
    needs: stored ? [] : [store.id],
    timeoutMs: knownTimeoutMs,
    done: { kind: 'paused' as const, tenant, paused },
  };
  const notes = paused
    ? [
        'while it is paused nobody fails over, PostgreSQL outlives a stop of Patroni, and the watchdog is released: NOT FENCED',
      ]
    : [];
  const steps = [...(stored ? [] : [store]), ...(stored && known ? [] : [wait])];
  return { subject: `cluster ${tenant}`, steps, warnings: [], notes };
}
