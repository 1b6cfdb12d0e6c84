// Changes pgs.yaml in place: comments stay, and a result that would not be valid never replaces the file.

import { stat } from 'node:fs/promises';
import { parseDocument, type Document } from 'yaml';
import { readFileIfPresent, withFileLock, writeFileAtomically } from '../operator-files.js';
import { loadInventory } from './load.js';
import type { Inventory } from './inventory.js';
import { parseInventory } from './parse.js';

/**
 * Applies `change` to the document and writes it if it changed and is still a valid inventory, which is returned.
 * @throws PgsError `configuration` if the file is invalid before or after; it is then left as it was.
 */
export async function editInventory(path: string, change: (document: Document) => void): Promise<Inventory> {
  return withFileLock(path, async () => {
    const before = await loadInventory(path);
    const text = (await readFileIfPresent(before.path, 'reading pgs.yaml')) ?? '';
    const document = parseDocument(text, { version: '1.2' });
    change(document);
    const changed = document.toString({ lineWidth: 0 });
    if (changed === text) return before;
    const after = parseInventory(changed, before.path);
    const { mode } = await stat(before.path);
    await writeFileAtomically(before.path, changed, mode & 0o777);
    return after;
  });
}
