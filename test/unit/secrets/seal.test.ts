import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFleetKey, fleetKeyPath, loadFleetKey } from '../../../src/secrets/fleet-key.js';
import { generatePassword, scramVerifier } from '../../../src/secrets/password.js';
import { seal, unseal } from '../../../src/secrets/seal.js';
import { Secret } from '../../../src/secrets/secret.js';

const key = new Secret(Buffer.alloc(32, 7).toString('base64'));
const otherKey = new Secret(Buffer.alloc(32, 8).toString('base64'));

describe('a sealed value', () => {
  test('opens with its key and its context to what was sealed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (text, context) => {
        expect(unseal(key, seal(key, text, context), context).reveal()).toBe(text);
      }),
    );
  });

  test('recorded by an earlier pgs still opens', () => {
    const recorded = 'pgs1:uhpz/z/ke9JUqUDnpc18ZvlzXoeiZagpc4TfRTYhRGeUgOqdfAn5xX7w+pU=';
    expect(unseal(key, recorded, 'tenants/demo').reveal()).toBe('recorded in 2026');
  });

  test('does not open with another key, nor in another place', () => {
    const sealed = seal(key, 'text', 'tenants/acme');
    expect(() => unseal(otherKey, sealed, 'tenants/acme')).toThrow(
      'sealed with another key, or it was changed or moved',
    );
    expect(() => unseal(key, sealed, 'tenants/acme2')).toThrow('moved');
  });

  test('does not open with any byte changed, cut off or added', () => {
    const bytes = Buffer.from(seal(key, 'some text', 'c').slice(5), 'base64');
    const wrap = (changed: Buffer) => `pgs1:${changed.toString('base64')}`;
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(() => unseal(key, wrap(changed), 'c')).toThrow();
      expect(() => unseal(key, wrap(bytes.subarray(0, at)), 'c')).toThrow();
    }
    expect(() => unseal(key, wrap(Buffer.concat([bytes, Buffer.from([0])])), 'c')).toThrow();
    expect(unseal(key, wrap(bytes), 'c').reveal()).toBe('some text');
  });

  test('of a newer version, or that is none, is a clear error', () => {
    expect(() => unseal(key, 'pgs2:AAAA', 'c')).toThrow('version pgs2, which this pgs does not know');
    expect(() => unseal(key, 'hello', 'c')).toThrow('not a sealed value');
    expect(() => unseal(key, 'pgs1:', 'c')).toThrow('cut off or damaged');
    expect(() => unseal(key, 'pgs1:!!!!', 'c')).toThrow('cut off or damaged');
  });

  test('never repeats, and its errors and itself show nothing of the text', () => {
    const sealed = seal(key, 'hunter2-hunter2', 'c');
    expect(seal(key, 'hunter2-hunter2', 'c')).not.toBe(sealed);
    expect(Buffer.from(sealed.slice(5), 'base64').toString('latin1')).not.toContain('hunter2');
    try {
      unseal(otherKey, sealed, 'c');
      expect.unreachable();
    } catch (thrown) {
      expect(inspect(thrown, { depth: 9 })).not.toMatch(new RegExp(`hunter2|${otherKey.reveal()}`));
    }
  });
});

describe('the fleet key', () => {
  let dir: string;
  beforeEach(() => {
    dir = join(mkdtempSync(join(tmpdir(), 'pgs-key-')), '.pgs');
  });
  afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }));

  test('is made once, readable by its owner only, and never written over', async () => {
    const first = await createFleetKey(dir);
    expect(first.created).toBe(true);
    expect(Buffer.from(first.key.reveal(), 'base64')).toHaveLength(32);
    expect(statSync(fleetKeyPath(dir)).mode & 0o777).toBe(0o600);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    const text = readFileSync(fleetKeyPath(dir), 'utf8');
    expect(await createFleetKey(dir)).toMatchObject({ created: false });
    expect(readFileSync(fleetKeyPath(dir), 'utf8')).toBe(text);
  });

  test('made by two at once is one key', async () => {
    const both = await Promise.all([createFleetKey(dir), createFleetKey(dir)]);
    expect(both.filter(({ created }) => created)).toHaveLength(1);
    expect(both[0].key.reveal()).toBe(both[1].key.reveal());
  });

  test.each([0o640, 0o604, 0o660, 0o620])('with mode %o is refused, with the fix', async (mode) => {
    await createFleetKey(dir);
    chmodSync(fleetKeyPath(dir), mode);
    await expect(loadFleetKey(dir)).rejects.toMatchObject({
      code: 'configuration',
      details: { hint: `chmod 600 ${fleetKeyPath(dir)}` },
    });
  });

  test('that is missing or damaged is said to be, without its text', async () => {
    await expect(loadFleetKey(dir)).rejects.toMatchObject({ code: 'configuration' });
    await createFleetKey(dir);
    writeFileSync(fleetKeyPath(dir), 'c2hvcnQtc2VjcmV0\n');
    await expect(loadFleetKey(dir)).rejects.toThrow('does not hold 32 bytes');
    await expect(loadFleetKey(dir)).rejects.not.toThrow('c2hvcnQ');
  });
});

describe('a password', () => {
  test('is long, new each time and needs no quoting anywhere', () => {
    const passwords = Array.from({ length: 200 }, () => generatePassword().reveal());
    expect(new Set(passwords).size).toBe(200);
    for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9]{32}$/);
    expect(new Set(passwords.join('')).size).toBe(62);
    expect(() => generatePassword(23)).toThrow(RangeError);
  });

  test('has the verifier that PostgreSQL 15 made of it', () => {
    // Read from pg_authid after CREATE ROLE r PASSWORD 'Pa55word-füß'.
    const recorded =
      'SCRAM-SHA-256$4096:x2BjdTFsSjVISs27hsGeFQ==$vjBYVE6zWPIIUouxWeRVotFeX0u/QpFOddg7VDEYYR0=:Ly8Xf72FoL0oEbOXUqR53u4vQdPDvumiwESUl59JOXE=';
    const salt = Buffer.from('x2BjdTFsSjVISs27hsGeFQ==', 'base64');
    expect(scramVerifier(new Secret('Pa55word-füß'), salt).reveal()).toBe(recorded);
  });

  test('has a verifier with which a server answers as in RFC 7677', () => {
    const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
    const serverKey = scramVerifier(new Secret('pencil'), salt).reveal().split(':')[2]!;
    const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
    const exchange = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=${nonce}`;
    const signature = createHmac('sha256', Buffer.from(serverKey, 'base64')).update(exchange).digest('base64');
    expect(signature).toBe('6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  });

  test('has a new salt each time', () => {
    const password = generatePassword();
    expect(scramVerifier(password).reveal()).not.toBe(scramVerifier(password).reveal());
  });
});
