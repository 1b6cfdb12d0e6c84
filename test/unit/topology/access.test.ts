import { describe, expect, test } from 'vitest';
import { accessMap, describeAccess, networkFaults } from '../../../src/topology/access.js';

const messages = (...networks: string[]) => networkFaults(networks).map(({ index, message }) => `${index} ${message}`);

test('networks that do not overlap are taken', () => {
  expect(messages('10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '11.0.0.0/8', '::1')).toEqual([]);
});

test('everybody may be written as a network', () => {
  expect(messages('0.0.0.0/0', '::/0')).toEqual([]);
});

test.each([
  ['ten', 'it is not a network such as 10.20.0.0/16'],
  ['', 'it is not a network such as 10.20.0.0/16'],
  ['10.0.0.0/8/8', 'it is not a network such as 10.20.0.0/16'],
  ['fe80::1%eth0/64', 'it is not a network such as 10.20.0.0/16'],
  ['10.0.0.0/33', 'its length must be from 0 to 32'],
  ['10.0.0.0/08', 'its length must be from 0 to 32'],
  ['2001:db8::/129', 'its length must be from 0 to 128'],
  ['10.0.0.1/8', 'it has bits beyond its length; the network is 10.0.0.0/8'],
  ['192.168.77.0/20', 'it has bits beyond its length; the network is 192.168.64.0/20'],
  ['2001:db8::1/32', 'it has bits beyond its length; the network is 2001:db8::/32'],
  ['2001:db8:ff00::/33', 'it has bits beyond its length; the network is 2001:db8:8000::/33'],
])('%s is refused with the reason', (network, reason) => {
  expect(messages(network)).toEqual([`0 ${JSON.stringify(network)} is refused: ${reason}`]);
});

test('of two that overlap the later one is named, with the other', () => {
  expect(messages('10.0.0.0/8', '10.20.0.0/16')).toEqual([
    '1 10.20.0.0/16 overlaps 10.0.0.0/8: give the larger network only',
  ]);
  expect(messages('2001:db8::7', '2001:db8::/32')).toEqual([
    '1 2001:db8::/32 overlaps 2001:db8::7: give the larger network only',
  ]);
  expect(messages('192.0.2.7', '192.0.2.7/32')).toEqual([
    '1 192.0.2.7/32 is there a second time: give the larger network only',
  ]);
});

describe('as a map of HAProxy', () => {
  test('closed, open, and open to some', () => {
    expect(accessMap()).toBe('0.0.0.0/0 closed\n::/0 closed\n');
    expect(accessMap({ enabled: false, from: ['10.0.0.0/8'] })).toBe('0.0.0.0/0 closed\n::/0 closed\n');
    expect(accessMap({ enabled: true, from: [] })).toBe('0.0.0.0/0 open\n::/0 open\n');
    expect(accessMap({ enabled: true, from: ['10.0.0.0/8'] })).toBe(
      '10.0.0.0/8 open\n0.0.0.0/0 address\n::/0 address\n',
    );
    expect(accessMap({ enabled: true, from: ['0.0.0.0/0'] })).toBe('0.0.0.0/0 open\n::/0 address\n');
  });
});

test('in words', () => {
  expect([undefined, { enabled: true, from: [] }, { enabled: true, from: ['10.0.0.0/8'] }].map(describeAccess)).toEqual(
    ['closed', 'open', '10.0.0.0/8'],
  );
});
