// Versions that do not go together, and errors of apt in words that help.

import { describe, expect, it } from 'vitest';
import { installError } from '../../../src/host/install-packages.js';
import { brokenEtcdPair, packagesFor, supportedReleases, upstreamVersion } from '../../../src/host/packages.js';
import { inventory } from './host-cases.js';

describe('Patroni with an etcd that wants a token for leases', () => {
  it.each([
    ['4.0.7-3~deb13u1', '3.5.28'],
    ['4.1.0', '3.5.30-1'],
    ['4.0.7', '3.4.42'],
    ['4.0.7', '3.6.9'],
    ['3.0.2-1', '3.7.0'],
    ['4.1.0', '4.0.0'],
  ])('%s breaks with %s', (patroni, etcd) => {
    expect(brokenEtcdPair(patroni, etcd)).toContain('cannot keep its lease');
  });

  it.each([
    ['4.0.7-3~deb13u1', '3.5.16-4'],
    ['3.0.2-1', '3.4.23-4+b4'],
    ['4.0.7', '3.5.27'],
    ['4.0.7', '3.4.41'],
    ['4.0.7', '3.6.8'],
    ['4.1.1', '3.5.28'],
    ['4.1.4-1.pgdg13+1', '3.6.12'],
    ['unreadable', '3.5.28'],
  ])('%s works with %s', (patroni, etcd) => {
    expect(brokenEtcdPair(patroni, etcd)).toBeNull();
  });
});

it.each([
  ['3.5.16-4', '3.5.16'],
  ['1:9.18.3-1+b2', '9.18.3'],
  ['4.0.7-3~deb13u1', '4.0.7'],
  ['4.1.0~rc1-1', '4.1.0'],
  ['3.4.23+dfsg-1', '3.4.23'],
])('%s is upstream’s %s', (debian, upstream) => {
  expect(upstreamVersion(debian)?.version).toBe(upstream);
});

it('names the etcd library of Python, without which Debian’s Patroni cannot speak etcd3', () => {
  for (const release of supportedReleases) expect(packagesFor(inventory, release).install).toContain('python3-etcd');
});

describe('an install that failed', () => {
  // Each recorded on a real machine, shortened.
  const cases: [name: string, output: string, found: RegExp, hint: RegExp][] = [
    [
      'disk full',
      "Need to get 82.0 MB\nE: You don't have enough free space in /var/cache/apt/archives/.",
      /enough free/,
      /Free space/,
    ],
    [
      'mirror that cannot be reached',
      '@update-failed\nErr:1 http://deb.debian.org/debian trixie InRelease\n  Unable to connect to 10.88.7.1:3199:\nE: Unable to locate package patroni\n',
      /package lists could not be fetched:\nErr:1 http:\/\/deb/,
      /reaches its mirror/,
    ],
    ['pin', "E: Package 'python3-etcd' has no installation candidate", /python3-etcd/, /preferences\.d/],
    [
      'held package',
      ' patroni : Depends: python3-yaml but it is not going to be installed\nE: Unable to correct problems, you have held broken packages.',
      /Depends: python3-yaml/,
      /apt-mark showhold/,
    ],
    [
      'lock',
      'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt-get)',
      /process 812/,
      /Wait for/,
    ],
    ['anything else', 'Unpacking media-types (13.0.0) ...\nKilled', /Killed/, /apt-get -f install/],
  ];

  it.each(cases)('by a %s names host, packages, cause and way out', (_, output, found, hint) => {
    const error = installError('h2', ['patroni', 'socat'], output);
    expect(error.code).toBe('command-failed');
    expect(error.details).toMatchObject({ host: 'h2', doing: 'installing patroni, socat' });
    expect(error.details.found).toMatch(found);
    expect(error.details.hint).toMatch(hint);
  });

  it('in the same way for a hundred files says it twice', () => {
    const lines = Array.from(
      { length: 100 },
      (_, i) => `E: Failed to fetch http://deb/pool/p${i}.deb  Unable to connect to 10.0.0.1:${i}:`,
    );
    expect(installError('h2', ['patroni'], lines.join('\n')).details.found.split('\n')).toHaveLength(2);
  });
});
