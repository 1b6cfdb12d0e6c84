// Arguments that many commands have.

import { Argument } from 'commander';
import { PgsError } from '../../errors.js';

export function tenantArgument(): Argument {
  return new Argument('[tenant]', 'name of the tenant (may be left out with one tenant, or after `pgs use`)');
}

/** Of `--parallel`. @throws PgsError `usage` */
export function parseParallel(text: string): number {
  const parallel = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (parallel >= 1) return parallel;
  const found = `--parallel is a number from 1 to 99, not ${JSON.stringify(text)}`;
  throw new PgsError('usage', { doing: 'reading the command line', found });
}
