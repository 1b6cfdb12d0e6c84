// What became of the cluster: whether another member led, how many timelines that took, and whether it is whole again.

import { eventsOf, type History } from '../history.js';
import { firstInjectionMs } from './assumptions.js';
import type { Check } from './verdict.js';

/** Members that held the leader's key, in order, from the one before the first fault on. */
export function leadersInOrder(history: History): string[] {
  const brokenMs = firstInjectionMs(history) ?? 0;
  const holders = eventsOf(history, 'key').flatMap((k) =>
    k.holder === null ? [] : [{ atMs: k.atMs, holder: k.holder }],
  );
  const first = holders.filter((h) => h.atMs <= brokenMs).at(-1);
  const rest = holders.filter((h) => h.atMs > brokenMs);
  const all = [...(first ? [first] : []), ...rest].map((h) => h.holder);
  return all.filter((holder, i) => i === 0 || holder !== all[i - 1]);
}

export function checkFailover(history: History): Check {
  const { failover } = history.run.scenario.expect;
  const name = { required: 'another member took over', forbidden: 'nobody took over', allowed: 'who led' }[failover];
  const leaders = leadersInOrder(history);
  if (leaders.length === 0) return { name, result: 'unknown', found: "the leader's key was never seen" };
  const changed = leaders.length > 1;
  const fits = failover === 'allowed' || changed === (failover === 'required');
  return { name, result: fits ? 'pass' : 'fail', found: leaders.join(', then ') };
}

function timelines(history: History): { before: number | null; after: number | null } {
  const brokenMs = firstInjectionMs(history) ?? 0;
  const before = eventsOf(history, 'member')
    .filter((m) => m.atMs <= brokenMs)
    .map((m) => (m.fact.reachable ? m.fact.timeline : null))
    .filter((t) => t !== null);
  return {
    before: before.length > 0 ? Math.max(...before) : null,
    after: eventsOf(history, 'converged').at(-1)?.timeline ?? null,
  };
}

/** New timelines: as many as expected, or where nobody may take over, none. */
export function checkTimelines(history: History): Check {
  const name = 'timelines are as expected';
  const { expect } = history.run.scenario;
  const { before, after } = timelines(history);
  if (before === null || after === null) return { name, result: 'unknown', found: 'a timeline was not seen' };
  const grown = after - before;
  const found = `${before} before, ${after} after`;
  const wanted = expect.timelines ?? (expect.failover === 'forbidden' ? undefined : undefined);
  if (wanted !== undefined)
    return { name, result: grown === wanted ? 'pass' : 'fail', found: `${found}, ${wanted} new expected` };
  // Each change of leader begins one; a leader that crashed and stayed begins one too.
  const least = leadersInOrder(history).length - 1;
  return { name, result: grown >= least ? 'pass' : 'fail', found };
}

export function checkConvergence(history: History): Check {
  const name = 'the cluster is whole again';
  const limitMs = history.run.scenario.expect['redundancy-within'];
  const converged = eventsOf(history, 'converged').at(-1);
  if (!converged) return { name, result: 'unknown', found: 'the run ended before it was looked at' };
  if (converged.atMs === null) return { name, result: 'fail', found: converged.missing.join('; ') };
  // What a fault holds down cannot be whole before it is healed.
  const healedMs =
    eventsOf(history, 'fault')
      .filter((f) => f.state === 'healed')
      .at(-1)?.atMs ?? 0;
  const tookMs = Math.max(0, Math.round(converged.atMs - healedMs));
  const result = tookMs <= limitMs ? 'pass' : 'fail';
  return { name, result, found: `${tookMs} ms after the last fault was healed, ${limitMs} ms are allowed` };
}
