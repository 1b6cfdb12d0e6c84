// Gathers what the preflight judges, and refuses.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../src/errors.js';
import type { Command } from '../src/host/command.js';
import { quorumOf, type MemberStatus } from '../src/etcd/facts.js';
import type { OpenCluster } from '../src/reconcile/cluster.js';
import { gatherStatus } from '../src/reconcile/gather-status.js';
import type { Session } from '../src/reconcile/session.js';
import { listUndos } from './arm.js';
import { hostNeeds, lastingRefusals, stateRefusals, touchedTenants } from './preflight.js';
import type { RunOptions } from './run.js';
import { needNames } from './scenario.js';
import type { HostNeed, Scene } from './targets.js';

export interface Preflight {
  fencing: string;
  versions: Record<string, string>;
  touched: string[];
}

/** Who is where at this moment. */
export async function gatherScene(
  session: Session,
  { cluster, patroni }: OpenCluster,
  needs: HostNeed[],
  etcd = etcdStatuses(session),
): Promise<Scene> {
  const fleet = session.inventory.hosts;
  const [facts, members, has] = await Promise.all([
    patroni.gather(),
    etcd,
    needs.length === 0 ? {} : gatherNeeds(session),
  ]);
  const leader = members.find((m) => m.answers && m.memberId === m.leaderId);
  return {
    cluster,
    fleet,
    patroni: facts,
    etcdHosts: members.map((m) => m.name),
    etcdLeader: leader?.name ?? null,
    has,
  };
}

async function etcdStatuses(session: Session): Promise<MemberStatus[]> {
  return (await session.dcs()).maintenance.statuses();
}

/** A cluster that comes from a drill or a switchover needs a while to be as it should. */
const settleLimitMs = 90_000;

/**
 * Waits for a cluster that is not as it has to be, for a while.
 * @throws PgsError `unfit` with every reason why the scenario may not be run now
 */
export async function checkPreflight(session: Session, open: OpenCluster, options: RunOptions): Promise<Preflight> {
  const deadlineMs = performance.now() + settleLimitMs;
  for (;;) {
    const { why, lasting, preflight } = await look(session, open, options);
    if (why.length === 0) return preflight;
    if (lasting || performance.now() > deadlineMs || options.signal.aborted) {
      throw new PgsError('unfit', {
        doing: `preparing ${options.scenario.name} on ${options.tenant}`,
        found: why.join('\n'),
      });
    }
    await sleep(1000);
  }
}

interface Looked {
  why: string[];
  /** Waiting would not help. */
  lasting: boolean;
  preflight: Preflight;
}

async function look(session: Session, open: OpenCluster, options: RunOptions): Promise<Looked> {
  const { scenario, tenant } = options;
  const etcd = etcdStatuses(session);
  const [scene, members, status, armed, neighbours] = await Promise.all([
    gatherScene(session, open, hostNeeds(scenario), etcd),
    etcd,
    gatherStatus(session, tenant),
    byHost(session, async (host) => {
      const { stdout } = await session.hosts.get(host).run(listUndos(tenant));
      return stdout.split('\n').filter((line) => line !== '');
    }),
    otherTenants(session, tenant),
  ]);
  const facts = {
    scene,
    quorum: quorumOf(members).state,
    fencing: status.fencing.verdict,
    armed,
    sandbox: options.sandbox,
    production: open.cluster.spec.production === true,
    accepted: options.accepted,
    powerDriver: options.power.driver,
  };
  const lasting = lastingRefusals(scenario, facts);
  const first = Object.values(scene.patroni.members).find((f) => f.reachable);
  const preflight = {
    fencing: status.fencing.verdict,
    versions: {
      postgres: String((first?.reachable ? first.serverVersion : null) ?? status.postgres),
      patroni: (first?.reachable ? first.patroniVersion : null) ?? 'unknown',
      etcd: members.find((m) => m.answers)?.version ?? 'unknown',
      node: process.version,
    },
    touched: touchedTenants(scenario, tenant, neighbours),
  };
  return { why: [...lasting, ...stateRefusals(scenario, facts)], lasting: lasting.length > 0, preflight };
}

async function byHost<T>({ inventory }: Session, ask: (host: string) => Promise<T>): Promise<Record<string, T>> {
  return Object.fromEntries(
    await Promise.all(inventory.hosts.map(async ({ name }) => [name, await ask(name)] as const)),
  );
}

/** Prints what the host has of what scenarios need, one a line. */
export const lookForNeeds: Command = {
  argv: [
    'sh',
    '-c',
    'systemd-detect-virt --container -q || echo own-kernel; tc qdisc add dev lo root netem delay 1us 2>/dev/null && { echo netem; tc qdisc del dev lo root; }; echo tmpfs',
  ],
  timeoutMs: 10_000,
};

/** What each host has of what scenarios need; nothing where it does not answer, as one does in the middle of a drill. */
function gatherNeeds(session: Session): Promise<Record<string, HostNeed[]>> {
  return byHost(session, async (host) => {
    const said = await session.hosts
      .get(host)
      .run(lookForNeeds)
      .then(
        ({ stdout }) => stdout.split('\n'),
        (): string[] => [],
      );
    return hostNeeds({ needs: [...needNames] }).filter((need) => said.includes(need));
  });
}

async function otherTenants(session: Session, tenant: string): Promise<string[]> {
  const stored = await (await session.store()).listTenants();
  return stored
    .map((t) => t.record)
    .filter((r) => r.phase !== 'retired' && r.spec.tenant !== tenant)
    .map((r) => r.spec.tenant);
}
