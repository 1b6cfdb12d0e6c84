// The measured write outage against what was promised: the model's word for the kind of failure, or a limit of the scenario's.

import type { Prediction } from '../../src/topology/rto.js';
import { eventsOf, type History } from '../history.js';
import type { Outage, Outages } from './outage.js';
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
  // What a client waits for an entry that is gone is its own affair; the limit is for what comes on top.
  const own = prediction === null ? () => 0 : (o: Outage) => o.ownPauseMs;
  const late = kinds.some((o) => limitMs !== null && o.silentMs! > limitMs + own(o));
  const paused = Math.max(...kinds.map(own));
  const limit =
    limitMs === null
      ? 'no limit is set'
      : `at most ${limitMs} ms${prediction ? ` by the model (${prediction.what})` : ''}${paused > 0 ? `, and up to ${paused} ms of the client's own limits` : ''}`;
  return { name, result: late ? 'fail' : 'pass', found: `${outages.writeMs} ms without a write, ${limit}` };
}
