// The timeline of a run, and the distribution of outages over repeats, as SVG. Colours are classes of the page's style sheet.

import { eventsOf, type History } from '../history.js';
import { longestOf } from '../oracle/outage.js';
import { phaseNames, type Phase } from '../oracle/phases.js';
import type { Verdict } from '../oracle/verdict.js';
import { medianOf } from './groups.js';
import { bucketsOf, endOf, faultSpans, memberLanes, ticksOf } from './lanes.js';

const width = 1080;
const left = 118;
const right = 16;
const chartHeight = 108;
const laneHeight = 22;
const bucketMs = 250;

export function escapeHtml(text: string): string {
  return text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const n = (value: number) => value.toFixed(1);

interface Pen {
  x: (ms: number) => number;
  endMs: number;
}

/** Throughput and errors, the phases of the outage, faults, who led, and which member's own port took writes. */
export function renderTimeline(history: History, verdict: Verdict): string {
  const endMs = endOf(history);
  const pen: Pen = { endMs, x: (ms) => left + ((width - left - right) * Math.min(Math.max(ms, 0), endMs)) / endMs };
  const faults = faultSpans(history);
  const lanes = memberLanes(history);
  const parts: string[] = [];
  let y = 14;
  parts.push(throughput(history, pen, y));
  y += chartHeight + 10;
  const phases = outagePhases(verdict, pen, y);
  if (phases) {
    parts.push(phases);
    y += laneHeight + 12;
  }
  for (const [i, fault] of faults.entries()) {
    const text = `${fault.text}${fault.effective ? '' : ' (no effect seen)'}`;
    parts.push(label(i === 0 ? 'faults' : '', y), bar('fault', pen, fault.fromMs, fault.toMs, y, 14, text));
    parts.push(caption(pen, fault.fromMs, fault.toMs, y + 11, text));
    y += laneHeight - 2;
  }
  y += 8;
  for (const lane of lanes) {
    parts.push(label(lane.member, y + 2));
    for (const role of lane.roles) {
      parts.push(bar(`role ${role.kind}`, pen, role.fromMs, role.toMs, y, 13, `${lane.member}: ${role.text}`));
    }
    for (const span of lane.writable) {
      parts.push(bar('writable', pen, span.fromMs, span.toMs, y + 14, 4, `${lane.member} took writes on its own port`));
    }
    y += laneHeight + 4;
  }
  const shade = faults.map((f) => shaded(pen, f.fromMs, f.toMs, y));
  const axis = timeAxis(pen, y);
  return [
    `<svg class="timeline" viewBox="0 0 ${width} ${y + 24}" role="img" aria-label="timeline of the run">`,
    ...shade,
    axis,
    ...parts,
    '</svg>',
  ].join('\n');
}

function shaded(pen: Pen, fromMs: number, toMs: number, height: number): string {
  return `<rect class="shade" x="${n(pen.x(fromMs))}" y="8" width="${n(Math.max(1, pen.x(toMs) - pen.x(fromMs)))}" height="${n(height - 8)}"/>`;
}

function throughput(history: History, pen: Pen, top: number): string {
  const buckets = bucketsOf(history, bucketMs);
  const perS = 1000 / bucketMs;
  // A burst of errors is cut off at the top, or the writes beside it could not be seen.
  const max = Math.max(10, ...buckets.map((b) => (b.session + b.each) * perS)) * 1.15;
  const y = (value: number) => top + chartHeight - Math.min(chartHeight, (chartHeight * value * perS) / max);
  const area = (of: (i: number) => number, base: (i: number) => number) => {
    const up = buckets.map((b, i) => `${n(pen.x(b.atMs + bucketMs / 2))},${n(y(of(i)))}`);
    const down = buckets.map((b, i) => `${n(pen.x(b.atMs + bucketMs / 2))},${n(y(base(i)))}`).reverse();
    return [...up, ...down].join(' ');
  };
  const session = area(
    (i) => buckets[i]!.session,
    () => 0,
  );
  const each = area(
    (i) => buckets[i]!.session + buckets[i]!.each,
    (i) => buckets[i]!.session,
  );
  const barWidth = Math.max(1.2, pen.x(bucketMs) - pen.x(0) - 0.4);
  const errors = buckets
    .filter((b) => b.errors > 0)
    .map(
      (b) =>
        `<rect class="errors" x="${n(pen.x(b.atMs))}" y="${n(y(b.errors))}" width="${n(barWidth)}" height="${n(top + chartHeight - y(b.errors))}"><title>${b.errors} errors at ${(b.atMs / 1000).toFixed(1)} s</title></rect>`,
    );
  const ticks = ticksOf(max, 3).map(
    (t) =>
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${n(y(t / perS))}" y2="${n(y(t / perS))}"/><text class="tick" x="${left - 8}" y="${n(y(t / perS) + 3.5)}" text-anchor="end">${t}</text>`,
  );
  return [
    ...ticks,
    `<text class="lane" x="0" y="${top + 10}">writes/s</text>`,
    `<polygon class="session" points="${session}"><title>acknowledged, the connected client</title></polygon>`,
    `<polygon class="each" points="${each}"><title>acknowledged, the reconnecting client</title></polygon>`,
    ...errors,
  ].join('\n');
}

/** The parts of the longest outage, where they can be told apart. */
function outagePhases({ outages }: Verdict, pen: Pen, y: number): string | null {
  const longest = longestOf(outages.session, outages.each);
  if (!longest || outages.phases.length === 0) return null;
  let at = longest.fromMs;
  const bars = outages.phases.map((phase) => {
    const { ms } = phase;
    const text = `${phase.phase}: ${(ms / 1000).toFixed(2)} s, until ${phase.shownBy}`;
    const drawn = ms > 0 ? bar(`phase ${phaseClass(phase)}`, pen, at, at + ms, y, 14, text) : '';
    at += ms;
    return drawn;
  });
  return [
    label('outage', y),
    ...bars,
    caption(pen, at, at, y + 11, `${((outages.writeMs ?? 0) / 1000).toFixed(2)} s`),
  ].join('\n');
}

/** Its colour, the same in every report. */
export function phaseClass({ begins }: Phase): string {
  return `phase-${phaseNames.indexOf(begins)}`;
}

function label(text: string, y: number): string {
  return `<text class="lane" x="0" y="${n(y + 11)}">${escapeHtml(text)}</text>`;
}

function bar(kind: string, pen: Pen, fromMs: number, toMs: number, y: number, height: number, title: string): string {
  const x = pen.x(fromMs);
  const w = Math.max(1.5, pen.x(toMs) - x);
  return `<rect class="${kind}" x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${height}" rx="2"><title>${escapeHtml(title)} (${(fromMs / 1000).toFixed(2)}-${(toMs / 1000).toFixed(2)} s)</title></rect>`;
}

/** Beside the bar, on the side that has room. */
function caption(pen: Pen, fromMs: number, toMs: number, y: number, text: string): string {
  const room = width - right - pen.x(toMs) > text.length * 6.2;
  const [x, anchor] = room ? [pen.x(toMs) + 6, 'start'] : [pen.x(fromMs) - 6, 'end'];
  return `<text class="caption" x="${n(x)}" y="${n(y)}" text-anchor="${anchor}">${escapeHtml(text)}</text>`;
}

function timeAxis(pen: Pen, y: number): string {
  const ticks = ticksOf(pen.endMs / 1000, 12).map((s) => {
    const x = n(pen.x(s * 1000));
    return `<line class="grid" x1="${x}" x2="${x}" y1="8" y2="${y}"/><text class="tick" x="${x}" y="${y + 15}" text-anchor="middle">${s} s</text>`;
  });
  return ticks.join('');
}

/** Outages of the repeats of a scenario as dots on a line, with what the model says at the most. */
export function renderDistribution(outagesMs: number[], predictedMs: number | null): string {
  const [w, h, pad] = [260, 30, 8];
  const max = Math.max(1000, ...outagesMs, predictedMs ?? 0) * 1.05;
  const x = (ms: number) => n(pad + ((w - 2 * pad) * ms) / max);
  const median = medianOf(outagesMs);
  const dots = outagesMs.map(
    (ms) => `<circle class="dot" cx="${x(ms)}" cy="12" r="4"><title>${(ms / 1000).toFixed(2)} s</title></circle>`,
  );
  return [
    `<svg class="distribution" viewBox="0 0 ${w} ${h}" role="img" aria-label="outages of the runs">`,
    `<line class="axis" x1="${pad}" x2="${w - pad}" y1="12" y2="12"/>`,
    predictedMs === null
      ? ''
      : `<line class="limit" x1="${x(predictedMs)}" x2="${x(predictedMs)}" y1="3" y2="21"><title>at the most, by the model: ${(predictedMs / 1000).toFixed(2)} s</title></line>`,
    median === null ? '' : `<line class="median" x1="${x(median)}" x2="${x(median)}" y1="5" y2="19"/>`,
    ...dots,
    `<text class="tick" x="${pad}" y="28">0</text><text class="tick" x="${w - pad}" y="28" text-anchor="end">${(max / 1000).toFixed(0)} s</text>`,
    '</svg>',
  ].join('');
}

/** For the page's notes: lines of the components' logs, in time. */
export function logLines(history: History): { atMs: number; member: string; line: string }[] {
  return [...eventsOf(history, 'log')].sort((a, b) => a.atMs - b.atMs);
}
