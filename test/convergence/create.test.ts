// Making a tenant, killed before any one change.

import { vi } from 'vitest';
import { create } from './commands.js';
import { describeKills } from './kills.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

describeKills([
  { command: 'create of the first tenant', from: 'bare', work: create() },
  { command: 'create beside a neighbour', from: 'empty', work: create(), thoroughly: true },
]);
