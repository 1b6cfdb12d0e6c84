// Tells whether what pgs keeps in etcd was changed: then the copy on the operator's disk is old. Locks are no change.

import type { Dcs, Transaction } from '../etcd/client.js';

const kept = /^\/pgs\/state\/(?!locks\/)/;

/** The same DCS; `changed` is called after each change of what pgs keeps. */
export function noteChanges(dcs: Dcs, changed: () => void): Dcs {
  const note = (key: string) => {
    if (kept.test(key)) changed();
  };
  return {
    ...dcs,
    put: async (key, value, lease) => {
      await dcs.put(key, value, lease);
      note(key);
    },
    delete: async (key) => {
      const was = await dcs.delete(key);
      if (was) note(key);
      return was;
    },
    deletePrefix: async (prefix) => {
      const count = await dcs.deletePrefix(prefix);
      if (count > 0) note(prefix);
      return count;
    },
    transact: async (transaction) => {
      const result = await dcs.transact(transaction);
      if (result.succeeded) keysOf(transaction).forEach(note);
      return result;
    },
  };
}

function keysOf({ then }: Transaction): string[] {
  return then.map((write) =>
    'put' in write ? write.put : 'deleteKey' in write ? write.deleteKey : write.deletePrefix,
  );
}
