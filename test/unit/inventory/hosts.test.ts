import { describe, expect, test } from 'vitest';
import { changedText } from '../../../src/inventory/edit.js';
import { changeHosts, type HostChange } from '../../../src/inventory/hosts.js';
import { parseInventory } from '../../../src/inventory/parse.js';

const text = `# our fleet
fleet: lab
hosts:
  # the first rack
  h1: {address: 10.0.0.1, zone: a}
  h2: {address: 10.0.0.2, zone: b}   # noisy fan
  h3: {address: 10.0.0.3, zone: c}
ssh: {user: root}   # for now
`;
const changed = (before: string, change: HostChange) =>
  changedText(before, (document) => changeHosts(document, change));

describe('hosts of pgs.yaml', () => {
  test('one is added, and every comment stays', () => {
    const after = changed(text, { kind: 'add', host: { name: 'h4', address: '10.0.0.4', zone: 'd' } });
    expect(after.split('\n').filter((line) => !text.includes(line))).toEqual([expect.stringMatching(/^ {2}h4:/)]);
    for (const line of text.split('\n')) expect(after).toContain(line);
    expect(parseInventory(after, '/x/pgs.yaml').hosts.at(-1)).toMatchObject({
      name: 'h4',
      address: '10.0.0.4',
      zone: 'd',
    });
    expect(changed(after, { kind: 'add', host: { name: 'h4', address: '10.0.0.4' } })).toBe(after);
  });

  test("one leaves, and etcd's members do not change by that when they were named before", () => {
    const four = changed(text, { kind: 'add', host: { name: 'h4', address: '10.0.0.4' } });
    const pinned = changed(four, { kind: 'etcd-members', members: ['h1', 'h4', 'h3'] });
    const after = changed(pinned, { kind: 'remove', host: 'h2' });
    const { hosts, etcd } = parseInventory(after, '/x/pgs.yaml');
    expect(hosts.map((h) => h.name)).toEqual(['h1', 'h3', 'h4']);
    expect(etcd).toMatchObject({ members: ['h1', 'h4', 'h3'] });
    expect(after).toContain('# the first rack');
    expect(after).toContain('# for now');
    expect(changed(pinned, { kind: 'etcd-members', members: ['h1', 'h4', 'h3'] })).toBe(pinned);
  });
});
