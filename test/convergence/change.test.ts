// Changing, removing and bringing back a tenant, killed before any one change.

import { vi } from 'vitest';
import { apply, create, destroy } from './commands.js';
import { describeKills } from './kills.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

describeKills([
  { command: 'create --reuse-data', from: 'retired', work: create({ reuseData: true }) },
  { command: 'apply of other parameters', from: 'made', work: apply({ settings: { work_mem: '9MB' } }) },
  { command: 'apply of what restarts members', from: 'made', work: apply({ watchdog: 'automatic' }), thoroughly: true },
  { command: 'destroy', from: 'made', work: destroy(false) },
  { command: 'destroy --purge-data', from: 'made', work: destroy(true), thoroughly: true },
  { command: 'destroy --purge-data of kept data', from: 'retired', work: destroy(true) },
  { command: 'create, given up by destroy --purge-data', from: 'empty', work: create(), then: destroy(true) },
]);
