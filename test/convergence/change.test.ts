// Changing, removing and bringing back a tenant, killed before any one change.

import { vi } from 'vitest';
import { apply, create, destroy } from './commands.js';
import { describeKills } from './kills.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

const file = {
  default_roles: true,
  roles: { shop: { in: ['admin'] }, reporting: { in: ['readonly'], connections: 5, settings: { work_mem: '9MB' } } },
  databases: { shop: { owner: 'shop', extensions: ['pg_trgm'], schemas: ['billing'], pool: 12 } },
};

describeKills([
  { command: 'create --reuse-data', from: 'retired', work: create({ reuseData: true }) },
  { command: 'apply of other parameters', from: 'made', work: apply({ settings: { work_mem: '9MB' } }) },
  { command: 'apply of roles and databases', from: 'made', work: apply(file), thoroughly: true },
  {
    command: 'create with roles and databases',
    from: 'empty',
    work: create({ given: { tenant: 'acme', ...file } }),
    sparsely: true,
  },
  { command: 'apply of what restarts members', from: 'made', work: apply({ watchdog: 'automatic' }), thoroughly: true },
  { command: 'destroy', from: 'made', work: destroy(false) },
  { command: 'destroy --purge-data', from: 'made', work: destroy(true), thoroughly: true },
  { command: 'destroy --purge-data of kept data', from: 'retired', work: destroy(true) },
  { command: 'create, given up by destroy --purge-data', from: 'empty', work: create(), then: destroy(true) },
]);
