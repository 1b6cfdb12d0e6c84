// Verdicts as JUnit XML, for a CI server: a scenario is a test case, a check that was broken its failure.

import type { Verdict } from '../oracle/verdict.js';

export interface SkippedRun {
  scenario: string;
  verdict: 'skipped';
  why: string;
}

export function renderJunit(name: string, results: (Verdict | SkippedRun)[]): string {
  const count = (of: string) => results.filter((r) => r.verdict === of).length;
  const head = `<testsuite name="${escape(name)}" tests="${results.length}" failures="${count('fail')}" errors="${count('unknown')}" skipped="${count('skipped')}">`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...results.map(renderCase), '</testsuite>', ''].join('\n');
}

function renderCase(result: Verdict | SkippedRun): string {
  const of = `name="${escape(result.scenario)}"`;
  if (result.verdict === 'skipped') {
    return `  <testcase classname="pgs.chaos" ${of}><skipped message="${escape(result.why)}"/></testcase>`;
  }
  const time = ((result.rtoMs ?? 0) / 1000).toFixed(3);
  const open = `  <testcase classname="pgs.chaos.${escape(result.tenant)}" ${of} time="${time}">`;
  if (result.verdict === 'pass') return `${open}</testcase>`;
  const bad = result.checks.filter((c) => c.result === result.verdict).map((c) => `${c.name}: ${c.found}`);
  const element = result.verdict === 'fail' ? 'failure' : 'error';
  return `${open}<${element} message="${escape(bad.join('; '))}"/></testcase>`;
}

/** For attributes and text; control characters have no place in XML 1.0. */
function escape(text: string): string {
  return text.replace(/[^\t\n\r\P{Cc}]/gu, ' ').replace(/[<>&"'\n]/g, (c) => `&#${c.charCodeAt(0)};`);
}
