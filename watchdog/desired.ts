// What fencing needs on a member's host: on a shared one the fencing service and the tenant's place in it, on one that gives its
// watchdog to a single tenant the device in that tenant's hands. Pure.

import type { Resource } from '../src/host/resource.js';
import { readTemplate, renderTemplate } from '../src/host/template.js';
import { presets } from '../src/topology/presets.js';
import { cgroupOf, type Cluster, type PlacedMember } from '../src/topology/cluster.js';
import type { PatroniWatchdog } from '../src/topology/watchdog.js';
import { serviceStallS, watchdogTiming, type Mechanism } from './policy.js';

export const fenceUnit = 'pgs-fence.service';
const failedUnit = 'pgs-fence-failed.service';
const program = '/usr/local/lib/pgs/fence';
const failedScript = '/usr/local/lib/pgs/fence-failed.sh';
const deviceScript = '/usr/local/lib/pgs/watchdog-device';
const tenantsDir = '/etc/pgs/fence.d';
const udevRules = '/etc/udev/rules.d/61-pgs-watchdog.rules';
const root = { owner: 'root', group: 'root' };

/** The device that a tenant's Patroni holds on a host of its own. */
export const deviceNode = '/dev/watchdog';
/** The kernel's first watchdog has two nodes, of different classes. */
const deviceNodes = [deviceNode, '/dev/watchdog0'];

export function mechanismOf(member: PlacedMember): Mechanism {
  return member.host.fencing === 'device' ? 'device' : 'pipe';
}

export function pipeOf(tenant: string): string {
  return `/run/pgs/fence/${tenant}/pipe`;
}

/** Patroni's side of it. */
export function patroniWatchdog(cluster: Cluster, member: PlacedMember): PatroniWatchdog {
  const { spec, tenant } = cluster;
  const steady = presets[spec.rto].patroni;
  if (spec.watchdog === 'off') {
    return {
      config: { mode: 'off' },
      after: [],
      before: [],
      binds: [],
      devices: false,
    };
  }
  const shared = {
    config: { mode: spec.watchdog, safety_margin: watchdogTiming(steady).safetyMarginS },
  };
  if (mechanismOf(member) === 'device') {
    return {
      ...shared,
      config: { ...shared.config, device: deviceNode },
      after: ['pgs-watchdog.service'],
      before: [`${deviceScript} ${cluster.osUser}`],
      binds: [],
      devices: true,
    };
  }
  return {
    ...shared,
    // Patroni's own protocol on a pipe; "testing" is what Patroni calls the driver.
    config: { ...shared.config, driver: 'testing', device: pipeOf(tenant) },
    after: [fenceUnit],
    before: [`${program} --wait ${tenant}`],
    binds: [`/run/pgs/fence/${tenant}`],
    devices: false,
  };
}

/** @param slice - the tenant's slice, as systemd names it */
export function desiredFencing(cluster: Cluster, member: PlacedMember, slice: string): Resource[] {
  if (cluster.spec.watchdog === 'off') return absentFencing(cluster.tenant).slice(0, 1);
  if (mechanismOf(member) === 'device') return desiredDevice(cluster);
  const { tenant, osUser } = cluster;
  const { timeoutS } = watchdogTiming(presets[cluster.spec.rto].patroni);
  const unitFile = (unit: string, content: string): Resource => ({
    kind: 'file',
    path: `/etc/systemd/system/${unit}`,
    mode: '0644',
    content,
    ...root,
  });
  return [
    { kind: 'directory', path: tenantsDir, mode: '0755', ...root },
    {
      kind: 'file',
      path: program,
      mode: '0755',
      content: readTemplate('watchdog/fence.py'),
      validate: ['python3', '-I', '-c', 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")', '{}'],
      ...root,
    },
    { kind: 'file', path: failedScript, mode: '0644', content: readTemplate('watchdog/fence-failed.sh'), ...root },
    unitFile(
      fenceUnit,
      renderTemplate('watchdog/pgs-fence.service.eta', { unit: fenceUnit, program, stallS: serviceStallS }),
    ),
    unitFile(failedUnit, renderTemplate('watchdog/pgs-fence-failed.service.eta', { script: failedScript })),
    {
      kind: 'file',
      path: `${tenantsDir}/${tenant}.json`,
      mode: '0644',
      content: `${JSON.stringify({ user: osUser, slice: cgroupOf(slice), timeoutS })}\n`,
      ...root,
    },
    // A reload, never a restart, takes a new program: what is armed stays armed.
    { kind: 'unit', name: fenceUnit, state: 'running', enabled: true, loads: [program], onChange: 'reload' },
  ];
}

function desiredDevice({ osUser }: Cluster): Resource[] {
  return [
    { kind: 'directory', path: '/etc/udev/rules.d', mode: '0755', ...root },
    { kind: 'file', path: deviceScript, mode: '0755', content: readTemplate('watchdog/watchdog-device.sh'), ...root },
    {
      kind: 'file',
      path: udevRules,
      mode: '0644',
      content: renderTemplate('watchdog/udev.rules.eta', { user: osUser }),
      ...root,
    },
    // udev's rule is for devices that appear; this one is there already.
    ...deviceNodes.map((path): Resource => ({ kind: 'device', path, mode: '0600', owner: osUser, group: 'root' })),
  ];
}

/** What must be gone from a host that the tenant leaves; the fencing service itself stays for the others. */
export function absentFencing(tenant: string): Resource[] {
  return [
    { kind: 'absent', what: 'path', name: `${tenantsDir}/${tenant}.json`, destructive: false },
    { kind: 'absent', what: 'path', name: `/run/pgs/fence/${tenant}`, destructive: false },
    // On a host that gives its watchdog to one tenant, this was that tenant.
    { kind: 'absent', what: 'path', name: udevRules, destructive: false },
  ];
}
