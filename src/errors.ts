// The family of errors that pgs raises. Every one says what was being done, on which host, what was found and what
// to do next (design.md, promise 7). Text for people is made here only, by `describeError`.

/** Kind of a failure; decides the exit code of the command (see `exitCodes`). */
export type ErrorCode =
  | 'usage'
  | 'configuration'
  | 'unreachable'
  | 'command-failed'
  | 'unfit'
  | 'unknown-result'
  | 'endangers'
  | 'held'
  | 'bug';

/** Exit code of `pgs` per error code. 0 is success, 3 is kept for "the plan has changes". */
export const exitCodes: Record<ErrorCode, number> = {
  usage: 2,
  configuration: 2,
  unreachable: 1,
  'command-failed': 1,
  unfit: 1,
  'unknown-result': 4,
  endangers: 5,
  held: 6,
  bug: 70,
};

/** Exit code of `pgs plan` and of a `--dry-run` that found something to do. */
export const exitCodePlanHasChanges = 3;

export interface ErrorDetails {
  /** What was being done, as a phrase: "starting etcd". */
  doing: string;
  /** Name of the host, where one is involved. */
  host?: string;
  /** What was found instead of what was expected; may span lines, never holds a secret. */
  found: string;
  /** What the operator can do next, as an imperative sentence. */
  hint?: string;
  cause?: unknown;
}

export class PgsError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails) {
    super(`${details.doing}${details.host ? ` on ${details.host}` : ''}: ${details.found}`, { cause: details.cause });
    this.name = 'PgsError';
    this.code = code;
    this.details = details;
  }
}

/** Several failures of steps that ran side by side; the exit code is that of the gravest. */
export class PgsErrors extends PgsError {
  readonly errors: PgsError[];

  constructor(doing: string, errors: PgsError[]) {
    const gravest = errors.reduce((a, b) => (exitCodes[b.code] > exitCodes[a.code] ? b : a));
    super(gravest.code, { doing, found: `${errors.length} problems` });
    this.errors = errors;
  }
}

/** Anything thrown, as a PgsError: what is not one already is a bug of ours. */
export function toPgsError(thrown: unknown, doing = 'running pgs'): PgsError {
  if (thrown instanceof PgsError) return thrown;
  const found = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new PgsError('bug', {
    doing,
    found,
    hint: 'This is a defect of pgs. Run again with PGS_DEBUG=1 for the stack and report it.',
    cause: thrown,
  });
}

/** The error as text for a terminal: one line for what happened, then indented lines for the finding and the way out. */
export function describeError(error: PgsError): string {
  if (error instanceof PgsErrors) return error.errors.map(describeError).join('\n');
  const { doing, host, found, hint } = error.details;
  const indent = (text: string) => text.trimEnd().replace(/\n/g, '\n    ');
  const lines = [`error: ${doing}${host ? ` on ${host}` : ''}`, `  found: ${indent(found)}`];
  if (hint) lines.push(`  next:  ${indent(hint)}`);
  return lines.join('\n');
}

/** The error for `-o json`: `{code, exitCode, doing, host, found, hint}`; several come under `errors`. */
export function errorToJson(error: PgsError): Record<string, unknown> {
  if (error instanceof PgsErrors) {
    return { code: error.code, exitCode: exitCodes[error.code], errors: error.errors.map(errorToJson) };
  }
  const { doing, host, found, hint } = error.details;
  return { code: error.code, exitCode: exitCodes[error.code], doing, host: host ?? null, found, hint: hint ?? null };
}
