// `pgs cert` and `pgs rotate`: declarations only; what they do is in `src/cli/secrets/`.

import { Argument, Command } from 'commander';
import { rotateWords, type RotateWord } from '../secrets/words.js';
import { tenantArgument } from './arguments.js';

const dryRun = ['--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)'] as const;

export function certCommand(): Command {
  return new Command('cert')
    .description('the certificates of the fleet and its tenants: until when they last, and new ones')
    .addCommand(certListCommand())
    .addCommand(certRenewCommand())
    .addCommand(certIssueCommand());
}

function certListCommand(): Command {
  return new Command('list')
    .description('every certificate: where it is, who issued it, when it ends, and whether the process there has it')
    .argument('[tenant]', 'only of this tenant, and of the fleet itself')
    .addHelpText(
      'after',
      `
The exit code is 1 when one has ended or ends within 30 days, 4 when a host could not be looked at. One that is \`stored\` is not in force
yet: the date is that of the one on the host. \`pgs apply\` renews what ends within 30 days, and so does \`pgs cert renew\`.

Examples:
  $ pgs cert list
  $ pgs cert list acme -o json`,
    )
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { certList } = await import('../secrets/cert.js');
      await certList(tenant, command);
    });
}

export interface RenewFlags {
  fleet: boolean;
  all: boolean;
  dryRun: boolean;
}

function certRenewCommand(): Command {
  return new Command('renew')
    .description('renew certificates that end within 30 days, or all, by reloads; what has ended everywhere too')
    .addArgument(tenantArgument())
    .option('--fleet', "those of the fleet's etcd, and that with which pgs reaches it", false)
    .option('--all', 'all of them, not only those that end soon', false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
Nothing restarts: PostgreSQL, Patroni, the poolers and HAProxy reload, and etcd reads its certificates again for every connection. The old
certificates stay valid until they end; what was stolen is taken back by \`pgs rotate <tenant> ca\`.

When certificates have ended everywhere, pgs reaches neither etcd nor Patroni, but the hosts by ssh. First the fleet's, then each tenant's:

  $ pgs cert renew --fleet
  $ pgs cert renew acme

Examples:
  $ pgs cert renew acme --dry-run
  $ pgs cert renew acme --all`,
    )
    .action(async (tenant: string | undefined, options: RenewFlags, command: Command) => {
      const { certRenew } = await import('../secrets/cert.js');
      await certRenew(tenant, options, command);
    });
}

function certIssueCommand(): Command {
  return new Command('issue')
    .description("a client certificate for a role of a tenant's file, by the tenant's CA")
    .argument('<tenant>', 'name of the tenant')
    .argument('<role>', 'a role of its file that logs in, or app')
    .option('--days <n>', 'until it ends', '365')
    .addHelpText(
      'after',
      `
Certificate and key are written to .pgs/tenants/<tenant>/<role>.crt and .key beside pgs.yaml, 0600; the CN is the role. It is asked for where
the file has a rule \`auth: cert\` for the role, on direct and direct-ro. pgs keeps no list of them: one is taken back by the rule, by
dropping the role, or with all others by \`pgs rotate <tenant> ca\`.

Examples:
  $ pgs cert issue acme robot
  $ pgs cert issue acme robot --days 30 -o json`,
    )
    .action(async (tenant: string, role: string, options: { days: string }, command: Command) => {
      const { certIssue } = await import('../secrets/issue.js');
      await certIssue(tenant, role, options, command);
    });
}

export interface RotateFlags {
  fleet: boolean;
  resume: boolean;
  clientsTrustNext: boolean;
  yes: boolean;
  dryRun: boolean;
}

export function rotateCommand(): Command {
  return new Command('rotate')
    .description("replace a tenant's secrets while it serves, and prove that the old ones are refused")
    .argument('[tenant]', 'name of the tenant (may be left out with one tenant, or after `pgs use`)')
    .addArgument(new Argument('[what]', 'which ones').choices(rotateWords).default('all'))
    .option('--fleet', "with `ca`: the CAs of the fleet's etcd, for all tenants", false)
    .option('--resume', 'only finish what was begun; nothing is done when nothing was', false)
    .option(
      '--clients-trust-next',
      'with `ca`: the clients have the file with the next CA that the first run wrote',
      false,
    )
    .option('--yes', 'do not ask', false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
  all          replication, rest, etcd, pooler and probe: everything that only pgs and the hosts know of
  superuser    there is no such password: \`postgres\` logs in through the local socket as the tenant's OS user and nowhere else. One that
               somebody gave it is taken away, and a login over the network is tried
  replication  the logins of replication and of pg_rewind, by roles that take turns
  rest         the password of Patroni's REST, which all members change within seconds
  etcd         the tenant's login to etcd, by users that take turns
  pooler       the certificate with which the poolers ask for verifiers
  probe        the login with which pgs proves the services
  app          the password of \`app\`: clients need the new one from then on (it asks; open sessions go on)
  ca           the CAs of SQL and of Patroni's REST, and every certificate by the new ones: trust both, issue, drop the old ones. The first
               run ends when everybody trusts both and writes the file for clients; when they have it, --clients-trust-next goes on

Old and new are let in together until every member uses the new one. An interrupted rotation is gone on with by the same command. At the end
the new one and the old one are really tried at every place, and the result is printed.

Examples:
  $ pgs rotate acme                          # all
  $ pgs rotate acme replication --dry-run
  $ pgs rotate acme app --yes
  $ pgs rotate acme ca
  $ pgs rotate acme ca --clients-trust-next
  $ pgs rotate --fleet ca`,
    )
    .action(async (tenant: string | undefined, what: RotateWord, options: RotateFlags, command: Command) => {
      const { rotate } = await import('../secrets/rotate.js');
      await rotate(tenant, what, options, command);
    });
}
