import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Command } from 'commander';
import { createProgram, main } from '../../../src/cli/main.js';

let [out, err] = ['', ''];

beforeEach(() => {
  [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
});

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

const run = (...args: string[]) => main(['node', 'pgs', ...args]);

function everyCommand(command: Command, path: string[] = []): [string, Command][] {
  const here: [string, Command][] = path.length > 0 ? [[path.join(' '), command]] : [];
  return [...here, ...command.commands.flatMap((c) => everyCommand(c, [...path, c.name()]))];
}

const all = everyCommand(createProgram());
const withAction = all.filter(([, command]) => command.commands.length === 0);

describe('every command', () => {
  test.each(all)('%s says what it is for', (_path, command) => {
    expect(command.description()).toMatch(/^\S.{8,}/);
  });

  test.each(withAction)('%s has help with examples of itself', async (path) => {
    expect(await run(...path.split(' '), '--help')).toBe(0);
    expect(out).toMatch(/\nExamples?:\n/);
    expect(out.slice(out.indexOf('Example'))).toContain(`$ pgs ${path}`);
  });

  test.each(all.flatMap(([path, command]) => command.options.map((o) => [path, o.flags, o.description] as const)))(
    '%s: option %s is described',
    (_path, _flags, description) => {
      expect(description).not.toBe('');
    },
  );
});

describe('a command line that cannot be meant', () => {
  test.each([
    ['an unknown command', ['nonsense'], /unknown command 'nonsense'/],
    ['an unknown command of a noun', ['cluster', 'nonsense'], /unknown command 'nonsense'/],
    ['an unknown option', ['cluster', 'list', '--nonsense'], /unknown option '--nonsense'/],
    ['a missing argument', ['cluster', 'destroy'], /missing required argument 'tenant'/],
    ['too many arguments', ['plan', 'a', 'b'], /too many arguments/],
    ['an output that there is not', ['-o', 'xml', 'cluster', 'list'], /Allowed choices are text, json, yaml/],
    ['a mode that there is not', ['cluster', 'create', 'a', '--watchdog', 'maybe'], /Allowed choices are required/],
  ])('%s ends with 2 and says what is wrong', async (_what, args, message) => {
    expect(await run(...args)).toBe(2);
    expect(err).toMatch(message);
    expect(out).toBe('');
  });

  test('is JSON on standard output when JSON was asked for', async () => {
    expect(await run('-o', 'json', 'cluster', 'list', '--nonsense')).toBe(2);
    expect(JSON.parse(out)).toEqual({
      error: {
        code: 'usage',
        exitCode: 2,
        doing: 'reading the command line',
        host: null,
        found: expect.stringContaining("unknown option '--nonsense'") as string,
        hint: expect.any(String) as string,
      },
    });
  });
});

describe('an error of a command', () => {
  const missing = ['-c', '/nowhere/pgs.yaml', 'cluster', 'list'];

  test('is told with what was found and what to do next, and by its exit code', async () => {
    expect(await run(...missing)).toBe(2);
    expect(err).toMatch(/^error: reading pgs\.yaml\n {2}found: .*\/nowhere\/pgs\.yaml.*\n {2}next: {2}\S/);
    expect(out).toBe('');
  });

  test('is JSON on standard output when JSON was asked for, wherever the option stands', async () => {
    expect(await run(...missing, '-o', 'json')).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'configuration', exitCode: 2, doing: 'reading pgs.yaml' } });
  });
});

test.each([['--help'], ['--version']])('%s ends with 0', async (option) => {
  expect(await run(option)).toBe(0);
  expect(out).not.toBe('');
});
