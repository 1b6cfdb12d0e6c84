// An export: everything that pgs cannot do without, in one sealed file. The operator's own files, what pgs keeps in etcd, and of Patroni's
// keys those that make a cluster the one that it is. Pure but for reading etcd.

import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import type { Dcs } from '../etcd/client.js';
import { envelopeShape, openEnvelope, sealEnvelope, type PassphraseKey } from '../secrets/envelope.js';
import type { FleetKey } from '../secrets/fleet-key.js';
import type { Secret } from '../secrets/secret.js';
import { parseRecord } from './records.js';
import { stateKeys } from './store.js';

/** Newest form of the file that this pgs writes and reads. */
const formatVersion = 1;
/** The version of pgs, as `pgs --version` prints it. */
export const pgsVersion = '0.1.0';

const stateRoot = '/pgs/state/';
const dcsRoot = '/pgs/dcs/';
/** Of Patroni's keys: whose data it is, what its members are to follow, its timelines. Who leads is for Patroni to find out. */
const patroniKeys = ['initialize', 'config', 'history'] as const;

/** Locks end by themselves, and results of drills are many: their journals lie elsewhere. */
const leftOut = [/^\/pgs\/state\/locks\//, /^\/pgs\/state\/drills\/(runs|daemon|drill)(\/|$)/];

const contentShape = z.strictObject({
  pgs: z.string(),
  fleet: z.string(),
  /** Random, of `pgs init`. */
  fleetId: z.string(),
  /** Texts of the operator's files by their path beside pgs.yaml. */
  files: z.record(z.string(), z.string()),
  state: z.array(z.strictObject({ key: z.string().startsWith(stateRoot), value: z.string() })),
  patroni: z.record(z.string(), z.partialRecord(z.enum(patroniKeys), z.string())),
});

export type ExportContent = z.output<typeof contentShape>;

const fileShape = z.looseObject({ kind: z.literal('pgs-state'), format: z.number().int() });
const knownFileShape = z.strictObject({
  kind: z.literal('pgs-state'),
  format: z.literal(formatVersion),
  pgs: z.string(),
  fleet: z.string(),
  at: z.string(),
  /** Of the content, under the fleet key: tells whether two exports say the same. */
  digest: z.string(),
  content: envelopeShape,
});
export type ExportFile = z.output<typeof knownFileShape>;

function contextOf(fleet: string): string {
  return `export/${fleet}`;
}

/** What of etcd goes into an export. */
export async function readExported(dcs: Dcs): Promise<Pick<ExportContent, 'state' | 'patroni'>> {
  const [state, keys] = await Promise.all([dcs.getPrefix(stateRoot), dcs.getPrefix(dcsRoot)]);
  const kept = state.filter(({ key, lease }) => lease === null && !leftOut.some((pattern) => pattern.test(key)));
  const patroni: ExportContent['patroni'] = {};
  for (const { key, value } of keys) {
    const [tenant, name, ...deeper] = key.slice(dcsRoot.length).split('/');
    const known = patroniKeys.find((one) => one === name);
    if (tenant && known && deeper.length === 0) (patroni[tenant] ??= {})[known] = value;
  }
  return { state: kept.map(({ key, value }) => ({ key, value })), patroni };
}

export function writeExport(
  content: ExportContent,
  keys: { fleetKey: FleetKey; passphrase: PassphraseKey | null },
  now: Date,
): ExportFile {
  const text = JSON.stringify(contentShape.parse(content));
  const { fleet, pgs } = content;
  return {
    ...{ kind: 'pgs-state', format: formatVersion, pgs, fleet, at: now.toISOString() },
    digest: digestOf(content, keys.fleetKey),
    content: sealEnvelope(text, contextOf(fleet), keys),
  };
}

/** Equal for equal contents, and tells nothing without the key. */
export function digestOf(content: ExportContent, fleetKey: FleetKey): string {
  return createHmac('sha256', Buffer.from(fleetKey.reveal(), 'base64'))
    .update(JSON.stringify(content))
    .digest('base64');
}

/** @throws PgsError `unfit` for one of a newer pgs, `configuration` for what is no export */
export function parseExportFile(text: string, path: string): ExportFile {
  const doing = `reading ${path}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw noExport(doing, 'it is no JSON');
  }
  const form = fileShape.safeParse(value);
  if (!form.success) throw noExport(doing, 'it is no export of pgs');
  if (form.data.format > formatVersion) throw newer(doing, `its form is ${form.data.format}`);
  const file = knownFileShape.safeParse(value);
  if (!file.success)
    throw noExport(doing, `it is damaged at ${file.error.issues.map((i) => i.path.join('.')).join(', ')}`);
  if (isNewer(file.data.pgs)) throw newer(doing, `pgs ${file.data.pgs} wrote it`);
  return file.data;
}

/** @throws PgsError as `openEnvelope`, `unfit` when it holds records of a newer pgs */
export async function openExport(
  file: ExportFile,
  keys: { fleetKey: FleetKey | null; passphrase: Secret | null },
): Promise<ExportContent> {
  const text = await openEnvelope(file.content, contextOf(file.fleet), keys);
  const doing = 'reading the export';
  const parsed = contentShape.safeParse(JSON.parse(text.reveal()));
  if (!parsed.success) throw newer(doing, 'its content has another shape than this pgs knows');
  const content = parsed.data;
  if (isNewer(content.pgs)) throw newer(doing, `pgs ${content.pgs} wrote it`);
  for (const { key, value } of content.state) if (key.startsWith(stateKeys.tenants)) parseRecord(key, value);
  return content;
}

function isNewer(version: string): boolean {
  const [a, b] = [version, pgsVersion].map((text) => text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0));
  for (let i = 0; i < 3; i++) if ((a![i] ?? 0) !== (b![i] ?? 0)) return (a![i] ?? 0) > (b![i] ?? 0);
  return false;
}

function newer(doing: string, found: string): PgsError {
  return new PgsError('unfit', {
    doing,
    found: `${found}, and this is pgs ${pgsVersion}`,
    hint: 'Use the pgs that wrote it, or a newer one. Nothing was changed.',
  });
}

function noExport(doing: string, found: string): PgsError {
  return new PgsError('configuration', { doing, found, hint: 'Name a file that `pgs state export` wrote.' });
}
