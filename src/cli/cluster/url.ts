import type { Command } from 'commander';
import { openCluster } from '../../reconcile/cluster.js';
import { serviceNames, type ServiceName } from '../../topology/cluster.js';
import { libpqUrl } from '../../topology/urls.js';
import { withSession } from '../context.js';
import { appAccount, writeClientFiles } from './client-files.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: {tenant, user, database, ca, passfile, services: {primary: {libpq}, …}}; `password` only when asked for. */
export async function url(
  given: string | undefined,
  options: { service?: string; showPassword: boolean },
  command: Command,
): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const open = await openCluster(session, await resolveTenant(session, given));
    open.patroni.close();
    const files = await writeClientFiles(session, open);
    const account = appAccount(open);
    const wanted = serviceNames.filter((name) => options.service === undefined || name === options.service);
    const libpq = (name: ServiceName) => libpqUrl(open.cluster, name, account, files);
    const value = {
      tenant: open.cluster.tenant,
      ...account,
      ca: files.caPath,
      passfile: files.passwordPath,
      ...(options.showPassword ? { password: open.secrets.passwords.app.password.reveal() } : {}),
      services: Object.fromEntries(wanted.map((name) => [name, { libpq: libpq(name) }])),
    };
    await terminal.result(value, () => {
      // The string holds no quote of its own: libpqUrl encodes them.
      if (options.service !== undefined && !options.showPassword) return libpq(options.service as ServiceName);
      const lines = wanted.map((name) => `${name.padEnd(10)} psql '${libpq(name)}'`);
      return [...lines, ...(value.password === undefined ? [] : [`${'password'.padEnd(10)} ${value.password}`])].join(
        '\n',
      );
    });
  });
}
