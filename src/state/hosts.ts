// What pgs remembers of hosts in etcd, beside pgs.yaml: that one is being drained, or was taken out of the fleet and could come back.

import { z } from 'zod';
import type { Dcs } from '../etcd/client.js';

const prefix = '/pgs/state/hosts/';

const shape = z.object({
  version: z.literal(1),
  /** `draining`: no member goes there. `gone`: it was removed or replaced. */
  state: z.enum(['draining', 'gone']),
  /** ISO 8601. */
  since: z.string(),
  address: z.string(),
  /** Host that took its place. */
  replacedBy: z.string().optional(),
});

export type HostNote = Omit<z.output<typeof shape>, 'version'>;

export async function readHostNotes(dcs: Dcs): Promise<Record<string, HostNote>> {
  const found = await dcs.getPrefix(prefix);
  return Object.fromEntries(
    found.flatMap(({ key, value }) => {
      const parsed = shape.safeParse(safeJson(value));
      return parsed.success ? [[key.slice(prefix.length), parsed.data]] : [];
    }),
  );
}

/** What cannot be read is of a newer pgs, or no note at all. */
function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Null takes the note away; one that is there already in that state stays as it is. */
export async function writeHostNote(dcs: Dcs, host: string, note: HostNote | null): Promise<void> {
  const key = `${prefix}${host}`;
  if (note === null) {
    if (await dcs.get(key)) await dcs.delete(key);
    return;
  }
  const before = (await readHostNotes(dcs))[host];
  if (before?.state === note.state && before.address === note.address) return;
  await dcs.put(key, JSON.stringify({ version: 1, ...note }));
}
