// The scripts that hosts run, run here: real files in a directory of their own. Root only, as on a host.

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { applyResources, changeList } from '../../../src/host/apply-resources.js';
import type { PathFact } from '../../../src/host/facts.js';
import { parseHostFacts } from '../../../src/host/parse-facts.js';
import type { FileResource, Resource } from '../../../src/host/resource.js';
import { readTemplate } from '../../../src/host/template.js';
import { Secret } from '../../../src/secrets/secret.js';
import { localHost } from './local-host.js';

const here = localHost();
const daemonUid = 1;
let dir: string;

beforeEach(() => (dir = mkdtempSync(`${tmpdir()}/pgs-apply-`)));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function file(name: string, content: string | Secret, more: Partial<FileResource> = {}): FileResource {
  return { kind: 'file', path: `${dir}/${name}`, owner: 'root', group: 'root', mode: '0600', content, ...more };
}

const apply = (...resources: Resource[]) => applyResources(here, resources, 10_000);

async function failureOf(promise: Promise<unknown>): Promise<PgsError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PgsError);
  return error as PgsError;
}

describe.skipIf(process.getuid?.() !== 0)('applying files', () => {
  it.each([
    ['quotes and metacharacters', `it's "quoted" \`id\` $(id) \${HOME} \\n \\x2d %s ; & | * ~ ! #\n`],
    ['no line break at the end', 'last'],
    ['nothing', ''],
    ['line breaks only', '\n\n\n'],
    ['words of the protocol', 'end\nremove /etc/passwd\nuser x /\n'],
    ['other alphabets', 'grüße 日本 🐘\n'],
    ['a carriage return and a tab', 'a\r\n\tb\r\n'],
    ['1 MB', 'x'.repeat(999) + '\n' + 'é'.repeat(500_000)],
  ])('writes %s byte for byte', async (_what, content) => {
    await apply(file('f', content), file('after', 'still in step'));
    expect(readFileSync(`${dir}/f`, 'utf8')).toBe(content);
    expect(readFileSync(`${dir}/after`, 'utf8')).toBe('still in step');
  });

  it('gives owner, group and mode, and takes them back when they were changed', async () => {
    const wanted = file('key', new Secret('s3cret'), { owner: 'daemon', group: 'adm', mode: '0640' });
    await apply(wanted);
    chownSync(`${dir}/key`, 0, 0);
    await apply(wanted);
    const found = lstatSync(`${dir}/key`);
    expect([found.uid, found.mode & 0o7777]).toEqual([daemonUid, 0o640]);
    expect(readdirSync(dir)).toEqual(['key']);
  });

  it('keeps the old file when the new content does not validate, and says what the validator said', async () => {
    await apply(file('a.cfg', 'old'));
    const validate = ['sh', '-c', 'echo "line 3: no such word" >&2; grep -q good "$1"', 'sh', '{}'];
    const error = await failureOf(apply(file('a.cfg', 'bad', { validate })));
    expect(error.details.doing).toBe(`writing ${dir}/a.cfg`);
    expect(error.details.found).toContain('line 3');
    expect(readFileSync(`${dir}/a.cfg`, 'utf8')).toBe('old');
    expect(readdirSync(dir)).toEqual(['a.cfg']);
    await apply(file('a.cfg', 'good', { validate }));
    expect(readFileSync(`${dir}/a.cfg`, 'utf8')).toBe('good');
  });

  it('leaves the old file whole and nothing beside it when the disk is full, and says so', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir]);
    try {
      await apply(file('f', 'old'));
      const error = await failureOf(apply(file('f', 'x'.repeat(500_000)), file('g', 'never reached')));
      expect(error.code).toBe('command-failed');
      expect(error.details.doing).toBe(`writing ${dir}/f`);
      expect(error.details.found).toContain('No space left on device');
      expect(error.details.hint).toContain('Free space');
      expect(readFileSync(`${dir}/f`, 'utf8')).toBe('old');
      expect(readdirSync(dir)).toEqual(['f']);
    } finally {
      execFileSync('umount', [dir]);
    }
  });

  it('never shows half a file when the connection ends in the middle, and leaves nothing beside it', async () => {
    await apply(file('f', 'old'));
    const list = Buffer.from(changeList([file('f', 'new content\n'.repeat(20_000)), file('g', 'g')]));
    for (const cut of [10, 60, 4_000, 200_000, list.length - 20, list.length - 3]) {
      const result = await here.run({
        argv: ['sh', '-c', readTemplate('host/apply.sh')],
        stdin: list.subarray(0, cut).toString(),
        timeoutMs: 10_000,
      });
      expect(result.code, `cut at ${cut}`).toBe(1);
      expect(['old', 'new content\n'.repeat(20_000)]).toContain(readFileSync(`${dir}/f`, 'utf8'));
      expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
    }
  });

  it('leaves the old file when it is killed while it writes, and the next run clears up', async () => {
    await apply(file('f', 'old'));
    const script = spawn('sh', ['-c', readTemplate('host/apply.sh')]);
    const list = changeList([file('f', 'n'.repeat(300_000))]);
    script.stdin.write(list.slice(0, 150_000));
    while (!existsSync(`${dir}/.f.pgs-new`)) await new Promise((resolve) => setTimeout(resolve, 5));
    script.kill('SIGKILL');
    await new Promise((resolve) => script.on('exit', resolve));
    script.stdin.destroy();
    expect(readFileSync(`${dir}/f`, 'utf8')).toBe('old');
    await apply(file('f', 'new'));
    expect(readFileSync(`${dir}/f`, 'utf8')).toBe('new');
    expect(readdirSync(dir)).toEqual(['f']);
  });

  it('is not led astray by links that the owner of a directory planted', async () => {
    const ground = `${dir}/tenant`;
    const victim = `${dir}/victim`;
    mkdirSync(ground);
    writeFileSync(victim, 'precious', { mode: 0o600 });
    symlinkSync(victim, `${ground}/.f.pgs-new`);
    symlinkSync(victim, `${ground}/f`);
    symlinkSync(dir, `${ground}/data`);
    chownSync(ground, daemonUid, daemonUid);
    execFileSync('chmod', ['0711', dir]);
    const owned = { owner: 'daemon', group: 'daemon' };

    await apply(file('tenant/f', 'mine', owned));
    expect(readFileSync(`${ground}/f`, 'utf8')).toBe('mine');
    expect(lstatSync(`${ground}/f`)).toMatchObject({ uid: daemonUid });
    const data = await failureOf(apply({ kind: 'directory', path: `${ground}/data`, mode: '0700', ...owned }));
    expect(data.details.found).toContain('symbolic link');
    const through = await failureOf(apply(file('tenant/data/victim', 'gone', owned)));
    expect(through.details.found).toContain('Permission denied');
    const given = await failureOf(apply(file('tenant/for-root', 'x')));
    expect(given.details.found).toContain('belongs to daemon');

    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(lstatSync(victim)).toMatchObject({ uid: 0 });
    expect(lstatSync(dir)).toMatchObject({ uid: 0 });
  });

  it('gives a device to a user, leaves one that is not there, and touches nothing else', async () => {
    const device = (name: string): Resource => ({
      kind: 'device',
      path: `${dir}/${name}`,
      owner: 'daemon',
      group: 'root',
      mode: '0600',
    });
    // The null device under another name: it may be anybody's.
    execFileSync('mknod', ['-m', '0644', `${dir}/null`, 'c', '1', '3']);
    await apply(device('null'), device('never-was'));
    expect(lstatSync(`${dir}/null`)).toMatchObject({ uid: daemonUid, gid: 0 });
    expect(lstatSync(`${dir}/null`).mode & 0o7777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['null']);
    writeFileSync(`${dir}/file`, '');
    symlinkSync(`${dir}/null`, `${dir}/link`);
    for (const name of ['file', 'link']) {
      expect((await failureOf(apply(device(name)))).details.found).toContain('is no device');
    }
  });

  it('makes directories with the parents before the children and removes children first', async () => {
    const directory = (path: string): Resource => ({
      kind: 'directory',
      path,
      owner: 'root',
      group: 'root',
      mode: '0750',
    });
    await apply(directory(`${dir}/a/b`), directory(`${dir}/a`), file('a/b/f', 'f'));
    expect(lstatSync(`${dir}/a/b`).mode & 0o7777).toBe(0o750);
    const gone = (name: string): Resource => ({ kind: 'absent', what: 'path', name, destructive: false });
    await apply(gone(`${dir}/a`), gone(`${dir}/a/b/f`), gone(`${dir}/never-was`));
    expect(readdirSync(dir)).toEqual([]);
  });

  it('says which user is missing when a file is given to nobody', async () => {
    const error = await failureOf(apply(file('f', 'x', { owner: 'no-such-user' })));
    expect(error.details.found).toContain('no-such-user');
    expect(readdirSync(dir)).toEqual([]);
  });

  it('never removes or overwrites a directory that is shared with others', async () => {
    for (const name of ['/', '/etc', '/var/lib', '/etc/systemd/system', '/etc/../etc', '/var/lib/', '/x y', '/x\ny']) {
      const error = await failureOf(apply({ kind: 'absent', what: 'path', name, destructive: true }));
      expect(error.code, name).toBe('bug');
    }
  });
});

describe.skipIf(process.getuid?.() !== 0)('looking at files', () => {
  async function look(paths: string[]): Promise<Record<string, PathFact>> {
    // Without systemd here, units are left out.
    const stdin = paths.map((path) => `public ${path}\n`).join('');
    const { stdout } = await here.run({ argv: ['sh', '-c', readTemplate('host/gather.sh')], stdin, timeoutMs: 10_000 });
    const facts = parseHostFacts(stdout, { users: [], paths: paths.map((path) => ({ path })), units: [] });
    if (!facts.reachable) throw new Error(facts.why);
    return facts.paths;
  }

  it('tells file, directory, link and nothing apart, and reads contents back byte for byte', async () => {
    const odd = `it's "odd"\n@end\n\n@units x\nfind: 'x'\n`;
    await apply(
      file('f', odd, { mode: '0640' }),
      file('g', 'grüße 🐘'),
      file('empty', ''),
      file('big', 'x'.repeat(300_000)),
    );
    mkdirSync(`${dir}/d`, { mode: 0o700 });
    mkdirSync(`${dir}/full/inner`, { recursive: true });
    symlinkSync('/etc/passwd', `${dir}/link`);
    const names = ['f', 'g', 'empty', 'big', 'd', 'full', 'link', 'absent', 'f/below'];
    const found = await look(names.map((name) => `${dir}/${name}`));
    const hash = (text: string) => createHash('sha256').update(text).digest('hex');
    const root = { owner: 'root', group: 'root' };
    expect(found[`${dir}/f`]).toEqual({ kind: 'file', ...root, mode: '0640', sha256: hash(odd), content: odd });
    expect(found[`${dir}/g`]).toMatchObject({ content: 'grüße 🐘' });
    expect(found[`${dir}/empty`]).toMatchObject({ kind: 'file', content: '' });
    expect(found[`${dir}/big`]).not.toHaveProperty('content');
    expect(found[`${dir}/d`]).toEqual({ kind: 'directory', ...root, mode: '0700', empty: true });
    expect(found[`${dir}/full`]).toMatchObject({ kind: 'directory', empty: false });
    expect(found[`${dir}/link`]).toMatchObject({ kind: 'other' });
    expect(found[`${dir}/absent`]).toEqual({ kind: 'absent' });
    expect(found[`${dir}/f/below`]).toEqual({ kind: 'absent' });
  });

  it('tells the answer for 300 paths apart, more than one buffer of output', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `file-with-a-rather-long-name-${i}`);
    await apply(...names.filter((_, i) => i % 2).map((name) => file(name, name)));
    const found = await look(names.map((name) => `${dir}/${name}`));
    names.forEach((name, i) => {
      expect(found[`${dir}/${name}`], name).toMatchObject(i % 2 ? { content: name } : { kind: 'absent' });
    });
  });
});

describe.skipIf(process.getuid?.() !== 0)('stamping what a unit loads', () => {
  const unit = 'pgs-stamp-test@x.service';
  const stamps = '/run/pgs/stamps';
  const stamp = (args: string[], env: Record<string, string> = {}) =>
    execFileSync('sh', ['-c', readTemplate('stamp.sh'), 'stamp', ...args], { env: { PATH: process.env.PATH, ...env } });
  const stamped = (name: string) =>
    readFileSync(`${stamps}/${name}`, 'utf8')
      .trim()
      .split('\n')
      .map((line) =>
        line
          .split('  ')
          .reverse()
          .map((word) => word.replace(`${dir}/`, '').slice(0, 16)),
      )
      .map(([path, hash]) => `${path} ${hash}`);
  const short = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

  afterEach(() => {
    for (const name of [unit, `${unit}.next`, `${unit}.new`]) rmSync(`${stamps}/${name}`, { force: true });
  });

  it('counts only what was committed', () => {
    writeFileSync(`${dir}/a`, 'one');
    stamp([unit, `${dir}/a`]);
    expect(existsSync(`${stamps}/${unit}`)).toBe(false);
    expect(stamped(`${unit}.next`)).toEqual([`a ${short('one')}`]);
    stamp(['--commit', unit]);
    expect(stamped(unit)).toEqual([`a ${short('one')}`]);
    expect(existsSync(`${stamps}/${unit}.next`)).toBe(false);
    stamp(['--commit', unit]);
    expect(lstatSync(stamps).mode & 0o777).toBe(0o700);
  });

  it('takes all files of a directory, but not what is being written', () => {
    mkdirSync(`${dir}/d/deep`, { recursive: true });
    writeFileSync(`${dir}/d/b`, 'b');
    writeFileSync(`${dir}/d/deep/a`, 'a');
    writeFileSync(`${dir}/d/.b.pgs-new`, 'half');
    stamp([unit, `${dir}/d`, `${dir}/not-there`]);
    expect(stamped(`${unit}.next`)).toEqual([`d/b ${short('b')}`, `d/deep/a ${short('a')}`]);
  });

  it('keeps at a reload what the reload does not name, and forgets removed files of what it names', () => {
    mkdirSync(`${dir}/d`);
    writeFileSync(`${dir}/d/x`, 'x');
    writeFileSync(`${dir}/d/y`, 'y');
    writeFileSync(`${dir}/start-only`, 'old');
    stamp([unit, `${dir}/d`, `${dir}/start-only`]);
    stamp(['--commit', unit]);
    rmSync(`${dir}/d/x`);
    writeFileSync(`${dir}/d/y`, 'y2');
    writeFileSync(`${dir}/start-only`, 'new, but the process has the old one');
    stamp([unit, `${dir}/d`], { MAINPID: '1' });
    stamp(['--commit', unit]);
    expect(stamped(unit).sort()).toEqual([`d/y ${short('y2')}`, `start-only ${short('old')}`]);
  });
});
