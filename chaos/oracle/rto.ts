// The measured write outage against what was promised: the model's word for the kind of failure, or a limit of the scenario's.

import type { Prediction } from '../../src/topology/rto.js';
import { eventsOf, type History } from '../history.js';
import type { Outages } from './outage.js';
import type { Check } from './verdict.js';

/** A client's own pauses come on top of what the model says: its rate, and its way through TLS; milliseconds. */
export const clientMs = 500;

/** Of the kind that the scenario names; the slow case when the leader's host led etcd too. Null when it names none. */
export function predictionFor(history: History): Prediction | null {
  const { rto } = history.run.scenario.expect;
  if (rto?.model === undefined) return null;
  const both = eventsOf(history, 'fault').some((f) => f.state === 'injecting' && f.leadsBoth);
  const kind = (rto.model === 'host-loss' || rto.model === 'cut-off') && both ? 'host-loss-etcd-leader' : rto.model;
  return history.model?.predictions.find((p) => p.failure === kind) ?? null;
}

/**
 * Of the service: the time in which no client of a kind was answered. What one client waits for an entry that is gone is left out by there
 * being others, at other entries, and not by adding its limits to what the model allows.
 */
export function checkRto(history: History, outages: Outages, prediction: Prediction | null): Check {
  const name = 'writes go on in time';
  const { rto } = history.run.scenario.expect;
  if (rto?.model !== undefined && !prediction)
    return { name, result: 'unknown', found: 'the run has no prediction for it' };
  const limitMs = prediction ? prediction.maxMs + clientMs : (rto?.within ?? null);
  const kinds = [outages.session, outages.each].filter((o) => o !== null);
  if (kinds.length === 0 || kinds.some((o) => o.silentMs === null)) {
    return { name, result: limitMs === null ? 'pass' : 'fail', found: 'they did not go on' };
  }
  const limit =
    limitMs === null
      ? 'no limit is set'
      : `at most ${limitMs} ms${prediction ? ` by the model (${prediction.what})` : ''}`;
  const found = `${outages.writeMs} ms without a write, ${limit}`;
  const late = kinds.filter((o) => limitMs !== null && o.silentMs! > limitMs);
  if (late.length === 0) return { name, result: 'pass', found };
  // One connected client, and it waited for its own limits: whether the service was there sooner was not looked at.
  if (prediction && late.every((o) => o === outages.session && o.clients === null && o.givenUp > 0)) {
    return { name, result: 'unknown', found: `${found}; the one connected client waited for limits of its own` };
  }
  return { name, result: 'fail', found };
}

/** A client of its own may wait for what it gives an entry, on top of the service's outage, and must be answered then. */
export function checkEveryClient(history: History, { session, each }: Outages, prediction: Prediction | null): Check {
  const name = 'every client goes on';
  const { connectMs, answerMs } = history.run.clientLimits ?? { connectMs: 5000, answerMs: 10_000 };
  const kinds = [session, each].filter((o) => o !== null);
  const limitMs = prediction === null ? null : prediction.maxMs + clientMs + answerMs + connectMs;
  if (kinds.length === 0) return { name, result: 'unknown', found: 'nobody wrote' };
  if (kinds.some((o) => o.oneClientMs === null)) return { name, result: 'fail', found: 'one was never answered again' };
  const slowest = Math.max(...kinds.map((o) => o.oneClientMs!));
  const own = `its own limits of ${answerMs} ms for an answer and ${connectMs} ms for a connection included`;
  const found = `the slowest waited ${slowest} ms${slowest > connectMs ? `, ${own}` : ''}`;
  return { name, result: limitMs !== null && slowest > limitMs ? 'fail' : 'pass', found };
}
