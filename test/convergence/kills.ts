// Wherever pgs is killed while it runs a command on a tenant: the same command again comes to the same end as if nothing had
// happened, a neighbour notices nothing, and a further run changes nothing.

import { beforeAll, describe, expect, test } from 'vitest';
import { PgsError } from '../../src/errors.js';
import type { Step } from '../../src/reconcile/step.js';
import { makeFleets, neighbour, type Fleets, type Work } from './commands.js';
import { Killed } from './simulated-host.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { belongings, lasting, outcome, record } from './states.js';

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
}, 120_000);

export interface Interrupted {
  command: string;
  from: keyof Fleets;
  work: Work;
  /** The command that is run after the kill; the same unless said. */
  then?: Work;
  /** The command that finds nothing to do at the end; the one that is run after the kill unless said. */
  still?: Work;
  /** Of files that are written one after the other on a host, each fifth: for a command that goes through several plans. */
  sparsely?: boolean;
  /** Other ways of being interrupted are tried as well. */
  thoroughly?: boolean;
}

export function describeKills(cases: Interrupted[]): void {
  describe.each(cases)(
    '$command',
    ({ from, work, then = work, still = then, thoroughly = false, sparsely = false }) => {
      test(
        'killed before any one change, comes to the same end when it is run again',
        { timeout: 400_000 },
        async () => {
          const { states, fleet: uninterrupted } = await record(fleets[from], work);
          if (then !== work) await uninterrupted.run(then);
          const expected = endOf(uninterrupted, fleets[from]);
          expect(states.length).toBeGreaterThan(6);
          for (const [i, { before, state }] of states.entries()) {
            if (sparsely && i % 5 !== 0 && isFile(before) && isFile(states[i - 1]!.before)) continue;
            const fleet = new SimulatedFleet(state);
            fleet.bury(i % 2 === 0 ? 'just now' : 'long ago');
            await expectToConverge(fleet, then, still, expected, `killed before ${before}`);
          }
        },
      );

      if (!thoroughly) return;

      test(
        'losing the connection at a change, comes to the same end when it is run again',
        { timeout: 400_000 },
        async () => {
          const { states, fleet: uninterrupted } = await record(fleets[from], work);
          const expected = endOf(uninterrupted, fleets[from]);
          for (let lost = 1; lost < states.length; lost += sparsely ? 7 : 2) {
            const fleet = new SimulatedFleet(fleets[from]);
            let count = 0;
            fleet.onChange = (what) => {
              if (count++ === lost)
                throw new PgsError('unknown-result', { doing: what, found: 'the connection was lost' });
            };
            // What needs no connection goes on: it may even come to its end, as after an answer that was lost.
            await fleet.run(work).catch((thrown: unknown) => expect(thrown).toBeInstanceOf(PgsError));
            fleet.onChange = () => undefined;
            // Its lease may be what could not be given back.
            fleet.bury('long ago');
            await expectToConverge(fleet, work, still, expected, `connection lost at change ${lost}`);
          }
        },
      );

      test('killed while several hosts are changed at once, comes to the same end', async () => {
        const { fleet: uninterrupted } = await record(fleets[from], work);
        const expected = endOf(uninterrupted, fleets[from]);
        for (let seed = 0; seed < 12; seed++) {
          const fleet = new SimulatedFleet(fleets[from]);
          // Spread over what a host takes; the same for the same seed.
          [...fleet.hosts.values()].forEach((host, i) => host.killAfter((seed * 7 + i * 5 * (seed + 1)) % 17));
          await fleet.run(work).catch((thrown: unknown) => expect(thrown).toBeInstanceOf(Killed));
          for (const host of fleet.hosts.values()) host.killAfter(Infinity);
          fleet.bury('just now');
          await expectToConverge(fleet, work, still, expected, `seed ${seed}`);
        }
      });
    },
  );
}

function isFile(change: string): boolean {
  return /: (write|remove) \//.test(change);
}

interface End {
  outcome: unknown;
  neighbours: unknown;
}

/** The neighbour is to be as it was at the start, the fleet as an uninterrupted run leaves it. */
function endOf(uninterrupted: SimulatedFleet, start: FleetState): End {
  return { outcome: outcome(uninterrupted), neighbours: belongings(new SimulatedFleet(start), neighbour) };
}

async function expectToConverge(fleet: SimulatedFleet, work: Work, still: Work, end: End, when: string): Promise<void> {
  await stepsOf(fleet, work);
  expect(outcome(fleet), when).toEqual(end.outcome);
  expect(belongings(fleet, neighbour), when).toEqual(end.neighbours);
  const changes = fleet.changes.length;
  expect(await stepsOf(fleet, still), when).toEqual([]);
  expect(lasting(fleet.changes.slice(changes)), when).toEqual([]);
}

/** The steps that a command took; a destroy that finds nothing left to destroy says so, and that is an end too. */
async function stepsOf(fleet: SimulatedFleet, work: Work): Promise<Step[]> {
  try {
    return (await fleet.run(work)).steps;
  } catch (thrown) {
    if (thrown instanceof PgsError && thrown.code === 'usage' && /destroying/.test(thrown.details.doing)) return [];
    throw thrown;
  }
}
