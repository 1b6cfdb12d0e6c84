// What the slow tier found, as a dated table: node test/write-results.mjs VITEST_JSON… (bin/test --all calls it). One row per
// file, with every test that did not pass named below it.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = `${dirname(fileURLToPath(import.meta.url))}/results`;
const files = process.argv
  .slice(2)
  .flatMap((path) => JSON.parse(readFileSync(path, 'utf8')).testResults)
  .sort((a, b) => a.name.localeCompare(b.name));

const count = (file, status) => file.assertionResults.filter((t) => t.status === status).length;
const rows = files.map((file) => {
  const others = file.assertionResults.length - count(file, 'passed') - count(file, 'failed');
  const seconds = Math.round((file.endTime - file.startTime) / 1000);
  return `| ${basename(file.name, '.test.ts')} | ${count(file, 'passed')} | ${count(file, 'failed')} | ${others} | ${seconds} s |`;
});
const notPassed = files.flatMap((file) =>
  file.assertionResults
    .filter((t) => t.status !== 'passed')
    .map((t) => `- ${basename(file.name, '.test.ts')}: ${t.fullName} (${t.status})`),
);

const at = new Date().toISOString();
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const machine = `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, load ${loadavg()[0].toFixed(1)} at the end`;
const text = [
  `# Slow tier, ${at.slice(0, 16).replace('T', ' ')} UTC`,
  '',
  `Commit ${commit}; ${machine}.`,
  '',
  '| file | passed | failed | not run | took |',
  '|---|---|---|---|---|',
  ...rows,
  ...(notPassed.length > 0 ? ['', 'Not passed:', '', ...notPassed] : []),
  '',
].join('\n');
mkdirSync(folder, { recursive: true });
const path = `${folder}/slow-${at.slice(0, 16).replace(':', '')}.md`;
writeFileSync(path, text);
process.stderr.write(`written to ${path}\n`);
