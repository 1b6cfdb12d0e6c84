// Sealing: what pgs stores of secrets is encrypted and bound to the place where it lies, so that a copy put elsewhere (one
// tenant's secrets under another's key) does not open.
//
// Format: `pgs1:` and base64 of nonce (12 bytes), ciphertext, tag (16 bytes); AES-256-GCM, the context as additional data.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { PgsError } from '../errors.js';
import { Secret, reveal } from './secret.js';
import type { FleetKey } from './fleet-key.js';

const prefix = 'pgs1:';
const cipher = 'aes-256-gcm';
/** NIST SP 800-38D: random nonces of 96 bits are good for 2^32 sealings under one key. */
const nonceBytes = 12;
const tagBytes = 16;

/** `context` says where the value lies, such as `tenants/demo`; `unseal` needs the same. */
export function seal(key: FleetKey, plaintext: string | Secret, context: string): string {
  const nonce = randomBytes(nonceBytes);
  const encryption = createCipheriv(cipher, keyBytes(key), nonce, { authTagLength: tagBytes });
  encryption.setAAD(additionalData(context));
  const sealed = Buffer.concat([encryption.update(reveal(plaintext), 'utf8'), encryption.final()]);
  return prefix + Buffer.concat([nonce, sealed, encryption.getAuthTag()]).toString('base64');
}

/** @throws PgsError `configuration` for another key, another context, a changed value or an unknown version */
export function unseal(key: FleetKey, sealed: string, context: string): Secret {
  const text = sealed.trim();
  const body = text.slice(prefix.length);
  if (!text.startsWith(prefix)) {
    const version = /^pgs\d+(?=:)/.exec(text)?.[0];
    throw sealError(
      context,
      version ? `it is sealed in version ${version}, which this pgs does not know` : 'it is not a sealed value',
      version ? 'Use the newer pgs that wrote it.' : 'Restore it from your backup.',
    );
  }
  const bytes = Buffer.from(body, 'base64');
  if (bytes.length < nonceBytes + tagBytes || bytes.toString('base64') !== body) {
    throw sealError(context, 'it is cut off or damaged', 'Restore it from your backup.');
  }
  const decryption = createDecipheriv(cipher, keyBytes(key), bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decryption.setAAD(additionalData(context));
  decryption.setAuthTag(bytes.subarray(-tagBytes));
  try {
    const opened = Buffer.concat([decryption.update(bytes.subarray(nonceBytes, -tagBytes)), decryption.final()]);
    return new Secret(opened.toString('utf8'));
  } catch {
    // The library's own error says less, and nothing of it may carry plaintext further.
    throw sealError(
      context,
      'the fleet key does not open it: it was sealed with another key, or it was changed or moved',
      'Use the fleet.key with which this fleet was set up (.pgs/fleet.key beside pgs.yaml).',
    );
  }
}

function additionalData(context: string): Buffer {
  return Buffer.from(`${prefix}${context}`, 'utf8');
}

function keyBytes(key: FleetKey): Buffer {
  return Buffer.from(key.reveal(), 'base64');
}

function sealError(context: string, found: string, hint: string): PgsError {
  return new PgsError('configuration', { doing: `opening the stored secret ${context}`, found, hint });
}
