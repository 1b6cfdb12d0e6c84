// What a host says of its watchdogs and its fencing service, parsed. The question is `templates/watchdog/look.py`.

import { z } from 'zod';
import { softdogIdentity } from '../src/host/desired-watchdog.js';

const holder = z.object({
  pid: z.int(),
  command: z.string(),
  user: z.string(),
  /** systemd unit, null for none. */
  unit: z.string().nullable(),
});

const device = z.object({
  /** `/dev/watchdog0`; `/dev/watchdog` is the same as the first. */
  node: z.string(),
  identity: z.string(),
  /** The kernel says that it counts. */
  active: z.boolean(),
  timeoutS: z.number().nullable(),
  leftS: z.number().nullable(),
  /** Cannot be stopped once started. */
  nowayout: z.boolean(),
  owner: z.string(),
  holders: z.array(holder),
});

const fencedRecord = z.object({
  /** Seconds since the epoch. */
  atS: z.number(),
  reason: z.string(),
  afterKeepaliveS: z.number().nullable(),
  timeoutS: z.number(),
  killTookS: z.number(),
});

const tenant = z.object({
  pipe: z.enum(['present', 'absent', 'other']),
  armed: z.boolean(),
  timeoutS: z.number(),
  /** Seconds since the last keepalive. */
  lastAgoS: z.number().nullable(),
  leftS: z.number().nullable(),
  /** The last kill, until the watchdog is armed again. */
  fenced: fencedRecord.nullable(),
  holders: z.array(holder),
});

const answer = z.object({
  container: z.string(),
  /** ActiveState of the fencing service, null when there is no such unit. */
  service: z.string().nullable(),
  /** systemd's RuntimeWatchdogUSec in seconds, 0: off. */
  systemdTimeoutS: z.number(),
  bootId: z.string(),
  softdog: z.object({ loaded: z.boolean(), available: z.boolean(), blacklistedBy: z.array(z.string()) }),
  devices: z.array(device),
  tenants: z.record(z.string(), tenant),
});

export type HolderFact = z.output<typeof holder>;
export type FencedRecord = z.output<typeof fencedRecord>;
export type DeviceFact = z.output<typeof device> & { kind: 'softdog' | 'hardware' };
export type TenantFencingFact = z.output<typeof tenant>;

export interface FencingFacts extends Omit<z.output<typeof answer>, 'devices' | 'tenants' | 'container'> {
  container: boolean;
  devices: DeviceFact[];
  tenant: TenantFencingFact | null;
}

/** @throws Error when it is not what `look.py` prints */
export function parseFencing(text: string, tenantName: string): FencingFacts {
  const { tenants, devices, container, ...rest } = answer.parse(JSON.parse(text));
  return {
    ...rest,
    container: container !== 'none',
    devices: devices.map((d) => ({ ...d, kind: d.identity === softdogIdentity ? 'softdog' : 'hardware' })),
    tenant: tenants[tenantName] ?? null,
  };
}
