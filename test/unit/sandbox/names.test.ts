import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  bridgeName,
  checkSandboxName,
  chooseSubnet,
  gatewayAddress,
  hostAddress,
  hostNames,
  macFromBytes,
} from '../../../src/sandbox/names.js';

describe('the name of a sandbox', () => {
  it.each(['pgs', 'a', 'it-7', 'x'.repeat(32)])('may be %s', (name) => {
    expect(checkSandboxName(name)).toBe(name);
  });

  it.each(['', '7up', '-a', 'a-', 'A', 'a_b', 'a.b', '../x', 'a;rm', '$(x)', "a'b", 'a b', 'a\n', 'x'.repeat(33)])(
    'may not be %j',
    (name) => {
      expect(() => checkSandboxName(name)).toThrow(/is no name for a sandbox/);
    },
  );

  it('gives a bridge name that Linux takes, and another for another sandbox', () => {
    expect(bridgeName('pgs')).toBe('pgs-pgs');
    const long = ['integration-one', 'integration-two'].map(bridgeName);
    expect(long.every((name) => name.length <= 15)).toBe(true);
    expect(new Set(long).size).toBe(2);
  });
});

describe('the subnet', () => {
  it('is a /24 of 10.213.0.0/16, the same for the same name', () => {
    const subnet = chooseSubnet('pgs', []);
    expect(subnet).toMatch(/^10\.213\.\d+\.0\/24$/);
    expect(chooseSubnet('pgs', [])).toBe(subnet);
  });

  it('overlaps nothing that is taken: networks in it, around it, and addresses', () => {
    const first = chooseSubnet('pgs', [])!;
    const inside = first.replace('.0/24', '.77');
    const part = first.replace('.0/24', '.128/25');
    for (const taken of [first, inside, part]) expect(chooseSubnet('pgs', [taken])).not.toBe(first);
    expect(chooseSubnet('pgs', ['10.0.0.0/8'])).toBeNull();
    expect(chooseSubnet('pgs', ['10.213.0.0/16'])).toBeNull();
  });

  it('is the last one that is free, when all others are taken', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.constantFrom('pgs', 'a', 'zz'), (free, name) => {
        const taken = Array.from({ length: 256 }, (_, n) => `10.213.${n}.0/24`).filter((_, n) => n !== free);
        expect(chooseSubnet(name, taken)).toBe(`10.213.${free}.0/24`);
      }),
    );
  });

  it('is not disturbed by what is elsewhere or no IPv4 network', () => {
    const first = chooseSubnet('pgs', []);
    expect(chooseSubnet('pgs', ['192.168.0.0/16', 'fe80::/64', '10.212.0.0/16', '10.214.0.0/15', 'local'])).toBe(first);
  });

  it('holds the bridge at .1 and h1 at .11', () => {
    expect(gatewayAddress('10.213.9.0/24')).toBe('10.213.9.1');
    expect(hostNames(3).map((host) => hostAddress('10.213.9.0/24', host))).toEqual([
      '10.213.9.11',
      '10.213.9.12',
      '10.213.9.13',
    ]);
  });
});

it('makes unicast MAC addresses that no vendor owns, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = macFromBytes(bytes);
      expect(mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      expect(parseInt(mac.slice(0, 2), 16) & 0b11).toBe(0b10);
    }),
  );
});
