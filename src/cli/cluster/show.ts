import type { Command } from 'commander';
import { openCluster } from '../../reconcile/cluster.js';
import { serviceHost, serviceNames } from '../../topology/cluster.js';
import { settingsOf } from '../../topology/settings.js';
import { specToFile } from '../../topology/spec.js';
import { withSession } from '../context.js';
import { resolveTenant } from './tenant.js';

/** `-o yaml` is a file for `pgs apply -f`; `-o json` adds the allocation and the settings that pgs derives. */
export async function show(given: string | undefined, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const { cluster, record, patroni } = await openCluster(session, await resolveTenant(session, given));
    patroni.close();
    const spec = specToFile(cluster.spec);
    const whole = {
      spec,
      phase: record.phase,
      createdAt: record.createdAt,
      members: cluster.allocation.members,
      ports: cluster.ports,
      door: Object.fromEntries(
        serviceNames.map((name) => [name, `${serviceHost(cluster.tenant, name, cluster.domain)}:${cluster.door.port}`]),
      ),
      paths: cluster.paths,
      osUser: cluster.osUser,
      settings: settingsOf(cluster.spec, cluster.allocation),
    };
    if (terminal.format === 'yaml') return terminal.result(spec, () => '');
    const { stringify } = await import('yaml');
    return terminal.result(whole, () => stringify(whole, { lineWidth: 0 }));
  });
}
