import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { derivePassphraseKey } from '../../../src/secrets/envelope.js';
import { Secret } from '../../../src/secrets/secret.js';
import {
  digestOf,
  openExport,
  parseExportFile,
  pgsVersion,
  readExported,
  writeExport,
  type ExportContent,
} from '../../../src/state/export.js';
import { recordOf } from '../../fixtures/fleet.js';
import { SimulatedDcs } from '../../convergence/simulated-dcs.js';

const key = (fill: number) => new Secret(Buffer.alloc(32, fill).toString('base64'));
const fleetKey = key(7);
const now = new Date('2026-11-21T17:00:00Z');

function content(change: Partial<ExportContent> = {}): ExportContent {
  return {
    pgs: pgsVersion,
    fleet: 'main',
    fleetId: 'f1ee7',
    files: { 'pgs.yaml': 'fleet: main\n', '.pgs/fleet.key': `${fleetKey.reveal()}\n` },
    state: [{ key: '/pgs/state/tenants/acme', value: JSON.stringify(recordOf()) }],
    patroni: { acme: { initialize: '75', config: '{"ttl":30}' } },
    ...change,
  };
}

async function refusal(work: () => unknown): Promise<PgsError> {
  const thrown = await Promise.resolve()
    .then(work)
    .catch((error: unknown) => error);
  if (!(thrown instanceof PgsError)) throw new Error('it was not refused', { cause: thrown });
  return thrown;
}

const reread = (file: unknown) => parseExportFile(JSON.stringify(file), 'x.json');

describe('an export', () => {
  test('is opened by the fleet key, and by the passphrase where there is none', async () => {
    const passphrase = await derivePassphraseKey(new Secret('correct horse battery'));
    const file = reread(writeExport(content(), { fleetKey, passphrase }, now));
    expect(await openExport(file, { fleetKey, passphrase: null })).toEqual(content());
    const given = { fleetKey: null, passphrase: new Secret('correct horse battery') };
    expect(await openExport(file, given)).toEqual(content());
    const wrong = { fleetKey: key(8), passphrase: new Secret('wrong horse battery') };
    expect((await refusal(() => openExport(file, wrong))).details.found).toMatch(/fleet key here does not.*passphrase/);
  });

  test('written without a passphrase says that only the fleet key opens it', async () => {
    const file = writeExport(content(), { fleetKey, passphrase: null }, now);
    const error = await refusal(() => openExport(file, { fleetKey: null, passphrase: new Secret('any passphrase') }));
    expect(error.details.found).toMatch(/written without a passphrase/);
  });

  test('shows nothing of what it holds', () => {
    const text = JSON.stringify(writeExport(content(), { fleetKey, passphrase: null }, now));
    for (const secret of [fleetKey.reveal(), 'acme', 'f1ee7']) expect(text).not.toContain(secret);
  });

  test('of a newer pgs, or in a newer form, is refused', async () => {
    const file = writeExport(content(), { fleetKey, passphrase: null }, now);
    expect((await refusal(() => reread({ ...file, pgs: '0.2.0' }))).code).toBe('unfit');
    expect((await refusal(() => reread({ ...file, format: 2, more: 1 }))).code).toBe('unfit');
    const inside = writeExport(content({ pgs: '1.0.0' }), { fleetKey, passphrase: null }, now);
    const pretending = reread({ ...inside, pgs: pgsVersion });
    expect((await refusal(() => openExport(pretending, { fleetKey, passphrase: null }))).code).toBe('unfit');
    const record = { ...recordOf(), version: 2 };
    const state = [{ key: '/pgs/state/tenants/acme', value: JSON.stringify(record) }];
    const newer = writeExport(content({ state }), { fleetKey, passphrase: null }, now);
    expect((await refusal(() => openExport(newer, { fleetKey, passphrase: null }))).code).toBe('unfit');
  });

  test('that was changed, or renamed to another fleet, does not open', async () => {
    const file = writeExport(content(), { fleetKey, passphrase: null }, now);
    await refusal(() => openExport({ ...file, fleet: 'other' }, { fleetKey, passphrase: null }));
    const sealed = file.content.sealed;
    const changed = { ...file, content: { ...file.content, sealed: `${sealed.slice(0, -6)}AAAAAA` } };
    await refusal(() => openExport(changed, { fleetKey, passphrase: null }));
    expect((await refusal(() => parseExportFile('{', 'x'))).code).toBe('configuration');
    expect((await refusal(() => parseExportFile('{}', 'x'))).code).toBe('configuration');
  });

  test('with too short a passphrase is not made', async () => {
    expect((await refusal(() => derivePassphraseKey(new Secret('short')))).code).toBe('usage');
  });

  test('that says the same has the same digest', () => {
    expect(digestOf(content(), fleetKey)).toBe(digestOf(content(), fleetKey));
    expect(digestOf(content({ fleetId: 'x' }), fleetKey)).not.toBe(digestOf(content(), fleetKey));
    expect(digestOf(content(), key(8))).not.toBe(digestOf(content(), fleetKey));
  });
});

test('of etcd goes into it what lasts: no lock, no lease, no member, no results of drills', async () => {
  const dcs = new SimulatedDcs();
  const kept = ['/pgs/state/tenants/acme', '/pgs/state/secrets/acme', '/pgs/state/drills/schedules/acme/weekly'];
  for (const name of kept) dcs.put(name, 'kept');
  for (const name of ['/pgs/state/locks/acme', '/pgs/state/drills/runs/acme/1', '/pgs/state/drills/daemon'])
    dcs.put(name, 'gone');
  dcs.put('/pgs/state/leased', 'gone', '7');
  for (const name of ['initialize', 'config', 'history', 'leader', 'status', 'members/acme-1'])
    dcs.put(`/pgs/dcs/acme/${name}`, name);
  const { state, patroni } = await readExported(dcs.connect(() => Promise.resolve()));
  expect(state.map(({ key: name }) => name).sort()).toEqual(kept.sort());
  expect(patroni).toEqual({ acme: { initialize: 'initialize', config: 'config', history: 'history' } });
});
