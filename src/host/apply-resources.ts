// Puts resources of one host in place in one round trip, and starts and stops its units. The scripts are constant; what
// differs goes through standard input, contents and secrets included.

import { PgsError } from '../errors.js';
import type { Action } from '../reconcile/step.js';
import { reveal, Secret } from '../secrets/secret.js';
import type { CommandResult, HostAccess } from './command.js';
import { inOrder } from './plan-resources.js';
import type { Resource, UnitResource } from './resource.js';
import { checkNames, checkResources } from './resource-rules.js';
import { readTemplate } from './template.js';

/**
 * Makes every resource as described; what is so already stays. Of units only what files say is set (enabled, masked, read by
 * systemd): `performUnit` starts and stops them. Changes are made in the order of `inOrder` and stop at the first that
 * fails; each file is there complete or not at all, and the call may be repeated.
 * @throws PgsError `command-failed` naming the file and the host's own words, `unknown-result` if the connection is lost
 */
export async function applyResources(access: HostAccess, resources: Resource[], timeoutMs: number): Promise<void> {
  checkResources(resources);
  if (resources.length === 0) return;
  const result = await access.run({
    argv: ['sh', '-c', readTemplate('host/apply.sh')],
    stdin: new Secret(changeList(resources)),
    timeoutMs,
  });
  if (result.code !== 0) throw applyError(access.name, result);
}

/** What the script reads: see `templates/host/apply.sh`. */
export function changeList(resources: Resource[]): string {
  return `${inOrder(resources).flatMap(changeLines).join('\n')}\nend\n`;
}

function changeLines(resource: Resource): string[] {
  switch (resource.kind) {
    case 'user':
      return [`user ${resource.name} ${resource.home}`];
    case 'directory':
      return [`directory ${resource.owner} ${resource.group} ${resource.mode} ${resource.path}`];
    case 'device':
      return [`device ${resource.owner} ${resource.group} ${resource.mode} ${resource.path}`];
    case 'file': {
      const content = reveal(resource.content);
      const { owner, group, mode, path, validate = [] } = resource;
      const size = Buffer.byteLength(content, 'utf8');
      return [`file ${owner} ${group} ${mode} ${size} ${validate.length} ${path}`, ...validate, content];
    }
    case 'unit':
      return unitLines(resource);
    case 'absent':
      return [`${{ unit: 'unit-gone', path: 'remove', user: 'user-gone' }[resource.what]} ${resource.name}`];
  }
}

function unitLines({ name, state, enabled }: UnitResource): string[] {
  if (state === 'masked') return [`mask ${name}`];
  return [`unmask ${name}`, `${enabled ? 'enable' : 'disable'} ${name}`, `unit ${name}`];
}

/** What the system says, and what helps. */
const hints: [RegExp, string][] = [
  [/No space left on device|Disk quota exceeded/, 'Free space there (df -h, df -i), then run the same command again.'],
  [/Read-only file system/, 'See why it is read-only (dmesg, mount), then run the same command again.'],
  [/is currently used by process/, 'See what runs as that user (ps -u), end it, then run the same command again.'],
  [/another run of pgs/, 'Wait for the other run to end, then run the same command again.'],
];

function applyError(host: string, { code, stdout, stderr }: CommandResult): PgsError {
  const doing = /^@failed (.+)$/m.exec(stdout)?.[1] ?? 'changing files and units';
  const found = stderr.trim().split('\n').slice(-12).join('\n') || `the script ended with code ${code}`;
  const held = found.includes('another run of pgs');
  const hint = hints.find(([pattern]) => pattern.test(found))?.[1] ?? 'Mend that, then run the same command again.';
  return new PgsError(held ? 'held' : 'command-failed', { doing, host, found, hint });
}

type UnitVerb = Extract<Action, { kind: 'unit' }>['verb'];

/**
 * Starts, stops, restarts or reloads a unit and waits until systemd says that it is done: a unit that fails at once is told
 * at once, with its last 15 journal lines. (With `--no-block` the caller would only see a condition that never comes
 * true.) Members that wait for each other, as etcd's do, must therefore be started side by side.
 * @param timeoutMs for the unit; the command itself may take a few seconds more to tell of a failure
 * @throws PgsError `command-failed` if the unit failed or took too long
 */
export async function performUnit(access: HostAccess, unit: string, verb: UnitVerb, timeoutMs: number): Promise<void> {
  checkNames({ users: [], paths: [], units: [unit] });
  const { code, stdout, stderr } = await access.run({
    argv: ['sh', '-c', readTemplate('host/unit.sh'), 'sh', verb, unit, String(timeoutMs / 1000)],
    timeoutMs: timeoutMs + 10_000,
  });
  if (code === 0) return;
  const [state = '', journal = ''] = stdout.split('@journal\n');
  const late = state.startsWith('@timeout');
  const shown = state.replace('@timeout\n', '').trim().replaceAll('\n', ' ');
  // systemctl's own advice (which commands show more) is in the hint below.
  const said = stderr.split('\n').find((line) => line.trim() !== '') ?? '';
  throw new PgsError('command-failed', {
    doing: `${doingOf[verb]} ${unit}`,
    host: access.name,
    found: [
      late ? `it was not done within ${timeoutMs / 1000} s` : said,
      shown,
      ...(journal.trim() ? ['its last journal lines:', journal.trimEnd()] : ['its journal is empty']),
    ].join('\n'),
    hint: `See more on ${access.name}: journalctl -u '${unit}' -n 100`,
  });
}

const doingOf: Record<UnitVerb, string> = {
  start: 'starting',
  stop: 'stopping',
  restart: 'restarting',
  reload: 'reloading',
};
