// What has to be true of a run before it proves anything. What is not makes the run unknown, never pass.

import { eventsOf, type History } from '../history.js';
import type { Check } from './verdict.js';

const ackedMin = 50;
const clockOffMaxMs = 1000;

export function assumptions(history: History): Check[] {
  return [whole(history), tookEffect(history), enoughWrites(history), watchedEnough(history), saneClocks(history)];
}

const check = (name: string, missing: string[], found: string): Check => ({
  name,
  result: missing.length === 0 ? 'pass' : 'unknown',
  found: missing.length === 0 ? found : missing.join('; '),
});

function whole(history: History): Check {
  const aborts = eventsOf(history, 'abort').map((a) => `it was aborted: ${a.why}`);
  const ended = eventsOf(history, 'end').length > 0;
  return check('the run went to its end', [...aborts, ...(ended ? [] : ['the journal has no end'])], 'it did');
}

/** Every step of the method, not only those that said something. */
function tookEffect(history: History): Check {
  const faults = eventsOf(history, 'fault');
  const missing = history.run.scenario.method.flatMap((step, i) => {
    const of = faults.filter((f) => f.step === i);
    const effective = of.find((f) => f.state === 'effective');
    if (effective) return [];
    const said = of.find((f) => f.state === 'ineffective' || f.state === 'failed');
    return [`${step.fault} (step ${i + 1}): ${said ? said.note || said.state : 'it was never done'}`];
  });
  const found = faults
    .filter((f) => f.state === 'effective')
    .map((f) => `${f.fault} on ${f.on.join(', ') || 'the cluster'}`);
  return check('every fault took effect', missing, found.join('; '));
}

/** Both kinds of client have to have written before anything was broken, or their silence afterwards says nothing. */
function enoughWrites(history: History): Check {
  const brokenMs = firstInjectionMs(history) ?? Number.POSITIVE_INFINITY;
  const acked = eventsOf(history, 'write').filter((w) => w.outcome === 'acknowledged');
  const missing = (['session', 'each'] as const).flatMap((kind) =>
    acked.some((w) => w.client === kind && w.endedMs < brokenMs)
      ? []
      : [`no write of kind ${kind} was acknowledged before the fault`],
  );
  if (acked.length < ackedMin) missing.push(`only ${acked.length} writes were acknowledged, ${ackedMin} are needed`);
  return check('there was enough load', missing, `${acked.length} acknowledged writes`);
}

/** The members' own ports have to have been asked all the time by a process that had time to ask. */
function watchedEnough(history: History): Check {
  const ends = eventsOf(history, 'phase').find((p) => p.phase === 'cool-down')?.atMs;
  const probes = eventsOf(history, 'probe');
  const missing = history.run.members.flatMap(({ name }) => {
    const own = probes.filter((p) => p.member === name);
    const last = own.at(-1)?.endedMs ?? 0;
    if (own.length === 0 || (ends !== undefined && last < ends - 5000)) return [`${name} was not probed to the end`];
    const gap = own.slice(1).reduce((longest, p, i) => Math.max(longest, p.sentMs - own[i]!.endedMs), 0);
    return gap > 5000 ? [`${name} was not probed for ${Math.round(gap / 1000)} s`] : [];
  });
  return check('every member was watched', missing, `${probes.length} probes of the members' own ports`);
}

/** As they were before anything was broken: a fault may set one off. */
function saneClocks(history: History): Check {
  const brokenMs = firstInjectionMs(history) ?? Number.POSITIVE_INFINITY;
  const clocks = eventsOf(history, 'clock').filter((c) => c.atMs <= brokenMs);
  const missing = clocks.flatMap(({ host, offsetMs, uncertaintyMs }) =>
    offsetMs === null || Math.abs(offsetMs) - uncertaintyMs > clockOffMaxMs
      ? [`the clock of ${host} is ${offsetMs === null ? 'not known' : `${offsetMs} ms off`}`]
      : [],
  );
  if (clocks.length === 0) missing.push('no clock was looked at');
  const worst = Math.max(0, ...clocks.map((c) => Math.abs(c.offsetMs ?? 0)));
  return check('clocks are sane', missing, `at most ${worst} ms off`);
}

export function firstInjectionMs(history: History): number | null {
  return eventsOf(history, 'fault').find((f) => f.state === 'injecting')?.atMs ?? null;
}
