// Takes away what drills left of a tenant, from any state: power first, then the undos that wait on the hosts.

import { setTimeout as sleep } from 'node:timers/promises';
import { toPgsError } from '../src/errors.js';
import { runChecked } from '../src/host/command.js';
import type { Session } from '../src/reconcile/session.js';
import { undoNow } from './arm.js';
import type { Power } from './power.js';

export interface Healed {
  host: string;
  /** Ids of the undos that were done now. */
  undone: string[];
  /** Why it could not be looked at or healed; null when it was. */
  failed: string | null;
}

const limitMs = 100_000;

/** Every host of the fleet is tried for a while; one without power gets it back, where there is a switch. */
export async function healTenant(
  session: Session,
  tenant: string,
  power: Power,
  onLine: (line: string) => void,
): Promise<Healed[]> {
  const healed = await Promise.all(
    session.inventory.hosts.map(async ({ name: host }): Promise<Healed> => {
      const deadlineMs = performance.now() + limitMs;
      for (let attempt = 0; ; attempt++) {
        try {
          const printed = await runChecked(session.hosts.get(host), 'undoing what drills left', undoNow(tenant));
          return { host, undone: printed.split('\n').filter((line) => line !== ''), failed: null };
        } catch (thrown) {
          const error = toPgsError(thrown);
          if (performance.now() > deadlineMs) return { host, undone: [], failed: error.message };
          if (attempt === 0 && error.code !== 'command-failed' && power.driver !== null) {
            await power.on(host).catch((off: unknown) => onLine(toPgsError(off).message));
          }
          await sleep(2000);
        }
      }
    }),
  );
  for (const { host, undone, failed } of healed) {
    if (undone.length > 0) onLine(`${host}: undone ${undone.join(', ')}`);
    if (failed !== null) onLine(`${host}: NOT healed: ${failed}`);
  }
  return healed;
}
