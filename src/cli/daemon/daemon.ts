// `pgs daemon`

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { credentialPlaces, openWithCredentials } from '../../daemon/credentials.js';
import { runDaemon } from '../../daemon/daemon.js';
import { grantDaemon } from '../../daemon/grant.js';
import { liveWorld } from '../../daemon/live-world.js';
import { refuseOwnHost } from '../../daemon/own-host.js';
import { renderUnit, unitName } from '../../daemon/unit.js';
import { PgsError } from '../../errors.js';
import { lookAtDcs } from '../../etcd/client.js';
import { findInventoryPath } from '../../inventory/load.js';
import { writeFileAtomically } from '../../operator-files.js';
import { runLocalChecked } from '../../sandbox/local.js';
import type { DaemonFlags } from '../commands/daemon.js';
import { terminalOf, withHosts, type Globals } from '../context.js';
import { openFleet, openInventory } from '../fleet.js';

export async function daemon(flags: DaemonFlags, command: Command): Promise<void> {
  const globals = command.optsWithGlobals<Globals>();
  const powerCommand = flags.powerCommand ?? null;
  if (flags.printUnit || flags.install) {
    const inventory = await openInventory(globals);
    refuseOwnHost(inventory);
    const unit = renderUnit(inventory, powerCommand);
    if (flags.printUnit) process.stdout.write(unit);
    else await install(unitName(inventory), unit, command);
    return;
  }
  const places = credentialPlaces(process.env);
  const fleet = places
    ? await openWithCredentials((await findInventoryPath(globals.config, process.env, '/')).path, places)
    : await openFleet(globals);
  refuseOwnHost(fleet.inventory);
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // Nobody needs to be there yet: a daemon that starts while etcd is away waits for it.
  const dcs = await lookAtDcs(fleet.inventory, fleet.fleetSecrets);
  const say = (line: string) => process.stderr.write(`${new Date().toISOString()} ${line}\n`);
  try {
    await runDaemon(liveWorld(fleet, dcs, { powerCommand, say }), stop.signal);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    dcs.close();
  }
}

/** `-o json`: {unit, path} and `Granted` */
async function install(name: string, unit: string, command: Command): Promise<void> {
  const doing = 'installing the unit of the daemon';
  const running = await readFile('/proc/1/comm', 'utf8').catch(() => '');
  if (running.trim() !== 'systemd') {
    const hint = 'Take the unit from `pgs daemon --print-unit` to the machine where it shall run.';
    throw new PgsError('unfit', { doing, found: 'systemd does not run this machine', hint });
  }
  const granted = await withHosts(command, ({ session }) => grantDaemon(session));
  const path = `/etc/systemd/system/${name}`;
  await writeFileAtomically(path, unit, 0o644);
  for (const argv of [
    ['systemctl', 'daemon-reload'],
    ['systemctl', 'enable', name],
    ['systemctl', 'restart', name],
  ])
    await runLocalChecked(doing, argv, { timeoutMs: 360_000 });
  await terminalOf(command).result(
    { unit: name, path, ...granted },
    () => `${name} is installed and started, with rights of its own; see: journalctl -u ${name}`,
  );
}
