// `pgs cert renew`: what ends soon is made anew whenever a tenant is opened, so renewing it is an apply; all of it is a rotation that takes
// nothing back.

import { isSameCertificate } from '../pki/handshake.js';
import { PgsError } from '../errors.js';
import { endpointUrl } from '../etcd/access.js';
import { renewFleetSecrets } from '../secrets/fleet-secrets.js';
import { applyCluster, planOf, refuseStopped, withTenantLock, type ChangeOptions } from './change.js';
import { gatherCluster, openCluster, withCluster } from './cluster.js';
import { createDcsEffects, planFleetDcs, planFleetDcsToApply } from './dcs.js';
import { executePlan } from './execute.js';
import { planRotate, rotateTenant } from './rotate.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

const everything = { targets: ['certificates' as const], clientsTrustNext: false };

/** With nothing stored. @throws PgsError as `renewTenant` */
export async function planRenewal(session: Session, tenant: string, all: boolean): Promise<Plan> {
  if (all) return (await planRotate(session, tenant, everything)).plan;
  return withCluster(session, tenant, async (open) => planOf(open, await gatherCluster(session, open)));
}

/**
 * Works without an answer of Patroni or PostgreSQL when only what ends soon, or has ended, is renewed: the hosts are reached by ssh.
 * @throws PgsError as `applyCluster`, and with `all` as `rotateTenant`
 */
export async function renewTenant(
  session: Session,
  tenant: string,
  all: boolean,
  options: ChangeOptions,
): Promise<Plan> {
  if (all) return (await rotateTenant(session, tenant, everything, options)).plan;
  return withTenantLock(session, tenant, `cert renew ${tenant}`, options.signal, async (lock, signal) => {
    const open = await openCluster(session, tenant);
    try {
      refuseStopped(open.record.phase, tenant, `renewing certificates of ${tenant}`);
      const plan = await applyCluster(session, open, lock, { ...options, signal });
      if (plan.warnings.length === 0) return plan;
      // What could not be asked while nobody trusted anybody, such as the roles, can be asked now.
      const rest = await applyCluster(session, open, lock, { ...options, signal });
      return { ...rest, steps: [...plan.steps, ...rest.steps] };
    } finally {
      open.patroni.close();
    }
  });
}

/** What is stored is not changed by it, but for what ended soon when the fleet was opened. */
export function planFleetRenewal(session: Session): Promise<Plan> {
  return planFleetDcs(session);
}

/**
 * The fleet's own: stored, written to the hosts by ssh, and shown by every member of etcd, which reads them for each connection.
 * @param all otherwise only what ended soon, which was made anew when the fleet was opened
 * @throws PgsError `unreachable` for a host of etcd that is away, `unknown-result` when a member shows an older one
 */
export async function renewFleet(
  session: Session,
  all: boolean,
  { signal, onEvent }: Pick<ChangeOptions, 'signal' | 'onEvent'>,
): Promise<Plan> {
  const { inventory, fleetKey } = session;
  const renewed = all ? await renewFleetSecrets(inventory, fleetKey) : session.fleetSecrets;
  const anew = session.reopen(renewed);
  const plan = await planFleetDcsToApply(anew);
  await executePlan(plan, createDcsEffects(anew), { onEvent, signal });
  await expectShown(anew);
  return plan;
}

async function expectShown({ inventory, fleetSecrets, shown }: Session): Promise<void> {
  const { etcd } = inventory;
  if (etcd.kind === 'external') return;
  const asked = inventory.hosts.flatMap(({ name, address }) => {
    const issued = fleetSecrets.hosts[name];
    if (!etcd.members.includes(name) || !issued) return [];
    return [
      { name, address, port: etcd.clientPort, wanted: issued.etcdServer, client: fleetSecrets.operatorEtcdClient },
      { name, address, port: etcd.peerPort, wanted: issued.etcdPeer, client: issued.etcdPeer },
    ];
  });
  const older = await Promise.all(
    asked.map(async ({ address, port, wanted, client }) => {
      const pem = await shown({ address, port, start: 'at once', client });
      if (pem !== null && isSameCertificate(pem, wanted.certPem)) return [];
      return [`${endpointUrl(address, port)} shows ${pem === null ? 'none' : 'an older one'}`];
    }),
  );
  const missing = older.flat();
  if (missing.length === 0) return;
  throw new PgsError('unknown-result', {
    doing: 'seeing that etcd shows its new certificates',
    found: missing.join('; '),
    hint: 'See `pgs dcs status`, then run the same command again.',
  });
}
