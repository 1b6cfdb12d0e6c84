// What a person is told of a rotation that is not finished. Pure.

import type { Rotation } from '../secrets/rotation.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';

/** What is being replaced, for a person; an apply leaves it in the phase that it is in. */
export function leftOfRotation(tenant: string, { rotation }: Pick<TenantSecrets, 'rotation'>): string[] {
  if (!rotation) return [];
  const what = rotation.targets.join(', ');
  return [
    `replacing ${what} of ${tenant} was begun ${rotation.since} and is not finished: ${resumeRotation(tenant, rotation)}`,
  ];
}

/** The command that goes on with it. */
export function resumeRotation(tenant: string, { targets }: Pick<Rotation, 'targets'>): string {
  if (targets.includes('certificates')) return `\`pgs cert renew ${tenant} --all\``;
  return `\`pgs rotate ${tenant}${targets.length > 1 ? '' : ` ${targets[0]}`}\``;
}
