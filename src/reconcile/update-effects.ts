// Steps of an update of what all tenants share, on real hosts.

import { PgsError } from '../errors.js';
import { fetchPackages, updatePackages } from '../host/update-packages.js';
import { createDcsEffects } from './dcs.js';
import { checkUpdated } from './effects.js';
import type { Effects } from './execute.js';
import type { Session } from './session.js';

export function createSharedEffects(session: Session): Effects {
  const rest = createDcsEffects(session);
  return {
    perform: async (step) => {
      const { action, timeoutMs } = step;
      switch (action.kind) {
        case 'fetch-packages':
          return fetchPackages(session.hosts.get(step.host!), action.versions);
        case 'update-packages':
          return updatePackages(session.hosts.get(step.host!), action.versions, timeoutMs);
        case 'etcd-leader-away':
          return leadElsewhere(session, action.from);
        default:
          return rest.perform(step);
      }
    },
    check: async (step) => {
      if (step.done.kind === 'updated') return checkUpdated(session, step.host!, step.done);
      return rest.check(step);
    },
  };
}

/** Nothing is done when another member leads by now. @throws PgsError `unfit` when no other member is there */
async function leadElsewhere(session: Session, from: string): Promise<void> {
  const { maintenance } = await session.dcs();
  const members = await maintenance.statuses();
  const leads = members.find((m) => m.answers && m.leaderId === m.memberId)?.name;
  if (leads !== from) return;
  const other = members.find((m) => m.answers && m.name !== from && m.leaderId !== null);
  if (other) return maintenance.moveLeader(other.name);
  throw new PgsError('unfit', { doing: `moving etcd's leader away from ${from}`, found: 'no other member answers' });
}
