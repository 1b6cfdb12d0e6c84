// `pgs rotate --fleet ca`: the CAs of the fleet's etcd, phase by phase. Each phase is stored on the operator's machine, then rolled out to
// etcd's members, one after the other where they have to restart, and to every tenant's members, and left only when all have it.

import { PgsError } from '../errors.js';
import { readDaemonKey } from '../drills/daemon-secrets.js';
import { lookAtDcs } from '../etcd/client.js';
import { createAuthority } from '../pki/authority.js';
import { advanceRollover, beginRollover } from '../secrets/fleet-rollover.js';
import { changeFleetSecrets, completeFleetSecrets, type FleetSecrets } from '../secrets/fleet-secrets.js';
import { reissueRest } from '../secrets/tenant-secrets.js';
import { applyCluster, withTenantLock, type ChangeOptions } from './change.js';
import { openCluster, storeSecrets } from './cluster.js';
import { createDcsEffects, planFleetDcsToApply } from './dcs.js';
import { executePlan } from './execute.js';
import { refuseMoving } from './job.js';
import type { Session } from './session.js';
import { settleRotation } from './settle-rotation.js';

type Watch = Pick<ChangeOptions, 'signal' | 'onEvent'> & { onPhase: (phase: string) => void };

export interface FleetRotated {
  /** When it was begun by an earlier run, ISO 8601; null: by this one. */
  resumed: string | null;
  tenants: string[];
  members: string[];
  /** There is a daemon with rights of its own, which knows the CA of before. */
  daemon: boolean;
  /** What etcd's members said to the client certificate of before, by member. */
  refused: Record<string, string>;
}

/** What a phase does; the real ones are below. */
export interface FleetPhases {
  store(secrets: FleetSecrets): Promise<void>;
  /** etcd's own members. */
  rollOut(secrets: FleetSecrets): Promise<void>;
  tenants(secrets: FleetSecrets): Promise<string[]>;
  /** One tenant's members have what the phase wants, and use it. */
  refresh(secrets: FleetSecrets, tenant: string): Promise<void>;
  /** What each member says to a client of before; throws when one lets it in. */
  prove(secrets: FleetSecrets): Promise<Record<string, string>>;
  complete(secrets: FleetSecrets): Promise<FleetSecrets>;
  onPhase(phase: string): void;
}

/** Goes through the phases from where `secrets` are. Interrupted anywhere, it goes on with what was stored last. */
export async function rollOver(
  secrets: FleetSecrets,
  phases: FleetPhases,
): Promise<Pick<FleetRotated, 'tenants' | 'refused'>> {
  let tenants: string[] = [];
  let refused: Record<string, string> = {};
  for (let now = secrets; now.rollover;) {
    const { phase } = now.rollover;
    phases.onPhase(phase);
    await phases.rollOut(now);
    tenants = await phases.tenants(now);
    for (const tenant of tenants) await phases.refresh(now, tenant);
    if (phase === 'drop') refused = await phases.prove(now);
    now = await phases.complete(advanceRollover(now));
    await phases.store(now);
  }
  return { tenants, refused };
}

/**
 * @throws PgsError `usage` with an external etcd, `endangers` while a tenant is being made or removed or a host is away
 */
export async function rotateFleet(session: Session, onlyResume: boolean, watch: Watch): Promise<FleetRotated | null> {
  const { inventory, fleetSecrets } = session;
  if (inventory.etcd.kind === 'external') {
    throw new PgsError('usage', {
      doing: "replacing the CAs of the fleet's etcd",
      found: `${inventory.path} names an external etcd, whose CA is not the fleet's`,
    });
  }
  if (onlyResume && !fleetSecrets.rollover) return null;
  const phases = realPhases(session, watch);
  await refuseUnfinished(session);
  const resumed = fleetSecrets.rollover?.since ?? null;
  const begun = resumed === null ? await begin(session, new Date()) : fleetSecrets;
  if (resumed === null) await phases.store(begun);
  const daemon = (await readDaemonKey(await session.dcs(), session.fleetKey)) !== null;
  return { resumed, members: inventory.etcd.members, daemon, ...(await rollOver(begun, phases)) };
}

async function begin({ inventory, fleetSecrets }: Session, now: Date): Promise<FleetSecrets> {
  const { fleet } = inventory;
  // With names of their own: who trusts both must tell them apart.
  const since = now.toISOString();
  const next = {
    etcdPeerCa: await createAuthority(`${fleet} etcd peers ${since}`, undefined, now),
    etcdClientCa: await createAuthority(`${fleet} etcd clients ${since}`, undefined, now),
  };
  return beginRollover(fleetSecrets, next, now);
}

/** A tenant that is half made or half gone may miss a phase. */
async function refuseUnfinished(session: Session): Promise<void> {
  const stored = await (await session.store()).listTenants();
  for (const { record } of stored) refuseMoving(record, "replacing the CAs of the fleet's etcd");
  const unfinished = stored.filter(({ record: { phase } }) => phase === 'creating' || phase === 'destroying');
  if (unfinished.length === 0) return;
  const names = unfinished.map(({ record }) => `${record.spec.tenant} is ${record.phase}`);
  throw new PgsError('endangers', {
    doing: "replacing the CAs of the fleet's etcd",
    found: names.join(', '),
    hint: 'Finish that first: `pgs apply` or `pgs cluster destroy`. Nothing was changed.',
  });
}

function realPhases(session: Session, watch: Watch): FleetPhases {
  const { inventory, fleetKey } = session;
  const within = async <T>(secrets: FleetSecrets, work: (anew: Session) => Promise<T>): Promise<T> => {
    const anew = session.reopen(secrets);
    try {
      return await work(anew);
    } finally {
      await anew.close();
    }
  };
  return {
    onPhase: watch.onPhase,
    store: async (secrets) => void (await changeFleetSecrets(inventory, fleetKey, () => secrets)),
    complete: (secrets) => completeFleetSecrets(secrets, inventory, new Date()),
    rollOut: (secrets) =>
      within(secrets, async (anew) => {
        const plan = await planFleetDcsToApply(anew);
        await executePlan(plan, createDcsEffects(anew), watch);
      }),
    tenants: (secrets) =>
      within(secrets, async (anew) => {
        const stored = await (await anew.store()).listTenants();
        // What is stopped, or kept as data, gets its files with its next start.
        return stored.filter(({ record }) => record.phase === 'ready').map(({ record }) => record.spec.tenant);
      }),
    refresh: (secrets, tenant) => within(secrets, (anew) => refreshTenant(anew, tenant, watch)),
    prove: (secrets) => within(secrets, proveRefused),
  };
}

/** Its members' certificates to etcd follow from the fleet's CA; another certificate for REST tells when they have read all. */
async function refreshTenant(session: Session, tenant: string, { signal, onEvent }: Watch): Promise<void> {
  await withTenantLock(session, tenant, 'rotate --fleet ca', signal, async (lock, held) => {
    const open = await openCluster(session, tenant);
    try {
      const hosts = open.cluster.members.map(({ host }) => host);
      open.secrets = await reissueRest(tenant, hosts, open.secrets, new Date());
      open.secretsChanged = true;
      await storeSecrets(session, open, lock);
      const plan = await applyCluster(session, open, lock, { signal: held, onEvent });
      const [warning] = plan.warnings;
      if (warning !== undefined) throw missed(tenant, warning);
      await settleRotation(session, open, held);
    } finally {
      open.patroni.close();
    }
  });
}

/** The next phase would lock out who missed this one. */
function missed(tenant: string, warning: string): PgsError {
  return new PgsError('endangers', {
    doing: `giving ${tenant} the certificates of this phase`,
    found: warning,
    hint: 'Mend that, then run the same command again: it goes on from here.',
  });
}

/** gRPC says much around it. */
function refusalIn(why: string): string {
  return /tls\w* alert [a-z ]+/.exec(why)?.[0] ?? why.slice(0, 200);
}

async function proveRefused({ inventory, fleetSecrets }: Session): Promise<Record<string, string>> {
  const before = fleetSecrets.rollover?.other.operatorEtcdClient;
  if (!before) return {};
  const dcs = await lookAtDcs(inventory, { ...fleetSecrets, operatorEtcdClient: before });
  try {
    const members = await dcs.maintenance.statuses();
    const letIn = members.filter((m) => m.answers).map((m) => m.name);
    if (letIn.length === 0) return Object.fromEntries(members.map((m) => [m.name, m.answers ? '' : refusalIn(m.why)]));
    throw new PgsError('endangers', {
      doing: 'proving that etcd refuses a client of the CA of before',
      found: `${letIn.join(', ')} let it in`,
      hint: 'Run the same command again: it tries once more, and is not over before.',
    });
  } finally {
    dcs.close();
  }
}
