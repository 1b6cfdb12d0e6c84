import { describe, expect, it } from 'vitest';
import type { MemberStatus } from '../../../src/etcd/facts.js';
import { refuseBrokenPairs } from '../../../src/etcd/versions.js';
import { answering } from '../../fixtures/memory-dcs.js';

const etcd = (version: string): MemberStatus => ({ ...answering('e1', 'https://e1:2379', 0), version });

describe('refuseBrokenPairs', () => {
  it.each([
    ['4.0.7-3~deb13u1', '3.5.28'],
    ['4.0.7', '3.6.9'],
    ['3.0.2', '3.4.42'],
    ['4.1.0', '3.7.0'],
  ])('refuses Patroni %s with etcd %s and names both', (patroni, version) => {
    expect(() => refuseBrokenPairs({ h1: patroni }, [etcd(version)])).toThrow(
      expect.objectContaining({
        code: 'unfit',
        details: expect.objectContaining({
          found: expect.stringMatching(/^host h1 and etcd e1: Patroni/) as string,
        }) as object,
      }),
    );
  });

  it.each([
    ['4.0.7-3~deb13u1', '3.5.16'],
    ['4.0.7', '3.5.27'],
    ['4.1.1', '3.5.28'],
    ['4.1.4', '3.7.1'],
    ['3.0.2', '3.4.23'],
  ])('lets Patroni %s with etcd %s pass', (patroni, version) => {
    expect(() => refuseBrokenPairs({ h1: patroni }, [etcd(version)])).not.toThrow();
  });

  it('finds the one member of many', () => {
    expect(() => refuseBrokenPairs({ h1: '4.1.1', h2: '4.0.7' }, [etcd('3.5.16'), etcd('3.5.30')])).toThrow(/versions/);
  });
});
