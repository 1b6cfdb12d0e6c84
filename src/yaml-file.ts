// YAML that people write, read by a schema. Whatever is wrong is found in one go and said with line and column.

import { basename } from 'node:path';
import {
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseAllDocuments,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import { z } from 'zod';
import { didYouMean } from './did-you-mean.js';
import { PgsError } from './errors.js';
import type { Fault } from './fault.js';

/** Rules that a schema cannot say; also asked when the schema found something. */
export type MoreFaults = (document: Document.Parsed, value: unknown, issues: z.core.$ZodIssue[]) => Fault[];

/**
 * @param path - of the file, for messages
 * @throws PgsError `configuration` with every fault as `FILE:LINE:COLUMN: path: message`
 */
export function readYaml<T>(text: string, path: string, schema: z.ZodType<T>, more: MoreFaults = () => []): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', prettyErrors: false, lineCounter: lines, uniqueKeys: true });
  const faults = [...syntaxFaults(document, text), ...shapeFaults(document, schema, more)];
  if (faults.length > 0) throw faultsError(path, faults, lines);
  return schema.parse(document.toJS());
}

/** One of the documents of a file. */
export interface YamlPart<T> {
  value: T;
  /** Of the document in the file, from 1; empty ones do not count. */
  number: number;
  /** Where it begins, from 1. */
  line: number;
}

/** A fault of one document: `part` counts from 0. */
export interface PartFault extends Fault {
  part: number;
}

export interface YamlParts<T> {
  parts: YamlPart<T>[];
  /** What was found wrong only when more was known. @throws PgsError `configuration` unless there is nothing */
  refuse: (faults: PartFault[]) => void;
}

/** What a file of several documents is judged by, besides its schema. */
export interface PartRules {
  /** Rules among the documents; also asked when the schema found something. */
  more: (values: unknown[]) => PartFault[];
  /** What people call a document, after its number; null: nothing. */
  nameOf: (value: unknown) => string | null;
  /** What to do next, after "Correct these places; nothing was changed." */
  hint: string;
}

/**
 * A file of documents that are separated by `---`, each by the same schema. With one of them it is as `readYaml`; with several every fault
 * says which document it is in.
 * @throws PgsError `configuration` with every fault of every document
 */
export function readYamlParts<T>(text: string, path: string, schema: z.ZodType<T>, rules: PartRules): YamlParts<T> {
  const lines = new LineCounter();
  const all = parseAllDocuments(text, { version: '1.2', prettyErrors: false, lineCounter: lines, uniqueKeys: true });
  const isEmpty = (document: Document.Parsed) => document.errors.length === 0 && valueOf(document) === null;
  const documents = [...all].filter((document) => !isEmpty(document));
  const values = documents.map(valueOf);
  const placed = ({ part, ...fault }: PartFault) => ({ part, ...placedIn(documents[part]!, fault) });
  const refuse = (faults: (PlacedFault & { part: number })[]) => {
    if (faults.length === 0) return;
    const named = faults.map(({ part, ...fault }) => ({ ...fault, text: `${label(part)}${fault.text}` }));
    throw faultsError(path, named, lines, rules.hint);
  };
  const label = (part: number) => {
    const name = rules.nameOf(values[part]);
    return documents.length === 1 ? '' : `document ${part + 1}${name === null ? '' : ` (${name})`}: `;
  };
  if (documents.length === 0) throw faultsError(path, [{ offset: 0, text: 'the file is empty' }], lines, rules.hint);
  refuse([
    ...documents.flatMap((document, part) =>
      [...syntaxFaults(document, text), ...shapeFaults(document, schema, () => [])].map((f) => ({ part, ...f })),
    ),
    ...rules.more(values).map(placed),
  ]);
  return {
    parts: documents.map((document, part) => ({
      value: schema.parse(values[part]),
      number: part + 1,
      line: lines.linePos(startOf(document.contents) ?? 0).line,
    })),
    refuse: (faults) => refuse(faults.map(placed)),
  };
}

/** Undefined for a document that means nothing: its faults say why. */
function valueOf(document: Document.Parsed): unknown {
  try {
    return document.toJS() as unknown;
  } catch {
    return undefined;
  }
}

interface PlacedFault {
  offset: number;
  text: string;
}

/** What the YAML parser found. Messages are its own, without the source beside them. */
function syntaxFaults(document: Document.Parsed, text: string): PlacedFault[] {
  return [...document.errors, ...document.warnings].map(({ code, pos, message }) => {
    const key = /^[\w-]+/.exec(text.slice(pos[0], pos[0] + 60))?.[0] ?? 'this key';
    return { offset: pos[0], text: code === 'DUPLICATE_KEY' ? `${key} is here a second time` : message };
  });
}

function shapeFaults(document: Document.Parsed, schema: z.ZodType, more: MoreFaults): PlacedFault[] {
  // After a broken bracket the rest of the file means something else, so only duplicates go together with its shape.
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) return [];
  let value: unknown;
  try {
    value = document.toJS();
  } catch (thrown) {
    return [{ offset: 0, text: thrown instanceof Error ? thrown.message : String(thrown) }];
  }
  if (value === null || value === undefined) return [{ offset: 0, text: 'the file is empty' }];
  const issues = schema.safeParse(value).error?.issues ?? [];
  const faults = [...issues.flatMap((issue) => describeIssue(issue, value, schema)), ...more(document, value, issues)];
  return faults.map((fault) => placedIn(document, fault));
}

function placedIn(document: Document.Parsed, fault: Fault): PlacedFault {
  return { offset: offsetOf(document, fault), text: withPath(fault) };
}

function describeIssue(issue: z.core.$ZodIssue, value: unknown, schema: z.ZodType): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path) ?? [];
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      at: 'key',
      message: `unknown key${didYouMean(key, known)}`,
    }));
  }
  if (issue.code === 'invalid_union') {
    // What is wrong is said by the form that was meant: the one that fails inside, not at its kind.
    const meant = issue.errors.find((issues) =>
      issues.every((inner) => inner.path.length > 0 || inner.code !== 'invalid_type'),
    );
    if (meant)
      return meant.flatMap((inner) => describeIssue({ ...inner, path: [...issue.path, ...inner.path] }, value, schema));
  }
  const found = valueAt(value, issue.path);
  if (issue.code === 'custom' && issue.params?.at === 'key')
    return [{ path: issue.path, at: 'key', message: issue.message }];
  if (found === undefined && issue.code !== 'custom') return [{ path: issue.path, message: 'is missing' }];
  return [{ path: issue.path, message: messageOf(issue, found) }];
}

function messageOf(issue: z.core.$ZodIssue, found: unknown): string {
  switch (issue.code) {
    case 'invalid_value': {
      const choices = issue.values.map(String);
      if (typeof found === 'boolean' && choices.includes('off')) {
        return `must be one of ${choices.join(', ')}: write the word off, ${found} is not it`;
      }
      const guess = typeof found === 'string' ? didYouMean(found, choices) : '';
      return `must be one of ${choices.join(', ')}, not ${shown(found)}${guess}`;
    }
    case 'invalid_type':
      return `must be ${typeWords[issue.expected] ?? issue.expected}, not ${shown(found)}`;
    case 'too_small':
      return issue.origin === 'array' ? 'must not be empty' : `must be at least ${issue.minimum}, not ${shown(found)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, not ${shown(found)}`;
    default:
      return issue.message;
  }
}

const typeWords: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  object: 'a mapping of keys to values',
  record: 'a mapping of names to values',
  array: 'a list',
};

/** What was found, in YAML's words and short. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null) return 'nothing';
  if (typeof value === 'object') return 'a mapping';
  return JSON.stringify(typeof value === 'string' ? value.slice(0, 60) : value);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let inner = value;
  for (const part of path) {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, part)) return undefined;
    inner = (inner as Record<PropertyKey, unknown>)[part];
  }
  return inner;
}

/** Where a fault is: its value or key, or the nearest place around it that exists. */
function offsetOf(document: Document.Parsed, fault: Fault): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  fault.path.forEach((part, depth) => {
    if (!isNode(node) || !('items' in node)) return (node = undefined);
    const items = (node as { items: unknown[] }).items;
    const pair = items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part));
    const child: unknown = isPair(pair) ? pair.value : items[Number(part)];
    const last = depth === fault.path.length - 1;
    const key = isPair(pair) ? startOf(pair.key) : undefined;
    // A fault below this mapping that has no place of its own is shown at the mapping's key.
    offset = (last && fault.at !== 'key' ? (startOf(child) ?? key) : (key ?? startOf(child))) ?? offset;
    return (node = child);
  });
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? ((node as Node).range?.[0] ?? undefined) : undefined;
}

function withPath(fault: Fault): string {
  const path = fault.path.map((part) => String(part).slice(0, 60)).join('.');
  return path === '' ? fault.message : `${path}: ${fault.message}`;
}

function faultsError(path: string, faults: PlacedFault[], lines: LineCounter, hint = ''): PgsError {
  const name = basename(path);
  const sorted = [...faults].sort((a, b) => a.offset - b.offset);
  const found = sorted.map(({ offset, text }) => {
    const { line, col } = lines.linePos(offset);
    // Keys come from the file: control characters in them must not reach the terminal.
    return `${name}:${Math.max(1, line)}:${Math.max(1, col)}: ${text.replace(/\p{Cc}/gu, ' ')}`;
  });
  return new PgsError('configuration', {
    doing: `reading ${path}`,
    found: [...new Set(found)].join('\n'),
    hint: `Correct these places; nothing was changed.${hint === '' ? '' : ` ${hint}`}`,
  });
}

/** The keys that a mapping at `path` may have, or null where names are free; for "did you mean". */
function knownKeys(of: z.ZodType, path: readonly PropertyKey[]): string[] | null {
  let schema: unknown = of;
  for (const part of path) {
    const inner = unwrap(schema);
    if (inner instanceof z.ZodObject) schema = (inner.shape as Record<PropertyKey, unknown>)[part];
    else if (inner instanceof z.ZodRecord) schema = inner.valueType;
    else if (inner instanceof z.ZodArray) schema = inner.element;
    else return null;
  }
  const inner = unwrap(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : null;
}

function unwrap(schema: unknown): unknown {
  let inner = schema;
  for (;;) {
    if (inner instanceof z.ZodPipe) inner = inner.in;
    else if (
      inner instanceof z.ZodOptional ||
      inner instanceof z.ZodNullable ||
      inner instanceof z.ZodDefault ||
      inner instanceof z.ZodPrefault
    )
      inner = inner.unwrap();
    else return inner;
  }
}
