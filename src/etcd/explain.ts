// Why an etcd does not start, in a line: its own journal is JSON, of which one line says what is wrong. Pure.

import { PgsError } from '../errors.js';

/** What etcd says last, and what helps. */
const hints: [RegExp, string][] = [
  [
    /has already been bootstrapped/,
    'This member lost its data directory, and the others know it with its old one. The fleet works on with them. Remove ' +
      'the member and add it anew with etcdctl (member remove, member add), then start it with initial-cluster-state existing.',
  ],
  [/address already in use/, 'Stop what listens there, or set client_port and peer_port under etcd in pgs.yaml.'],
  [
    /cluster ID mismatch/,
    'Its data directory /var/lib/pgs-etcd/data is of another fleet: move it away if it is not needed.',
  ],
  [/no space left on device/i, 'Free space on the host, then run the same command again.'],
  [/certificate has expired|not yet valid/, 'See that the clocks are right, then run `pgs dcs create` again.'],
];

/** The error of a start with etcd's own reason in place of its journal; another error as it is. */
export function explainStart(error: PgsError): PgsError {
  const lines = error.details.found.split('\n').flatMap(parseLine);
  const last = lines.filter(({ level }) => level === 'fatal' || level === 'panic').at(-1);
  if (!last) return error;
  const found = `etcd says: ${[last.msg, last.error].filter(Boolean).join(': ')}`;
  const hint = hints.find(([pattern]) => pattern.test(found))?.[1];
  const more = error.details.hint ?? '';
  return new PgsError(error.code, {
    ...error.details,
    found,
    hint: [hint, more].filter(Boolean).join('\n'),
    cause: error,
  });
}

interface LogLine {
  level: string;
  msg: string;
  error: string;
}

function parseLine(line: string): LogLine[] {
  const start = line.indexOf('{"level"');
  if (start < 0) return [];
  try {
    const { level, msg, error } = JSON.parse(line.slice(start)) as Partial<Record<keyof LogLine, unknown>>;
    return typeof level === 'string' && typeof msg === 'string'
      ? [{ level, msg, error: typeof error === 'string' ? error : '' }]
      : [];
  } catch {
    return [];
  }
}
