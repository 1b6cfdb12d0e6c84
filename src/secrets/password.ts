// Passwords and what a server stores of them.

import { createHash, createHmac, pbkdf2Sync, randomBytes, randomInt } from 'node:crypto';
import { Secret } from './secret.js';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Letters and digits only (190 bits at 32): safe in URLs, connection strings, YAML, SQL and pgpass without quoting. */
export function generatePassword(length = 32): Secret {
  if (length < 24) throw new RangeError('a generated password has at least 24 characters');
  return new Secret(Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join(''));
}

/** PostgreSQL's `SCRAM_SHA_256_DEFAULT_ITERATIONS`. */
const iterations = 4096;

/**
 * The verifier that `CREATE ROLE … PASSWORD` stores as it is, so that the password itself never reaches the server or its
 * log. RFC 5802 and 7677 in PostgreSQL's notation. A `Secret`: it allows guessing offline, and posing as the server.
 */
export function scramVerifier(password: Secret, salt: Buffer = randomBytes(16)): Secret {
  // NFKC is SASLprep for what pgs generates; a password with characters that SASLprep forbids is not made here.
  const salted = pbkdf2Sync(password.reveal().normalize('NFKC'), salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return new Secret(`SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`);
}
