// How secrets become text that can be sealed, and back. A `Secret` redacts itself in JSON, so the way around that is
// explicit: these schemas, used by nothing but the stores in this directory.

import { z } from 'zod';
import { PgsError } from '../errors.js';
import { Secret } from './secret.js';

export const secretText = z.codec(z.string().min(1), z.instanceof(Secret), {
  decode: (text) => new Secret(text),
  encode: (secret) => secret.reveal(),
});

export const issuedShape = z.strictObject({ certPem: z.string(), keyPem: secretText });

export const authorityShape = z.strictObject({ kind: z.literal('authority'), certPem: z.string(), keyPem: secretText });

export const credentialShape = z.strictObject({ user: z.string(), password: secretText });

/** A login and its password. */
export type Credential = z.output<typeof credentialShape>;

/** JSON with the secrets readable: for `seal` only. */
export function encodeSecrets<Shape extends z.ZodType>(shape: Shape, value: z.output<Shape>): Secret {
  return new Secret(JSON.stringify(z.encode(shape, value)));
}

/** @throws PgsError `configuration` if the text has another shape; the text itself is in no error */
export function decodeSecrets<Shape extends z.ZodType>(shape: Shape, text: Secret, what: string): z.output<Shape> {
  try {
    return shape.parse(JSON.parse(text.reveal()));
  } catch (thrown) {
    const paths = thrown instanceof z.ZodError ? thrown.issues.map((issue) => issue.path.join('.')).join(', ') : '';
    throw new PgsError('configuration', {
      doing: `reading the stored secrets ${what}`,
      found: `they have another shape than this pgs knows${paths ? ` at ${paths}` : ''}`,
      hint: 'Use the pgs that wrote them, or a newer one.',
    });
  }
}

/**
 * Every secret text in `value`, for searches that prove that none leaked. A private key comes whole and line by line,
 * because a leak may have other line ends.
 */
export function allSecretTexts(value: unknown): string[] {
  const texts = new Set<string>();
  const visit = (inner: unknown): void => {
    if (inner instanceof Secret) textsOf(inner.reveal()).forEach((text) => texts.add(text));
    else if (typeof inner === 'object' && inner !== null) Object.values(inner).forEach(visit);
  };
  visit(value);
  return [...texts];
}

function textsOf(text: string): string[] {
  if (!text.includes('-----BEGIN')) return [text];
  // Shorter lines could occur anywhere.
  return [text, ...text.split('\n').filter((line) => line.length >= 24 && !line.startsWith('-----'))];
}
