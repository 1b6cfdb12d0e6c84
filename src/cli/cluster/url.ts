import type { Command } from 'commander';
import { readTemplate } from '../../host/template.js';
import { openCluster } from '../../reconcile/cluster.js';
import { givenCertificate, serviceNames, type Cluster, type ServiceName } from '../../topology/cluster.js';
import {
  describePooling,
  jdbcUrl,
  libpqUrl,
  nodeConfig,
  poolingOf,
  type Account,
  type ClientFiles,
  type Way,
} from '../../topology/urls.js';
import { withSession } from '../context.js';
import { appAccount, writeClientFiles } from './client-files.js';
import { resolveTenant } from './tenant.js';

interface UrlOptions {
  service?: string;
  form: 'libpq' | 'jdbc' | 'node';
  door: boolean;
  showPassword: boolean;
}

/**
 * `-o json`: {tenant, user, database, ca, passfile, services: {primary: {libpq, jdbc, node: {hosts, config}, pooling, label}, …}};
 * `password` only when asked for.
 */
export async function url(given: string | undefined, options: UrlOptions, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const open = await openCluster(session, await resolveTenant(session, given));
    open.patroni.close();
    const { cluster } = open;
    const files = await writeClientFiles(session, open);
    const account = appAccount(open);
    const way: Way = options.door ? 'door' : 'ports';
    const wanted = serviceNames.filter((name) => options.service === undefined || name === options.service);
    const value = {
      tenant: cluster.tenant,
      ...account,
      ca: files.caPath,
      passfile: files.passwordPath,
      ...(options.showPassword ? { password: open.secrets.passwords.app.password.reveal() } : {}),
      services: Object.fromEntries(wanted.map((name) => [name, formsOf(cluster, name, account, files, way)])),
    };
    await terminal.result(value, () => {
      const { form } = options;
      const password = value.password === undefined ? [] : [`${'password'.padEnd(10)} ${value.password}`];
      // One string alone is what a script wants.
      if (options.service !== undefined && !options.showPassword && form !== 'node')
        return formsOf(cluster, wanted[0]!, account, files, way)[form];
      if (form === 'node') return [nodeText(cluster, wanted[0]!, account, files, way), ...password].join('\n');
      return [...wanted.map((name) => lineOf(cluster, name, account, files, way, form)), ...password].join('\n');
    });
  });
}

function formsOf(cluster: Cluster, name: ServiceName, account: Account, files: ClientFiles, way: Way) {
  const pooling = poolingOf(cluster, name);
  return {
    libpq: libpqUrl(cluster, name, account, files, way),
    jdbc: jdbcUrl(cluster, name, account, files, way),
    node: nodeConfig(cluster, name, account, way),
    pooling,
    label: describePooling(pooling),
  };
}

function lineOf(
  cluster: Cluster,
  name: ServiceName,
  account: Account,
  files: ClientFiles,
  way: Way,
  form: 'libpq' | 'jdbc',
) {
  const forms = formsOf(cluster, name, account, files, way);
  // The string holds no quote of its own: it is encoded.
  const string = form === 'libpq' ? `psql '${forms.libpq}'` : forms.jdbc;
  return `${name.padEnd(10)} ${string}\n${''.padEnd(10)}   ${forms.label}`;
}

/** A program: the module that rotates hosts, and a call of it. */
function nodeText(cluster: Cluster, name: ServiceName, account: Account, files: ClientFiles, way: Way): string {
  const { hosts, config } = nodeConfig(cluster, name, account, way);
  const given = way === 'door' ? givenCertificate(cluster) : null;
  const caPath = given === null ? files.caPath : given.caPath;
  const trusted = caPath === null ? [] : [`ca: readFileSync(${JSON.stringify(caPath)}, 'utf8')`];
  const serverName = 'ssl' in config ? [`servername: ${JSON.stringify(config.ssl.servername)}`] : [];
  return [
    `// ${cluster.tenant} ${name}: ${describePooling(poolingOf(cluster, name))}`,
    readTemplate('client/node-postgres.mjs').trimEnd(),
    '',
    `// const connect = rotateHosts(${JSON.stringify(hosts)}, {`,
    `//   port: ${config.port}, user: ${JSON.stringify(config.user)}, database: ${JSON.stringify(config.database)},`,
    '//   password: process.env.PGPASSWORD,',
    `//   ssl: { ${[...trusted, ...serverName].join(', ')} },`,
    '// });',
    '// const client = await connect();',
  ].join('\n');
}
