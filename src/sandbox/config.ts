// The fleet that a sandbox is: its pgs.yaml and the known host keys. From here on there is no difference to machines that
// stand somewhere else.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { editInventory } from '../inventory/edit.js';
import { writeFileAtomically } from '../operator-files.js';
import { renderKnownHosts } from './identity.js';
import { ensureKeyPair } from './keys.js';
import { hostKey } from './machine.js';
import type { Sandbox } from './state.js';

/** Writes pgs.yaml unless it is there; in one that is, only missing hosts are added and all else stays. */
export async function ensureConfig(sandbox: Sandbox): Promise<void> {
  const { paths, state } = sandbox;
  await mkdir(paths.operatorState, { recursive: true, mode: 0o700 });
  await ensureKeyPair(paths.key, `pgs sandbox ${sandbox.name}`);
  const keys = await Promise.all(
    state.hosts.map(async (host) => ({ address: host.address, publicKey: (await hostKey(sandbox, host)).public })),
  );
  await writeFileAtomically(paths.knownHosts, renderKnownHosts(keys), 0o644);
  if (!existsSync(paths.config)) {
    await writeFileAtomically(paths.config, renderConfig(sandbox), 0o644);
    return;
  }
  await editInventory(paths.config, (document) => {
    for (const host of state.hosts) {
      if (document.hasIn(['hosts', host.name])) continue;
      document.setIn(['hosts', host.name], document.createNode({ address: host.address, zone: host.name }));
    }
  });
}

export function renderConfig({ name, paths, state }: Pick<Sandbox, 'name' | 'paths' | 'state'>): string {
  const hosts = state.hosts.map((host) => `  ${host.name}: { address: ${host.address}, zone: ${host.name} }`);
  return `# The fleet of the sandbox ${name}, written by \`pgs sandbox up\`. You may change it; it is not written over.
fleet: ${name}
hosts:
${hosts.join('\n')}
ssh:
  user: root
  key: ${basename(paths.key)}
defaults:
  # These machines are containers: they share this box's kernel and have no watchdog device of their own. So an old leader
  # that hangs is NOT FENCED here. On real machines leave this line out, or say \`required\`.
  watchdog: off
`;
}
