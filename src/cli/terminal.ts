// How commands talk to people and scripts: results on standard output (text, JSON or YAML), progress on standard error.

import pc from 'picocolors';

export type OutputFormat = 'text' | 'json' | 'yaml';

export interface Terminal {
  format: OutputFormat;
  /** A line about work under way; standard error, dropped in JSON and YAML mode unless it is a terminal. */
  progress(line: string): void;
  /** A warning; standard error always. */
  warn(line: string): void;
  /** The result: `value` for scripts, `text()` for people. */
  result(value: unknown, text: () => string | Promise<string>): Promise<void>;
  color: typeof pc;
}

export function createTerminal(format: OutputFormat): Terminal {
  const quiet = format !== 'text' && !process.stderr.isTTY;
  return {
    format,
    color: pc,
    progress: (line) => {
      if (!quiet) process.stderr.write(`${line}\n`);
    },
    warn: (line) => {
      process.stderr.write(`${pc.yellow('warning:')} ${line}\n`);
    },
    result: async (value, text) => {
      if (format === 'json') process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
      else if (format === 'yaml') {
        const { stringify } = await import('yaml');
        process.stdout.write(stringify(value, { lineWidth: 0 }));
      } else process.stdout.write(`${(await text()).trimEnd()}\n`);
    },
  };
}
