// The names that people type, validated once. What passes holds only a-z, 0-9 and single hyphens, so no later place (a
// path, a unit, an SQL identifier, a shell, YAML) can be surprised by it.

import { isIP } from 'node:net';
import { PgsError } from '../errors.js';

const label = /^[a-z]([a-z0-9-]*[a-z0-9])?$/;

/** Linux allows 32 characters for a user's name and the tenant's is `pgs-<tenant>`. */
const tenantLengthMax = 28;

/** RFC 1035. */
const labelLengthMax = 63;

/** Names that units, OS users, directories or PostgreSQL itself already give a meaning to. */
const tenantReserved = new Set([
  ...['etcd', 'haproxy', 'patroni', 'pgbouncer', 'watchdog', 'daemon', 'postgres', 'postgresql', 'fleet', 'pgs'],
  ...['template0', 'template1', 'replication', 'all', 'localhost'],
]);

/** Services are `<tenant>-ro.<domain>` and so on in certificates, so such a tenant would answer for its neighbour. */
const serviceSuffixes = ['-ro', '-direct'];

/**
 * A tenant's name: a DNS label of at most 28 characters, not reserved, not the name of a service.
 * @throws PgsError `usage` with the reason.
 */
export function parseTenantName(text: string): string {
  return checked('tenant', text, tenantNameFault(text), 'demo or web-shop');
}

/** @throws PgsError `usage` with the reason. */
export function parseHostName(text: string): string {
  return checked('host', text, hostNameFault(text), 'h1 or db-east-2');
}

/** @throws PgsError `usage` with the reason. */
export function parseFleetName(text: string): string {
  return checked('fleet', text, fleetNameFault(text), 'main or berlin');
}

/** Why `text` cannot be a tenant's name, or null. */
export function tenantNameFault(text: string): string | null {
  const fault = labelFault(text, tenantLengthMax);
  if (fault !== null) return fault;
  if (text.includes('--')) return 'it has two hyphens in a row';
  if (tenantReserved.has(text)) return 'it is reserved';
  const suffix = serviceSuffixes.find((ending) => text.endsWith(ending));
  return suffix === undefined ? null : `it ends in ${suffix}, which names a service of another tenant`;
}

/** Why `text` cannot be a host's name, or null. */
export function hostNameFault(text: string): string | null {
  return labelFault(text, labelLengthMax) ?? (text === 'localhost' ? 'it is reserved' : null);
}

/** Why `text` cannot be a fleet's name, or null. */
export function fleetNameFault(text: string): string | null {
  return labelFault(text, labelLengthMax);
}

/** Why `text` cannot be a DNS domain, or null. */
export function domainFault(text: string): string | null {
  // Certificates carry <tenant>-direct-ro.<domain>, and a DNS name has at most 253 characters.
  if (text.length > 200) return 'it is longer than 200 characters';
  return text.split('.').every((part) => labelFault(part, labelLengthMax) === null)
    ? null
    : 'it is not a DNS name in lower case such as db.example.com';
}

/** Why `text` cannot be the address by which a host is reached from everywhere, or null. */
export function addressFault(text: string): string | null {
  if (isIP(text) === 0 || text.includes('%')) return 'it is not an IP address such as 10.0.0.11';
  const address = canonicalAddress(text);
  if (address.startsWith('127.') || address === '::1')
    return 'it is a loopback address, which other hosts cannot reach';
  if (address === '0.0.0.0' || address === '::') return 'it stands for every address, not for one host';
  const multicast = isIP(address) === 4 ? /^(22[4-9]|23\d|255)\./ : /^ff/;
  return multicast.test(address) ? 'it is not the address of one host' : null;
}

/** One spelling per IP address, so that two can be compared. */
export function canonicalAddress(text: string): string {
  return isIP(text) === 6 && URL.canParse(`http://[${text}]`)
    ? new URL(`http://[${text}]`).hostname.slice(1, -1)
    : text;
}

/** Why `text` cannot be a DNS label, or null. */
export function labelFault(text: string, lengthMax = labelLengthMax): string | null {
  if (text === '') return 'it is empty';
  if (text.length > lengthMax) return `it has ${text.length} characters, at most ${lengthMax} are possible`;
  if (/^[^a-z]/.test(text)) return 'it does not begin with a letter from a to z';
  if (/[^a-z0-9-]/.test(text)) return 'it has characters other than a-z, 0-9 and the hyphen';
  return label.test(text) ? null : 'it ends in a hyphen';
}

function checked(noun: string, text: string, fault: string | null, example: string): string {
  if (fault === null) return text;
  // JSON shows control characters as escapes, so a hostile name cannot move the cursor of the terminal.
  throw new PgsError('usage', {
    doing: `reading the name of a ${noun}`,
    found: `${JSON.stringify(text.slice(0, 80))} cannot be the name of a ${noun}: ${fault}`,
    hint: `Choose a name of a-z, 0-9 and single hyphens that begins with a letter, such as ${example}.`,
  });
}
