import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseRoutes } from '../../../haproxy/facts.js';

/** Recorded on a real machine with HAProxy 3.0.11; demo's second member led. */
const recorded = (name: string) => readFileSync(new URL(`recorded/${name}.csv`, import.meta.url), 'utf8');

describe('the routes of a tenant', () => {
  test('lead to the leader for writes and to the replicas for reads', () => {
    expect(parseRoutes(recorded('healthy'), 'demo')).toEqual({
      primary: ['demo-2'],
      replica: ['demo-1', 'demo-3'],
      direct: ['demo-2'],
      'direct-ro': ['demo-1', 'demo-3'],
      poolers: { primary: null, replica: null },
    });
  });

  test('fall back to the leader for reads when no replica is left', () => {
    expect(parseRoutes(recorded('leader-only'), 'demo')).toMatchObject({
      replica: ['demo-2'],
      'direct-ro': ['demo-2'],
    });
  });

  test('lead nowhere when nothing is up', () => {
    expect(parseRoutes(recorded('nothing-up'), 'demo')).toEqual({
      primary: [],
      replica: [],
      direct: [],
      'direct-ro': [],
      poolers: { primary: null, replica: null },
    });
  });

  test('name the poolers that take clients', () => {
    const server = (member: string, status: string) =>
      recorded('healthy')
        .split('\n')
        .find((line) => line.startsWith(`demo:leader,${member},`))!
        .replace('demo:leader', 'demo:poolers')
        .replace(/,(UP|DOWN),/, `,${status},`);
    const pooled = [recorded('healthy').trimEnd(), server('demo-1', 'UP'), server('demo-3', 'DOWN'), ''].join('\n');
    expect(parseRoutes(pooled, 'demo')!.poolers).toEqual({ primary: ['demo-1'], replica: null });
  });

  test('count a server that is going down but still gets connections', () => {
    const flapping = recorded('healthy').replace(/^(demo:leader,demo-2,.*),UP,/m, '$1,UP 1/3,');
    expect(flapping).not.toBe(recorded('healthy'));
    expect(parseRoutes(flapping, 'demo')!.primary).toEqual(['demo-2']);
  });

  test.each(['dem', 'demo2', 'demo:leader', ''])('are not known of %j, which this HAProxy does not have', (tenant) => {
    expect(parseRoutes(recorded('healthy'), tenant)).toBeNull();
  });
});
