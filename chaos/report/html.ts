// One HTML file that stands alone: what was run, what was seen, and the verdicts with their evidence.

import { readTemplate } from '../../src/host/template.js';
import type { History } from '../history.js';
import type { Verdict } from '../oracle/verdict.js';
import { groupRuns, seconds } from './groups.js';
import { escapeHtml, logLines, phaseClass, renderDistribution, renderTimeline } from './svg.js';

export interface JudgedRun {
  history: History;
  verdict: Verdict;
}

const marks = { pass: '✓', fail: '✗', unknown: '?' } as const;

export function renderHtml(fleet: string, runs: JudgedRun[]): string {
  const count = (of: Verdict['verdict']) => runs.filter((r) => r.verdict.verdict === of).length;
  const times = runs.map((r) => r.verdict.startedAt).sort();
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drills of ${escapeHtml(fleet)}</title>
<style>
${readTemplate('chaos/report.css')}</style>
</head>
<body>
<header>
<h1>Drills of ${escapeHtml(fleet)}</h1>
<p class="sub">${runs.length} runs, ${day(times[0])}${times.length > 1 ? ` to ${day(times.at(-1))}` : ''}</p>
<p class="counts">${(['pass', 'fail', 'unknown'] as const).map((v) => badge(v, `${count(v)} ${v}`)).join(' ')}</p>
</header>
<main>
${summary(runs)}
${legend()}
${runs.map(section).join('\n')}
</main>
</body>
</html>
`;
}

function day(iso: string | undefined): string {
  return iso === undefined ? '' : iso.slice(0, 16).replace('T', ' ');
}

function badge(verdict: Verdict['verdict'], text: string): string {
  return `<span class="badge ${verdict}">${marks[verdict]} ${escapeHtml(text)}</span>`;
}

/** One line a scenario and tenant, over its repeats. */
function summary(runs: JudgedRun[]): string {
  const rows = groupRuns(runs.map((r) => r.verdict)).map(
    (
      g,
    ) => `<tr><td><a href="#${escapeHtml(g.verdicts[0]!.id)}">${escapeHtml(g.scenario)}</a><span class="sub"> ${escapeHtml(g.tenant)}</span></td>
<td class="number">${g.verdicts.length}</td><td class="number">${seconds(g.medianMs)}</td><td class="number">${seconds(g.maxMs)}</td>
<td class="number">${seconds(g.predictedMs)}</td><td>${renderDistribution(g.outagesMs, g.predictedMs)}</td><td class="number">${g.errors}</td>
<td class="number">${g.lost}</td><td class="number">${g.dualWritableMs} ms</td><td>${badge(g.verdict, g.verdict)}</td></tr>`,
  );
  return `<section><table class="summary">
<thead><tr><th>scenario</th><th class="number">runs</th><th class="number">median</th><th class="number">max</th><th class="number">model's max</th><th>writes stopped for</th><th class="number">errors</th><th class="number">lost</th><th class="number">two writers</th><th>verdict</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></section>`;
}

function legend(): string {
  const item = (kind: string, text: string) => `<span class="key"><i class="${kind}"></i>${text}</span>`;
  return `<p class="legend">${item('session', 'acknowledged, connected client')}${item('each', 'acknowledged, reconnecting client')}${item('errors', 'errors')}${item('fault', 'fault')}${item('leader', 'leader')}${item('sync', 'sync standby')}${item('replica', 'replica')}${item('other', 'on its way')}${item('unreachable', 'no answer')}${item('writable', 'own port takes writes')}</p>`;
}

function section({ history, verdict }: JudgedRun): string {
  const { run } = history;
  const { scenario } = run;
  const { outages } = verdict;
  const figures: [string, string][] = [
    ['write outage', verdict.rtoMs === null ? 'good' : seconds(verdict.rtoMs)],
    ["model's limit", seconds(verdict.predictedRtoMs)],
    ['acknowledged', String(verdict.acked)],
    ['lost', verdict.ackedLost === null ? '?' : String(verdict.ackedLost)],
    ['two writers', `${verdict.dualWritableMs} ms`],
    ['errors', String(Object.values(verdict.errors).reduce((a, b) => a + b, 0))],
    ['slowest client', seconds(slowestOf(outages))],
    ['read outage', seconds(outages.read?.silentMs ?? null)],
    ['redundancy after', seconds(outages.redundancyMs)],
  ];
  return `<section class="run" id="${escapeHtml(run.id)}">
<h2>${escapeHtml(scenario.title)} ${badge(verdict.verdict, verdict.verdict)}</h2>
<p class="sub">${escapeHtml(scenario.name)} on ${escapeHtml(run.tenant)} · ${day(run.startedAt)} · round ${run.round}, seed ${run.seed} · touches ${escapeHtml(run.touched.join(', '))}</p>
${scenario.description ? `<p>${escapeHtml(scenario.description)}</p>` : ''}
<dl class="figures">${figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>
${renderTimeline(history, verdict)}
${phases(verdict)}
<ul class="checks">${verdict.checks.map((c) => `<li class="${c.result}"><b>${marks[c.result]}</b> <span>${escapeHtml(c.name)}</span> <span class="sub">${escapeHtml(c.found)}</span></li>`).join('\n')}</ul>
${details(history, verdict)}
</section>`;
}

/** Null when one was never answered again. */
function slowestOf({ session, each }: Verdict['outages']): number | null {
  const waits = [session, each].filter((o) => o !== null).map((o) => o.oneClientMs);
  return waits.includes(null) ? null : Math.max(0, ...waits.map((ms) => ms!));
}

/** Where the time went, each part with what showed its end. */
function phases({ outages }: Verdict): string {
  if (outages.phases.length === 0) return '';
  const rows = outages.phases.map(
    (phase) =>
      `<tr><td><span class="key"><i class="${phaseClass(phase)}"></i>${escapeHtml(phase.phase)}</span></td><td class="number"><b>${seconds(phase.ms)}</b></td><td class="number sub">${phase.predictedMs === null ? '' : `≤ ${seconds(phase.predictedMs)}`}</td><td class="sub">${phase.source}</td><td class="sub">until ${escapeHtml(phase.shownBy)}</td></tr>`,
  );
  return `<table class="phases">${rows.join('\n')}</table>`;
}

function details(history: History, verdict: Verdict): string {
  const { run, model } = history;
  const logs = logLines(history);
  const errors = Object.entries(verdict.errors).map(([code, times]) => `${times} × ${code}`);
  const facts: [string, string][] = [
    ['members', run.members.map((m) => `${m.name} on ${m.host}`).join(', ')],
    ['replication', run.synchronous ? 'synchronous (RPO 0)' : 'asynchronous'],
    ['fencing', run.fencing],
    [
      'versions',
      Object.entries(run.versions)
        .map(([what, version]) => `${what} ${version}`)
        .join(', '),
    ],
    ['errors', errors.join(', ') || 'none'],
    ['settings', model ? JSON.stringify(model.timing) : 'not recorded'],
    ['scenario', JSON.stringify(run.scenario)],
  ];
  return `<details><summary>configuration, versions, logs</summary>
<table class="facts">${facts.map(([name, value]) => `<tr><th>${name}</th><td>${escapeHtml(value)}</td></tr>`).join('')}</table>
<pre>${logs.map((l) => escapeHtml(`${(l.atMs / 1000).toFixed(2).padStart(8)} s  ${l.member}  ${l.line}`)).join('\n')}</pre></details>`;
}
