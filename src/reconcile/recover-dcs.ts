// Fills an etcd again whose data is lost, from an export, without a member of any tenant being stopped. Meanwhile the leaders go on in
// Patroni's failsafe mode, as long as all members answer each other.
//
// What must not happen is that a member meets an etcd that is empty: a standby that knows of no other member would lead, and might lack what
// was acknowledged. So etcd comes up letting in nobody but pgs (another CA of clients), is filled, with every tenant paused, and only then
// lets the members in. A paused Patroni promotes nobody; the one whose PostgreSQL is writable takes the leader's key back. When all members
// are known, the pause ends.

import { randomBytes } from 'node:crypto';
import { PgsError } from '../errors.js';
import { askMemberData, parseMemberData, putDataAside, type MemberData } from '../etcd/member-data.js';
import { lookAtDcs, type Dcs } from '../etcd/client.js';
import { quorumOf, type MemberStatus } from '../etcd/facts.js';
import { ensureTenantLogins } from '../etcd/tenants.js';
import { runChecked } from '../host/command.js';
import { createAuthority, issueCertificate } from '../pki/authority.js';
import { generatePassword } from '../secrets/password.js';
import { changeFleetSecrets, type FleetSecrets } from '../secrets/fleet-secrets.js';
import { loginsOf } from '../secrets/rotation.js';
import { unsealTenantSecrets } from '../secrets/tenant-secrets.js';
import type { ExportContent } from '../state/export.js';
import { parseRecord } from '../state/records.js';
import { stateKeys } from '../state/store.js';
import type { TenantRecord } from '../topology/tenant.js';
import type { ChangeOptions } from './change.js';
import { createDcsEffects, planFleetDcsToApply } from './dcs.js';
import { executePlan } from './execute.js';
import { pausedIn, recoveringKey, releaseTenants, type Released } from './release-tenants.js';
import type { Session } from './session.js';

/**
 * `whole`: it has pgs's state. `begun`: a recovery was begun and is to be finished. `lost`: no member has data, or none that answers has
 * pgs's state. `no quorum`: there is data, and the members that have it should come back.
 */
export interface DcsLoss {
  state: 'whole' | 'begun' | 'lost' | 'no quorum';
  seen: string;
}

export function judgeLoss(
  secrets: Pick<FleetSecrets, 'recovery'>,
  members: MemberStatus[],
  data: Record<string, MemberData | null>,
  keys: number | null,
): DcsLoss {
  const { state: quorum, seen } = quorumOf(members);
  if (secrets.recovery) return { state: 'begun', seen: 'a recovery was begun and is not finished' };
  if (keys !== null && keys > 0) return { state: 'whole', seen };
  const withData = Object.entries(data).filter(([, found]) => found?.data !== false);
  if (quorum !== 'lost') return { state: 'lost', seen: `${seen}; it has nothing of pgs` };
  const majority = Math.floor(members.length / 2) + 1;
  const names = withData.map(([name, found]) => (found ? name : `${name} (not looked at)`)).join(', ');
  if (withData.length >= majority) return { state: 'no quorum', seen: `${seen}; there is data on ${names}` };
  return { state: 'lost', seen: `${seen}; ${names ? `only ${names} has data` : 'no member has data'}` };
}

export async function gatherLoss(session: Session): Promise<DcsLoss> {
  const { inventory, fleetSecrets } = session;
  const members = inventory.etcd.kind === 'fleet' ? inventory.etcd.members : [];
  const dcs = await lookAtDcs(inventory, fleetSecrets, 'being-set-up');
  try {
    const [statuses, data] = await Promise.all([dcs.maintenance.statuses(), gatherData(session, members)]);
    const keys = quorumOf(statuses).state === 'lost' ? null : await countKeys(dcs);
    return judgeLoss(fleetSecrets, statuses, data, keys);
  } finally {
    dcs.close();
  }
}

async function countKeys(dcs: Dcs): Promise<number> {
  return (await dcs.getPrefix('/pgs/state/')).filter(({ lease }) => lease === null).length;
}

async function gatherData(session: Session, members: string[]): Promise<Record<string, MemberData | null>> {
  const asked = members.map(async (name) => {
    const answer = await session.hosts
      .get(name)
      .run(askMemberData())
      .catch(() => null);
    return [name, answer && parseMemberData(answer)] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}

export type RecoverOptions = Pick<ChangeOptions, 'signal' | 'onEvent'> & { onPhase: (what: string) => void };

/**
 * Brings etcd up empty, fills it, and lets the members in. Interrupted anywhere, it goes on.
 * @throws PgsError `endangers` when a tenant's data is another than the export says, as `releaseTenants`, and of the hosts
 */
export async function recoverDcs(
  session: Session,
  content: ExportContent,
  options: RecoverOptions,
): Promise<Released[]> {
  const { inventory, fleetKey } = session;
  const { onPhase } = options;
  let secrets = session.fleetSecrets;
  if (!secrets.recovery) {
    await refuseOtherData(session, content);
    const recovery = await newRecovery(inventory.fleet, new Date());
    // Another token makes it another cluster: Patroni refuses one that it knows with a lower term of raft.
    const etcdToken = randomBytes(16).toString('hex');
    secrets = await changeFleetSecrets(inventory, fleetKey, (stored) => ({ ...stored, recovery, etcdToken }));
  }
  if (secrets.recovery?.lets === 'alone') {
    await within(session, secrets, async (alone) => {
      onPhase('bring etcd up, for pgs alone');
      if (!(await answersAlone(alone))) await putAside(alone, new Date());
      await rollOut(alone, options);
      onPhase('fill it from the export, every tenant paused');
      await fillDcs(alone, content);
    });
    secrets = await changeFleetSecrets(inventory, fleetKey, (stored) => letAllIn(stored));
  }
  onPhase('let the members in');
  const released = await within(session, secrets, async (anew) => {
    await rollOut(anew, options);
    return releaseTenants(anew, pausedIn(content), options.signal, onPhase);
  });
  onPhase('let in nobody else');
  await within(session, withoutRecovery(secrets), (anew) => rollOut(anew, options));
  await changeFleetSecrets(inventory, fleetKey, withoutRecovery);
  return released;
}

/** While members restart in turn, pgs must be let in by those that have and by those that have not. */
function letAllIn(secrets: FleetSecrets): FleetSecrets {
  return { ...secrets, recovery: { ...secrets.recovery!, lets: 'all' } };
}

export function withoutRecovery(secrets: FleetSecrets): FleetSecrets {
  const rest = { ...secrets };
  delete rest.recovery;
  return rest;
}

async function within<T>(session: Session, secrets: FleetSecrets, work: (anew: Session) => Promise<T>): Promise<T> {
  const anew = session.reopen(secrets);
  try {
    return await work(anew);
  } finally {
    await anew.close();
  }
}

async function newRecovery(fleet: string, now: Date): Promise<NonNullable<FleetSecrets['recovery']>> {
  const ca = await createAuthority(`${fleet} recovery of etcd`, 7, now);
  const subject = { organization: 'pgs', unit: 'recovery', commonName: null };
  const client = await issueCertificate(ca, { subject, dnsNames: [], ipAddresses: [], usages: ['client'] }, now);
  return { ca, client, lets: 'alone', tokenKey: generatePassword(48) };
}

/** Whether the etcd that lets in pgs alone is up already: then nothing of it is put aside. */
async function answersAlone({ inventory, fleetSecrets }: Session): Promise<boolean> {
  const dcs = await lookAtDcs(inventory, fleetSecrets, 'being-set-up');
  try {
    return quorumOf(await dcs.maintenance.statuses()).state !== 'lost';
  } finally {
    dcs.close();
  }
}

async function putAside({ inventory, hosts }: Session, now: Date): Promise<void> {
  const members = inventory.etcd.kind === 'fleet' ? inventory.etcd.members : [];
  const stamp = now.toISOString().replace(/\W|\d{3}Z$/g, '');
  await Promise.all(
    members.map((name) => runChecked(hosts.get(name), 'putting the data of etcd aside', putDataAside(stamp))),
  );
}

async function rollOut(session: Session, { signal, onEvent }: RecoverOptions): Promise<void> {
  await executePlan(await planFleetDcsToApply(session), createDcsEffects(session), { signal, onEvent });
}

/** Puts in what an export has; what is there already is left as it is, so that it may be done again. */
export async function fillDcs(session: Session, content: ExportContent): Promise<void> {
  const dcs = await session.dcs();
  const put = async (key: string, value: string) => {
    await dcs.transact({ if: [{ key, is: 'absent' }], then: [{ put: key, value }] });
  };
  const records = recordsOf(content);
  await put(recoveringKey, JSON.stringify(records.filter(({ phase }) => phase === 'ready').map((r) => r.spec.tenant)));
  for (const { spec, phase } of records) {
    const keys = content.patroni[spec.tenant];
    if (keys === undefined || phase === 'retired') continue;
    const prefix = `/pgs/dcs/${spec.tenant}/`;
    if (keys.config !== undefined) await put(`${prefix}config`, paused(keys.config));
    if (keys.initialize !== undefined) await put(`${prefix}initialize`, keys.initialize);
    if (keys.history !== undefined) await put(`${prefix}history`, keys.history);
  }
  for (const { key, value } of content.state) await put(key, value);
  for (const { spec, phase } of records) {
    const sealed = content.state.find(({ key }) => key === stateKeys.secrets(spec.tenant))?.value;
    if (sealed === undefined || phase === 'retired') continue;
    const { pooler, door, ...rest } = unsealTenantSecrets(session.fleetKey, spec.tenant, sealed);
    const secrets = { ...rest, pooler: pooler ?? rest.restChecks, door: door ?? rest.restChecks };
    await ensureTenantLogins(dcs, spec.tenant, loginsOf(secrets, 'etcd'));
  }
}

export function recordsOf({ state }: Pick<ExportContent, 'state'>): TenantRecord[] {
  return state.flatMap(({ key, value }) => (key.startsWith(stateKeys.tenants) ? [parseRecord(key, value)] : []));
}

function paused(config: string): string {
  return JSON.stringify({ ...(JSON.parse(config) as object), pause: true });
}

/**
 * The data of a member and the export must be of the same cluster: Patroni ends, and its PostgreSQL with it, where they are not.
 * @throws PgsError `endangers`
 */
async function refuseOtherData(session: Session, content: ExportContent): Promise<void> {
  const asked = recordsOf(content)
    .filter(({ phase }) => phase !== 'retired' && phase !== 'creating')
    .flatMap(({ spec, allocation }) =>
      allocation.members.map(async ({ name, host }) => {
        const wanted = content.patroni[spec.tenant]?.initialize;
        const found = await systemIdOn(session, host, spec);
        return wanted === undefined || found === null || found === wanted
          ? []
          : [`${name} has ${found}, not ${wanted}`];
      }),
    );
  const others = (await Promise.all(asked)).flat();
  if (others.length === 0) return;
  throw new PgsError('endangers', {
    doing: "comparing the members' data with the export",
    found: `the identifier of the database system is another one: ${others.join('; ')}`,
    hint: 'The cluster was made anew after this export: take a later one (`.pgs/exports`). Nothing was changed.',
  });
}

/** Null: no data, or the host does not answer. */
async function systemIdOn(session: Session, host: string, spec: TenantRecord['spec']): Promise<string | null> {
  const known = session.inventory.hosts.some(({ name }) => name === host);
  if (!known) return null;
  const program = `/usr/lib/postgresql/${spec.postgres}/bin/pg_controldata`;
  const argv = [program, `/var/lib/pgs/${spec.tenant}/data`];
  const answer = await session.hosts
    .get(host)
    .run({ argv, timeoutMs: 10_000 })
    .catch(() => null);
  return /^Database system identifier:\s+(\d+)$/m.exec(answer?.stdout ?? '')?.[1] ?? null;
}
