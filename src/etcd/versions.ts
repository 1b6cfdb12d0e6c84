// Refuses an etcd whose version does not work with a Patroni that was found. Pure.

import { PgsError } from '../errors.js';
import { brokenEtcdPair } from '../host/packages.js';
import type { MemberStatus } from './facts.js';

/**
 * @param patroniVersions by host, as the package or the program says it
 * @throws PgsError `unfit` naming each pair of host and member that does not work together
 */
export function refuseBrokenPairs(patroniVersions: Record<string, string>, members: MemberStatus[]): void {
  const etcd = members.flatMap((m) => (m.answers ? [{ name: m.name, version: m.version }] : []));
  const broken = Object.entries(patroniVersions).flatMap(([host, patroni]) =>
    etcd.flatMap(({ name, version }) => {
      const why = brokenEtcdPair(patroni, version);
      return why ? [`host ${host} and etcd ${name}: ${why}`] : [];
    }),
  );
  if (broken.length === 0) return;
  throw new PgsError('unfit', {
    doing: 'comparing the versions of Patroni and etcd',
    found: broken.join('\n'),
    hint: 'Upgrade Patroni to 4.1.1 or newer (`packages: pgdg` in pgs.yaml), or give an older etcd.',
  });
}
