// How a role of a tenant's file logs in: its generated password, replaced on demand, and client certificates.

import { PgsError } from '../errors.js';
import { issueCertificate, type Issued } from '../pki/authority.js';
import { generatedRoles } from '../postgres/desired-objects.js';
import { sqlTrust } from '../secrets/rotation.js';
import { renewRoleSecret } from '../secrets/role-secrets.js';
import type { Credential } from '../secrets/shape.js';
import { appName, isPresent, logsIn, passwordOf, type RoleSpec } from '../topology/objects.js';
import { applyCluster, refuseNotReady, withTenantLock, type ChangeOptions } from './change.js';
import { openCluster, type OpenCluster } from './cluster.js';
import { proveOne, type Proof } from './prove-rotation.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

/** @throws PgsError `usage` when the role is not among those of the tenant's file, or does not log in */
function roleOf({ record: { spec } }: OpenCluster, name: string, doing: string): RoleSpec {
  const roles = Object.entries(spec.roles ?? {}).filter(([, role]) => isPresent(role) && logsIn(role));
  const found = name === appName ? {} : roles.find(([known]) => known === name)?.[1];
  if (found) return found;
  const known = [...new Set([appName, ...roles.map(([role]) => role)])];
  throw new PgsError('usage', {
    doing,
    found: `${JSON.stringify(name.slice(0, 80))} is not among the roles of ${spec.tenant} that log in: ${known.join(', ')}`,
    hint: `Put it into the file of ${spec.tenant} (\`pgs cluster show ${spec.tenant} -o yaml\`), and \`pgs apply -f\` it.`,
  });
}

/** @throws PgsError `usage` for a role whose password pgs does not have */
export function rolePassword(open: OpenCluster, name: string): Credential {
  const { record, secrets } = open;
  const doing = `looking for the password of ${name}`;
  const role = roleOf(open, name, doing);
  if (name === appName) return secrets.passwords.app;
  const known = generatedRoles(record.spec).includes(name) ? secrets.roles?.[name] : undefined;
  if (known) return { user: name, password: known.password };
  throw new PgsError('usage', {
    doing,
    found: whyNone(passwordOf(role)),
    hint: 'pgs knows the passwords that it makes: `password: generated` in the file.',
  });
}

function whyNone(word: string): string {
  if (word === 'none') return 'it has none by the file';
  return word === 'kept'
    ? 'the file leaves it as it is'
    : 'the file has its verifier: only who made that knows the password';
}

/** Database by which a role is tried, and that its connection strings name: one of its own, else `app`. */
export function databaseOf({ record: { spec } }: OpenCluster, role: string): string {
  const own = Object.entries(spec.databases ?? {}).find(([, d]) => isPresent(d) && (d.owner ?? appName) === role);
  return own?.[0] ?? appName;
}

export interface RotatedPassword {
  plan: Plan;
  /** The new password is let in and that of before is not, tried through `direct`. Null: the role may not connect there. */
  proof: Proof | null;
}

/**
 * Another password for a role, in force when this returns; open sessions go on.
 * @throws PgsError `usage` as `rolePassword`, `endangers` when the tenant is not in service, and as `applyCluster`
 */
export async function rotateRolePassword(
  session: Session,
  tenant: string,
  role: string,
  options: ChangeOptions,
): Promise<RotatedPassword> {
  return withTenantLock(
    session,
    tenant,
    `user password ${tenant} ${role} --rotate`,
    options.signal,
    async (lock, signal) => {
      const open = await openCluster(session, tenant);
      try {
        refuseNotReady(open.record.phase, tenant, `replacing the password of ${role}`);
        if (role === appName) {
          throw new PgsError('usage', {
            doing: `replacing the password of ${role}`,
            found: 'that of app is one of the secrets of the cluster',
            hint: `\`pgs rotate ${tenant} app\``,
          });
        }
        const before = rolePassword(open, role);
        open.secrets = renewRoleSecret(open.secrets, role);
        open.secretsChanged = true;
        const plan = await applyCluster(session, open, lock, { ...options, signal });
        return { plan, proof: await proveRole(session, open, rolePassword(open, role), before) };
      } finally {
        open.patroni.close();
      }
    },
  );
}

/** A role that may connect to no database is refused for another reason than its password: that says nothing. */
async function proveRole(
  session: Session,
  open: OpenCluster,
  present: Credential,
  before: Credential,
): Promise<Proof | null> {
  const { cluster, secrets } = open;
  const entry = cluster.entries[0]!;
  const place = { database: databaseOf(open, present.user), caPem: sqlTrust(secrets) };
  const attempt = (login: Credential) => () => session.tryService(cluster, entry, 'direct', login, place);
  const first = await attempt(present)();
  if (/permission denied for database|certificate authentication|pg_hba/.test(first.said)) return null;
  return proveOne({
    what: present.user,
    where: `direct of ${entry.name}`,
    present: attempt(present),
    before: attempt(before),
  });
}

/** What clients get for logging in without a password. */
export interface RoleCertificate {
  issued: Issued;
  /** A rule of the file asks the role for one; otherwise it is of no use yet. */
  asked: boolean;
}

/**
 * A certificate by the tenant's CA with the role as its CN.
 * @param days until it ends, at most until the CA does
 * @throws PgsError `usage` for a role that is not in the file
 */
export async function issueRoleCertificate(open: OpenCluster, role: string, days: number): Promise<RoleCertificate> {
  const { cluster, secrets, record } = open;
  roleOf(open, role, `issuing a certificate for ${role}`);
  const issued = await issueCertificate(secrets.sqlCa, {
    subject: { organization: 'pgs', unit: cluster.tenant, commonName: role },
    dnsNames: [],
    ipAddresses: [],
    usages: ['client'],
    days,
  });
  const groups = record.spec.roles?.[role]?.in ?? [];
  const asked = (record.spec.hba ?? []).some(
    ({ auth, roles }) => auth === 'cert' && (!roles || roles.includes(role) || roles.some((r) => groups.includes(r))),
  );
  return { issued, asked };
}
