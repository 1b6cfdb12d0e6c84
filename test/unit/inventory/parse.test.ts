import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { parseInventory } from '../../../src/inventory/parse.js';

const threeHosts = `hosts:
  h1: { address: 10.0.0.1 }
  h2: { address: 10.0.0.2, zone: rack-2 }
  h3: { address: 10.0.0.3 }
`;
const minimal = `fleet: main\n${threeHosts}`;

function parse(text: string) {
  return parseInventory(text, '/srv/fleet/pgs.yaml', '/home/op');
}

/** The faults, one a line. */
function faults(text: string): string[] {
  try {
    parse(text);
  } catch (thrown) {
    if (!(thrown instanceof PgsError)) throw thrown;
    expect(thrown.code).toBe('configuration');
    return thrown.details.found.split('\n');
  }
  return [];
}

describe('a pgs.yaml without faults', () => {
  test('needs no more than a name and three hosts', () => {
    expect(parse(minimal)).toEqual({
      path: '/srv/fleet/pgs.yaml',
      stateDir: '/srv/fleet/.pgs',
      fleet: 'main',
      domain: 'main.internal',
      hosts: [
        { name: 'h1', address: '10.0.0.1', zone: 'h1' },
        { name: 'h2', address: '10.0.0.2', zone: 'rack-2' },
        { name: 'h3', address: '10.0.0.3', zone: 'h3' },
      ],
      ssh: { user: 'root', port: 22, keyPath: null, knownHostsPath: '/srv/fleet/.pgs/known_hosts' },
      packages: 'distribution',
      ports: { from: 20000, to: 29999 },
      etcd: { kind: 'fleet', members: ['h1', 'h2', 'h3'], clientPort: 2379, peerPort: 2380 },
      door: { port: 5432 },
      notify: { webhook: null, webhookPath: null, command: null },
      watch: 'report',
      drills: { backup: null },
      defaults: { postgres: null, rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'required' },
    });
  });

  test('names who is told of a drill that went wrong, and how old a backup may be', () => {
    const told = parse(
      `${minimal}notify: { webhook_file: .pgs/url, command: [/bin/page, a b] }\ndrills: { backup: { command: [/bin/last], max_age_hours: 26 } }\n`,
    );
    expect(told.notify).toEqual({ webhook: null, webhookPath: '/srv/fleet/.pgs/url', command: ['/bin/page', 'a b'] });
    expect(told.drills.backup).toEqual({ command: ['/bin/last'], maxAgeMs: 93_600_000 });
  });

  test('has a front door, with certificates for all tenants or for one, and a rule for new tenants', () => {
    const given = parse(
      `${minimal}door: { port: 6432, certificate: { cert: all.crt, key: all.key }, tenants: { acme: { cert: a.crt, key: a.key, ca: ca.crt } } }
defaults: { access: { enabled: true, from: [10.0.0.0/8] } }\n`,
    );
    const at = (name: string) => `/srv/fleet/${name}`;
    expect(given.door).toEqual({
      port: 6432,
      certificate: { certPath: at('all.crt'), keyPath: at('all.key'), caPath: null },
      tenants: { acme: { certPath: at('a.crt'), keyPath: at('a.key'), caPath: at('ca.crt') } },
    });
    expect(given.defaults.access).toEqual({ enabled: true, from: ['10.0.0.0/8'] });
  });

  test.each([
    ['is inside the range of tenants', 'door: { port: 20007 }', /ports: 20000-29999 holds 20007, which is door\.port/],
    ["is etcd's", 'door: { port: 2379 }', /door\.port: 2379 is etcd\.client_port already/],
  ])('a front door whose port %s is refused', (_, line, why) => {
    expect(() => parse(`${minimal}${line}\n`)).toThrow(why);
  });

  test('counts paths from its own directory and knows ~', () => {
    const { ssh } = parse(`${minimal}ssh: { key: ~/.ssh/id, known_hosts: keys/known }\n`);
    expect(ssh).toMatchObject({ keyPath: '/home/op/.ssh/id', knownHostsPath: '/srv/fleet/keys/known' });
    expect(parse(`${minimal}ssh: { key: a~/id }\n`).ssh.keyPath).toBe('/srv/fleet/a~/id');
  });

  test('takes a bare off as the word, as YAML 1.2 has it', () => {
    expect(parse(`${minimal}defaults: { watchdog: off }\n`).defaults.watchdog).toBe('off');
  });

  test('may name an etcd that somebody else runs, and then needs no three hosts', () => {
    const external = `etcd:
  external:
    endpoints: ["https://10.9.0.1:2379", "https://etcd.example.com:2379"]
    ca: ca.crt
    user: root
    password_file: ~/etcd-password
`;
    expect(parse(`fleet: main\nhosts: { h1: { address: 10.0.0.1 } }\n${external}`).etcd).toEqual({
      kind: 'external',
      endpoints: ['https://10.9.0.1:2379', 'https://etcd.example.com:2379'],
      caPath: '/srv/fleet/ca.crt',
      certPath: null,
      keyPath: null,
      user: 'root',
      passwordPath: '/home/op/etcd-password',
    });
  });

  test('takes the first three of many hosts as etcd members, or those that it names', () => {
    const five = `${minimal}  h4: { address: 10.0.0.4 }\n  h5: { address: 10.0.0.5 }\n`;
    expect(parse(five).etcd).toMatchObject({ members: ['h1', 'h2', 'h3'] });
    expect(parse(`${five}etcd: { members: [h5, h3, h4] }\n`).etcd).toMatchObject({ members: ['h5', 'h3', 'h4'] });
  });
});

test('all faults come at once, each with line, column and path', () => {
  const text = `fleet: main
hots: {}
hosts:
  h1: { address: 10.0.0.1, adress: x }
  h2: { address: 10.0.0.1 }
  H3: { address: "10.0.0.3; reboot" }
  h4: {}
ssh:
  prot: 22
  port: "22"
ports: { from: 2000, to: 2005 }
etcd: { members: [h1, h1, hx, h2] }
defaults: { watchdog: false, rto: fats, rpo: 10, durability: strict, postgres: 17.2 }
`;
  expect(faults(text)).toEqual([
    'pgs.yaml:2:1: hots: unknown key, did you mean "hosts"?',
    'pgs.yaml:4:28: hosts.h1.adress: unknown key, did you mean "address"?',
    'pgs.yaml:5:18: hosts.h2.address: 10.0.0.1 is the address of h1 already',
    'pgs.yaml:6:3: hosts.H3: "H3" cannot be the name of a host: it does not begin with a letter from a to z',
    'pgs.yaml:6:18: hosts.H3.address: "10.0.0.3; reboot" is refused: it is not an IP address such as 10.0.0.11',
    'pgs.yaml:7:3: hosts.h4.address: is missing',
    'pgs.yaml:9:3: ssh.prot: unknown key, did you mean "port"?',
    'pgs.yaml:10:9: ssh.port: must be a number, not "22"',
    'pgs.yaml:11:1: ports: from 2000 to 2005 does not hold one block of 10, which each tenant takes',
    'pgs.yaml:12:18: etcd.members: has 4 names, and must have 3 or 5: of three one may fail, of five two; an even number gains nothing',
    'pgs.yaml:12:23: etcd.members.1: h1 is named twice',
    'pgs.yaml:12:27: etcd.members.2: "hx" is not a host; hosts are h1, h2, H3, h4',
    'pgs.yaml:13:23: defaults.watchdog: must be one of required, automatic, off: write the word off, false is not it',
    'pgs.yaml:13:35: defaults.rto: must be one of fast, norm, safe, wide, not "fats", did you mean "fast"?',
    'pgs.yaml:13:80: defaults.postgres: must be a whole number, not 17.2',
  ]);
});

describe('refused with its place:', () => {
  test.each<[string, string, string]>([
    ['a key twice', `${minimal}fleet: other\n`, 'pgs.yaml:6:1: fleet is here a second time'],
    ['a host twice', `${minimal}  h1: { address: 10.0.0.9 }\n`, 'pgs.yaml:6:3: h1 is here a second time'],
    [
      'an address in another spelling',
      `${minimal}  a: { address: "fd00::1" }\n  b: { address: "FD00:0::1" }\n`,
      'pgs.yaml:7:17: hosts.b.address: FD00:0::1 is the address of a already',
    ],
    [
      'a name for an address',
      `${minimal}  h4: { address: localhost }\n`,
      'pgs.yaml:6:18: hosts.h4.address: "localhost" is refused: it is not an IP address such as 10.0.0.11',
    ],
    [
      'a number for a host name',
      `${minimal}  4: { address: 10.0.0.4 }\n`,
      'pgs.yaml:6:3: hosts.4: "4" cannot be the name of a host: it is not text',
    ],
    [
      '__proto__ for a host',
      `${minimal}  __proto__: { address: 10.0.0.4 }\n`,
      'pgs.yaml:6:3: hosts.__proto__: "__proto__" cannot be the name of a host: it does not begin with a letter from a to z',
    ],
    [
      'ports that Linux gives out',
      `${minimal}ports: { from: 30000, to: 40000 }\n`,
      'pgs.yaml:6:1: ports: 30000-40000 overlaps 32768-60999, from which Linux takes ports for outgoing connections: a member could find its port taken',
    ],
    [
      "etcd's port among the tenants'",
      `${minimal}ports: { from: 2000, to: 2379 }\n`,
      'pgs.yaml:6:1: ports: 2000-2379 holds 2379, which is etcd.client_port',
    ],
    [
      'one port for both',
      `${minimal}etcd: { peer_port: 2379 }\n`,
      'pgs.yaml:6:20: etcd.peer_port: etcd needs two different ports',
    ],
    [
      'members beside an external etcd',
      `${minimal}etcd: { members: [h1], external: { endpoints: ["https://a:1"], ca: a, user: u, password_file: p } }\n`,
      'pgs.yaml:6:9: etcd.members: cannot stand beside etcd.external: either pgs runs etcd on the hosts or somebody else does',
    ],
    [
      'http',
      `${minimal}etcd: { external: { endpoints: ["http://a:1"], ca: a, user: u, password_file: p } }\n`,
      'pgs.yaml:6:33: etcd.external.endpoints.0: must begin with https://, passwords would cross the network readable',
    ],
    [
      'a webhook that is no URL, without showing it',
      `${minimal}notify: { webhook: "hooks.example/secret" }\n`,
      'pgs.yaml:6:20: notify.webhook: must be a URL that begins with https:// or http://',
    ],
    [
      'a webhook twice',
      `${minimal}notify: { webhook: "https://hooks.example/x", webhook_file: url }\n`,
      'pgs.yaml:6:47: notify.webhook_file: cannot stand beside webhook: give one of the two',
    ],
    ['a negative rpo', `${minimal}defaults: { rpo: -1 }\n`, 'pgs.yaml:6:18: defaults.rpo: must be at least 0, not -1'],
    [
      'strict durability with loss allowed',
      `${minimal}defaults: { rpo: 10, durability: strict }\n`,
      'pgs.yaml:6:34: defaults.durability: strict needs rpo 0, and rpo is 10: asynchronous commits never wait for a standby',
    ],
    ['no hosts at all', 'fleet: main\n', 'pgs.yaml:1:1: hosts: is missing'],
    [
      'hosts without any',
      'fleet: main\nhosts:\n',
      'pgs.yaml:2:7: hosts: must be a mapping of names to values, not nothing',
    ],
    ['nothing', '# only a comment\n', 'pgs.yaml:1:1: the file is empty'],
    ['a list', '- a\n', 'pgs.yaml:1:1: must be a mapping of keys to values, not a list'],
    [
      'shell in the user',
      `${minimal}ssh: { user: "root; id" }\n`,
      'pgs.yaml:6:14: ssh.user: must be the name of a user, such as root',
    ],
    [
      'a line break in a path',
      `${minimal}ssh: { key: "a\\nb" }\n`,
      'pgs.yaml:6:13: ssh.key: must be a path without control characters',
    ],
  ])('%s', (_, text, fault) => {
    expect(faults(text)).toEqual([fault]);
  });

  test('too few hosts, saying why', () => {
    const [fault, ...others] = faults('fleet: main\nhosts:\n  h1: { address: 10.0.0.1 }\n');
    expect(fault).toMatch(/^pgs\.yaml:2:1: hosts: has 1 of the at least 3 hosts .* majority/);
    expect(others).toEqual([]);
  });

  test.each([
    ['an open bracket', 'fleet: main\nhosts: {\n', 3],
    ['a tab', 'fleet: main\nhosts:\n\th1: 1\n', 3],
    ['a bad indent', 'fleet: main\n  hosts: 1\n', 2],
    ['two documents', `${minimal}---\nfleet: b\n`, 6],
  ])('%s as YAML', (_, text, line) => {
    const found = faults(text);
    expect(found.length).toBeGreaterThan(0);
    expect(found.every((fault) => /^pgs\.yaml:\d+:\d+: /.test(fault))).toBe(true);
    expect(found.some((fault) => Math.abs(Number(fault.split(':')[1]) - line) <= 1)).toBe(true);
  });

  test('an alias that leads nowhere, or one that explodes', () => {
    expect(faults(`${minimal}ssh: *nowhere\n`)).toHaveLength(1);
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...['b', 'c', 'd', 'e'].map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcd'[i]}`).join(',')}]`),
    ];
    expect(faults(bomb.join('\n')).length).toBeGreaterThan(0);
  });
});

test('a password in the wrong place is not repeated in the error', () => {
  const text = `${minimal}etcd: { external: { endpoints: ["https://root:hunter2@a:1"], password: hunter2, ca: a, user: u } }\n`;
  expect(faults(text)).toHaveLength(3);
  expect(faults(text).join('\n')).not.toContain('hunter2');
});

test('control characters of the file do not reach the terminal', () => {
  expect(faults(`${minimal}"\\e[2J": 1\n`).join('')).not.toContain('\u001b');
});
