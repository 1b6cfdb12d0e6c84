// Does what faults are as data: on hosts over ssh, at the power switch, by pgs itself. Nothing is decided here.

import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { PgsError } from '../src/errors.js';
import type { OpenCluster } from '../src/reconcile/cluster.js';
import type { Session } from '../src/reconcile/session.js';
import { switchOver } from '../src/reconcile/switchover.js';
import { judgeEffect, unreachable, type Act, type Effect } from './faults/fault.js';
import type { Power } from './power.js';
import { end, type Connect } from './workload.js';

export interface Stage {
  session: Session;
  open: OpenCluster;
  power: Power;
  /** A client through `direct`. */
  direct: Connect;
  /** Sessions that acts opened; ended when the fault is healed. */
  held: pg.Client[];
  signal: AbortSignal;
}

/** @throws PgsError when it could not be done */
export async function perform(stage: Stage, act: Act): Promise<void> {
  switch (act.kind) {
    case 'host': {
      const host = stage.session.hosts.get(act.host);
      const { code, stderr } = await host.run(act.command);
      if (code === 0 || act.fine?.includes(code)) return;
      throw new PgsError('command-failed', {
        doing: `running ${act.command.argv[0]} of a fault`,
        host: act.host,
        found: `it ended with code ${code}: ${stderr.trim().slice(0, 500)}`,
      });
    }
    case 'power':
      return act.power === 'off' ? stage.power.off(act.host) : stage.power.on(act.host);
    case 'switchover': {
      const { tenant } = stage.open.cluster;
      await switchOver(stage.session, tenant, null, { signal: stage.signal, force: false, onPhase: () => undefined });
      return;
    }
    case 'restart':
      return restart(stage, act.member);
    case 'sessions':
      return holdSessions(stage, act.hold);
    case 'etcd-leader':
      return (await stage.session.dcs()).maintenance.moveLeader(act.host);
    case 'settings':
      return changeSettings(stage, act.change);
    case 'etcd-no-space':
      return (await stage.session.dcs()).maintenance.raiseNoSpace();
  }
}

async function restart({ open }: Stage, name: string): Promise<void> {
  const member = open.cluster.members.find((m) => m.name === name)!;
  const answer = await open.patroni.request(member, 'POST', '/restart', {}, 60_000);
  if (answer.status === 200) return;
  throw new PgsError('command-failed', {
    doing: `restarting PostgreSQL of ${name}`,
    host: member.host.name,
    found: `Patroni answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 300)}`,
  });
}

async function changeSettings({ open }: Stage, change: Record<string, unknown>): Promise<void> {
  let last = 'no member answered';
  for (const member of open.cluster.members) {
    const answer = await open.patroni.request(member, 'PATCH', '/config', change, 5000).catch((e: PgsError) => e);
    if (!(answer instanceof PgsError) && answer.status === 200) return;
    last = `${member.name}: ${answer instanceof PgsError ? answer.details.found : `HTTP ${answer.status}`}`;
  }
  throw new PgsError('command-failed', { doing: `changing the settings of ${open.cluster.tenant}`, found: last });
}

const connectionsMax = 2000;

async function holdSessions({ direct, held }: Stage, hold: 'all-connections' | 'transaction'): Promise<void> {
  if (hold === 'transaction') {
    const client = await direct();
    held.push(client);
    await client.query('BEGIN');
    await client.query('CREATE TEMPORARY TABLE held AS SELECT 1 AS n');
    return;
  }
  for (let n = 0; n < connectionsMax; n++) {
    try {
      held.push(await direct());
    } catch {
      return;
    }
  }
}

export async function endHeld({ held }: Stage): Promise<void> {
  await Promise.all(held.splice(0).map(end));
}

export async function lookBefore(session: Session, effects: Effect[]): Promise<(string | null)[]> {
  return Promise.all(effects.map(async (e) => asText(await look(session, e))));
}

/** Looks until every effect was seen or its time is over; gives those that were not. */
export async function awaitEffects(session: Session, effects: Effect[], before: (string | null)[]): Promise<Effect[]> {
  const missing = await Promise.all(
    effects.map(async (effect, i) => {
      const deadlineMs = performance.now() + effect.withinMs;
      do {
        if (judgeEffect(effect.expect, before[i] ?? null, await look(session, effect))) return null;
        await sleep(200);
      } while (performance.now() < deadlineMs);
      return effect;
    }),
  );
  return missing.filter((e) => e !== null);
}

function asText(seen: string | null): string | null {
  return seen === unreachable ? null : seen;
}

/** What the probe prints; null when it failed, `unreachable` when the host does not answer. */
async function look(session: Session, { host, probe }: Effect): Promise<string | null> {
  try {
    const { code, stdout } = await session.hosts.get(host).run(probe);
    return code === 0 ? stdout : null;
  } catch (thrown) {
    if (thrown instanceof PgsError) return unreachable;
    throw thrown;
  }
}
