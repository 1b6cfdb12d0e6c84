import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressFault,
  canonicalAddress,
  domainFault,
  parseFleetName,
  parseHostName,
  parseTenantName,
} from '../../../src/inventory/names.js';

const parsers = { tenant: parseTenantName, host: parseHostName, fleet: parseFleetName };

/** Near misses and hostile text, besides whatever fast-check thinks of. */
const typed = fc.oneof(
  fc.string({ maxLength: 70 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom(...'abz09-_.;$\'"`\n\0 Aé/'), maxLength: 34 }),
  fc.string({ unit: fc.constantFrom(...'abz09-'), maxLength: 34 }),
);

function accepts(parse: (text: string) => string, text: string): boolean {
  try {
    expect(parse(text)).toBe(text);
    return true;
  } catch (thrown) {
    expect(thrown).toMatchObject({ name: 'PgsError', code: 'usage' });
    return false;
  }
}

describe.each(Object.entries(parsers))('the name of a %s', (_, parse) => {
  test('holds nothing but a-z, 0-9 and inner hyphens when it is accepted', () => {
    let accepted = 0;
    fc.assert(
      fc.property(typed, (text) => {
        if (!accepts(parse, text)) return;
        accepted += 1;
        expect(text).toMatch(/^[a-z](?:[a-z0-9-]*[a-z0-9])?$/);
        expect(/[^a-z0-9-]/.test(text)).toBe(false);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(20);
  });

  test.each([
    '',
    'A',
    '1a',
    '-a',
    'a-',
    'a.b',
    'a_b',
    'a b',
    'a\n',
    'a\0',
    'a;id',
    '$(id)',
    '`id`',
    "a'b",
    'a"b',
    '../a',
    'a/b',
    'é',
    'a:b',
    '*',
    'a{b}',
  ])('is refused as %j', (text) => {
    expect(accepts(parse, text)).toBe(false);
  });
});

describe('the name of a tenant', () => {
  test.each(['a', 'demo', 'web-shop', 'a1', 'acme2', 'x'.repeat(28), 'robot', 'direct', 'ro'])('may be %s', (text) => {
    expect(accepts(parseTenantName, text)).toBe(true);
  });

  test.each([
    ['x'.repeat(29), '29 characters'],
    ['etcd', 'reserved'],
    ['haproxy', 'reserved'],
    ['daemon', 'reserved'],
    ['postgres', 'reserved'],
    ['fleet', 'reserved'],
    ['template0', 'reserved'],
    ['template1', 'reserved'],
    ['demo-ro', '-ro'],
    ['demo-direct', '-direct'],
    ['demo-direct-ro', '-ro'],
    ['a--b', 'two hyphens'],
    ['demo-', 'ends in a hyphen'],
    ['9lives', 'begin with a letter'],
  ])('is refused as %s, saying why', (text, why) => {
    expect(() => parseTenantName(text)).toThrow(why);
  });

  test('gives an OS user that Linux takes', () => {
    expect(`pgs-${parseTenantName('x'.repeat(28))}`).toHaveLength(32);
  });

  test('is shown with control characters escaped', () => {
    expect(() => parseTenantName('a\u001b[2J')).toThrow('"a\\u001b[2J"');
  });
});

describe('an address', () => {
  test.each(['10.0.0.11', '203.0.113.9', 'fd00::1', '2001:db8::1'])('may be %s', (text) => {
    expect(addressFault(text)).toBeNull();
  });

  test.each([
    'h1',
    'h1.example.com',
    '10.0.0',
    '10.0.0.1/24',
    '127.0.0.1',
    '::1',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    'ff02::1',
    'fe80::1%eth0',
    'fe80::1%;id',
    '10.0.0.1 ',
    '',
  ])('is refused as %j', (text) => {
    expect(addressFault(text)).not.toBeNull();
  });

  test('is compared in one spelling', () => {
    expect(canonicalAddress('FD00:0:0::0:1')).toBe(canonicalAddress('fd00::1'));
    expect(canonicalAddress('fd00::2')).not.toBe(canonicalAddress('fd00::1'));
  });
});

test('a domain is DNS labels in lower case', () => {
  expect(domainFault('db.example.com')).toBeNull();
  for (const text of ['', '.', 'a..b', 'Example.com', 'a.b.', '*.example.com', 'a b', `${'a.'.repeat(120)}b`]) {
    expect(domainFault(text), text).not.toBeNull();
  }
});
