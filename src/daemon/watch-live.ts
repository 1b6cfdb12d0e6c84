// The daemon's look at units on hosts, and its start of one that stopped: with its own rights, and under the tenant's lock.

import { haproxyUnit } from '../../haproxy/desired.js';
import { fenceUnit } from '../../watchdog/desired.js';
import { toPgsError } from '../errors.js';
import type { Dcs } from '../etcd/client.js';
import { etcdUnit } from '../etcd/desired.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { drillLockable, DrillStore } from '../drills/store.js';
import { patroniUnit } from '../patroni/desired.js';
import { poolerUnit } from '../pgbouncer/desired.js';
import { openSession, type OpenFleet, type Session } from '../reconcile/session.js';
import { acquireTenantLock } from '../state/lock.js';
import { stateKeys, StateStore } from '../state/store.js';
import type { TenantRecord } from '../topology/tenant.js';
import { lookAtUnits, startUnit } from './watch-commands.js';
import type { DownUnit, WatchFacts } from './watch.js';

export async function gatherWatch(fleet: OpenFleet, dcs: Dcs): Promise<WatchFacts> {
  const session = openSession(fleet);
  try {
    const tenants = (await new StateStore(dcs).listTenants()).map(({ record }) => record);
    const [holds, keys, looks] = await Promise.all([
      holdsOf(dcs, tenants),
      Promise.all(tenants.map(({ spec }) => readTenantKeys(dcs, spec.tenant))),
      Promise.all(fleet.inventory.hosts.map(({ name }) => lookAt(session, name, tenants))),
    ]);
    const paused = tenants.flatMap(({ spec }, i) =>
      keys[i]!.settings?.pause === true ? [[spec.tenant, 'Patroni is paused']] : [],
    );
    return {
      down: looks.flatMap(({ down }) => down),
      silent: looks.flatMap(({ host, silent }) => (silent ? [host] : [])),
      foreignKeys: keys.flatMap(({ foreign }) => foreign),
      hold: { ...(Object.fromEntries(paused) as Record<string, string>), ...holds },
    };
  } finally {
    await session.close();
  }
}

async function holdsOf(dcs: Dcs, tenants: TenantRecord[]): Promise<Record<string, string>> {
  const [incident, drill, locks] = await Promise.all([
    new DrillStore(dcs).incident(),
    dcs.get(drillLockable.key),
    dcs.getPrefix(stateKeys.lock('')),
  ]);
  const held = locks.map(({ key }) => [key.slice(stateKeys.lock('').length), 'somebody changes it'] as const);
  const unsettled = tenants
    .filter(({ phase }) => phase === 'creating' || phase === 'destroying')
    .map(({ spec, phase }) => [spec.tenant, `it is ${phase}`] as const);
  const all = incident ? { '': `an incident is on: ${incident.why}` } : drill ? { '': 'a drill runs' } : {};
  return { ...Object.fromEntries([...held, ...unsettled]), ...all };
}

interface Look {
  host: string;
  silent: boolean;
  down: DownUnit[];
}

async function lookAt(session: Session, host: string, tenants: TenantRecord[]): Promise<Look> {
  const wanted = wantedOn(host, session, tenants);
  const answer = await session.hosts
    .get(host)
    .run(lookAtUnits)
    .catch(() => null);
  if (answer?.code !== 0) return { host, silent: true, down: [] };
  const shown = parseUnits(answer.stdout);
  const down = wanted.flatMap(({ unit, tenant }): DownUnit[] => {
    // systemd unloads what nothing asks for: it does not run, nor would it come up with a boot.
    const found = shown[unit] ?? { active: 'not loaded', result: '', sinceMs: null };
    if (['active', 'activating', 'reloading', 'deactivating'].includes(found.active)) return [];
    return [{ host, unit, tenant, ...found }];
  });
  return { host, silent: false, down };
}

/** Units that run on a host by what the tenants' records say; a tenant that is stopped has none. */
function wantedOn(
  host: string,
  { inventory: { etcd } }: Session,
  tenants: TenantRecord[],
): { unit: string; tenant: string | null }[] {
  const ready = tenants.filter(({ phase }) => phase === 'ready');
  const here = ready.filter(({ allocation }) => allocation.members.some((m) => m.host === host));
  const own = here.flatMap(({ spec: { tenant, pool } }) =>
    [
      patroniUnit(tenant),
      ...(pool === 'off' ? [] : [poolerUnit(tenant, 'primary'), poolerUnit(tenant, 'replica')]),
    ].map((unit) => ({ unit, tenant })),
  );
  const fenced = here.some(({ spec }) => spec.watchdog !== 'off');
  const shared = [
    ...(etcd.kind === 'fleet' && etcd.members.includes(host) ? [etcdUnit] : []),
    ...(ready.length > 0 ? [haproxyUnit] : []),
    ...(fenced ? [fenceUnit] : []),
  ].map((unit) => ({ unit, tenant: null }));
  return [...shared, ...own];
}

/** Blocks of `systemctl show`, by unit. */
export function parseUnits(
  printed: string,
): Record<string, { active: string; result: string; sinceMs: number | null }> {
  const blocks = printed
    .split('\n\n')
    .map(
      (block) =>
        new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])),
    );
  return Object.fromEntries(
    blocks.flatMap((told) => {
      const id = told.get('Id');
      if (!id) return [];
      const since = /^@(\d+)/.exec(told.get('InactiveEnterTimestamp') ?? '')?.[1];
      const sinceMs = since === undefined ? null : Number(since) * 1000;
      return [[id, { active: told.get('ActiveState') ?? '', result: told.get('Result') ?? '', sinceMs }] as const];
    }),
  );
}

/** Null, or why it could not be started. Whoever changes the tenant goes first. */
export async function startDown(fleet: OpenFleet, dcs: Dcs, { host, unit, tenant }: DownUnit): Promise<string | null> {
  const session = openSession(fleet);
  try {
    const lock = tenant === null ? null : await acquireTenantLock(dcs, tenant, { command: `daemon: start ${unit}` });
    try {
      const { code, stderr } = await session.hosts.get(host).run(startUnit(unit));
      return code === 0 ? null : stderr.trim().split('\n').at(-1) || `code ${code}`;
    } finally {
      await lock?.release();
    }
  } catch (thrown) {
    return toPgsError(thrown, `starting ${unit}`).message;
  } finally {
    await session.close();
  }
}
