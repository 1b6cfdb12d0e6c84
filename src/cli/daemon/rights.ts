// `pgs daemon grant`, `pgs daemon revoke`

import type { Command } from 'commander';
import { grantDaemon, revokeDaemon, type Granted } from '../../daemon/grant.js';
import { daemonDirectory } from '../../daemon/granted-files.js';
import { withHosts } from '../context.js';

/** `-o json`: `Granted` */
export async function grant(command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const granted = await grantDaemon(session);
    await terminal.result(granted, () => describeGranted(granted, daemonDirectory(session.inventory.stateDir)));
  });
}

export function describeGranted({ hosts, tenants, etcdUser }: Granted, directory: string): string {
  return [
    `the daemon has a key of its own on ${hosts.join(', ')}, which permits drills and switchovers and was seen to refuse the rest`,
    etcdUser === null
      ? 'to the external etcd it has the login of pgs.yaml'
      : `to etcd it is ${etcdUser}: it writes schedules, results and locks, and reads tenants' records and Patroni's keys`,
    tenants.length === 0
      ? 'of no tenant it has secrets yet: those of a tenant are given with its first schedule'
      : `of ${tenants.join(', ')} it has what clients and Patroni's REST take`,
    `its files are in ${directory}; all of it is taken back by: pgs daemon revoke`,
  ].join('\n');
}

/** `-o json`: {hosts} */
export async function revoke(command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const revoked = await revokeDaemon(session);
    await terminal.result(
      revoked,
      () => `the daemon has no rights any more, on ${revoked.hosts.join(', ')} and in etcd; schedules and results stay`,
    );
  });
}
