// Hosts that left the fleet, as `pgs host check` tells them: one that is back takes no part by itself, and its machine can be used again.

import { readHostNotes, type HostNote } from '../../state/hosts.js';
import { openHosts } from '../../host/ssh-host.js';
import type { Inventory } from '../../inventory/inventory.js';
import { connectDcs } from '../../etcd/client.js';
import { loadFleetKey } from '../../secrets/fleet-key.js';
import { readFleetSecrets } from '../../secrets/fleet-secrets.js';

export interface GoneHost extends HostNote {
  host: string;
  /** Units of pgs that run there; null: it does not answer. */
  runs: string[] | null;
}

/** None where etcd cannot be asked: there may be none yet. */
export async function gatherGone(inventory: Inventory): Promise<GoneHost[]> {
  const notes = await readNotes(inventory).catch((): Record<string, HostNote> => ({}));
  const known = inventory.hosts.map((h) => h.name);
  const gone = Object.entries(notes).filter(([host, { state }]) => state === 'gone' && !known.includes(host));
  const hosts = gone.map(([name, { address }]) => ({ name, address, zone: name }));
  const pool = openHosts({ ...inventory, hosts });
  try {
    return await Promise.all(
      gone.map(async ([host, note]) => {
        const argv = [
          'systemctl',
          'list-units',
          '--plain',
          '--no-legend',
          '--state=running,activating',
          'pgs-*.service',
        ];
        const answer = await pool
          .get(host)
          .run({ argv, timeoutMs: 8000 })
          .catch(() => null);
        return { ...note, host, runs: answer === null ? null : unitsIn(answer.stdout) };
      }),
    );
  } finally {
    await pool.close();
  }
}

async function readNotes(inventory: Inventory): Promise<Record<string, HostNote>> {
  const key = await loadFleetKey(inventory.stateDir);
  const dcs = await connectDcs(inventory, await readFleetSecrets(inventory.stateDir, key));
  try {
    return await readHostNotes(dcs);
  } finally {
    dcs.close();
  }
}

export function unitsIn(listed: string): string[] {
  return listed
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .filter((unit) => unit.startsWith('pgs-'));
}

export function describeGone({ host, address, since, replacedBy, runs }: GoneHost): string {
  const left = `${host} (${address}) left the fleet on ${since.slice(0, 10)}${replacedBy ? `; ${replacedBy} has its place` : ''}`;
  if (runs === null) return `${left}; it does not answer`;
  const back = `${left}, and is back: no etcd and no tenant lets it take part`;
  const clear =
    runs.length > 0 ? `\n  stop what runs there (${runs.join(', ')}): systemctl disable --now ${runs.join(' ')}` : '';
  return `${back}${clear}\n  to use the machine again, install it anew and take it in under a new name: pgs host add <name>=${address}`;
}
