// Every fault by its name.

import { PgsError } from '../../src/errors.js';
import { hostFaults } from './hosts.js';
import { lifeCycleFaults } from './life-cycle.js';
import { networkFaults } from './network.js';
import { postgresFaults } from './postgres.js';
import { processFaults } from './processes.js';
import type { Fault } from './fault.js';

export const faults: Fault[] = [
  ...postgresFaults,
  ...processFaults,
  ...networkFaults,
  ...hostFaults,
  ...lifeCycleFaults,
];

export const faultNames: string[] = faults.map((f) => f.name);

/** @throws PgsError `bug` when there is none: scenarios are validated before */
export function faultNamed(name: string): Fault {
  const fault = faults.find((f) => f.name === name);
  if (fault) return fault;
  throw new PgsError('bug', { doing: `looking up fault ${name}`, found: 'there is none of that name' });
}
