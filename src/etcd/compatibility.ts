// Which pairs of Patroni and etcd must not be used together. Pure.

import semver from 'semver';

/** First etcd of each line that asks for a login on lease keepalive, which Patroni sends without one (patroni PR 3580). */
const loginForKeepalive: Record<string, string> = { '3.4': '3.4.42', '3.5': '3.5.28', '3.6': '3.6.9' };
const patroniWithLogin = '4.1.1';

/**
 * Why this Patroni does not work with this etcd when authentication is on, or null if it does. A version that cannot be
 * read is not judged: null.
 */
export function brokenPair(patroniVersion: string, etcdVersion: string): string | null {
  const patroni = semver.coerce(patroniVersion);
  const etcd = semver.coerce(etcdVersion);
  if (!patroni || !etcd || semver.gte(patroni, patroniWithLogin)) return null;
  const line = `${etcd.major}.${etcd.minor}`;
  const first = loginForKeepalive[line];
  const broken = first ? semver.gte(etcd, first) : semver.gte(etcd, '3.7.0');
  if (!broken) return null;
  return `Patroni ${patroni.version} cannot keep its leases alive on etcd ${etcd.version} with authentication on: this etcd asks for a login there, and Patroni sends one from ${patroniWithLogin} on`;
}
