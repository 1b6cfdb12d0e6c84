// Patroni's REST over mutual TLS. A member that does not answer is a value, not an exception.

import { Agent } from 'node:https';
import { createRequire } from 'node:module';
import { createSecureContext } from 'node:tls';
import type { AxiosStatic } from 'axios';
import { PgsError } from '../errors.js';
import { alsoLetIn, restTrust } from '../secrets/rotation.js';
import type { Credential } from '../secrets/shape.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import { believeLeader, parseMember, type MemberFact, type PatroniFacts } from './facts.js';

export interface RestAnswer {
  status: number;
  body: unknown;
}

export interface PatroniClient {
  gather(timeoutMs?: number): Promise<PatroniFacts>;
  member(member: PlacedMember, timeoutMs?: number): Promise<MemberFact>;
  /** Replaces the cluster-wide settings through the first member that takes them. */
  putSettings(settings: Record<string, unknown>): Promise<void>;
  /** A request of any kind to one member. @throws axios errors with nothing secret in them */
  request(
    member: PlacedMember,
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    timeoutMs?: number,
  ): Promise<RestAnswer>;
  /** With another login than the tenant's own, to see whether it is let in. */
  requestAs(login: Credential, member: PlacedMember, method: 'DELETE', path: string): Promise<RestAnswer>;
  close(): void;
}

const require = createRequire(import.meta.url);

/** Loaded by the first question, 0.12 s, since many commands ask no member. One file in CommonJS, sixty in ES modules: half the time. */
const loadAxios = () => (require('axios') as { default: AxiosStatic }).default;

const defaultTimeoutMs = 2500;

export function connectPatroni(cluster: Cluster, secrets: TenantSecrets): PatroniClient {
  // Made once: Patroni closes after each answer, and reading the PEMs anew takes longer than the rest of a connection.
  const secureContext = createSecureContext({
    ca: restTrust(secrets),
    cert: secrets.restOperator.certPem,
    key: secrets.restOperator.keyPem.reveal(),
  });
  const agent = new Agent({ secureContext, keepAlive: true });
  const { rest } = secrets.passwords;
  /** While the password is being replaced, a member may know the one of before only. */
  const { rest: other } = alsoLetIn(secrets);
  const request: PatroniClient['request'] = async (member, method, path, body, timeoutMs = defaultTimeoutMs) => {
    const answer = await requestAs(rest, member, method, path, body, timeoutMs);
    return answer.status === 401 && other ? requestAs(other, member, method, path, body, timeoutMs) : answer;
  };
  const requestAs = async (
    login: Credential,
    member: PlacedMember,
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<RestAnswer> => {
    const address = member.host.address.includes(':') ? `[${member.host.address}]` : member.host.address;
    const axios = loadAxios();
    try {
      const answer = await axios.request<unknown>({
        url: `https://${address}:${cluster.ports.rest}${path}`,
        method,
        data: body,
        httpsAgent: agent,
        proxy: false,
        // Node's own deadline for the whole request: axios's `timeout` is not one.
        signal: AbortSignal.timeout(timeoutMs),
        validateStatus: () => true,
        ...(method === 'GET' ? {} : { auth: { username: login.user, password: login.password.reveal() } }),
      });
      return { status: answer.status, body: answer.data };
    } catch (thrown) {
      // axios keeps the request with its password in the error: only the message leaves.
      throw new PgsError('unreachable', {
        doing: `asking Patroni of ${member.name} (${method} ${path})`,
        host: member.host.name,
        found:
          thrown instanceof Error && thrown.name !== 'CanceledError'
            ? thrown.message
            : `no answer within ${timeoutMs} ms`,
        hint: `Look at \`pgs cluster logs ${cluster.tenant} --member ${member.name}\`.`,
      });
    }
  };

  const member: PatroniClient['member'] = async (m, timeoutMs) => {
    try {
      return parseMember((await request(m, 'GET', '/patroni', undefined, timeoutMs)).body);
    } catch (thrown) {
      return { reachable: false, why: thrown instanceof PgsError ? thrown.details.found : String(thrown) };
    }
  };

  return {
    request,
    requestAs: (login, m, method, path) => requestAs(login, m, method, path, undefined, defaultTimeoutMs),
    member,
    gather: async (timeoutMs) => {
      const asked = cluster.members.map(async (m) => [m.name, await member(m, timeoutMs)] as const);
      return { members: believeLeader(Object.fromEntries(await Promise.all(asked))) };
    },
    putSettings: async (wanted) => {
      let last = 'no member answered';
      for (const m of cluster.members) {
        const answer = await request(m, 'PUT', '/config', wanted, 5000).catch((e: PgsError) => e);
        if (!(answer instanceof PgsError) && answer.status === 200) return;
        last = `${m.name}: ${answer instanceof PgsError ? answer.details.found : `HTTP ${answer.status}`}`;
      }
      throw new PgsError('command-failed', { doing: `storing the settings of ${cluster.tenant}`, found: last });
    },
    close: () => agent.destroy(),
  };
}
