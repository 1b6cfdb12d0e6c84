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
}

let known: Map<string, Parameter> | null = null;

/** `name|vartype|unit|min_val|max_val|value,value,…`, one a line, as psql -At prints them. */
function parameters(): Map<string, Parameter> {
  known ??= new Map(
    readTemplate('postgres/parameters.txt')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const [name, type, unit, min, max, values] = line.split('|') as [string, Parameter['type'], ...string[]];
        return [name, { type, unit: unit!, min: min!, max: max!, values: values ? values.split(',') : [] }];
      }),
  );
  return known;
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

function misfitOfNumber({ type, unit, min, max }: Parameter, value: string): string | null {
  const found = /^([+-]?(?:0x[0-9a-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+))\s*([a-zA-Z]*)$/i.exec(value);
  const [, base = '', ownUnit = ''] = /^(\d*)([a-zA-Z]*)$/.exec(unit) ?? [];
  const units = ownUnit in bytes ? bytes : ownUnit in unitsMs ? unitsMs : {};
  const takes = `a ${type === 'real' ? 'number' : 'whole number'}${ownUnit ? `, without a unit in ${unit}, or with one of ${Object.keys(units).join(', ')}` : ''}`;
  if (!found) return `takes ${takes}, not ${JSON.stringify(value)}`;
  const suffix = found[2]!;
  if (suffix !== '' && !(suffix in units)) {
    return ownUnit ? `has no unit ${suffix}: it takes ${takes}` : `has no unit, but ${JSON.stringify(value)} names one`;
  }
  const own = (base === '' ? 1 : Number(base)) * (units[ownUnit] ?? 1);
  const inOwn = Number(found[1]) * (suffix === '' ? 1 : units[suffix]! / own);
  const rounded = type === 'integer' ? Math.round(inOwn) : inOwn;
  if ((min !== '' && rounded < Number(min)) || (max !== '' && rounded > Number(max))) {
    return `is from ${min} to ${max}${unit ? ` ${unit}` : ''}, not ${value}`;
  }
  return null;
}
