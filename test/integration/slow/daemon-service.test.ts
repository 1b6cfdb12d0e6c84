// The daemon as a service on a machine that is none of the fleet's: a fourth machine of a sandbox of its own. It runs drills with rights of
// its own, which permit no more, and which are taken back by one command.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DrillRun } from '../../../src/drills/run.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import { nextMinute } from '../daemon-process.js';
import { openFleetKeys, openTenantKeys } from '../fleet-keys.js';
import { pgs, root, run, sandboxName, until, type Ran } from '../machines.js';
import { SecretSearch } from '../secret-search.js';

const name = `${sandboxName}-d`;
const directory = `/var/lib/pgs-sandbox/${name}`;
/** The fleet without its fourth machine, on which the daemon is. */
const config = `${directory}/three.yaml`;
const env = { PGS_SANDBOX: name, PGS_CONFIG: config };
const tenant = 'served';
const unit = `pgs-daemon-${name}.service`;

const operator = (...words: string[]) => pgs(words, { env });
async function operatorOk(...words: string[]): Promise<string> {
  const ran = await operator(...words);
  if (ran.code !== 0) throw new Error(`pgs ${words.join(' ')} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
  return ran.stdout;
}
/** A shell line as root on a machine. */
const shell = (host: string, line: string, input?: string): Promise<Ran> =>
  run(`${root}bin/pgs`, ['sandbox', 'ssh', host, '--', line], { env, ...(input === undefined ? {} : { input }) });
async function shellOk(host: string, line: string): Promise<string> {
  const ran = await shell(host, line);
  if (ran.code !== 0) throw new Error(`${line} on ${host} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
  return ran.stdout;
}
const there = 'node /srv/pgs/bin/pgs.mjs --config /srv/fleet/pgs.yaml';
const runs = async () =>
  (JSON.parse(await operatorOk('drill', 'history', tenant, '-o', 'json')) as { runs: DrillRun[] }).runs;

/** Files of this machine into a directory of another. */
async function copy(from: string, names: string[], host: string, to: string): Promise<void> {
  const key = `${directory}/ssh_key`;
  const address = (
    JSON.parse(readFileSync(`${directory}/sandbox.json`, 'utf8')) as { hosts: { name: string; address: string }[] }
  ).hosts.find((h) => h.name === host)!.address;
  const ssh = `ssh -i ${key} -o UserKnownHostsFile=${directory}/.pgs/known_hosts root@${address}`;
  const ran = await run('sh', [
    '-c',
    `tar -C ${from} -cf - ${names.join(' ')} | ${ssh} 'mkdir -p ${to} && tar -C ${to} -xf -'`,
  ]);
  if (ran.code !== 0) throw new Error(`copying to ${host}: ${ran.stderr}`);
}

beforeAll(async () => {
  await operatorOk('sandbox', 'down');
  await operatorOk('sandbox', 'up', '--hosts', '4');
  const lines = readFileSync(`${directory}/pgs.yaml`, 'utf8').split('\n');
  writeFileSync(config, lines.filter((line) => !/^\s*h4:/.test(line)).join('\n'), { mode: 0o600 });
  await operatorOk('host', 'prepare');
  await operatorOk('dcs', 'create');
  await operatorOk('cluster', 'create', tenant, '--rto', 'fast');
  // Node as it is here, and the checkout with what it needs to run.
  await copy('/', [process.execPath.slice(1)], 'h4', '/tmp/node');
  await shellOk('h4', `install -m 0755 /tmp/node${process.execPath} /usr/local/bin/node && node --version`);
  await copy(root, ['bin', 'dist', 'templates', 'chaos', 'package.json', 'node_modules'], 'h4', '/srv/pgs');
  const staging = mkdtempSync(join(tmpdir(), 'pgs-fleet-'));
  await run('cp', ['-a', `${directory}/.pgs`, `${directory}/ssh_key`, staging]);
  await run('cp', [config, join(staging, 'pgs.yaml')]);
  await copy(staging, ['.'], 'h4', '/srv/fleet');
  rmSync(staging, { recursive: true });
  await shellOk('h4', 'chown -R root: /srv/fleet /srv/pgs && chmod 0700 /srv/fleet/.pgs');
}, 600_000);

afterAll(async () => {
  if (!process.env.PGS_TEST_KEEP) await operator('sandbox', 'down');
});

describe('installed on a machine that is none of its hosts', () => {
  test('it runs, as a user of its own, with a unit that systemd has nothing to say about', async () => {
    expect(await shellOk('h4', `${there} daemon --install`)).toContain(`${unit} is installed and started`);
    expect(await shellOk('h4', `systemd-analyze verify /etc/systemd/system/${unit} 2>&1`)).toBe('');
    await until('it is active', async () => (await shell('h4', `journalctl -u ${unit} | grep ' active'`)).code === 0);
    const user = await shellOk('h4', `ps -o user= -p $(systemctl show -P MainPID ${unit})`);
    expect(user.trim()).not.toBe('root');
    expect(JSON.parse(await operatorOk('drill', 'list', '-o', 'json'))).toMatchObject({ daemon: { host: 'h4' } });
    // A second time it is as it was.
    await shellOk('h4', `${there} daemon --install`);
  });

  test('it runs drills that break and heal, and timed switchovers, with the rights that it was given', async () => {
    const words = ['--cron', nextMinute(3000).cron, '--tz', 'UTC', '--consent', 'disruptive'];
    await operatorOk(
      'drill',
      'schedule',
      tenant,
      ...words,
      '--suite',
      'postmaster-killed,leader-flapping,planned-switchover',
      '--name',
      'each',
    );
    // While a host of etcd is cut off an operator may be told so.
    await until('it ran', async () => (await runs().catch(() => [])).some((r) => r.outcome !== 'running'), 280_000);
    await operatorOk('drill', 'cancel', tenant, 'each');
    const [run] = await runs();
    expect(run!.results.map((r) => `${r.scenario}: ${r.verdict} ${r.why ?? ''}`.trim())).toEqual([
      'postmaster-killed: pass',
      'leader-flapping: pass',
      'planned-switchover: pass',
    ]);
    expect(run).toMatchObject({ outcome: 'pass', ranOn: 'h4' });
    await operatorOk('switchover', tenant, '--at', new Date(Date.now() + 2000).toISOString());
    await until(
      'it switched over',
      async () => (await runs())[0]!.kind === 'switchover' && (await runs())[0]!.ended !== null,
    );
    expect((await runs())[0]).toMatchObject({ outcome: 'pass', ranOn: 'h4' });
    // Nothing that it asked for was refused.
    for (const host of ['h1', 'h2', 'h3']) {
      const refused = await shell(host, `journalctl -t pgs-daemon-gate | grep refused | grep -v /etc/shadow`);
      expect(refused.stdout).toBe('');
    }
  }, 480_000);

  test('its key opens no shell, no port and no file', async () => {
    const address = readFileSync(config, 'utf8').match(/h1:.*address: ([0-9.]+)/)![1]!;
    const ssh = `ssh -i /srv/fleet/.pgs/daemon/ssh.key -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=/srv/fleet/.pgs/known_hosts`;
    for (const line of ['id', 'cat /etc/shadow', 'sh -c id', 'timeout -k 5 1 sh -c id', '']) {
      const ran = await shell('h4', `${ssh} root@${address} ${line} </dev/null`);
      expect([line, ran.code]).toEqual([line, 126]);
      expect(ran.stderr).toContain("the key of pgs's daemon does not permit this");
    }
    const port = await shell(
      'h4',
      `timeout 10 ${ssh} -N -o ExitOnForwardFailure=yes -R 4711:127.0.0.1:22 root@${address}`,
    );
    expect(port.code).not.toBe(0);
    expect(port.code).not.toBe(124);
    expect((await shell('h4', `echo ls | sftp ${ssh.slice(4)} root@${address}`)).code).not.toBe(0);
  });

  test('no secret is in its journal, its unit or a list of arguments', async () => {
    const fleet = await openFleetKeys(config);
    const keys = await openTenantKeys(fleet, tenant);
    const own = await shellOk('h4', 'cat /srv/fleet/.pgs/daemon/fleet.key; cat /srv/fleet/.pgs/daemon/ssh.key');
    const search = new SecretSearch([
      ...allSecretTexts(fleet.secrets),
      ...allSecretTexts(keys.secrets),
      fleet.keyText,
      ...own.split('\n').filter((l) => l.length > 40),
    ]);
    const seen = await shellOk(
      'h4',
      `journalctl -u ${unit}; systemctl cat ${unit}; ps axww; ls -R /var/lib/private/; cat /var/lib/private/pgs-daemon-${name}/chaos/*/journal.jsonl`,
    );
    expect(seen).toContain('drill postmaster-killed');
    expect(search.inText('h4', seen)).toEqual([]);
  });
});

describe('taken back', () => {
  test('its rights are gone at once, on the hosts and in etcd', async () => {
    await shellOk('h4', 'cp /srv/fleet/.pgs/daemon/ssh.key /tmp/kept.key');
    expect(await shellOk('h4', `${there} daemon revoke`)).toContain('no rights any more');
    const address = readFileSync(config, 'utf8').match(/h1:.*address: ([0-9.]+)/)![1]!;
    const ssh = `ssh -i /tmp/kept.key -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=/srv/fleet/.pgs/known_hosts`;
    expect((await shell('h4', `${ssh} root@${address} true`)).stderr).toContain('Permission denied');
    expect((await shell('h1', 'ls /usr/local/lib/pgs/daemon-gate /etc/pgs/daemon-gate.json')).stdout).toBe('');
    await until(
      'it cannot log in',
      async () => (await shell('h4', `journalctl -u ${unit} | grep 'refuses the login'`)).code === 0,
    );
    // The operator's own way in is as it was, and so are schedules and results.
    expect((await operator('host', 'check')).code).toBe(0);
    expect((await runs()).length).toBeGreaterThan(1);
  });

  test('and given again it goes on', async () => {
    await shellOk('h4', `${there} daemon --install`);
    const active = async () =>
      (JSON.parse(await operatorOk('drill', 'list', '-o', 'json')) as { daemon: unknown }).daemon !== null;
    await until('it is active', active, 180_000);
  }, 240_000);
});
