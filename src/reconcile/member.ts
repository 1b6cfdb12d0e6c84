// A member as its host has it: Patroni with PostgreSQL, what fences it, and the poolers in front of the services. Pure.

import { absentFencing, desiredFencing, patroniWatchdog } from '../../watchdog/desired.js';
import { absentLimits } from '../host/limits.js';
import type { Resource } from '../host/resource.js';
import { absentPatroni, desiredPatroni, type DcsEndpoints } from '../patroni/desired.js';
import { absentPgbouncer, desiredPgbouncer } from '../pgbouncer/desired.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import { tenantSlice, type Cluster, type PlacedMember } from '../topology/cluster.js';

export function desiredMember(
  cluster: Cluster,
  member: PlacedMember,
  secrets: TenantSecrets,
  dcs: DcsEndpoints,
): Resource[] {
  return [
    ...desiredFencing(cluster, member, tenantSlice(cluster.tenant)),
    ...desiredPatroni(cluster, member, secrets, dcs, patroniWatchdog(cluster, member)),
    ...desiredPgbouncer(cluster, member, secrets),
  ];
}

/** Data and the OS user that owns it stay unless purged. */
export function absentMember(cluster: Cluster, purgeData: boolean): Resource[] {
  return [
    ...absentPgbouncer(cluster),
    ...absentPatroni(cluster, purgeData),
    ...absentFencing(cluster.tenant),
    ...absentLimits(cluster.tenant),
  ];
}
