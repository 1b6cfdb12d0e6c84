// Secrets and certificates replaced on real machines while clients write through `primary`: nothing acknowledged is lost, no client sees an
// error, and the old ones are refused.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../chaos/targets.js';
import { interrupt } from '../interrupt.js';
import { destroyQuietly, onOk, pgs, pgsJson, pgsOk, psqlOk, untilHealthy } from '../machines.js';
import { underLoad, unfelt } from '../under-load.js';

const seed = Number(process.env.PGS_TEST_SEED ?? 20261121);
const tenant = 'rotated';

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(() => destroyQuietly(tenant));

interface Rotated {
  targets: string[];
  resumed: string | null;
  waitsFor: string | null;
  proofs: { what: string; where: string; present: string; before: string }[];
}

const rotate = (...words: string[]) => pgsJson<Rotated>(['rotate', tenant, ...words]);

function expectProven({ proofs }: Rotated, ...what: string[]): void {
  expect([...new Set(proofs.map((p) => p.what))].sort()).toEqual(what.sort());
  for (const proof of proofs) expect(proof).toMatchObject({ present: 'accepted', before: 'refused' });
}

async function nothingLeft(): Promise<void> {
  await untilHealthy(tenant);
  expect((await pgs(['plan', tenant])).code).toBe(0);
  expect(await rotate('--resume')).toMatchObject({ targets: [] });
}

const starts = async () => {
  const found = await Promise.all(
    ['h1', 'h2', 'h3'].map((host) => onOk(host, `pgrep -o -u pgs-${tenant} -f 'postgres -D' || true`)),
  );
  return found.map((pid) => pid.trim());
};

describe('all secrets of a tenant', () => {
  test('are replaced unfelt, and no PostgreSQL restarts', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    let done: Rotated | null = null;
    expect(await underLoad(tenant, async () => (done = await rotate()))).toMatchObject(unfelt);
    expectProven(done!, 'replication', 'rewind', 'REST', 'etcd', 'poolers', 'probe');
    expect(await starts()).toEqual(before);
    await nothingLeft();
  }, 300_000);

  test('killed between the change of the roles and the end, twice, are replaced by the same command', async () => {
    await untilHealthy(tenant);
    const random = seededRandom(seed);
    const lines = [2 + Math.floor(random() * 8), 11 + Math.floor(random() * 8)];
    process.stdout.write(`killed after ${lines.join(' and ')} steps: PGS_TEST_SEED=${seed}\n`);
    let done: Rotated | null = null;
    const verdict = await underLoad(tenant, async () => {
      for (const after of lines) await interrupt(['rotate', tenant], 'SIGKILL', after);
      done = await rotate();
    });
    expect(verdict).toMatchObject(unfelt);
    expect(done!.resumed).not.toBeNull();
    expectProven(done!, 'replication', 'rewind', 'REST', 'etcd', 'poolers', 'probe');
    await nothingLeft();
  }, 400_000);
});

test('there is no superuser password: one that somebody gave is taken away, and nobody gets in by one', async () => {
  const { members, leader } = await untilHealthy(tenant);
  const { host } = members.find((m) => m.name === leader)!;
  const { ports } = await pgsJson<{ ports: { postgres: number } }>(['cluster', 'show', tenant]);
  const local = `psql -XqAt -h /run/pgs/${tenant} -p ${ports.postgres} -U postgres -d postgres`;
  await onOk(host, `runuser -u pgs-${tenant} -- ${local} -c "ALTER ROLE postgres PASSWORD 'leaked'"`);
  expect(await pgsOk(['rotate', tenant, 'superuser'])).toMatch(/no superuser password to replace/);
  const stored = await onOk(
    host,
    `runuser -u pgs-${tenant} -- ${local} -c "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'"`,
  );
  expect(stored.trim()).toBe('t');
}, 120_000);

test('the password of app is another one, the old one is refused, and who is connected goes on', async () => {
  await untilHealthy(tenant);
  expectProven(await rotate('app', '--yes'), 'app');
  expect(await psqlOk(tenant, 'primary', 'SELECT 1')).toBe('1');
  await nothingLeft();
}, 120_000);

describe('the CAs of a tenant', () => {
  test('wait until clients trust the next one', async () => {
    await untilHealthy(tenant);
    expect(await underLoad(tenant, () => rotate('ca'))).toMatchObject(unfelt);
    const again = await rotate('ca');
    expect(again).toMatchObject({ waitsFor: 'clients', proofs: [] });
    expect((await pgs(['rotate', tenant, 'rest'])).code).toBe(5);
  }, 300_000);

  test('are replaced unfelt by clients that trust both', async () => {
    let done: Rotated | null = null;
    const verdict = await underLoad(tenant, async () => (done = await rotate('ca', '--clients-trust-next')));
    expect(verdict).toMatchObject(unfelt);
    expectProven(done!, 'CA of REST', 'poolers');
    expect(await psqlOk(tenant, 'primary', 'SELECT 1')).toBe('1');
    await nothingLeft();
  }, 300_000);
});

interface Listed {
  certificates: { what: string; host: string | null; state: string; ends: string; verdict: string }[];
}

describe('certificates', () => {
  test('are renewed unfelt, all of them, and every process has them', async () => {
    await untilHealthy(tenant);
    const before = await pgsJson<Listed>(['cert', 'list', tenant]);
    const verdict = await underLoad(tenant, async () => {
      await pgsOk(['cert', 'renew', tenant, '--all']);
      await pgsOk(['cert', 'renew', '--fleet', '--all']);
    });
    expect(verdict).toMatchObject(unfelt);
    const after = await pgsJson<Listed>(['cert', 'list', tenant]);
    expect(after.certificates.map(({ what, host }) => ({ what, host }))).toEqual(
      before.certificates.map(({ what, host }) => ({ what, host })),
    );
    for (const one of after.certificates) {
      expect(one, one.what).toMatchObject({ verdict: 'fine', state: one.host === null ? 'kept' : 'in force' });
      const old = before.certificates.find(({ what, host }) => what === one.what && host === one.host)!;
      if (!one.what.startsWith('CA ')) expect(one.ends > old.ends, one.what).toBe(true);
    }
    await nothingLeft();
    expect((await pgsJson<{ changes: number }>(['cert', 'renew', tenant])).changes).toBe(0);
  }, 300_000);

  test("of etcd come from new CAs, unfelt, and etcd refuses the operator's old one", async () => {
    await untilHealthy(tenant);
    let refused: Record<string, string> = {};
    const verdict = await underLoad(tenant, async () => {
      ({ refused } = await pgsJson<{ refused: Record<string, string> }>(['rotate', '--fleet', 'ca']));
    });
    expect(verdict).toMatchObject(unfelt);
    expect(Object.keys(refused).sort()).toEqual(['h1', 'h2', 'h3']);
    for (const said of Object.values(refused)) expect(said).toMatch(/alert/);
    await nothingLeft();
  }, 400_000);
});
