// What the daemon's key permits on a host: everything that drills and switchovers send there, and nothing else.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { armUndo, listUndos, renderUndo, undoNow } from '../../../chaos/arm.js';
import { askForLogs } from '../../../chaos/component-logs.js';
import { faults, faultNamed } from '../../../chaos/faults/catalogue.js';
import type { Act, FaultPlan } from '../../../chaos/faults/fault.js';
import { lookForNeeds } from '../../../chaos/preflight-facts.js';
import { scenarioFolders, listScenarios } from '../../../chaos/store.js';
import { showStat } from '../../../haproxy/commands.js';
import { tenantFile } from '../../../haproxy/places.js';
import { gateRules } from '../../../src/daemon/gate-rules.js';
import { lookAtUnits, startUnit } from '../../../src/daemon/watch-commands.js';
import { etcdConfigFile } from '../../../src/etcd/desired.js';
import type { Command } from '../../../src/host/command.js';
import { shellLine } from '../../../src/host/shell-words.js';
import { commandLine } from '../../../src/host/ssh-host.js';
import { readTemplate } from '../../../src/host/template.js';
import { askPause, pausePooler, resumePooler } from '../../../src/pgbouncer/pause.js';
import { superuserPsql } from '../../../src/postgres/client.js';
import {
  awaitShutdown,
  endLongTransactions,
  longTransactions,
  readHistory,
  stopLeader,
} from '../../../src/postgres/wal.js';
import { overridesQuery } from '../../../src/reconcile/rto.js';
import { longTransactionS } from '../../../src/reconcile/switchover.js';
import { clusterOf, inventory, recordOf } from '../../fixtures/fleet.js';

const rulesPath = join(mkdtempSync(join(tmpdir(), 'pgs-gate-')), 'rules.json');
writeFileSync(rulesPath, JSON.stringify(gateRules(inventory)));
const gate = new URL('../../../templates/daemon/gate.py', import.meta.url).pathname;

/** What the gate says of each. */
function judged(asked: { line: string; stdin: string }[]): string[] {
  const input = asked.map((a) => JSON.stringify(a)).join('\n');
  const said = execFileSync('python3', ['-I', gate, '--check', rulesPath], { input, encoding: 'utf8' });
  return said.trimEnd().split('\n');
}
const sent = ({ argv, stdin, timeoutMs }: Command, user = 'root') => ({
  line: commandLine(user, argv, timeoutMs),
  stdin: stdin === undefined ? '' : (stdin as string),
});
const refusals = (commands: Command[]) => judged(commands.map((c) => sent(c))).filter((said) => said !== 'permitted');

// A name with a hyphen is another one in a slice.
const clusters = ['acme', 'acme-co'].map((tenant) => clusterOf(recordOf(tenant)));
const hostActs = (acts: Act[]) => acts.flatMap((a) => (a.kind === 'host' ? [a.command] : []));
const destructive = ['wipe-member', 'corrupt-member'];

function planFor(name: string, cluster = clusters[0]!, given: Record<string, unknown> = {}): FaultPlan {
  const [first] = cluster.members;
  const etcd = { hosts: ['h1', 'h2', 'h3'], clientPort: 2379, peerPort: 2380 };
  const ground = { cluster, fleet: inventory.hosts, etcd, hosts: [first!.host], leader: first!.host };
  return faultNamed(name).plan({ ...ground, id: `20261121-030000-${name}-0` }, given, 20_000);
}
const commandsOf = ({ inject, heal, effects }: FaultPlan, tenant: string) => [
  ...hostActs([...inject, ...heal]),
  ...effects.map((e) => e.probe),
  armUndo('20261121-030000-x-0', tenant, heal, 20_000),
];

describe('permitted is', () => {
  test.each(faults.map((f) => f.name).filter((n) => !destructive.includes(n)))('%s, with its undo', (name) => {
    for (const cluster of clusters) expect(refusals(commandsOf(planFor(name, cluster), cluster.tenant))).toEqual([]);
  });

  test('every step of a shipped scenario that is not destructive, with its arguments', async () => {
    const scenarios = await listScenarios(scenarioFolders(undefined));
    const steps = scenarios.flatMap(({ scenario }) => (scenario.severity === 'destructive' ? [] : scenario.method));
    const commands = steps.flatMap((s) => commandsOf(planFor(s.fault, clusters[0], s.arguments), 'acme'));
    expect(refusals(commands)).toEqual([]);
  });

  test('what a switchover does', () => {
    const commands = clusters.flatMap((cluster) => [
      pausePooler(cluster, '0123abcd'),
      resumePooler(cluster, '0123abcd'),
      awaitShutdown(cluster, 30),
      stopLeader(cluster, `${cluster.tenant}-2`, 30),
      ...[longTransactions(longTransactionS), endLongTransactions(longTransactionS), 'CHECKPOINT', readHistory(31)].map(
        (sql) => superuserPsql(cluster, sql, 10_000),
      ),
    ]);
    expect(refusals(commands)).toEqual([]);
  });

  test('the look at units, and the start of one of pgs, but of no other', () => {
    const ours = ['pgs-patroni@acme-co.service', 'pgs-pgbouncer-replica@acme.service', 'pgs-haproxy.service'];
    expect(refusals([lookAtUnits, ...ours.map(startUnit)])).toEqual([]);
    const others = [
      'ssh.service',
      'pgs-watchdog.service',
      'postgresql@17-main.service',
      'pgs-patroni@acme.service ssh',
    ];
    expect(refusals(others.map(startUnit))).toHaveLength(others.length);
    const stop = { argv: ['systemctl', 'stop', '--', 'pgs-haproxy.service'], timeoutMs: 5000 };
    expect(refusals([stop])).toHaveLength(1);
  });

  test('what is looked at', () => {
    const look = ['python3', '-I', '-c', readTemplate('watchdog/look.py'), 'acme-co'];
    const commands = clusters.flatMap((cluster) => [
      showStat(cluster.tenant),
      askPause(cluster),
      superuserPsql(cluster, overridesQuery, 5000),
      listUndos(cluster.tenant),
      undoNow(cluster.tenant),
      undoNow(cluster.tenant, '20261121-030000-x-0'),
      { argv: ['cat', tenantFile(cluster.tenant)], timeoutMs: 5000 },
      askForLogs(cluster.tenant, 40.2),
    ]);
    const more = [look, ['cat', etcdConfigFile], ['true'], ['date', '+%s.%N']].map((argv) => ({
      argv,
      timeoutMs: 500,
    }));
    expect(refusals([...commands, ...more, lookForNeeds])).toEqual([]);
  });

  test('the same by sudo', () => {
    expect(judged([sent({ argv: ['true'], timeoutMs: 10_000 }, 'admin')])).toEqual(['permitted']);
  });
});

describe('refused is', () => {
  const refused = (commands: Command[]) => judged(commands.map((c) => sent(c)));
  const timeoutMs = 5000;

  test.each(destructive)('%s', (name) => {
    const all = refused(hostActs(planFor(name).inject));
    expect(all.length).toBeGreaterThan(0);
    for (const said of all) expect(said).not.toBe('permitted');
  });

  test.each([
    ['a shell', { argv: ['sh', '-c', 'id'], timeoutMs }],
    ['another script', { argv: ['sh', '-c', `${readTemplate('chaos/state.sh')}\nid`, 'sh', 'x'], timeoutMs }],
    ['a file that is none of its', { argv: ['cat', '/etc/shadow'], timeoutMs }],
    ['a way out of a directory', { argv: ['df', '--output=avail', '/var/lib/pgs/../../etc'], timeoutMs }],
    [
      'a unit of somebody else',
      { argv: ['systemctl', 'kill', '--signal=KILL', '--kill-whom=all', 'ssh.service'], timeoutMs },
    ],
    ['a process of somebody else', { argv: ['pkill', '--signal', 'KILL', '--uid', 'root'], timeoutMs }],
    ['files being written', { argv: ['sh', '-c', readTemplate('host/apply.sh')], stdin: 'end\n', timeoutMs }],
    ['SQL of another kind', superuserPsql(clusters[0]!, "COPY (SELECT 1) TO PROGRAM 'id'", timeoutMs)],
    ['SQL behind what is permitted', superuserPsql(clusters[0]!, 'CHECKPOINT; DROP DATABASE app', timeoutMs)],
    ['another word to HAProxy', { ...showStat('acme'), stdin: 'disable server acme:leader/acme-1\n' }],
    ['input where there is none', { argv: ['true'], stdin: 'x', timeoutMs }],
  ] satisfies [string, Command][])('%s', (_what, command) => {
    expect(refused([command])).not.toEqual(['permitted']);
  });

  test('an undo with a command of another kind, or with more than commands', () => {
    const arm = (undo: string) => ({ ...armUndo('x-0', 'acme', [], 1000), stdin: undo });
    const own = renderUndo(planFor('stop-patroni').heal);
    const undos = [
      own.replace(/^systemctl.*$/m, 'rm -rf /'),
      own.replace('exit $failed', 'id\nexit $failed'),
      own.replace('failed=0\n', 'failed=0\nid\n'),
      own.replace('failed=1 ;; esac', 'failed=1; id ;; esac'),
      own.replace(/^(systemctl.*)$/m, '$1; id'),
      own.replace(/^(systemctl.*)$/m, 'printf %s x | $1'),
      '',
    ];
    expect(refused([arm(own)])).toEqual(['permitted']);
    for (const undo of undos) {
      expect(undo).not.toBe(own);
      expect(refused([arm(undo)])).not.toEqual(['permitted']);
    }
  });

  test('a table that lets ssh in last, is not its own, or does more than drop', () => {
    const [inject] = hostActs(planFor('isolate-host').inject);
    const rules = inject!.stdin as string;
    const others = [
      rules.replace('    tcp dport 22 accept\n', ''),
      rules.replaceAll('pgs_chaos_', 'filter_'),
      rules.replace('counter drop', 'accept'),
      rules.replace('counter drop', 'counter drop; tcp dport 22 drop'),
      `flush ruleset\n${rules}`,
      `include "/etc/shadow"\n`,
    ];
    for (const stdin of others) {
      expect(stdin).not.toBe(rules);
      expect(refused([{ ...inject!, stdin }])).not.toEqual(['permitted']);
    }
  });

  test('a line that is not as pgs writes it', () => {
    const good = sent({ argv: ['true'], timeoutMs }).line;
    const lines = [
      '',
      'true',
      `${good}; id`,
      `${good} && id`,
      `${good} | id`,
      `${good}\nid`,
      `${good} > /etc/passwd`,
      good.replace('true', '$(id)'),
      good.replace('true', '`id`'),
      good.replace('true', '"true"'),
      good.replace('timeout', '/tmp/timeout'),
      good.replace('PATH=', 'PATH=/tmp:'),
      good.replace('env ', 'env LD_PRELOAD=/tmp/x '),
      `${good} '`,
    ];
    expect(judged(lines.map((line) => ({ line, stdin: '' }))).filter((said) => said === 'permitted')).toEqual([]);
    expect(judged([{ line: good, stdin: '' }])).toEqual(['permitted']);
  });
});

describe('shellLine', () => {
  test.each([
    ['plain words'],
    ['$HOME `id` \\ " \' ! * ? ~ # ; & | < > ( ) { } [ ]'],
    ['a \'quoted\' and "doubly ! quoted" word\nwith a line\tand a tab'],
    [''],
    ['-e'],
    ['ÄÖ €'],
  ])('a shell reads %j back as it was', (word) => {
    const line = shellLine(['printf', '%s|', word, 'x']);
    expect(execFileSync('sh', ['-c', line], { encoding: 'utf8' })).toBe(`${word}|x|`);
  });
});
