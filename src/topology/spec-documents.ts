// A file with the specs of several tenants, as documents that are separated by `---`: all of it is judged before anything of it is
// applied, and whatever is wrong is said with its line. Pure.

import { z } from 'zod';
import type { Fault } from '../fault.js';
import { tenantNameFault } from '../inventory/names.js';
import { readYamlParts, type PartFault, type PartRules } from '../yaml-file.js';
import { settingFaults } from './settings.js';
import { fillSpec, specFaults, specFormat, specSchema, type SpecDefaults, type SpecFile } from './spec.js';
import type { TenantSpec } from './tenant.js';

export interface SpecDocument {
  tenant: string;
  /** What was given, in the names of the file. */
  given: SpecFile;
  /** For errors: file, and which document where there are several. */
  source: string;
}

export interface SpecDocuments {
  documents: SpecDocument[];
  /**
   * What only the fleet knows: the specs that tenants have now, and the defaults of those that are new.
   * @throws PgsError `configuration` with all that is wrong, by document, key and line
   */
  judge: (stored: TenantSpec[], defaults: SpecDefaults) => void;
  /** What only a look at the tenant's hosts showed. @throws PgsError as `judge` */
  refuse: (tenant: string, faults: Fault[]) => void;
}

/** Judged before anything else: in a newer form other keys may mean something else. */
const formatOnly = z.looseObject({
  format: z
    .unknown()
    .optional()
    .superRefine((format, context) => {
      if (typeof format !== 'number' || format <= specFormat) return;
      const message = `this file has format ${format}, and this pgs knows up to ${specFormat}: use the newer pgs that wrote it`;
      context.addIssue({ code: 'custom', message });
    }),
});

const rules: PartRules = {
  more: nameFaults,
  nameOf: tenantOf,
  hint: 'A key that this pgs does not know may be one of a newer pgs (`pgs --version`).',
};

/** @throws PgsError `configuration` with every fault of every document as `FILE:LINE:COLUMN: document N (tenant): key: what` */
export function readSpecDocuments(text: string, file: string): SpecDocuments {
  readYamlParts(text, file, formatOnly, { ...rules, more: () => [], hint: '' });
  const { parts, refuse } = readYamlParts(text, file, specSchema, rules);
  return {
    documents: parts.map(({ value, number, line }) => ({
      tenant: value.tenant,
      given: value,
      source: parts.length === 1 ? file : `${file}, document ${number} (${value.tenant}, line ${line})`,
    })),
    judge: (stored, defaults) => {
      refuse(
        parts.flatMap(({ value }, part) => {
          const before = stored.find(({ tenant }) => tenant === value.tenant);
          return documentFaults(value, before ?? defaults, before).map((fault) => ({ part, ...fault }));
        }),
      );
    },
    refuse: (tenant, faults) => {
      const part = parts.findIndex(({ value }) => value.tenant === tenant);
      refuse(faults.map((fault) => ({ part, ...fault })));
    },
  };
}

function documentFaults(
  file: SpecFile,
  defaults: SpecDefaults,
  before: TenantSpec | undefined,
): Omit<PartFault, 'part'>[] {
  const spec = fillSpec(file, defaults);
  const cannot = `is ${before?.postgres} and cannot become ${spec.postgres} by applying`;
  return [
    ...specFaults(spec, defaults),
    ...settingFaults(spec).map(({ name, why }) => ({ path: ['settings', name], message: why })),
    ...(before && spec.postgres !== before.postgres ? [{ path: ['postgres'], message: cannot }] : []),
  ];
}

function tenantOf(value: unknown): string | null {
  const name = (value as { tenant?: unknown } | null | undefined)?.tenant;
  return typeof name === 'string' ? name.slice(0, 60) : null;
}

/** As long as the longest name that is one: what is longer is refused, and cut by nobody. */
const nameLengthMax = 28;

function nameFaults(values: unknown[]): PartFault[] {
  const names = values.map(tenantOf);
  return names.flatMap((name, part): PartFault[] => {
    if (name === null) return [];
    const path = ['tenant'];
    const fault = tenantNameFault(name);
    const first = names.indexOf(name);
    const cut = names.findIndex((other) => other?.slice(0, nameLengthMax) === name.slice(0, nameLengthMax));
    const alike = cut < part && names[cut] !== name ? `; cut to that it would be the name of document ${cut + 1}` : '';
    return [
      ...(fault === null ? [] : [{ part, path, message: `cannot be the name of a tenant: ${fault}${alike}` }]),
      ...(first < part ? [{ part, path, message: `${name} is document ${first + 1} already` }] : []),
    ];
  });
}
