// `pgs cert issue`

import { join } from 'node:path';
import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { writeFileAtomically } from '../../operator-files.js';
import { describeCertificate } from '../../pki/certificate.js';
import { withCluster } from '../../reconcile/cluster.js';
import { databaseOf, issueRoleCertificate } from '../../reconcile/role-login.js';
import { libpqUrl } from '../../topology/urls.js';
import { clientDirectory, writeClientFiles } from '../cluster/client-files.js';
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
      const directory = await clientDirectory(session, tenant);
      const certificate = { certPath: join(directory, `${role}.crt`), keyPath: join(directory, `${role}.key`) };
      await writeFileAtomically(certificate.keyPath, issued.keyPem.reveal(), 0o600);
      await writeFileAtomically(certificate.certPath, issued.certPem, 0o600);
      const account = { user: role, database: databaseOf(open, role) };
      const value = {
        ...{ tenant, role, certificate: certificate.certPath, key: certificate.keyPath },
        ends: describeCertificate(issued.certPem).notAfter.toISOString(),
        asked,
        url: libpqUrl(open.cluster, 'direct', account, { ...files, certificate }),
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
