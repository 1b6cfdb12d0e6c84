// Answers that were recorded on real Debian 12 and 13 machines, read back.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ReachableHost } from '../../../src/host/facts.js';
import { parseHostFacts } from '../../../src/host/parse-facts.js';

const recorded = (name: string) => readFileSync(new URL(`recorded/${name}.txt`, import.meta.url), 'utf8');
const at = (name: string) => `/etc/pgs/rec${name}`;
const asked = {
  users: ['postgres', 'pgs-nobody'],
  paths: ['', '/a', '/b', '/d', '/d/key', '/empty', '/link', '/absent', '/a/below'].map((name) => ({ path: at(name) })),
  units: [],
};
const root = { owner: 'root', group: 'root' };

function parsed(answer: string): ReachableHost {
  const facts = parseHostFacts(answer, asked);
  if (!facts.reachable) throw new Error(facts.why);
  return facts;
}

describe.each(['trixie', 'bookworm'])('an answer recorded on %s', (release) => {
  const facts = parsed(recorded(release));

  it('tells users that exist from those that do not', () => {
    const postgres = { present: true, home: '/var/lib/postgresql' };
    expect(facts.users['postgres']).toEqual(release === 'trixie' ? postgres : { present: false });
    expect(facts.users['pgs-nobody']).toEqual({ present: false });
  });

  it('tells every kind of path apart', () => {
    const content = `it's "one"\n@end\n`;
    expect(facts.paths).toEqual({
      [at('')]: { kind: 'directory', ...root, mode: '0755', empty: false },
      [at('/a')]: {
        kind: 'file',
        ...root,
        mode: '0640',
        sha256: expect.stringMatching(/^61aa2bf9/) as string,
        content,
      },
      [at('/b')]: {
        kind: 'file',
        ...root,
        mode: '0644',
        sha256: expect.stringMatching(/^8285d1ad/) as string,
        content: 'grüße',
      },
      [at('/d')]: { kind: 'directory', ...root, mode: '2750', empty: false },
      [at('/d/key')]: { kind: 'file', ...root, mode: '0600', sha256: expect.stringMatching(/^2bb80d53/) as string },
      [at('/empty')]: { kind: 'directory', ...root, mode: '0755', empty: true },
      [at('/link')]: { kind: 'other', ...root, mode: '0777' },
      [at('/absent')]: { kind: 'absent' },
      [at('/a/below')]: { kind: 'absent' },
    });
  });

  it('reads units: running, starting, failed, masked, absent, and one with a backslash in its name', () => {
    const short = Object.entries(facts.units).map(([name, u]) => [
      name,
      u.load,
      u.active,
      u.enabled,
      u.needsDaemonReload,
    ]);
    expect(short).toEqual([
      ['pgs-rec@x.service', 'loaded', 'active', true, true],
      ['pgs-slow.service', 'loaded', 'activating', false, false],
      ['pgs-fails.service', 'loaded', 'failed', false, false],
      ['pgs-masked.service', 'masked', 'inactive', false, false],
      ['pgs-absent.service', 'not-found', 'inactive', false, false],
      ['ssh.service', 'loaded', 'active', true, false],
      ['pgs-a\\x2db.slice', 'loaded', 'inactive', false, false],
    ]);
    expect(facts.units['pgs-rec@x.service']!.startedAtS).toBeGreaterThan(1_700_000_000);
    expect(facts.units['pgs-absent.service']!.startedAtS).toBe(0);
  });

  it('knows what a running unit loaded, and of a starting one what it is about to load', () => {
    const running = Object.keys(facts.units['pgs-rec@x.service']!.loaded);
    expect(running).toEqual([at('/a'), at('/b'), at('/d/key'), '/etc/systemd/system/pgs-rec@.service']);
    expect(facts.units['pgs-slow.service']!.loaded[at('/b')]).toMatch(/^8285d1ad/);
    expect(facts.units['ssh.service']!.loaded).toEqual({});
  });

  it('reads listening ports and the size of the machine', () => {
    expect(facts.listening).toEqual([
      { address: '0.0.0.0', port: 22, process: 'sshd' },
      { address: '::', port: 22, process: 'sshd' },
    ]);
    expect(facts).toMatchObject({ cores: 2, memoryMiB: 24105 });
  });
});

describe('an answer that cannot be trusted', () => {
  const whole = recorded('trixie');
  const unknown = (answer: string) => {
    const facts = parseHostFacts(answer, asked);
    return facts.reachable ? 'reachable' : facts.why;
  };

  it('is unknown wherever it is cut off, never "absent"', () => {
    const lines = whole.trimEnd().split('\n');
    for (let count = 0; count < lines.length - 1; count++) {
      expect(unknown(lines.slice(0, count).join('\n')), `after ${count} lines`).toContain('ends early');
    }
  });

  it.each([
    ['an error other than "not there"', /No such file or directory/, 'Input/output error'],
    ['a path that it does not speak of', /^find: '.*below.*\n/m, ''],
    ['a file without a hash', /^2bb80d53.*rec\/d\/key\n/m, ''],
    ['a unit that is left out', /^Id=pgs-a[^@]*/m, ''],
    ['systemd not answering', /^@stamp pgs-rec/m, '@failed systemctl show\n@stamp pgs-rec'],
    ['no memory size', /^24684096\n/m, ''],
  ])('is unknown with %s', (_what, pattern, replacement) => {
    const changed = whole.replace(pattern, replacement);
    expect(changed).not.toBe(whole);
    expect(unknown(changed)).toContain('cannot be read');
  });

  it('leaves out a content that changed after it was hashed', () => {
    const changed = whole.replace(/^aXQncyAib25lIgpA/m, 'aXQncyAidHdvIgpA');
    expect(parsed(changed).paths[at('/a')]).not.toHaveProperty('content');
    expect(parsed(changed).paths[at('/b')]).toHaveProperty('content', 'grüße');
  });
});

describe('listening sockets', () => {
  const withSockets = (lines: string[]) =>
    parsed(recorded('trixie').replace(/@listening\n(LISTEN.*\n)*/, `@listening\n${lines.join('\n')}\n`)).listening;

  it('reads addresses of every form and a process without a name', () => {
    expect(
      withSockets([
        'LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*',
        'LISTEN 0 4096 *:2379 *:* users:(("etcd",pid=9,fd=8))',
        'LISTEN 0 200 [::ffff:10.0.0.1]:5432 *:* users:(("postgres",pid=1,fd=6),("postgres",pid=2,fd=6))',
      ]),
    ).toEqual([
      { address: '127.0.0.53', port: 53, process: null },
      { address: '*', port: 2379, process: 'etcd' },
      { address: '::ffff:10.0.0.1', port: 5432, process: 'postgres' },
    ]);
  });

  it('are read from the kernel where `ss` is not installed', () => {
    const table = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid',
      '   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0',
      '   1: 0B71D50A:0016 0171D50A:D2F8 01 00000000:00000000 02:000A7214 00000000     0',
    ];
    const answer = recorded('trixie').replace(/@listening\n(LISTEN.*\n)*/, `@sockets\n${table.join('\n')}\n`);
    expect(parsed(answer).listening).toEqual([{ address: '00000000', port: 22, process: null }]);
  });
});
