// The systemd unit of the daemon, as text.

import { dirname, join } from 'node:path';
import { PgsError } from '../errors.js';
import { renderTemplate, templatesDir } from '../host/template.js';
import type { Inventory } from '../inventory/inventory.js';
import { credentialsOf } from './credentials.js';

export function unitName(inventory: Pick<Inventory, 'fleet'>): string {
  return `pgs-daemon-${inventory.fleet}.service`;
}

/** @throws PgsError `configuration` for paths that a unit cannot hold */
export function renderUnit(inventory: Inventory, powerCommand: string | null, node = process.execPath): string {
  const program = join(dirname(templatesDir()), 'bin/pgs.mjs');
  const power = powerCommand === null ? [] : ['--power-command', powerCommand];
  const argv = [node, program, '--config', inventory.path, 'daemon', ...power];
  const credentials = credentialsOf(inventory);
  [...argv, ...credentials.map((c) => c.path)].forEach(refuseOddPath);
  const name = unitName(inventory).replace(/\.service$/, '');
  return renderTemplate('daemon/pgs-daemon.service.eta', { fleet: inventory.fleet, name, argv, credentials });
}

/** systemd's own quoting and its % and $ are never needed. */
function refuseOddPath(path: string): void {
  if (/^[\w./@+=,-]+$/.test(path)) return;
  throw new PgsError('configuration', {
    doing: 'making the unit of the daemon',
    found: `${JSON.stringify(path)} has characters that mean something else in a unit of systemd`,
    hint: 'Keep it in a path of letters, digits and . / _ - @ + = , only.',
  });
}
