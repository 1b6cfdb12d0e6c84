// Renders the files of `templates/` with eta. A missing value is an error, never the word "undefined" in a configuration file.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Eta } from 'eta';

/** The checkout's `templates/`, seen from src (tests) and from dist/src (built). */
const templatesDir = ['../../templates/', '../../../templates/']
  .map((up) => fileURLToPath(new URL(up, import.meta.url)))
  .find((dir) => existsSync(`${dir}patroni`))!;

const eta = new Eta({ views: templatesDir, cache: true, autoEscape: false, autoTrim: false, rmWhitespace: false });

/**
 * Renders `templates/<name>` with `it` = data. Tags keep the line breaks around them; `-%>` swallows the one that follows.
 * @throws Error naming the template, if it reads a field that `data` does not have
 */
export function renderTemplate(name: string, data: Record<string, unknown>): string {
  return eta.render(`./${name}`, refuseMissing(data, name));
}

/** A file of `templates/` that is used as it is. */
export function readTemplate(name: string): string {
  return readFileSync(`${templatesDir}${name}`, 'utf8');
}

function refuseMissing<T extends object>(data: T, where: string): T {
  return new Proxy(data, {
    get(target, key, receiver) {
      const value: unknown = Reflect.get(target, key, receiver);
      if (typeof key === 'symbol' || Array.isArray(target)) return value;
      if (value === undefined) throw new Error(`template ${where} reads ${key}, which it was not given`);
      return typeof value === 'object' && value !== null ? refuseMissing(value, `${where}: ${key}`) : value;
    },
  });
}
