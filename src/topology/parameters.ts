// PostgreSQL's parameters by type, so that a value that cannot be one is refused where it is typed and not by a server that does not
// start. Taken from a server's own pg_settings; what is not in it (extensions, other majors) is not judged.

import { readTemplate } from '../host/template.js';
import { unitsMs } from './durations.js';

/** One row of pg_settings. Limits are in the parameter's own unit. */
interface Parameter {
  type: 'bool' | 'integer' | 'real' | 'string' | 'enum';
  unit: string;
  min: string;
  max: string;
  values: string[];
  /** A running server keeps its old value: only a restart changes it. */
  atStart: boolean;
}

let known: Map<string, Parameter> | null = null;

/** `name|vartype|unit|min_val|max_val|value,value,…|restart`, one a line, as psql -At prints them. */
function parameters(): Map<string, Parameter> {
  known ??= new Map(
    readTemplate('postgres/parameters.txt')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const [name, type, unit, min, max, values, restart] = line.split('|') as [
          string,
          Parameter['type'],
          ...string[],
        ];
        const list = values ? values.split(',') : [];
        return [name, { type, unit: unit!, min: min!, max: max!, values: list, atStart: restart === 'restart' }];
      }),
  );
  return known;
}

/** Whether a parameter could be called that; those of extensions have two parts. */
export function isParameterName(name: string): boolean {
  return /^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/.test(name);
}

/** Whether a value would break the line of a file that it stands in. */
export function holdsControls(value: string | number | boolean): boolean {
  // eslint-disable-next-line no-control-regex
  return /[\u0000-\u001f]/.test(String(value));
}

/** Why the value cannot be one of the parameter, to follow its name; null when it can or when the parameter is not known. */
export function misfitOf(name: string, given: string | number | boolean): string | null {
  const parameter = parameters().get(name.toLowerCase());
  const value = String(given).trim();
  if (!parameter) return null;
  switch (parameter.type) {
    case 'string':
      return null;
    case 'bool':
      return isBoolean(value) ? null : `is on or off, not ${JSON.stringify(value)}`;
    case 'enum':
      return misfitOfEnum(parameter, value);
    default:
      return misfitOfNumber(parameter, value);
  }
}

/** PostgreSQL takes any beginning of these words that is not ambiguous, in any case. */
function isBoolean(value: string): boolean {
  const text = value.toLowerCase();
  const words = ['true', 'false', 'yes', 'no'].some((word) => text !== '' && word.startsWith(text));
  return words || ['on', 'of', 'off', '1', '0'].includes(text);
}

/** Several enumerations take a boolean's words too, beside what they list. */
function misfitOfEnum({ values }: Parameter, value: string): string | null {
  const takesBoolean = values.includes('on') || values.includes('off');
  if (values.includes(value.toLowerCase()) || (takesBoolean && isBoolean(value))) return null;
  return `is one of ${values.join(', ')}, not ${JSON.stringify(value)}`;
}

const bytes: Record<string, number> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

/** A number as PostgreSQL reads one, with the unit that it names. */
const numberWithUnit = /^([+-]?(?:0x[0-9a-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+))\s*([a-zA-Z]*)$/i;

function unitsOf(unit: string): { base: string; ownUnit: string; units: Record<string, number> } {
  const [, base = '', ownUnit = ''] = /^(\d*)([a-zA-Z]*)$/.exec(unit) ?? [];
  return { base, ownUnit, units: ownUnit in bytes ? bytes : ownUnit in unitsMs ? unitsMs : {} };
}

/** The number in the parameter's own unit, whole where it takes whole ones; null for what is no number with one of its units. */
function inOwnUnit({ type, unit }: Parameter, value: string): number | null {
  const found = numberWithUnit.exec(value);
  const { base, ownUnit, units } = unitsOf(unit);
  const suffix = found?.[2] ?? '';
  if (!found || (suffix !== '' && !(suffix in units))) return null;
  const own = (base === '' ? 1 : Number(base)) * (units[ownUnit] ?? 1);
  const number = Number(found[1]) * (suffix === '' ? 1 : units[suffix]! / own);
  return type === 'integer' ? Math.round(number) : number;
}

function misfitOfNumber(parameter: Parameter, value: string): string | null {
  const { type, unit, min, max } = parameter;
  const found = numberWithUnit.exec(value);
  const { ownUnit, units } = unitsOf(unit);
  const takes = `a ${type === 'real' ? 'number' : 'whole number'}${ownUnit ? `, without a unit in ${unit}, or with one of ${Object.keys(units).join(', ')}` : ''}`;
  if (!found) return `takes ${takes}, not ${JSON.stringify(value)}`;
  const suffix = found[2]!;
  if (suffix !== '' && !(suffix in units)) {
    return ownUnit ? `has no unit ${suffix}: it takes ${takes}` : `has no unit, but ${JSON.stringify(value)} names one`;
  }
  const rounded = inOwnUnit(parameter, value)!;
  if ((min !== '' && rounded < Number(min)) || (max !== '' && rounded > Number(max))) {
    return `is from ${min} to ${max}${unit ? ` ${unit}` : ''}, not ${value}`;
  }
  return null;
}

/** Whether only a restart changes it; null when the parameter is not known. */
export function changesAtStart(name: string): boolean | null {
  return parameters().get(name.toLowerCase())?.atStart ?? null;
}

/**
 * Whether both values mean the same to PostgreSQL: `1024MB` and `1GB`, `on` and `true`. Of enumerations a boolean's word stands for
 * whatever is not off (`wal_compression on` is shown as `pglz`).
 */
export function sameValue(name: string, a: string | number | boolean, b: string | number | boolean): boolean {
  const parameter = parameters().get(name.toLowerCase());
  const [x, y] = [String(a).trim(), String(b).trim()];
  if (!parameter || x === y) return x === y;
  if (parameter.type === 'integer' || parameter.type === 'real')
    return inOwnUnit(parameter, x) === inOwnUnit(parameter, y);
  if (parameter.type === 'string') return false;
  const [p, q] = [truth(x), truth(y)];
  if (p === null && q === null) return x.toLowerCase() === y.toLowerCase();
  if (parameter.type === 'bool' || p === false || q === false) return p === q;
  return true;
}

function truth(word: string): boolean | null {
  const text = word.toLowerCase();
  if (text === '1' || text === 'on' || (text !== '' && ('true'.startsWith(text) || 'yes'.startsWith(text))))
    return true;
  if (text === '0' || ['of', 'off'].includes(text)) return false;
  return text !== '' && ('false'.startsWith(text) || 'no'.startsWith(text)) ? false : null;
}

/** A whole number in the parameter's own unit, for comparing which one is more; null for what is none. */
export function numberOf(name: string, value: string | number | boolean): number | null {
  const parameter = parameters().get(name.toLowerCase());
  return parameter ? inOwnUnit(parameter, String(value).trim()) : null;
}
