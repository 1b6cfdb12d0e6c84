// The fleet that a sandbox is: its pgs.yaml and the known host keys. From here on there is no difference to machines that
// stand somewhere else.

import { basename } from 'node:path';
import { initFleet } from '../fleet/init.js';
import { editInventory } from '../inventory/edit.js';
import { writeFileAtomically } from '../operator-files.js';
import { renderKnownHosts } from './identity.js';
import { ensureKeyPair } from './keys.js';
import { hostKey } from './machine.js';
import type { Sandbox } from './state.js';

const watchdogNotes = {
  off:
    "These machines are containers: they share this box's kernel and have no watchdog device of their own. So an old " +
    'leader that hangs is NOT FENCED here. On real machines say `required`.',
  automatic:
    'Some of these machines are containers, which have no watchdog device of their own and are NOT FENCED; the virtual ' +
    'machines among them are. On real machines say `required`.',
  required: 'These are virtual machines with a kernel of their own: only a leader with an armed watchdog takes writes.',
} as const;

/** As much fencing as the machines can give. */
function watchdogOf({ hosts }: Sandbox['state']): keyof typeof watchdogNotes {
  if (hosts.every(({ kind }) => kind === 'vm')) return 'required';
  return hosts.some(({ kind }) => kind === 'vm') ? 'automatic' : 'off';
}

/**
 * Makes what is missing of the fleet's files. A pgs.yaml that is there may have been changed by its owner: only missing
 * hosts are added to it.
 */
export async function ensureConfig(sandbox: Sandbox): Promise<void> {
  const { paths, state } = sandbox;
  await ensureKeyPair(paths.key, `pgs sandbox ${sandbox.name}`);
  await initFleet({
    dir: paths.directory,
    fleet: sandbox.name,
    hosts: state.hosts.map(({ name, address }) => ({ name, address, zone: name })),
    ssh: { key: basename(paths.key) },
    defaults: { watchdog: watchdogOf(state) },
    notes: { watchdog: watchdogNotes[watchdogOf(state)] },
  });
  await editInventory(paths.config, (document) => {
    for (const host of state.hosts) {
      if (document.hasIn(['hosts', host.name])) continue;
      const entry = document.createNode({ address: host.address, zone: host.name }, { flow: true });
      document.setIn(['hosts', host.name], entry);
    }
  });
  const keys = await Promise.all(
    state.hosts.map(async (host) => ({ address: host.address, publicKey: (await hostKey(sandbox, host)).public })),
  );
  await writeFileAtomically(paths.knownHosts, renderKnownHosts(keys), 0o644);
}
