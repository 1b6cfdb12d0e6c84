// The files that connection strings name, in the operator's directory: the tenant's CA and a libpq password file, 0600.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenCluster } from '../../reconcile/cluster.js';
import type { Session } from '../../reconcile/session.js';
import { appDatabase } from '../../postgres/desired.js';
import { sqlTrust } from '../../secrets/rotation.js';
import { passwordFile, type Account, type ClientFiles } from '../../topology/urls.js';

export function appAccount({ secrets }: OpenCluster): Account {
  return { user: secrets.passwords.app.user, database: appDatabase };
}

export async function writeClientFiles(session: Session, open: OpenCluster): Promise<ClientFiles> {
  const directory = join(session.inventory.stateDir, 'tenants', open.cluster.tenant);
  const files = { caPath: join(directory, 'ca.crt'), passwordPath: join(directory, 'pgpass') };
  await mkdir(directory, { recursive: true, mode: 0o700 });
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
