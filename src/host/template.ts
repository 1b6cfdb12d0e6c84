// Text templates for what is rendered onto hosts. They live in `templates/`, take data as `it`, and a value that is not
// there is an error: a unit file with an empty path in it would be worse than none.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Eta } from 'eta';
import { PgsError } from '../errors.js';
import { Secret } from '../secrets/secret.js';

// Of an installation, which does not change while pgs runs: a plan for a thousand tenants asks for each a hundred thousand times.
const compiled = new Map<string, ReturnType<Eta['compile']>>();
const read = new Map<string, string>();

const eta = new Eta({
  useWith: false,
  autoEscape: false,
  // With Eta's default a newline after a tag is swallowed, the one after `ExecStart=<%= it.x %>` too. Write `-%>` to trim.
  autoTrim: false,
  autoFilter: true,
  filterFunction: printed,
});

/**
 * Renders `templates/<name>` (the name includes the suffix, such as `etcd/pgs-etcd.service.eta`) with `data` as `it`.
 * Nothing is escaped: who renders a value makes sure that it cannot break the format.
 * @throws PgsError `bug` if the template reads a value that is undefined, null or a `Secret` (reveal it on purpose)
 */
export function renderTemplate(name: string, data: Record<string, unknown>): string {
  try {
    return compile(name).call(eta, refuseMissing(data, 'it'));
  } catch (thrown) {
    throw bug(`rendering templates/${name}`, thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

/** A file of `templates/` that is used as it is. */
export function readTemplate(name: string): string {
  const known = read.get(name);
  if (known !== undefined) return known;
  const text = readFileSync(join(templatesDir(), name), 'utf8');
  read.set(name, text);
  return text;
}

/** Directory `templates/` of this installation; above the sources (vitest, tsx) as well as above the build in `dist/`. */
export function templatesDir(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (let directory = here; ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return join(directory, 'templates');
    if (directory === dirname(directory)) throw bug('finding templates/', `no package.json above ${here}`);
  }
}

function compile(name: string): ReturnType<Eta['compile']> {
  const known = compiled.get(name);
  if (known) return known;
  const template = eta.compile(readTemplate(name));
  compiled.set(name, template);
  return template;
}

function printed(value: unknown): string {
  if (value instanceof Secret) throw new Error('a secret would be rendered as [secret]');
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  throw new Error(`a value of type ${value === null ? 'null' : typeof value} cannot be rendered`);
}

/** Interpolations are checked by `printed`; this catches a misspelt name in a condition or a loop as well, at any depth. */
function refuseMissing<T extends object>(data: T, where: string): T {
  return new Proxy(data, {
    get(target, key, receiver) {
      const value: unknown = Reflect.get(target, key, receiver);
      if (typeof key === 'symbol') return value;
      if (value === undefined) throw new Error(`${where}.${key} is not given`);
      if (typeof value !== 'object' || value === null || value instanceof Secret) return value;
      return refuseMissing(value, `${where}.${key}`);
    },
  });
}

function bug(doing: string, found: string, cause?: unknown): PgsError {
  return new PgsError('bug', { doing, found, hint: 'This is a defect of pgs; report it.', cause });
}
