// Reports of verdicts: they hold what was measured, and nothing that a history says can break out of their format.

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { judge } from '../../../chaos/oracle/verdict.js';
import { medianOf } from '../../../chaos/report/groups.js';
import { renderHtml } from '../../../chaos/report/html.js';
import { renderJunit } from '../../../chaos/report/junit.js';
import { faultSpans, memberLanes, ticksOf } from '../../../chaos/report/lanes.js';
import { renderMarkdown } from '../../../chaos/report/markdown.js';
import { describeVerdict } from '../../../chaos/report/text.js';
import { recorded } from './history-builder.js';

const history = recorded();
const verdict = judge(history);
const failing = judge(
  recorded((events) => events.map((e) => (e.type === 'rows' ? { ...e, rows: e.rows.slice(1) } : e))),
);

test('the text names the verdict, the outage of each kind of client, and every check', () => {
  const text = describeVerdict(verdict);
  expect(text).toMatch(/^PASS {2}planted on acme/);
  expect(text).toContain('writes stopped for 2.05 s');
  expect(text.match(/✓/g)).toHaveLength(verdict.checks.length);
  expect(describeVerdict(failing)).toContain('✗ no acknowledged write is lost: 1 of');
});

test('JUnit counts what failed, what is unknown and what was skipped, and is well-formed', () => {
  const unknown = judge(recorded((events) => events.filter((e) => e.type !== 'clock')));
  const skipped = { scenario: 'other', verdict: 'skipped' as const, why: 'no netem <here> & "there"\u0001' };
  const xml = renderJunit('core', [verdict, failing, unknown, skipped]);
  expect(xml).toContain('tests="4" failures="1" errors="1" skipped="1"');
  expect(xml).not.toContain('\u0001');
  expect(() =>
    execFileSync('python3', ['-c', 'import sys, xml.dom.minidom as m; m.parseString(sys.stdin.buffer.read())'], {
      input: xml,
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
  ).not.toThrow();
});

test('the table has medians and maxima over the repeats, and the worst verdict', () => {
  const table = renderMarkdown([verdict, { ...failing, rtoMs: 4050 }]);
  expect(table).toContain('| `planted` | 2 | – | 3.05 s | 4.05 s | 160 | 1 | never | fail |');
});

test('the page stands alone, and shows the run', () => {
  const html = renderHtml('lab', [{ history, verdict }]);
  expect(html).not.toMatch(/<(script|link|img)|https?:|@import|url\(/);
  expect(html).toContain('A planted run');
  expect(html.match(/<svg/g)).toHaveLength(2);
  expect(html).toContain('kill-postmaster on h1');
});

test('what a history says is text in the page', () => {
  const evil = recorded((events) => [
    ...events,
    { type: 'log', atMs: 1, member: 'acme-1', line: '<script>alert(1)</script>' },
  ]);
  expect(renderHtml('lab', [{ history: evil, verdict }])).not.toContain('<script>');
});

test('lanes follow what was seen', () => {
  const lanes = memberLanes(history);
  expect(lanes.map((l) => l.member)).toEqual(['acme-1', 'acme-2', 'acme-3']);
  expect(lanes[0]!.writable).toEqual([{ fromMs: 60, toMs: 4964 }]);
  expect(lanes[1]!.writable[0]!.fromMs).toBe(6560);
  expect(faultSpans(history)).toEqual([{ fromMs: 5000, toMs: 5200, text: 'kill-postmaster on h1', effective: true }]);
});

test.each([
  [[], null],
  [[3], 3],
  [[1, 9, 2], 2],
  [[1, 4], 2.5],
])('the median of %j is %j', (values, median) => expect(medianOf(values)).toBe(median));

test('axes have round numbers', () => {
  expect(ticksOf(47, 5)).toEqual([0, 10, 20, 30, 40]);
  expect(ticksOf(3.2, 4)).toEqual([0, 1, 2, 3]);
});
