import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { defragCalendar, desiredEtcd, etcdTiming } from '../../../src/etcd/desired.js';
import { checkResources } from '../../../src/host/resource-rules.js';
import type { FileResource, Resource } from '../../../src/host/resource.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import { externalEtcd, fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { inventory } from '../../fixtures/fleet.js';

const secrets = fakeFleetSecrets();
const of = (index: number, fleet: Inventory = inventory) => desiredEtcd(fleet, secrets, fleet.hosts[index]!);
const files = (resources: Resource[]) => resources.filter((r): r is FileResource => r.kind === 'file');
const fileOf = (resources: Resource[], ending: string) => files(resources).find((f) => f.path.endsWith(ending))!;
const configOf = (resources: Resource[]) =>
  parse(fileOf(resources, 'etcd.conf.yml').content as string) as Record<string, unknown>;

describe('desiredEtcd', () => {
  it('wants nothing of a host that is no member, and nothing when etcd is external', () => {
    expect(of(3)).toEqual([]);
    expect(of(0, { ...inventory, etcd: externalEtcd })).toEqual([]);
  });

  it('keeps the rules for what a host takes', () => {
    for (const index of [0, 1, 2]) expect(() => checkResources(of(index))).not.toThrow();
  });

  it('asks for certificates at both doors, each of its own CA', () => {
    const config = configOf(of(0));
    const door = (leaf: string, ca: string) => ({
      'cert-file': `/etc/pgs/etcd/tls/${leaf}.crt`,
      'key-file': `/etc/pgs/etcd/tls/${leaf}.key`,
      'client-cert-auth': true,
      'trusted-ca-file': `/etc/pgs/etcd/tls/${ca}.crt`,
    });
    expect(config['client-transport-security']).toEqual(door('server', 'client-ca'));
    expect(config['peer-transport-security']).toEqual(door('peer', 'peer-ca'));
    expect(fileOf(of(0), 'client-ca.crt').content).toBe('certificate etcd-client-ca\n');
    expect(fileOf(of(0), 'peer-ca.crt').content).toBe('certificate etcd-peer-ca\n');
  });

  it('names the same members and token on every host, and never listens without TLS', () => {
    const configs = [0, 1, 2].map((i) => configOf(of(i)));
    const same = configs.map((c) => [c['initial-cluster'], c['initial-cluster-token'], c['initial-cluster-state']]);
    expect(new Set(same.map(String)).size).toBe(1);
    expect(same[0]).toEqual([
      'h1=https://10.0.0.1:2380,h2=https://10.0.0.2:2380,h3=https://10.0.0.3:2380',
      'fake-fleet-id',
      'new',
    ]);
    expect(configs.map((c) => c.name)).toEqual(['h1', 'h2', 'h3']);
    for (const config of configs) expect(JSON.stringify(config)).not.toContain('http://');
  });

  it("keeps etcd's own rule: an election takes at least five heartbeats", () => {
    expect(etcdTiming.electionMs).toBeGreaterThanOrEqual(5 * etcdTiming.heartbeatMs);
  });

  it('writes addresses of IPv6 in brackets', () => {
    const hosts = inventory.hosts.map((h, i) => ({ ...h, address: `fd00::${i + 1}` }));
    expect(configOf(of(0, { ...inventory, hosts }))['advertise-client-urls']).toBe('https://[fd00::1]:2379');
  });

  it('lets nobody else read what is secret, and puts no secret where all may read', () => {
    const texts = allSecretTexts(secrets);
    for (const file of files(of(0))) {
      const isPublic = typeof file.content === 'string';
      if (!isPublic) expect(file.mode).toBe('0600');
      else for (const text of texts) expect(file.content).not.toContain(text);
    }
  });

  it('restarts for its configuration and CAs, not for its own certificates, which it reads anew', () => {
    const unit = of(0).find((r) => r.kind === 'unit' && r.name === 'pgs-etcd.service');
    expect(unit).toMatchObject({
      onChange: 'restart',
      loads: ['/etc/pgs/etcd/etcd.conf.yml', '/etc/pgs/etcd/tls/client-ca.crt', '/etc/pgs/etcd/tls/peer-ca.crt'],
    });
  });

  it('stamps exactly what the unit resource says that it loads', () => {
    const unit = fileOf(of(0), 'pgs-etcd.service').content as string;
    expect(unit).toContain(
      'ExecStartPre=+/usr/local/lib/pgs/stamp pgs-etcd.service /etc/pgs/etcd/etcd.conf.yml /etc/pgs/etcd/tls/client-ca.crt /etc/pgs/etcd/tls/peer-ca.crt\n',
    );
    expect(unit).toContain('ExecStartPost=+/usr/local/lib/pgs/stamp --commit pgs-etcd.service\n');
  });

  it('defragments members at different times, an hour apart in parts of twenty minutes', () => {
    expect([0, 1, 2, 3, 4].map(defragCalendar)).toEqual([
      'Sun *-*-* 03:00:00',
      'Sun *-*-* 03:20:00',
      'Sun *-*-* 03:40:00',
      'Sun *-*-* 04:00:00',
      'Sun *-*-* 04:20:00',
    ]);
    const timers = [0, 1, 2].map((i) => fileOf(of(i), '.timer').content);
    expect(new Set(timers).size).toBe(3);
  });
});
