// A host that takes the place of another one, and hosts that join or leave the fleet. pgs.yaml is changed between steps, so each step opens
// the fleet as it is then; what is done already is seen and left as it is, so that the same command goes on after an interruption.

import { PgsError } from '../errors.js';
import { nextMembershipMove } from '../etcd/membership.js';
import { readHostNotes, writeHostNote } from '../state/hosts.js';
import {
  applyEverywhere,
  clearHost,
  drainHost,
  planDrain,
  refuseInUse,
  refuseUnready,
  type FleetDesk,
  type HostsOptions,
  type TenantDone,
} from './hosts.js';
import { describeMove, settleEtcdLeader } from './etcd-leader.js';
import { replaceEtcdMember } from './replace-etcd.js';
import type { Session } from './session.js';

export interface NewHost {
  name: string;
  /** Null: it is part of the fleet. */
  address: string | null;
  zone?: string;
}

/** Makes a host that is new in pgs.yaml fit: its key, its packages. */
export type ReadyHost = (session: Session, name: string) => Promise<void>;

/** @throws PgsError `usage` when another host has the name or the address */
export async function addToFleet(
  desk: FleetDesk,
  host: NewHost,
  ready: ReadyHost,
  options: HostsOptions,
): Promise<TenantDone[]> {
  await enlist(desk, host);
  await desk.open((session) => ready(session, host.name));
  return desk.open((session) => applyEverywhere(session, options));
}

async function enlist(desk: FleetDesk, { name, address, zone }: NewHost): Promise<void> {
  const there = await desk.open((session) => Promise.resolve(session.inventory.hosts.find((h) => h.name === name)));
  const doing = `taking ${name} into the fleet`;
  if (there && address !== null && there.address !== address) {
    const found = `there is a host ${name} already, at ${there.address}`;
    throw new PgsError('usage', { doing, found, hint: 'Give the new host another name.' });
  }
  if (there) return;
  if (address === null) {
    throw new PgsError('usage', {
      doing,
      found: `there is no host ${name}`,
      hint: `Say where it is: ${name}=<address>.`,
    });
  }
  await pinEtcd(desk);
  await desk.edit({ kind: 'add', host: { name, address, ...(zone === undefined ? {} : { zone }) } });
  // One of that name that left before is this one, or another: what it was is of no interest any more.
  await desk.open(async (session) => writeHostNote(await session.dcs(), name, null));
}

/** Without a list, the first three hosts are etcd's members: another edit of the hosts must not change them. */
async function pinEtcd(desk: FleetDesk): Promise<void> {
  const members = await desk.open(({ inventory: { etcd } }) =>
    Promise.resolve(etcd.kind === 'fleet' ? etcd.members : null),
  );
  if (members) await desk.edit({ kind: 'etcd-members', members });
}

export type Removal = 'cleared' | 'silent' | 'would be removed' | 'gone already';

/** @throws PgsError `endangers` while something is there */
export async function removeFromFleet(
  desk: FleetDesk,
  host: string,
  options: HostsOptions & { data: 'keep' | 'forget'; confirm: () => Promise<'go on' | 'look only'> },
): Promise<Removal> {
  const there = await desk.open(async (session) => {
    const known = session.inventory.hosts.some((h) => h.name === host);
    if (known) await refuseInUse(session, host, options.data);
    else if (!(await readHostNotes(await session.dcs()))[host]) refuseUnknown(session, host);
    return known;
  });
  if ((await options.confirm()) === 'look only') return there ? 'would be removed' : 'gone already';
  const removal = there ? await leave(desk, host, null, options) : 'gone already';
  await desk.open((session) => applyEverywhere(session, options));
  return removal;
}

function refuseUnknown({ inventory }: Session, host: string): never {
  const names = inventory.hosts.map((h) => h.name).join(', ');
  const found = `there is no host ${JSON.stringify(host)}; the fleet has ${names}`;
  throw new PgsError('usage', { doing: 'choosing hosts', found });
}

async function leave(
  desk: FleetDesk,
  host: string,
  replacedBy: string | null,
  options: HostsOptions,
): Promise<'cleared' | 'silent'> {
  const cleared = await desk.open(async (session) => {
    const { address } = session.inventory.hosts.find((h) => h.name === host)!;
    const removal = await clearHost(session, host, options);
    const by = replacedBy === null ? {} : { replacedBy };
    await writeHostNote(await session.dcs(), host, { state: 'gone', since: new Date().toISOString(), address, ...by });
    return removal;
  });
  await pinEtcd(desk);
  await desk.edit({ kind: 'remove', host });
  return cleared;
}

export interface ReplaceOptions extends HostsOptions {
  ready: ReadyHost;
  /** What was done beside the tenants' steps, in words. */
  onMove: (text: string) => void;
}

/**
 * etcd's member first, since tenants' members are told where etcd is; then every tenant's member; then the host leaves pgs.yaml.
 * @throws PgsError `endangers` when etcd's quorum or a tenant does not allow it
 */
export async function replaceInFleet(
  desk: FleetDesk,
  host: string,
  by: NewHost,
  options: ReplaceOptions,
): Promise<TenantDone[]> {
  if (await wasReplaced(desk, host, by.name)) {
    await desk.open((session) => applyEverywhere(session, options));
    return [];
  }
  refuseItself(host, by);
  await desk.open((session) => refuseUnready(session, host));
  await refuseWithoutQuorum(desk, host);
  const isNew = await desk.open((session) => Promise.resolve(session.inventory.hosts.every((h) => h.name !== by.name)));
  if (isNew || by.address !== null) {
    await enlist(desk, by);
    await desk.open((session) => options.ready(session, by.name));
  }
  await moveEtcd(desk, host, by.name, options);
  const done = await desk.open((session) => drainHost(session, host, by.name, options));
  await leave(desk, host, by.name, options);
  await desk.open(async (session) => {
    await applyEverywhere(session, options);
    const move = await settleEtcdLeader(session, null);
    if (move) options.onMove(describeMove(move));
  });
  return done;
}

function refuseItself(host: string, by: NewHost): void {
  if (host !== by.name) return;
  const hint = 'Give the new machine a name of its own.';
  throw new PgsError('usage', { doing: `replacing ${host}`, found: 'it cannot take its own place', hint });
}

async function wasReplaced(desk: FleetDesk, host: string, by: string): Promise<boolean> {
  return desk.open(async (session) => {
    if (session.inventory.hosts.some((h) => h.name === host)) return false;
    const note = (await readHostNotes(await session.dcs()))[host];
    return note?.replacedBy === by ? true : refuseUnknown(session, host);
  });
}

/** Nothing is changed, not even pgs.yaml, where etcd's other members do not all answer. */
async function refuseWithoutQuorum(desk: FleetDesk, host: string): Promise<void> {
  await desk.open(async (session) => {
    const { etcd } = session.inventory;
    if (etcd.kind !== 'fleet' || !etcd.members.includes(host)) return;
    const { maintenance } = await session.dcs();
    const [members, statuses] = await Promise.all([maintenance.members(), maintenance.statuses()]);
    nextMembershipMove({ leaves: host, joins: { name: '', peerUrl: '' } }, members, statuses);
  });
}

async function moveEtcd(desk: FleetDesk, host: string, by: string, options: ReplaceOptions): Promise<void> {
  const members = await desk.open(({ inventory: { etcd } }) =>
    Promise.resolve(etcd.kind === 'fleet' ? etcd.members : []),
  );
  if (members.includes(host)) {
    const wanted = members.includes(by) ? null : members.map((name) => (name === host ? by : name));
    if (wanted === null) {
      const found = `${by} is a member of etcd already, and the place of ${host} would be empty`;
      throw new PgsError('unfit', { doing: `replacing ${host}`, found, hint: 'Replace it with a host that is none.' });
    }
    await desk.edit({ kind: 'etcd-members', members: wanted });
  }
  await desk.open(async (session) => {
    const { etcd } = session.inventory;
    if (etcd.kind !== 'fleet' || !etcd.members.includes(by)) return;
    const onEvent = (event: Parameters<HostsOptions['onEvent']>[1]) => options.onEvent('etcd', event);
    await replaceEtcdMember(session, host, by, { signal: options.signal, onEvent, onMove: options.onMove });
  });
}

/** What would be done, in words. @throws PgsError as `replaceInFleet`, as far as that is seen before */
export async function planHostReplace(desk: FleetDesk, host: string, by: NewHost): Promise<string[]> {
  if (await wasReplaced(desk, host, by.name)) return [];
  refuseItself(host, by);
  await refuseWithoutQuorum(desk, host);
  return desk.open(async (session) => {
    const { etcd, hosts } = session.inventory;
    const isNew = !hosts.some((h) => h.name === by.name);
    const requests = await planDrain(session, host, isNew ? null : by.name).catch((thrown: unknown) => {
      // The host that comes may be the room that is missing.
      if (isNew && thrown instanceof PgsError && thrown.code === 'unfit') return [];
      throw thrown;
    });
    return [
      ...(isNew ? [`${by.name} is taken into the fleet and made fit`] : []),
      ...(etcd.kind === 'fleet' && etcd.members.includes(host)
        ? [`etcd's member moves from ${host} to ${by.name}`]
        : []),
      ...requests.map((r) => `${r.member} is replaced by a member on ${r.to ?? 'another host'}`),
      `${host} leaves the fleet`,
    ];
  });
}
