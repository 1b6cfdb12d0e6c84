import { expect, test } from 'vitest';
import { describeGone, unitsIn } from '../../../src/cli/host/gone.js';

const gone = {
  host: 'h2',
  state: 'gone' as const,
  since: '2026-11-21T17:00:00Z',
  address: '10.0.0.2',
  replacedBy: 'h4',
};

test('a host that left says who has its place, and what to do with it when it is back', () => {
  expect(describeGone({ ...gone, runs: null })).toMatch(
    /h2 \(10\.0\.0\.2\) left .*h4 has its place; it does not answer/,
  );
  const back = describeGone({ ...gone, runs: ['pgs-patroni@acme.service'] });
  expect(back).toMatch(
    /is back[^]*systemctl disable --now pgs-patroni@acme\.service[^]*pgs host add <name>=10\.0\.0\.2/,
  );
  expect(describeGone({ ...gone, runs: [] })).not.toContain('systemctl');
});

test('units are read from what systemctl lists', () => {
  const listed =
    '  pgs-etcd.service loaded active running pgs: etcd\npgs-patroni@acme.service loaded activating auto-restart x\n\n';
  expect(unitsIn(listed)).toEqual(['pgs-etcd.service', 'pgs-patroni@acme.service']);
});
