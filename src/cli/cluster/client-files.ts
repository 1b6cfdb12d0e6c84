// The files that connection strings name, in the operator's directory: the tenant's CA and a libpq password file, 0600.

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensurePrivateDirectory } from '../../operator-files.js';
import type { OpenCluster } from '../../reconcile/cluster.js';
import type { Session } from '../../reconcile/session.js';
import { appDatabase } from '../../postgres/desired.js';
import { sqlTrust } from '../../secrets/rotation.js';
import { passwordFile, type Account, type ClientFiles } from '../../topology/urls.js';

export function appAccount({ secrets }: OpenCluster): Account {
  return { user: secrets.passwords.app.user, database: appDatabase };
}

/** Where what clients of a tenant need is on this machine; made 0700. */
export async function clientDirectory({ inventory }: Session, tenant: string): Promise<string> {
  const directory = join(inventory.stateDir, 'tenants', tenant);
  await ensurePrivateDirectory(directory);
  return directory;
}

export async function writeClientFiles(session: Session, open: OpenCluster): Promise<ClientFiles> {
  const directory = await clientDirectory(session, open.cluster.tenant);
  const files = { caPath: join(directory, 'ca.crt'), passwordPath: join(directory, 'pgpass') };
  await writeIfChanged(files.caPath, sqlTrust(open.secrets), 0o644);
  const password = open.secrets.passwords.app.password.reveal();
  await writeIfChanged(files.passwordPath, passwordFile(open.cluster, appAccount(open), password), 0o600);
  return files;
}

async function writeIfChanged(path: string, content: string, mode: number): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => null)) === content) return;
  await writeFile(`${path}.new`, content, { mode });
  await rename(`${path}.new`, path);
}
