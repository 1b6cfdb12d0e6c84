// A sealed file that more than one key opens: a key of its own seals the text, and is sealed itself with the fleet key and, where there is
// one, with a passphrase. So what pgs writes by itself opens where the fleet key is, and with a passphrase everywhere else.

import { randomBytes, scrypt } from 'node:crypto';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import { fleetKeyBytes, type FleetKey } from './fleet-key.js';
import { seal, unseal } from './seal.js';
import { Secret } from './secret.js';

/** Shortest passphrase that is taken: the file may be copied, and guessed at for years. */
export const passphraseLengthMin = 12;

/** 128 MiB and half a second for each guess (OWASP's advice is half of it). The bounds keep a forged file from taking all memory. */
const cost = { n: 2 ** 17, r: 8, p: 1 };
const costShape = {
  n: z
    .number()
    .int()
    .min(2 ** 14)
    .max(2 ** 20),
  r: z.literal(8),
  p: z.number().int().min(1).max(4),
};

const wayShape = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('fleet key'), sealed: z.string() }),
  z.strictObject({ by: z.literal('passphrase'), salt: z.string(), ...costShape, sealed: z.string() }),
]);
type Way = z.output<typeof wayShape>;

export const envelopeShape = z.strictObject({ ways: z.array(wayShape).min(1), sealed: z.string() });
export type Envelope = z.output<typeof envelopeShape>;

/** What a passphrase gives: kept under the fleet key, it seals further files without the passphrase. */
export interface PassphraseKey {
  salt: string;
  key: Secret;
}

/** @throws PgsError `usage` for one that is too short */
export async function derivePassphraseKey(passphrase: Secret, salt = randomBytes(16)): Promise<PassphraseKey> {
  if (passphrase.reveal().length < passphraseLengthMin) {
    throw new PgsError('usage', {
      doing: 'reading the passphrase',
      found: `it has fewer than ${passphraseLengthMin} characters`,
      hint: 'Take a longer one: `openssl rand -base64 24` makes one.',
    });
  }
  return { salt: salt.toString('base64'), key: await derive(passphrase, salt, cost) };
}

function derive(passphrase: Secret, salt: Buffer, { n, r, p }: typeof cost): Promise<Secret> {
  const options = { N: n, r, p, maxmem: 256 * n * r };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.reveal().normalize('NFKC'), salt, fleetKeyBytes, options, (error, key) =>
      error ? reject(error) : resolve(new Secret(key.toString('base64'))),
    );
  });
}

export function sealEnvelope(
  text: string,
  context: string,
  { fleetKey, passphrase }: { fleetKey: FleetKey; passphrase: PassphraseKey | null },
): Envelope {
  const own = new Secret(randomBytes(fleetKeyBytes).toString('base64'));
  const ways: Way[] = [{ by: 'fleet key', sealed: seal(fleetKey, own, `${context}/fleet-key`) }];
  if (passphrase) {
    const { salt, key } = passphrase;
    ways.push({ by: 'passphrase', salt, ...cost, sealed: seal(key, own, `${context}/passphrase`) } as Way);
  }
  return { ways, sealed: seal(own, text, context) };
}

/**
 * @param keys what there is; the fleet key is tried first
 * @throws PgsError `configuration` when none of them opens it
 */
export async function openEnvelope(
  { ways, sealed }: Envelope,
  context: string,
  { fleetKey, passphrase }: { fleetKey: FleetKey | null; passphrase: Secret | null },
): Promise<Secret> {
  for (const way of ways) {
    const key =
      way.by === 'fleet key'
        ? fleetKey
        : passphrase && (await derive(passphrase, Buffer.from(way.salt, 'base64'), { ...cost, n: way.n, p: way.p }));
    const own = key && tryUnseal(key, way.sealed, `${context}/${way.by === 'fleet key' ? 'fleet-key' : 'passphrase'}`);
    if (own) return unseal(own, sealed, context);
  }
  const byPassphrase = ways.some(({ by }) => by === 'passphrase');
  throw new PgsError('configuration', {
    doing: 'opening the export',
    found: [
      fleetKey ? 'the fleet key here does not open it' : 'there is no fleet key here',
      byPassphrase
        ? passphrase
          ? 'and neither does the passphrase'
          : 'and no passphrase was given'
        : 'and it was written without a passphrase',
    ].join(', '),
    hint: byPassphrase
      ? 'Give the passphrase with --passphrase-file.'
      : 'Only the fleet key with which it was written opens it; `pgs state passphrase` lets a passphrase open later ones.',
  });
}

function tryUnseal(key: Secret, sealed: string, context: string): Secret | null {
  try {
    return unseal(key, sealed, context);
  } catch {
    return null;
  }
}
