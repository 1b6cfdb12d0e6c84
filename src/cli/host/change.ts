// `pgs host add | drain | replace | remove`

import type { Command } from 'commander';
import { exitCodePlanHasChanges, PgsError } from '../../errors.js';
import { editInventory } from '../../inventory/edit.js';
import { changeHosts } from '../../inventory/hosts.js';
import { addressFault, hostNameFault } from '../../inventory/names.js';
import { prepareHosts } from '../../host/prepare.js';
import { openHosts } from '../../host/ssh-host.js';
import { trustHosts } from '../../host/trust.js';
import {
  drainHost,
  planDrain,
  undoDrain,
  type FleetDesk,
  type HostsOptions,
  type TenantDone,
} from '../../reconcile/hosts.js';
import {
  addToFleet,
  planHostReplace,
  replaceInFleet,
  removeFromFleet,
  type NewHost,
} from '../../reconcile/replace-host.js';
import type { Session } from '../../reconcile/session.js';
import { parseParallel } from '../commands/arguments.js';
import { confirmByTyping, terminalOf, withHosts, withSession, type Globals } from '../context.js';
import { openInventory } from '../fleet.js';
import { reportSteps } from '../plan-text.js';
import type { Terminal } from '../terminal.js';
import { confirmKey } from './trust.js';

interface Desk extends FleetDesk {
  terminal: Terminal;
  options(parallel: string, force: boolean): HostsOptions;
}

/** Work on the fleet that changes pgs.yaml in between; Ctrl-C stops after the steps under way. */
async function atDesk(command: Command, work: (desk: Desk) => Promise<void>): Promise<void> {
  const { path } = await openInventory(command.optsWithGlobals<Globals>());
  const terminal = terminalOf(command);
  await withSession(command, async ({ signal }) => {
    const report = reportSteps(terminal);
    await work({
      terminal,
      open: (inside) => withHosts(command, ({ session }) => inside(session)),
      edit: async (change) => {
        await editInventory(path, (document) => changeHosts(document, change));
      },
      options: (parallel, force) => ({
        signal,
        parallel: parseParallel(parallel),
        force,
        onEvent: (_tenant, event) => report(event),
      }),
    });
  });
}

/** `name=address`; a name alone is a host of the fleet. */
function parseNewHost(text: string, zone: string | undefined): NewHost {
  const [name = '', address] = text.split('=') as [string, string | undefined];
  const fault = hostNameFault(name) ?? (address === undefined ? null : addressFault(address));
  if (fault !== null) {
    const found = `${JSON.stringify(text)} is no name=address: ${fault}`;
    throw new PgsError('usage', { doing: 'reading the command line', found, hint: 'For example: h4=10.0.0.14' });
  }
  return { name, address: address ?? null, ...(zone === undefined ? {} : { zone }) };
}

function knownHost(session: Session, name: string): void {
  const names = session.inventory.hosts.map((h) => h.name);
  if (names.includes(name)) return;
  const found = `there is no host ${JSON.stringify(name)}; the fleet has ${names.join(', ')}`;
  throw new PgsError('usage', { doing: 'choosing hosts', found });
}

/** The key is compared by a person; then the host is made fit. */
function readyHost(terminal: Terminal, yes: boolean) {
  return async ({ inventory }: Session, name: string): Promise<void> => {
    const trusted = await trustHosts(inventory, [name], { confirm: (proposal) => confirmKey(proposal, yes) });
    if (trusted.some((t) => t.outcome === 'declined')) {
      const hint = `Compare the fingerprints, then run the same command again: ${name} is in pgs.yaml already.`;
      throw new PgsError('usage', { doing: `trusting ${name}`, found: 'its key was declined', hint });
    }
    const pool = openHosts(inventory);
    try {
      await prepareHosts(pool, inventory, [name], { mode: 'apply', onEvent: reportSteps(terminal) });
    } finally {
      await pool.close();
    }
  };
}

/** `-o json`: {host, tenants: [{tenant, tookMs}]} */
export async function addHost(
  given: string,
  { zone, yes, parallel }: { zone?: string; yes: boolean; parallel: string },
  command: Command,
): Promise<void> {
  const host = parseNewHost(given, zone);
  await atDesk(command, async (desk) => {
    const { terminal } = desk;
    const done = await addToFleet(desk, host, readyHost(terminal, yes), desk.options(parallel, false));
    await terminal.result({ host: host.name, tenants: rounded(done) }, () =>
      [`${host.name} is part of the fleet`, ...describeTenants(done)].join('\n'),
    );
  });
}

/** `-o json`: {host, tookMs, members: [{tenant, member, tookMs}]} */
export async function drain(
  host: string,
  { undo, parallel, dryRun, force }: { undo: boolean; parallel: string; dryRun: boolean; force: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    knownHost(session, host);
    if (undo) {
      const undone = await undoDrain(session, host);
      return terminal.result({ host, undone }, () =>
        undone ? `members may go to ${host} again` : `${host} is not being drained: nothing was changed`,
      );
    }
    if (dryRun) {
      const requests = await planDrain(session, host, null);
      if (requests.length > 0) process.exitCode = exitCodePlanHasChanges;
      return terminal.result({ host, members: requests.map((r) => r.member) }, () =>
        requests.length > 0
          ? requests.map((r) => `+ ${r.member} moves to another host`).join('\n')
          : `${host} has no members`,
      );
    }
    const report = reportSteps(terminal);
    const startedMs = performance.now();
    const options = {
      signal,
      parallel: parseParallel(parallel),
      force,
      onEvent: (_: string, e: Parameters<typeof report>[0]) => report(e),
    };
    const done = await drainHost(session, host, null, options);
    const tookMs = Math.round(performance.now() - startedMs);
    await terminal.result({ host, tookMs, members: rounded(done) }, () =>
      [
        ...describeTenants(done),
        `${host} has no members${done.length > 0 ? `, after ${seconds(tookMs)}` : ' any more: nothing was changed'}`,
      ].join('\n'),
    );
  });
}

/** `-o json`: {host, with, tookMs, members: [{tenant, member, tookMs}]} */
export async function replaceHost(
  host: string,
  options: {
    with: string;
    zone?: string;
    yes: boolean;
    parallel: string;
    dryRun: boolean;
    force: boolean;
  },
  command: Command,
): Promise<void> {
  const by = parseNewHost(options.with, options.zone);
  await atDesk(command, async (desk) => {
    const { terminal } = desk;
    if (options.dryRun) {
      const planned = await planHostReplace(desk, host, by);
      if (planned.length > 0) process.exitCode = exitCodePlanHasChanges;
      return terminal.result({ host, with: by.name, planned }, () =>
        planned.length > 0 ? planned.map((line) => `+ ${line}`).join('\n') : `${host} was replaced: nothing to change`,
      );
    }
    const startedMs = performance.now();
    const done = await replaceInFleet(desk, host, by, {
      ...desk.options(options.parallel, options.force),
      ready: readyHost(terminal, options.yes),
      onMove: (text) => terminal.progress(text),
    });
    const tookMs = Math.round(performance.now() - startedMs);
    await terminal.result({ host, with: by.name, tookMs, members: rounded(done) }, () =>
      [...describeTenants(done), `${by.name} has the place of ${host}, after ${seconds(tookMs)}`].join('\n'),
    );
  });
}

/** `-o json`: {host, removed, state} */
export async function removeHost(
  host: string,
  options: { forgetData: boolean; yes: boolean; parallel: string; dryRun: boolean },
  command: Command,
): Promise<void> {
  await atDesk(command, async (desk) => {
    const { terminal } = desk;
    const state = await removeFromFleet(desk, host, {
      ...desk.options(options.parallel, false),
      data: options.forgetData ? 'forget' : 'keep',
      confirm: async () => {
        if (options.dryRun) return 'look only';
        if (!options.yes) await confirmByTyping(host, `This will take ${host} out of the fleet.`, '--yes');
        return 'go on';
      },
    });
    if (state === 'would be removed') process.exitCode = exitCodePlanHasChanges;
    await terminal.result({ host, state }, () => {
      if (state === 'would be removed') return `+ ${host} leaves the fleet`;
      if (state === 'gone already') return `${host} is not part of the fleet: nothing was changed`;
      return `${host} has left the fleet${state === 'silent' ? '; it did not answer, and its files are still there' : ''}`;
    });
  });
}

function rounded(done: TenantDone[]): object[] {
  return done.map(({ tenant, member, tookMs }) => ({ tenant, member, tookMs: Math.round(tookMs) }));
}

function describeTenants(done: TenantDone[]): string[] {
  return done.map(
    ({ tenant, member, tookMs }) =>
      `${tenant.padEnd(12)} ${member ? `${member} was replaced` : 'is up to date'} in ${seconds(tookMs)}`,
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
