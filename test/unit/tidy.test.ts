// Rules of the house that a machine can check.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .trim()
  .split('\n');
const code = files.filter((f) => /^(src|haproxy|watchdog|chaos)\/.*\.ts$/.test(f));

test('imports point one way', () => {
  const run = () =>
    execFileSync(
      'node_modules/.bin/depcruise',
      ['src', 'haproxy', 'watchdog', 'chaos', '--config', '.dependency-cruiser.cjs'],
      {
        encoding: 'utf8',
        stdio: 'pipe',
      },
    );
  expect(run).not.toThrow();
}, 60_000);

const broken = (breaks: (file: string, text: string) => boolean) =>
  code.filter((f) => breaks(f, readFileSync(f, 'utf8')));

test('files have kebab-case names that say what is in them', () => {
  expect(
    code.filter(
      (f) => !/^[a-z0-9-]+(\/[a-z0-9-]+)*\.ts$/.test(f) || /(utils?|helpers?|manager|common|misc)\.ts$/.test(f),
    ),
  ).toEqual([]);
});

test('every file can be read in one sitting', () => {
  expect(broken((_, text) => text.split('\n').length > 450)).toEqual([]);
});

test('every file says at its top what it is for', () => {
  expect(broken((file, text) => !text.startsWith('//') && !file.startsWith('src/cli/'))).toEqual([]);
});

test('nothing is left for later', () => {
  expect(broken((_, text) => /TODO|FIXME|XXX|HACK/.test(text))).toEqual([]);
});

test('no test is skipped or alone', () => {
  const marked = files.filter(
    (f) => f.startsWith('test/') && f.endsWith('.test.ts') && /\.(only|todo)\(/.test(readFileSync(f, 'utf8')),
  );
  expect(marked.filter((f) => f !== 'test/unit/tidy.test.ts')).toEqual([]);
});
