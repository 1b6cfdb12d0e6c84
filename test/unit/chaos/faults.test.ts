// Faults as data: every one has a heal that undoes what it injects, touches what its scope says and nothing else, and never cuts ssh.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { armUndo, renderUndo, undoNow } from '../../../chaos/arm.js';
import { faults, faultNamed } from '../../../chaos/faults/catalogue.js';
import { judgeEffect, unreachable, type Act, type FaultPlan, type Ground } from '../../../chaos/faults/fault.js';
import { renderCuts, seesInRing } from '../../../chaos/faults/network.js';
import { etcdLogin } from '../../../src/etcd/desired.js';
import { desiredLimits } from '../../../src/host/limits.js';
import type { Limits } from '../../../src/topology/limits.js';
import { clusterOf, inventory } from '../../fixtures/fleet.js';

const cluster = clusterOf();
const [first] = cluster.members;

function groundOf(hosts = [first!.host]): Ground {
  return {
    id: 'run-0',
    cluster,
    fleet: inventory.hosts,
    etcd: { hosts: inventory.hosts.map((h) => h.name), clientPort: 2379, peerPort: 2380 },
    hosts,
    leader: first!.host,
  };
}

const planOf = (name: string, given: Record<string, unknown> = {}): FaultPlan =>
  faultNamed(name).plan(groundOf(), given, 20_000);
const hostActs = (acts: Act[]) => acts.flatMap((a) => (a.kind === 'host' ? [a] : []));

describe.each(faults.map((f) => f.name))('%s', (name) => {
  const fault = faultNamed(name);
  const plan = planOf(name);

  test('does something, and what lasts is undone', () => {
    expect(plan.inject.length).toBeGreaterThan(0);
    if (fault.lasting && !plan.inject.some((a) => a.kind === 'sessions')) expect(plan.heal.length).toBeGreaterThan(0);
  });

  test('is undone on every host on which it does something that lasts', () => {
    if (!fault.lasting) return;
    const hosts = (acts: Act[]) => [...new Set(acts.flatMap((a) => ('host' in a ? [a.host] : [])))];
    expect(hosts(plan.heal)).toEqual(expect.arrayContaining(hosts(plan.inject)));
  });

  test('is undone without pgs: by hosts and by the power switch, or by the end of its own sessions', () => {
    for (const act of plan.heal) expect(['host', 'power']).toContain(act.kind);
    if (plan.heal.length > 0 || !fault.lasting) return;
    expect(plan.inject.map((a) => a.kind)).toEqual(['sessions']);
  });

  test('has arguments and no shell words, and looks for its effect on a host of the fleet', () => {
    for (const { command } of hostActs([...plan.inject, ...plan.heal])) {
      expect(command.argv.every((word) => word !== '')).toBe(true);
      expect(command.argv[0]).not.toMatch(/[\s;&|]/);
    }
    for (const effect of plan.effects) expect(inventory.hosts.map((h) => h.name)).toContain(effect.host);
  });

  test('of a member names the tenant in everything that it does on a host', () => {
    if (fault.scope !== 'member') return;
    const own = new RegExp(`${cluster.tenant}|tcp dport (${cluster.ports.primary}|${cluster.ports.rest})|run-0`);
    for (const { command } of hostActs(plan.inject)) {
      const stdin = typeof command.stdin === 'string' ? command.stdin : '';
      expect([...command.argv, stdin].join(' ')).toMatch(own);
    }
  });

  test('has an undo that a shell can read', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'pgs-undo-')), 'undo');
    writeFileSync(file, renderUndo(plan.heal));
    expect(() => execFileSync('sh', ['-n', file], { stdio: 'pipe' })).not.toThrow();
  });
});

describe('network faults', () => {
  const rules = (name: string, given: Record<string, unknown> = {}) =>
    hostActs(planOf(name, given).inject).map((a) => ({ host: a.host, text: a.command.stdin as string }));

  test.each(faults.filter((f) => rules(f.name).some((r) => r.text)).map((f) => f.name))(
    '%s lets ssh through before it drops anything',
    (name) => {
      for (const { text } of rules(name)) {
        for (const chain of text.split('chain ').slice(1)) {
          expect(chain).toMatch(/tcp [sd]port 22 accept/);
          expect(chain.indexOf('22 accept')).toBeLessThan(
            chain.indexOf('drop') === -1 ? Infinity : chain.indexOf('drop'),
          );
        }
      }
    },
  );

  test('every rule counts, and the heal takes the whole table away', () => {
    const { heal } = planOf('isolate-host');
    expect(rules('isolate-host')[0]!.text).toMatch(/ip saddr \{ [\d., ]+ \} counter drop/);
    expect(hostActs(heal)[0]!.command.stdin).toBe(
      'add table inet pgs_chaos_run_0\ndelete table inet pgs_chaos_run_0\n',
    );
  });

  test('one way is one chain', () => {
    const [both, only] = [rules('isolate-host')[0]!.text, rules('isolate-host', { direction: 'in' })[0]!.text];
    expect(both.match(/drop/g)).toHaveLength(2);
    expect(only.match(/drop/g)).toHaveLength(1);
    expect(only.indexOf('drop')).toBeLessThan(only.indexOf('chain output'));
  });

  test('replication is cut on the hosts of the others, for the own user only', () => {
    const cuts = rules('cut-replication');
    expect(cuts.map((c) => c.host)).toEqual(cluster.members.slice(1).map((m) => m.host.name));
    for (const { text } of cuts)
      expect(text).toContain(`meta skuid ${cluster.osUser} tcp dport ${cluster.ports.postgres}`);
  });

  test('IPv6 addresses get rules of their own kind', () => {
    const ground = groundOf();
    ground.fleet = [ground.fleet[0]!, { ...ground.fleet[1]!, address: 'fd00::2' }];
    const [act] = hostActs(faultNamed('isolate-host').plan(ground, {}, 1000).inject);
    expect(act!.command.stdin).toContain('ip6 saddr { fd00::2 }');
  });

  test('in a ring everybody sees a majority, and no two the same one', () => {
    for (const n of [3, 5, 7]) {
      const views = Array.from({ length: n }, (_, i) =>
        Array.from({ length: n }, (_, j) => j)
          .filter((j) => i === j || seesInRing(i, j, n))
          .join(),
      );
      for (const view of views) expect(view.split(',').length).toBeGreaterThan(n / 2);
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) expect(seesInRing(i, j, n)).toBe(seesInRing(j, i, n));
      expect(new Set(views).size).toBe(n);
    }
  });

  test('a table without cuts drops nothing', () => {
    expect(renderCuts('t', [])).not.toContain('drop');
  });
});

describe('what is armed', () => {
  test('comes with its time, in seconds after the fault is over, and its script on standard input', () => {
    const heal = planOf('isolate-host').heal;
    const command = armUndo('run-0', 'acme', heal, 45_000);
    expect(command.argv.slice(-3)).toEqual(['run-0', 'acme', '75']);
    expect(command.stdin).toContain('nft --file -');
    expect(undoNow('acme').argv.at(-1)).toBe('acme');
  });

  test('tries every command, and fails if one did', () => {
    const act = (argv: string[], fine?: number[]): Act => ({
      kind: 'host',
      host: 'h1',
      command: { argv, timeoutMs: 1 },
      ...(fine ? { fine } : {}),
    });
    const end = (acts: Act[]) => {
      try {
        execFileSync('sh', ['-c', renderUndo(acts)], { stdio: 'pipe' });
        return 0;
      } catch (thrown) {
        return (thrown as { status: number }).status;
      }
    };
    expect(end([act(['true'])])).toBe(0);
    expect(end([act(['false']), act(['true'])])).toBe(1);
    expect(end([act(['false'], [0, 1])])).toBe(0);
    expect(
      end([
        {
          ...act(['grep', '-q', 'it\'s $HOME `x` "y"']),
          command: { argv: ['grep', '-q', 'it.s .HOME'], stdin: "it's $HOME", timeoutMs: 1 },
        } as Act,
      ]),
    ).toBe(0);
  });
});

describe('what only etcd knows is undone by the hosts that can ask it', () => {
  /** Runs the script of an act with programs that note how they were called. @param programs - name and shell script of each */
  function run(
    argv: string[],
    programs: Record<string, string>,
  ): { code: number; calls: string[]; environments: string } {
    const folder = mkdtempSync(join(tmpdir(), 'pgs-undo-'));
    for (const [name, text] of Object.entries(programs)) {
      const noting = `#!/bin/sh\necho "${name} $*" >>${folder}/calls\necho "$ETCDCTL_USER" >>${folder}/logins\n${text}\n`;
      writeFileSync(join(folder, name), noting, { mode: 0o755 });
    }
    writeFileSync(join(folder, 'login'), 'ETCDCTL_USER=root:secret\n');
    const words = argv.map((word) => (word === etcdLogin ? join(folder, 'login') : word));
    const env = { PATH: `${folder}:${process.env.PATH}` };
    const { status } = spawnSync(words[0]!, words.slice(1), { env, encoding: 'utf8' });
    const read = (name: string) => readFileSync(join(folder, name), 'utf8');
    return { code: status!, calls: read('calls').trim().split('\n'), environments: read('logins') };
  }

  const alarm = (mode: 'heal' | 'effect') => {
    const plan = planOf('etcd-no-space');
    return mode === 'heal' ? hostActs(plan.heal)[0]!.command.argv : plan.effects[0]!.probe.argv;
  };
  const etcdctl = (alarms: string) => ({ etcdctl: `[ "$2" != list ] || printf '%s' '${alarms}'` });

  test('the alarm is cleared from every host of etcd, whichever member has it', () => {
    const hosts = hostActs(planOf('etcd-no-space').heal).map((a) => a.host);
    expect(hosts).toEqual(groundOf().etcd.hosts);
    const { code, calls, environments } = run(alarm('heal'), etcdctl('memberID:1 alarm:NOSPACE\n'));
    expect({ code, calls }).toEqual({ code: 0, calls: ['etcdctl alarm list', 'etcdctl alarm disarm'] });
    expect(environments).toContain('root:secret');
    expect(alarm('heal').join(' ')).toContain('https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379');
  });

  test('nothing is cleared where there is no such alarm, or where another one would go with it', () => {
    expect(run(alarm('heal'), etcdctl(''))).toMatchObject({ code: 0, calls: ['etcdctl alarm list'] });
    const both = 'memberID:1 alarm:NOSPACE\nmemberID:2 alarm:CORRUPT\n';
    expect(run(alarm('heal'), etcdctl(both))).toMatchObject({ code: 1, calls: ['etcdctl alarm list'] });
    expect(run(alarm('effect'), etcdctl('memberID:1 alarm:NOSPACE\n'))).toMatchObject({
      calls: ['etcdctl alarm list'],
    });
    expect(run(alarm('heal'), { etcdctl: 'exit 1' }).code).toBe(1);
  });

  test("an etcd that is not the fleet's is not broken at all", () => {
    const ground = { ...groundOf(), etcd: { hosts: [], clientPort: 2379, peerPort: 2380 } };
    expect(faultNamed('etcd-no-space').plan(ground, {}, 1000)).toEqual({ inject: [], heal: [], effects: [] });
  });

  test("failsafe mode comes back from every member's host, as the tenant's user, and again when somebody else wrote", () => {
    const { heal } = planOf('failsafe-off');
    expect(hostActs(heal).map((a) => a.host)).toEqual(cluster.members.map((m) => m.host.name));
    const { argv } = hostActs(heal)[0]!.command;
    const called = 'runuser -u pgs-acme -- patronictl -c /etc/pgs/tenants/acme/patroni.yml edit-config acme';
    const how = '--quiet --force --set failsafe_mode=true';
    expect(run(argv, { runuser: '' })).toMatchObject({ code: 0, calls: [`${called} ${how}`] });
    const second = '[ "$(wc -l <"$(dirname "$0")/calls")" -gt 1 ]';
    expect(run(argv, { runuser: second, sleep: '' })).toMatchObject({ code: 0, calls: { length: 3 } });
    expect(run(argv, { runuser: 'exit 1', sleep: '' }).code).toBe(1);
  });
});

describe('memory that ran out is given back', () => {
  /** A host's files, and a systemctl that notes what it is told to set; of a property that is named twice the last counts. */
  function host(limits: Limits | undefined) {
    const root = mkdtempSync(join(tmpdir(), 'pgs-memory-'));
    for (const resource of desiredLimits({ tenant: 'acme', limits })) {
      if (resource.kind !== 'file') continue;
      mkdirSync(dirname(join(root, resource.path)), { recursive: true });
      writeFileSync(join(root, resource.path), resource.content as string);
    }
    const calls = join(root, 'calls');
    writeFileSync(join(root, 'systemctl'), `#!/bin/sh\necho "$*" >>${calls}\n`, { mode: 0o755 });
    const env = { ...process.env, PATH: `${root}:${process.env.PATH}` };
    return {
      does: (acts: Act[]) => {
        const argv = hostActs(acts)[0]!.command.argv.map((word) => word.replaceAll(/\/(run|etc)\//g, `${root}/$1/`));
        return spawnSync(argv[0]!, argv.slice(1), { env }).status;
      },
      memoryMax: () =>
        readFileSync(calls, 'utf8')
          .match(/(?<=set-property --runtime -- pgs-acme.slice .*MemoryMax=)\S+/g)!
          .at(-1),
    };
  }

  test.each<[string, Limits | undefined, string]>([
    ['as the tenant is limited', { memory: '2GB', tasks: 512 }, '2048M'],
    ['without a limit where there was none', undefined, 'infinity'],
  ])('%s, as often as it is healed', (_what, limits, before) => {
    const { inject, heal } = planOf('out-of-memory');
    const { does, memoryMax } = host(limits);
    expect({ code: does(heal), memory: memoryMax() }).toEqual({ code: 0, memory: before });
    expect({ code: does(inject), memory: memoryMax() }).toEqual({ code: 0, memory: '64M' });
    expect({ code: does(heal), memory: memoryMax() }).toEqual({ code: 0, memory: before });
    expect({ code: does(heal), memory: memoryMax() }).toEqual({ code: 0, memory: before });
  });
});

test.each(['slow-disk', 'out-of-memory'])('%s is looked for where systemd puts the slice of a tenant', (name) => {
  const file = planOf(name).effects[0]!.probe.argv.at(-1);
  expect(file).toMatch(/^\/sys\/fs\/cgroup\/pgs\.slice\/pgs-acme\.slice\/[a-z]+\.[a-z]+$/);
});

test('an effect is judged by what is seen', () => {
  expect(judgeEffect('changed', 'a', 'b')).toBe(true);
  expect(judgeEffect('changed', 'a', null)).toBe(true);
  expect(judgeEffect('changed', 'a', 'a')).toBe(false);
  expect(judgeEffect('changed', null, 'b')).toBe(false);
  expect(judgeEffect('changed', 'a', unreachable)).toBe(false);
  expect(judgeEffect('gone', 'a', unreachable)).toBe(true);
  expect(judgeEffect('gone', 'a', '')).toBe(false);
  expect(judgeEffect({ matches: '^T' }, null, 'T\n')).toBe(true);
  expect(judgeEffect({ matches: '^T' }, null, 'S\n')).toBe(false);
  expect(judgeEffect({ matches: '^T' }, null, null)).toBe(false);
});
