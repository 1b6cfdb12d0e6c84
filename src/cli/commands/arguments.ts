// Arguments that many commands have.

import { Argument } from 'commander';

export function tenantArgument(): Argument {
  return new Argument('[tenant]', 'name of the tenant (may be left out with one tenant, or after `pgs use`)');
}
