// The kernel's watchdog on a host: which one, and who holds it. A hardware watchdog goes before softdog; a container has none. Pure.

import { dirname } from 'node:path';
import type { CheckFacts, WatchdogFact } from './check-facts.js';
import type { FileResource, Resource } from './resource.js';
import { readTemplate, renderTemplate } from './template.js';

export const watchdogUnit = 'pgs-watchdog.service';
const systemConf = '/etc/systemd/system.conf.d/pgs-watchdog.conf';
const scopeConf = '/etc/systemd/system/init.scope.d/pgs-watchdog.conf';

/** What softdog calls itself in the kernel. */
export const softdogIdentity = 'Software Watchdog';

/** How long systemd may hang before the machine is reset, seconds: less than any leader key lives (18 with the preset fast). */
export const systemdStallS = 15;

export interface KernelWatchdog {
  /** `/dev/watchdog0`; `/dev/watchdog` is another name of the first one. */
  node: string;
  /** The module has to be loaded. */
  softdog: boolean;
}

/** The watchdog that a host is to use, or null when it cannot have one. */
export function chooseWatchdog({
  watchdogs,
  softdogAvailable,
  container,
}: Pick<CheckFacts, 'watchdogs' | 'softdogAvailable' | 'container'>): KernelWatchdog | null {
  const numbered = watchdogs.filter(({ device }) => /\d$/.test(device));
  const hardware = numbered.find(({ identity }) => identity !== null && identity !== softdogIdentity);
  if (hardware) return { node: hardware.device, softdog: false };
  const soft = numbered.find(({ identity }) => identity === softdogIdentity);
  if (soft) return { node: soft.device, softdog: true };
  return softdogAvailable && container === null ? { node: '/dev/watchdog0', softdog: true } : null;
}

/** @param fencing - `shared`: systemd holds it; `device`: it is left for the tenant's Patroni */
export function desiredWatchdog({ node, softdog }: KernelWatchdog, fencing: 'shared' | 'device'): Resource[] {
  const systemdTimeoutS = fencing === 'shared' ? systemdStallS : 0;
  const shared = { node, softdog, systemdTimeoutS };
  const files = fencing === 'shared' ? [systemConf] : [];
  return [
    ...(fencing === 'shared' ? heldBySystemd(renderTemplate('host/prepare/system.conf.eta', shared)) : leftToPatroni()),
    file(
      `/etc/systemd/system/${watchdogUnit}`,
      renderTemplate('host/prepare/pgs-watchdog.service.eta', { ...shared, unit: watchdogUnit, files }),
    ),
    { kind: 'unit', name: watchdogUnit, state: 'running', enabled: true, loads: files, onChange: 'restart' },
  ];
}

function heldBySystemd(settings: string): Resource[] {
  return [
    ...[systemConf, scopeConf].map((path): Resource => directory(dirname(path))),
    file(systemConf, settings),
    file(scopeConf, readTemplate('host/prepare/init.scope.conf')),
  ];
}

function leftToPatroni(): Resource[] {
  return [systemConf, scopeConf].map((name) => ({ kind: 'absent', what: 'path', name, destructive: false }));
}

/** Who holds a watchdog and is neither systemd nor a tenant. */
export function watchdogStrangers(watchdogs: WatchdogFact[]): string[] {
  return watchdogs.flatMap(({ device, holders }) =>
    holders
      .filter(({ pid, user }) => pid !== 1 && !user.startsWith('pgs-'))
      .map(({ pid, command }) => `${device} is held by ${command} (process ${pid})`),
  );
}

function directory(path: string): Resource {
  return { kind: 'directory', path, owner: 'root', group: 'root', mode: '0755' };
}

function file(path: string, content: string): FileResource {
  return { kind: 'file', path, owner: 'root', group: 'root', mode: '0644', content };
}
