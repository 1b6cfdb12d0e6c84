// What every host of the fleet should have before any component comes, besides packages: directories, guards that keep
// the distribution from starting or upgrading things behind pgs's back, and limits of the journal. Pure.

import type { Inventory } from '../inventory/inventory.js';
import type { Release } from './packages.js';
import type { DirectoryResource, FileResource, Resource, UnitResource } from './resource.js';
import { distributionUnits } from './strangers.js';
import { readTemplate, renderTemplate } from './template.js';

/** Read by journald when it starts. */
export const journaldConfPath = '/etc/systemd/journald.conf.d/pgs.conf';

/**
 * The same on each host; all of it can be there before the first package is installed, and has to: a `main` cluster or a
 * single-node etcd that was started once is hard to tell from somebody's.
 */
export function desiredHost(inventory: Pick<Inventory, 'etcd'>): Resource[] {
  return [
    // Parents are named too: a directory that is made on the way to another would get a guessed mode.
    ...[
      '/etc/apt/apt.conf.d',
      '/etc/needrestart',
      '/etc/needrestart/conf.d',
      '/etc/pgs',
      '/etc/postgresql-common',
      '/etc/postgresql-common/createcluster.d',
      '/etc/systemd/journald.conf.d',
      '/etc/tmpfiles.d',
      '/run/pgs',
      '/usr/local/lib/pgs',
      '/var/lib/pgs',
    ].map((path) => directory(path, '0755')),
    directory('/run/pgs/stamps', '0700'),
    file('/usr/local/lib/pgs/stamp', '0755', readTemplate('stamp.sh')),
    file('/etc/tmpfiles.d/pgs.conf', '0644', readTemplate('host/prepare/tmpfiles.conf')),
    // The drop-in, not createcluster.conf itself: that one is the package's, and changing it would make upgrades ask.
    file('/etc/postgresql-common/createcluster.d/pgs.conf', '0644', readTemplate('host/prepare/createcluster.conf')),
    file('/etc/needrestart/conf.d/pgs.conf', '0644', readTemplate('host/prepare/needrestart.conf')),
    file('/etc/apt/apt.conf.d/52pgs', '0644', readTemplate('host/prepare/apt.conf')),
    file(journaldConfPath, '0644', readTemplate('host/prepare/journald.conf')),
    ...distributionUnits(inventory).map(masked),
  ];
}

/** The source of PGDG's packages; its key must be there before (it is in Debian's postgresql-common). */
export function pgdgSource({ codename }: Release): FileResource {
  // The name that PGDG's own script uses, so that a host that has the source already does not get it twice.
  const path = '/etc/apt/sources.list.d/pgdg.sources';
  return file(path, '0644', renderTemplate('host/prepare/pgdg.sources.eta', { codename }));
}

function directory(path: string, mode: string): DirectoryResource {
  return { kind: 'directory', path, owner: 'root', group: 'root', mode };
}

function file(path: string, mode: string, content: string): FileResource {
  return { kind: 'file', path, owner: 'root', group: 'root', mode, content };
}

function masked(name: string): UnitResource {
  return { kind: 'unit', name, state: 'masked', enabled: false, loads: [], onChange: 'never' };
}
