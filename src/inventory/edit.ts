// Changes pgs.yaml in place: comments stay, lines that are not concerned stay as they were typed, and a result that would
// not be valid never replaces the file.

import { stat } from 'node:fs/promises';
import isEqual from 'fast-deep-equal';
import { parseDocument, type Document } from 'yaml';
import { readFileIfPresent, withFileLock, writeFileAtomically } from '../operator-files.js';
import type { Inventory } from './inventory.js';
import { loadInventory } from './load.js';
import { parseInventory } from './parse.js';

/**
 * Applies `change` to the document and writes it if it changed and is still a valid inventory, which is returned.
 * @throws PgsError `configuration` if the file is invalid before or after; it is then left as it was.
 */
export async function editInventory(path: string, change: (document: Document) => void): Promise<Inventory> {
  return withFileLock(path, async () => {
    const before = await loadInventory(path);
    const text = (await readFileIfPresent(before.path, 'reading pgs.yaml')) ?? '';
    const changed = changedText(text, change);
    if (changed === text) return before;
    const after = parseInventory(changed, before.path);
    const { mode } = await stat(before.path);
    await writeFileAtomically(before.path, changed, mode & 0o777);
    return after;
  });
}

/** People write `{a: 1}` and `{ a: 1 }`; the one that leaves most lines as they are is taken. */
const paddings = [true, false];

/** The text after `change`, pure. */
export function changedText(text: string, change: (document: Document) => void): string {
  const document = parseDocument(text, { version: '1.2' });
  const written = () =>
    paddings.map((flowCollectionPadding) => document.toString({ lineWidth: 0, flowCollectionPadding }));
  const before = written();
  change(document);
  const after = written();
  if (after[0] === before[0]) return text;
  const spliced = after.flatMap((next, i) => spliceLines(text, before[i]!, next) ?? []);
  const isFaithful = (candidate: string) =>
    isEqual(parseDocument(candidate, { version: '1.2' }).toJS(), document.toJS());
  return spliced.find(isFaithful) ?? after[0]!;
}

/**
 * The YAML library writes the whole file anew and moves the indent of some comments, so only the lines between the first and
 * the last difference are taken from it. Null where its lines are not those of the file.
 */
function spliceLines(text: string, before: string, after: string): string | null {
  const [typed, old, next] = [text, before, after].map((whole) => whole.split('\n')) as [string[], string[], string[]];
  if (typed.length !== old.length || typed.some((line, index) => bare(line) !== bare(old[index]!))) return null;
  const shorter = Math.min(old.length, next.length);
  let head = 0;
  while (head < shorter && old[head] === next[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && old.at(-1 - tail) === next.at(-1 - tail)) tail += 1;
  return [...typed.slice(0, head), ...next.slice(head, next.length - tail), ...typed.slice(typed.length - tail)].join(
    '\n',
  );
}

/** It also writes one space before a comment where people line them up. */
function bare(line: string): string {
  return line.trim().replace(/\s+/g, ' ');
}
