// `pgs user password`

import { join } from 'node:path';
import type { Command } from 'commander';
import { exitCodes } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { writeFileAtomically } from '../../operator-files.js';
import { withCluster, type OpenCluster } from '../../reconcile/cluster.js';
import { databaseOf, rolePassword, rotateRolePassword, type RotatedPassword } from '../../reconcile/role-login.js';
import type { Session } from '../../reconcile/session.js';
import { libpqUrl, passwordFile } from '../../topology/urls.js';
import { clientDirectory, writeClientFiles } from '../cluster/client-files.js';
import { confirmByTyping, withHosts } from '../context.js';
import { reportSteps } from '../plan-text.js';

export interface PasswordFlags {
  rotate: boolean;
  show: boolean;
  yes: boolean;
}

/** `-o json`: {tenant, role, database, url, passfile, rotated, proof}; `password` only when asked for. */
export async function password(name: string, role: string, flags: PasswordFlags, command: Command): Promise<void> {
  const tenant = parseTenantName(name);
  await withHosts(command, async ({ session, terminal, signal }) => {
    if (flags.rotate && !flags.yes) {
      const question = `Clients that connect as ${role} to ${tenant} need the new password from now on; open sessions go on.`;
      await confirmByTyping(role, question, '--yes');
    }
    const rotated = flags.rotate
      ? await rotateRolePassword(session, tenant, role, { signal, onEvent: reportSteps(terminal) })
      : null;
    const value = await withCluster(session, tenant, (open) => describe(session, open, role, flags.show, rotated));
    for (const warning of rotated?.plan.warnings ?? []) terminal.warn(warning);
    await terminal.result(value, () =>
      [
        ...(rotated ? [`${role} of ${tenant} has a new password${proven(rotated)}`] : []),
        ...('password' in value ? [`password   ${value.password}`] : []),
        `psql '${value.url}'`,
      ].join('\n'),
    );
    if (rotated && rotated.plan.warnings.length > 0) process.exitCode = exitCodes['unknown-result'];
  });
}

function proven({ proof }: RotatedPassword): string {
  return proof ? `; that of before is refused (${proof.said})` : '';
}

/** Writes the password file that the string names, 0600. */
async function describe(
  session: Session,
  open: OpenCluster,
  role: string,
  show: boolean,
  rotated: RotatedPassword | null,
) {
  const { cluster } = open;
  const { password: text } = rolePassword(open, role);
  const account = { user: role, database: databaseOf(open, role) };
  const { caPath } = await writeClientFiles(session, open);
  const passwordPath = join(await clientDirectory(session, cluster.tenant), `${role}.pgpass`);
  await writeFileAtomically(passwordPath, passwordFile(cluster, account, text.reveal()), 0o600);
  return {
    tenant: cluster.tenant,
    role,
    database: account.database,
    url: libpqUrl(cluster, 'primary', account, { caPath, passwordPath }),
    passfile: passwordPath,
    rotated: rotated !== null,
    proof: rotated?.proof ?? null,
    ...(show ? { password: text.reveal() } : {}),
  };
}
