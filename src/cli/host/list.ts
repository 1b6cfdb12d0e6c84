// `pgs host list`

import type { Command } from 'commander';
import { openFleet } from './fleet.js';

export async function listHosts(command: Command): Promise<void> {
  const { inventory, terminal } = await openFleet(command, []);
  const members = inventory.etcd.kind === 'fleet' ? inventory.etcd.members : [];
  const hosts = inventory.hosts.map((host) => ({ ...host, etcd: members.includes(host.name) }));
  const { default: Table } = await import('cli-table3');
  await terminal.result({ fleet: inventory.fleet, hosts }, () => {
    const table = new Table({ head: ['host', 'address', 'zone', 'etcd'], style: { head: [], border: [] } });
    table.push(...hosts.map(({ name, address, zone, etcd }) => [name, address, zone, etcd ? 'member' : '']));
    return table.toString();
  });
}
