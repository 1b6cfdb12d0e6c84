// The word on the command line without which nothing is dropped that holds data. Pure.

import { PgsError } from '../errors.js';
import { extensionsOf, isPresent, type ObjectSpecs } from './objects.js';

/**
 * `acme/shop` or `acme/shop/pg_cron` as `shop` or `shop/pg_cron`.
 * @throws PgsError `usage` for what is of another tenant, or is not to be absent by the file
 */
export function parseDropData(tenant: string, words: string[], spec: Pick<ObjectSpecs, 'databases'>): string[] {
  const absent = Object.entries(spec.databases ?? {}).flatMap(([name, database]) =>
    isPresent(database)
      ? extensionsOf(database).flatMap((e) => (isPresent(e) ? [] : [`${tenant}/${name}/${e.name}`]))
      : [`${tenant}/${name}`],
  );
  return words.map((word) => {
    if (absent.includes(word)) return word.slice(tenant.length + 1);
    throw new PgsError('usage', {
      doing: 'reading --drop-data',
      found:
        `${JSON.stringify(word.slice(0, 160))} is not to be absent: ` +
        (absent.length > 0 ? `by the file that is ${absent.join(', ')}` : 'the file says `state: absent` of nothing'),
      hint: `Say \`state: absent\` in the file and name it here, as in --drop-data ${tenant}/shop.`,
    });
  });
}

/**
 * What each of several tenants may lose, by tenant.
 * @throws PgsError `usage` as `parseDropData`
 */
export function dropDataByTenant(
  words: string[],
  documents: { tenant: string; given: Pick<ObjectSpecs, 'databases'> }[],
): Record<string, string[]> {
  const [first] = documents;
  const tenantOf = (word: string) => documents.find(({ tenant }) => word.startsWith(`${tenant}/`)) ?? first;
  return Object.fromEntries(
    documents.map((document) => [
      document.tenant,
      parseDropData(
        document.tenant,
        words.filter((word) => tenantOf(word) === document),
        document.given,
      ),
    ]),
  );
}
