// What a tenant's superuser can do on the machine under its cluster: shell lines through `COPY … FROM PROGRAM` and SQL that reads files,
// many in one session of `pgs cluster psql --superuser`.

import { on, pgsOk } from './machines.js';

export interface Outcome {
  /** 0 is success, for SQL too. */
  code: number;
  output: string;
}

/** A shell line or an SQL statement. */
export type Attempt = { shell: string } | { sql: string };

/** Each line in a shell of its own, in order, as the OS user that PostgreSQL's leader runs as. */
export async function asSuperuser(tenant: string, attempts: Attempt[]): Promise<Outcome[]> {
  const statements = attempts.map((a, n) => ('shell' in a ? program(a.shell) : guarded(a.sql, n)));
  const script = ['CREATE TEMP TABLE said (n serial, line text);', ...statements, 'SELECT line FROM said ORDER BY n;'];
  const said = await pgsOk(['cluster', 'psql', tenant, '--superuser'], { input: script.join('\n') });
  const outcomes = said.trim().split('\n').map(parseOutcome);
  if (outcomes.length !== attempts.length)
    throw new Error(`${attempts.length} attempts, ${outcomes.length} outcomes: ${said}`);
  return outcomes;
}

/** The same shell lines as root on the machine itself, in no unit: what shows that a line is right. */
export async function asRoot(host: string, lines: string[]): Promise<Outcome[]> {
  const ran = await on(host, 'bash -s', lines.map((line) => `${oneLine(line)}\n`).join(''));
  return ran.stdout.trim().split('\n').map(parseOutcome);
}

/** Base64 both ways: whatever is printed stays one line, and nothing has to be quoted. */
function oneLine(line: string): string {
  const encoded = Buffer.from(line).toString('base64');
  return `said=$(echo ${encoded} | base64 -d | timeout 20 bash 2>&1 | base64 -w0; exit \${PIPESTATUS[2]}); echo "$? $said"`;
}

function program(line: string): string {
  const encoded = Buffer.from(oneLine(line)).toString('base64');
  return `COPY said (line) FROM PROGRAM 'echo ${encoded} | base64 -d | bash';`;
}

/** A statement that fails must not end the session. */
function guarded(statement: string, n: number): string {
  const [tag, body] = [`$attempt${n}$`, `$statement${n}$`];
  const error = `translate(encode(convert_to(SQLERRM, 'UTF8'), 'base64'), chr(10), '')`;
  return [
    `DO ${tag} BEGIN`,
    `  EXECUTE ${body}${statement}${body}; INSERT INTO said (line) VALUES ('0 ');`,
    `EXCEPTION WHEN OTHERS THEN INSERT INTO said (line) VALUES ('1 ' || ${error}); END ${tag};`,
  ].join('\n');
}

function parseOutcome(line: string): Outcome {
  const [code, output] = line.split(' ');
  return { code: Number(code), output: Buffer.from(output ?? '', 'base64').toString() };
}
