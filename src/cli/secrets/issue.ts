// `pgs cert issue`

import { join } from 'node:path';
import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { ensurePrivateDirectory, writeFileAtomically } from '../../operator-files.js';
import { describeCertificate } from '../../pki/certificate.js';
import { withCluster } from '../../reconcile/cluster.js';
import { databaseOf, issueRoleCertificate } from '../../reconcile/role-login.js';
import { libpqUrl } from '../../topology/urls.js';
import { writeClientFiles } from '../cluster/client-files.js';
import { withSession } from '../context.js';

/** What clients still take, and what the other certificates have. */
const daysMax = 825;

/** `-o json`: {tenant, role, certificate, key, ends, asked, url} */
export async function certIssue(name: string, role: string, flags: { days: string }, command: Command): Promise<void> {
  const tenant = parseTenantName(name);
  const days = parseDays(flags.days);
  await withSession(command, async ({ session, terminal }) =>
    withCluster(session, tenant, async (open) => {
      const { issued, asked } = await issueRoleCertificate(open, role, days);
      const files = await writeClientFiles(session, open);
      const directory = join(session.inventory.stateDir, 'tenants', tenant);
      await ensurePrivateDirectory(directory);
      const paths = { certificate: join(directory, `${role}.crt`), key: join(directory, `${role}.key`) };
      await writeFileAtomically(paths.key, issued.keyPem.reveal(), 0o600);
      await writeFileAtomically(paths.certificate, issued.certPem, 0o600);
      const url = libpqUrl(open.cluster, 'direct', { user: role, database: databaseOf(open, role) }, files);
      const place = (path: string) => encodeURIComponent(path).replaceAll('%2F', '/');
      const value = {
        ...{ tenant, role, ...paths },
        ends: describeCertificate(issued.certPem).notAfter.toISOString(),
        asked,
        url: `${url}&sslcert=${place(paths.certificate)}&sslkey=${place(paths.key)}`,
      };
      await terminal.result(value, () =>
        [
          `certificate  ${value.certificate}, until ${value.ends.slice(0, 10)}`,
          `key          ${value.key}`,
          `psql '${value.url}'`,
        ].join('\n'),
      );
      if (!asked)
        terminal.warn(
          `nothing asks ${role} for it yet: the file of ${tenant} has no rule \`auth: cert\` for that role`,
        );
    }),
  );
}

function parseDays(text: string): number {
  const days = Number(text);
  if (/^\d{1,4}$/.test(text) && days >= 1 && days <= daysMax) return days;
  throw new PgsError('usage', {
    doing: 'reading --days',
    found: `${JSON.stringify(text.slice(0, 40))} is not a number of days from 1 to ${daysMax}`,
  });
}
