import { describe, expect, test } from 'vitest';
import {
  addHostKey,
  changedHostKeyError,
  findHostKeys,
  fingerprint,
  hostKeyAlgorithms,
  judgeHostKey,
  parseHostKeyBlob,
  removeHostKeys,
  type HostKey,
} from '../../../src/host/known-hosts.js';

// Made by `ssh-keygen -t ed25519`; the fingerprint and the hashed line are what ssh-keygen -l and -H print for it.
const ed: HostKey = {
  type: 'ssh-ed25519',
  key: 'AAAAC3NzaC1lZDI1NTE5AAAAINmVwYi+FWXgutck3MmOixS7Ub+4BKn4Wb23BvfZJsaT',
};
const edFingerprint = 'SHA256:hI1DC9MvEXNpPIsrAYzdomTjiYhb6OT+HtOHgByrG3o';
const hashed = `|1|ZT0tq45wT8sJyFpeevIeH76q8Cw=|DdodEzhfut3t6FDm/rzbe1x27cw= ${ed.type} ${ed.key}\n`;
const other: HostKey = {
  type: 'ssh-ed25519',
  key: 'AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
};
const rsa: HostKey = { type: 'ssh-rsa', key: 'AAAAB3NzaC1yc2EAAAADAQABAAAAQQ==' };
const line = (names: string, key: HostKey) => `${names} ${key.type} ${key.key}\n`;

describe('the keys of a host', () => {
  test.each([
    ['its address on port 22', line('10.0.0.9', ed), '10.0.0.9', 22],
    ['its address and another port', line('[10.0.0.9]:2222', ed), '10.0.0.9', 2222],
    ['a name among several', line('h1,10.0.0.9', ed), '10.0.0.9', 22],
    ['a pattern', line('10.0.*.?', ed), '10.0.0.9', 22],
    ['a hashed name', hashed, '10.0.0.9', 2222],
    ['IPv6', line('fd00::1', ed), 'fd00::1', 22],
    ['a line with a comment, tabs and CRLF', `# c\n\n 10.0.0.9\t${ed.type} \t${ed.key} who@where\r\n`, '10.0.0.9', 22],
  ])('are found by %s', (_, text, address, port) => {
    expect(findHostKeys(text, address, port)).toEqual([ed]);
    expect(judgeHostKey(text, address, port, ed)).toBe('trusted');
    expect(judgeHostKey(text, address, port, other)).toBe('changed');
  });

  test.each([
    ['another port', line('[10.0.0.9]:2222', ed)],
    ['another address', line('10.0.0.90', ed)],
    ['a hash of another name', hashed],
    ['a pattern that leaves it out', line('10.0.0.*,!10.0.0.9', ed)],
    ['a comment', `#${line('10.0.0.9', ed)}`],
    ['a line cut off', `10.0.0.9 ${ed.type}\n`],
    ['a certificate authority', `@cert-authority ${line('10.0.0.9', ed)}`],
    ['nothing', ''],
  ])('are not found by %s', (_, text) => {
    expect(findHostKeys(text, '10.0.0.9', 22)).toEqual([]);
    expect(judgeHostKey(text, '10.0.0.9', 22, ed)).toBe('unknown');
  });

  test('that are revoked are never trusted, even if they are listed as well', () => {
    const text = line('10.0.0.9', ed) + `@revoked ${line('*', ed)}`;
    expect(judgeHostKey(text, '10.0.0.9', 22, ed)).toBe('revoked');
  });

  test('of several kinds are told apart', () => {
    const text = line('10.0.0.9', ed) + line('10.0.0.9', rsa);
    expect(findHostKeys(text, '10.0.0.9', 22)).toEqual([ed, rsa]);
    expect(hostKeyAlgorithms([ed, rsa, ed])).toEqual(['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256']);
  });
});

describe('a known_hosts file', () => {
  test('gains a key once and keeps every other line', () => {
    const before = '# mine\n10.0.0.1 ssh-rsa AAAA'; // no line end
    const after = addHostKey(before, '10.0.0.9', 2222, ed);
    expect(after).toBe(`${before}\n[10.0.0.9]:2222 ${ed.type} ${ed.key}\n`);
    expect(addHostKey(after, '10.0.0.9', 2222, ed)).toBe(after);
    expect(addHostKey(hashed, '10.0.0.9', 2222, ed)).toBe(hashed);
  });

  test('loses the keys of one host only', () => {
    const text = `# c\n${line('10.0.0.9', ed)}${line('10.0.0.8', ed)}${line('h1,10.0.0.9', rsa)}@revoked ${line('10.0.0.9', other)}`;
    const after = removeHostKeys(text, '10.0.0.9', 22);
    expect(after).toBe(`# c\n${line('10.0.0.8', ed)}${line('h1', rsa)}@revoked ${line('10.0.0.9', other)}`);
    expect(findHostKeys(after, '10.0.0.9', 22)).toEqual([]);
    expect(removeHostKeys(hashed, '10.0.0.9', 2222)).toBe('');
  });
});

test('a fingerprint is what ssh-keygen -l shows', () => {
  expect(fingerprint(ed)).toBe(edFingerprint);
});

test('a key blob names its kind, and what is no key is refused', () => {
  expect(parseHostKeyBlob(Buffer.from(ed.key, 'base64'))).toEqual(ed);
  for (const bad of ['', 'abc', '\0\0\0\x05a\nb;c', '\xff\xff\xff\xff', '\0\0\0\x09short']) {
    expect(() => parseHostKeyBlob(Buffer.from(bad, 'latin1')), JSON.stringify(bad)).toThrow('no ssh public key');
  }
});

test('the error for a changed key shows both fingerprints, the file and the way out', () => {
  const { details, code } = changedHostKeyError(
    { name: 'h1', address: '10.0.0.9', port: 22 },
    '/f/known_hosts',
    [other],
    [ed],
  );
  expect(code).toBe('unreachable');
  expect(details.found).toContain(edFingerprint);
  expect(details.found).toContain(fingerprint(other));
  expect(details.found).toContain('/f/known_hosts');
  expect(details.hint).toContain('pgs host trust h1 --replace');
});
