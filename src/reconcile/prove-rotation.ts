// The proof of a rotation: the new secrets are let in and those of before are refused, really tried at every place that lets them in.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { appDatabase } from '../postgres/desired.js';
import { parseTriedLogin, tryLogin, type LoginAnswer, type TriedLogin } from '../postgres/try-login.js';
import { sqlTrust, type Rotation } from '../secrets/rotation.js';
import { generatePassword } from '../secrets/password.js';
import type { Credential } from '../secrets/shape.js';
import { poolerRole } from '../topology/accounts.js';
import { serviceNames, type PlacedMember } from '../topology/cluster.js';
import type { OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** One place where both were tried. */
export interface Proof {
  /** Such as `replication`, `REST`. */
  what: string;
  /** A member, an entry with its service, or etcd. */
  where: string;
  present: LoginAnswer['result'];
  before: LoginAnswer['result'];
  /** What was said to the one of before. */
  said: string;
}

export interface Trial {
  what: string;
  where: string;
  present: () => Promise<LoginAnswer>;
  before: () => Promise<LoginAnswer>;
}

/** A standby may be behind with the roles that the leader dropped. */
const limitMs = 30_000;

/** @throws PgsError `endangers` when one of before is still let in, `unknown-result` when a present one is not let in or nobody answers */
export async function proveRotation(session: Session, open: OpenCluster): Promise<Proof[]> {
  const { rotation } = open.secrets;
  if (!rotation) return [];
  return Promise.all(trialsOf(session, open, rotation).map(proveOne));
}

export interface SuperuserProof {
  where: string;
  /** What the member said to a login over the network. */
  said: string;
}

/**
 * That nobody is superuser over the network: tried at every member, with a password.
 * @throws PgsError `endangers` when one is let in, `unknown-result` when a member does not answer
 */
export async function proveNoSuperuser(session: Session, open: OpenCluster): Promise<SuperuserProof[]> {
  const login: Credential = { user: 'postgres', password: generatePassword() };
  const tried = open.cluster.members.map(async (member) => {
    const { result, said } = await tryAt(session, open, member, { how: 'password', login, for: 'postgres' });
    if (result === 'refused') return { where: member.name, said };
    throw new PgsError(result === 'accepted' ? 'endangers' : 'unknown-result', {
      doing: 'proving that postgres cannot log in over the network',
      host: member.host.name,
      found: result === 'accepted' ? 'it was let in' : said,
      hint: `See pg_hba.conf there; \`pgs apply ${open.cluster.tenant}\` puts it right.`,
    });
  });
  return Promise.all(tried);
}

/** @throws PgsError as `proveRotation` */
export async function proveOne(trial: Trial): Promise<Proof> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const present = await trial.present();
    const before = await trial.before();
    const { what, where } = trial;
    if (present.result === 'accepted' && before.result === 'refused') {
      return { what, where, present: present.result, before: before.result, said: before.said };
    }
    if (performance.now() > deadlineMs) {
      throw new PgsError(before.result === 'accepted' ? 'endangers' : 'unknown-result', {
        doing: `proving that the new secret of ${what} is let in at ${where} and the one of before is not`,
        found: `the new one is ${present.result}${said(present)}; the one of before is ${before.result}${said(before)}`,
        hint: 'Run the same command again: it tries once more, and the rotation is not over before.',
      });
    }
    await sleep(500);
  }
}

function said({ said: words }: LoginAnswer): string {
  return words === '' ? '' : ` (${words})`;
}

function trialsOf(session: Session, open: OpenCluster, { other, targets }: Rotation): Trial[] {
  const { cluster, secrets } = open;
  const trials: Trial[] = [];
  const atMembers = (what: string, present: TriedLogin, before: TriedLogin) =>
    trials.push(
      ...cluster.members.map((member) => ({
        ...{ what, where: member.name },
        present: () => tryAt(session, open, member, present),
        before: () => tryAt(session, open, member, before),
      })),
    );
  const password = (login: Credential, of: 'replication' | 'postgres'): TriedLogin => ({
    ...{ how: 'password', login, for: of },
  });
  const { passwords } = secrets;
  if (other.replication)
    atMembers(
      'replication',
      password(passwords.replication, 'replication'),
      password(other.replication, 'replication'),
    );
  if (other.rewind) atMembers('rewind', password(passwords.rewind, 'postgres'), password(other.rewind, 'postgres'));
  if (other.pooler && (other.poolerName !== undefined || targets.includes('ca'))) {
    const certificate = (issued: typeof other.pooler): TriedLogin => ({
      ...{ how: 'certificate', user: poolerRole, issued },
    });
    atMembers('poolers', certificate(secrets.pooler), certificate(other.pooler));
  }
  if (other.rest) trials.push(...cluster.members.map((member) => restTrial(open, member, other.rest!)));
  if (other.restOperator && other.restCa) trials.push(...restCaTrials(session, open, other));
  if (other.etcd) trials.push(etcdTrial(session, passwords.etcd, other.etcd));
  if (other.probe) trials.push(...serviceTrials(session, open, 'probe', other.probe));
  if (other.app) trials.push(...serviceTrials(session, open, 'app', other.app));
  return trials;
}

async function tryAt(
  session: Session,
  open: OpenCluster,
  member: PlacedMember,
  tried: TriedLogin,
): Promise<LoginAnswer> {
  const answer = await session.hosts.get(member.host.name).run(tryLogin(open.cluster, member, tried));
  return parseTriedLogin(answer);
}

/** What changes nothing but takes the password: taking back a switchover that nobody planned. */
function restTrial({ patroni, secrets }: OpenCluster, member: PlacedMember, before: Credential): Trial {
  const attempt = (login: Credential) => async (): Promise<LoginAnswer> => {
    try {
      const { status } = await patroni.requestAs(login, member, 'DELETE', '/switchover');
      return { result: status === 401 ? 'refused' : 'accepted', said: `HTTP ${status}` };
    } catch (thrown) {
      return { result: 'unknown', said: thrown instanceof PgsError ? thrown.details.found : String(thrown) };
    }
  };
  return { what: 'REST', where: member.name, present: attempt(secrets.passwords.rest), before: attempt(before) };
}

/** As the client that pgs was with the CA of before; it trusts both, so that a refusal is the member's. */
function restCaTrials(session: Session, { cluster, secrets }: OpenCluster, other: Rotation['other']): Trial[] {
  const attempt = (as: typeof secrets, member: PlacedMember) => async (): Promise<LoginAnswer> => {
    const client = session.patroni(cluster, as);
    try {
      const fact = await client.member(member);
      if (fact.reachable) return { result: 'accepted', said: '' };
      const alert = /tls\w* alert [a-z ]+/i.exec(fact.why)?.[0];
      return { result: alert === undefined ? 'unknown' : 'refused', said: alert ?? fact.why };
    } finally {
      client.close();
    }
  };
  const before = { ...secrets, restOperator: other.restOperator! };
  return cluster.members.map((member) => ({
    ...{ what: 'CA of REST', where: member.name },
    present: attempt(secrets, member),
    before: attempt(before, member),
  }));
}

function etcdTrial(session: Session, present: Credential, before: Credential): Trial {
  const attempt =
    ({ user, password }: Credential) =>
    async (): Promise<LoginAnswer> => {
      const works = await (await session.dcs()).logins.passwordWorks(user, password);
      return { result: works ? 'accepted' : 'refused', said: works ? '' : 'authentication failed' };
    };
  return { what: 'etcd', where: 'etcd', present: attempt(present), before: attempt(before) };
}

/** Through every service of every entry: so each pooler learns the new password too. */
function serviceTrials(session: Session, open: OpenCluster, what: 'app' | 'probe', before: Credential): Trial[] {
  const { cluster, secrets } = open;
  const place = { database: what === 'app' ? appDatabase : 'postgres', caPem: sqlTrust(secrets) };
  return cluster.entries.flatMap((entry) =>
    serviceNames.map((service) => {
      const attempt = (login: Credential) => () => session.tryService(cluster, entry, service, login, place);
      return {
        ...{ what, where: `${service} of ${entry.name}` },
        present: attempt(secrets.passwords[what]),
        before: attempt(before),
      };
    }),
  );
}
