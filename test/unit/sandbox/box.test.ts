import { describe, expect, it } from 'vitest';
import { parseCgroupMount } from '../../../src/sandbox/cgroup.js';
import { parseAddresses, parseRoutes } from '../../../src/sandbox/network.js';
import { boxFaults, type BoxFacts } from '../../../src/sandbox/preconditions.js';

const fit: BoxFacts = { platform: 'linux', uid: 0, missingPrograms: [], overlay: true, cgroup2: '/sys/fs/cgroup' };

describe('what a box needs', () => {
  it('is nothing more on a fit one', () => {
    expect(boxFaults(fit)).toEqual([]);
  });

  it('is Linux before all else', () => {
    const faults = boxFaults({ ...fit, platform: 'darwin', uid: 501, missingPrograms: ['systemd-nspawn'] });
    expect(faults).toHaveLength(1);
    expect(faults[0]?.found).toContain('darwin');
  });

  it('is said all at once, with the way to get it', () => {
    const facts = {
      ...fit,
      uid: 1000,
      missingPrograms: ['systemd-nspawn', 'ssh', 'ssh-keygen'],
      overlay: false,
      cgroup2: null,
    };
    const faults = boxFaults(facts);
    expect(faults.map((fault) => fault.found)).toEqual([
      'you are user 1000, not root',
      'not installed: systemd-nspawn, ssh, ssh-keygen',
      'the kernel has no overlayfs',
      'version 2 cgroups are not mounted',
    ]);
    expect(faults[1]?.hint).toBe('apt-get install systemd-container openssh-client');
  });
});

describe('the version 2 cgroup mount', () => {
  it('is found alone and beside version 1', () => {
    expect(parseCgroupMount('cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n')).toBe('/sys/fs/cgroup');
    const hybrid = 'cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n';
    expect(parseCgroupMount(hybrid)).toBe('/sys/fs/cgroup/unified');
  });

  it('is null where there is only version 1', () => {
    expect(parseCgroupMount('cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n')).toBeNull();
  });
});

describe('what iproute2 says', () => {
  it('gives the destinations, not the default route', () => {
    const json = '[{"dst":"default","gateway":"192.0.2.1"},{"dst":"192.0.2.0/24","dev":"eth0"},{"dst":"10.213.4.7"}]';
    expect(parseRoutes(json)).toEqual(['192.0.2.0/24', '10.213.4.7']);
  });

  it('gives the networks of addresses, and copes with links that have none', () => {
    const json = '[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},{"ifname":"ifb0"},{}]';
    expect(parseAddresses(json)).toEqual(['127.0.0.1/8']);
    expect(parseAddresses('')).toEqual([]);
  });
});
