// What the daemon's key permits on a host, as data for `templates/daemon/gate.py`: the commands of drills, of their undos, of switchovers
// and of the looks that these take. Scripts are known by their hash, names by their form. Destructive faults are not among them.

import { createHash } from 'node:crypto';
import { listUndos } from '../../chaos/arm.js';
import { lookForNeeds } from '../../chaos/preflight-facts.js';
import { adminSocket, tenantFile } from '../../haproxy/places.js';
import { endpointUrl } from '../etcd/access.js';
import { etcdConfigFile, etcdLogin, etcdTls } from '../etcd/desired.js';
import { readTemplate } from '../host/template.js';
import type { Inventory } from '../inventory/inventory.js';
import { endLongTransactions, longTransactions } from '../postgres/wal.js';
import { overridesQuery } from '../reconcile/rto.js';
import { longTransactionS } from '../reconcile/switchover.js';
import { pathsOf } from '../topology/cluster.js';
import { lookAtUnits } from './watch-commands.js';

/** A word itself, or what it has to be like: a regular expression of Python for the whole of it, or the hash of it. */
export type Word = string | { like: string } | { sha256: string };

export interface GateRule {
  argv: Word[];
  /** Without it there is none. `undo`: a list of commands, each of which is permitted by itself. */
  stdin?: Word | { undo: true };
}

const like = (text: string): Word => ({ like: text });
const hashed = (text: string): Word => ({ sha256: createHash('sha256').update(text).digest('hex') });
const sh = (template: string): Word[] => ['sh', '-c', hashed(readTemplate(template)), 'sh'];

const tenantText = '[a-z0-9][a-z0-9-]{0,27}';
const tenant = like(tenantText);
const user = like(`pgs-${tenantText}`);
const homeText = `/var/lib/pgs/${tenantText}`;
const data = like(`${homeText}/data`);
const pidFile = like(`${homeText}/data/postmaster\\.pid`);
const sockets = like(`/run/pgs/${tenantText}`);
const patroniText = `pgs-patroni@${tenantText}\\.service`;
const patroni = like(patroniText);
const unit = like(`${patroniText}|pgs-pgbouncer(-replica)?@${tenantText}\\.service|pgs-(etcd|haproxy)\\.service`);
/** Its hyphens are escaped, as systemd wants them. */
const sliceText = 'pgs-[a-z0-9][a-z0-9x\\\\]{0,110}\\.slice';
const slice = like(sliceText);
const idText = '[A-Za-z0-9-]{1,150}';
const id = like(idText);
const number = like('[0-9]{1,9}');
const postgresText = '/usr/lib/postgresql/[0-9]{2}/bin';

/** All of it, for every host: which tenants are drilled is decided by schedules, not here. */
export function gateRules(fleet: Pick<Inventory, 'hosts' | 'etcd'>): GateRule[] {
  return [
    ...looks(),
    ...watching(),
    ...handOver(),
    ...undos(),
    ...processFaults(),
    ...networkFaults(),
    ...hostFaults(),
    ...dcsFaults(fleet),
  ];
}

function looks(): GateRule[] {
  const backends = `(show stat ${tenantText}:[a-z-]+ 4 -1;?)+\\n`;
  return [
    { argv: ['true'] },
    { argv: ['date', '+%s.%N'] },
    { argv: ['socat', '-t', '5', '-', `UNIX-CONNECT:${adminSocket}`], stdin: like(backends) },
    { argv: ['python3', '-I', '-c', hashed(readTemplate('watchdog/look.py')), tenant] },
    { argv: lookForNeeds.argv.map((word, i) => (i === 2 ? hashed(word) : word)) },
    { argv: ['cat', etcdConfigFile] },
    { argv: ['cat', like(tenantFile('@').replaceAll('.', '\\.').replace('@', tenantText))] },
    {
      argv: ['journalctl', ...units, '--since', like('-[0-9]{1,6}s'), '--grep', like('.{1,2000}'), ...journal],
    },
    { argv: ['journalctl', '--unit', patroni, '--since', '-20s', '--grep', like('.{1,200}'), '--lines', '1'] },
    ...[longTransactions(longTransactionS), endLongTransactions(longTransactionS), overridesQuery, 'CHECKPOINT'].map(
      (sql): GateRule => ({ argv: superuser, stdin: hashed(sql) }),
    ),
    { argv: superuser, stdin: like("SELECT pg_read_file\\('pg_wal/[0-9A-F]{8}\\.history'\\)") },
  ];
}

/** To see which units of pgs run, and to start one that does not. */
function watching(): GateRule[] {
  const known = like(
    `${patroniText}|pgs-pgbouncer(-replica)?@${tenantText}\\.service|pgs-(etcd|haproxy|fence)\\.service`,
  );
  return [{ argv: lookAtUnits.argv }, { argv: ['systemctl', 'start', '--', known] }];
}

const units: Word[] = [
  ...['--unit', patroni, '--unit', like(`pgs-pgbouncer@${tenantText}\\.service`)],
  ...['--unit', like(`pgs-pgbouncer-replica@${tenantText}\\.service`), '--unit', 'pgs-haproxy.service'],
];
const journal: Word[] = ['--quiet', '--output', 'json', '--output-fields', 'MESSAGE,SYSLOG_IDENTIFIER'];

/** psql as the tenant's superuser; what it is told is part of the rule. */
const superuser: Word[] = [
  ...['runuser', '-u', user, '--', like(`${postgresText}/psql`), '-XqAt', '-v', 'ON_ERROR_STOP=1', '-h', sockets],
  ...['-p', number, '-U', 'postgres', '-d', 'postgres', '-f', '-'],
];

function handOver(): GateRule[] {
  const timer = like(`pgs-resume-[0-9a-f]{1,32}@${tenantText}`);
  const admin: Word[] = [tenant, user, sockets, number, timer];
  const pooler = like(`pgs-pgbouncer@${tenantText}\\.service`);
  const controldata = like(`${postgresText}/pg_controldata`);
  const seconds = like('[0-9]{1,3}(\\.[0-9]+)?');
  const member = like(`${tenantText}-[0-9]{1,3}`);
  return [
    {
      argv: [
        ...sh('pgbouncer/pause.sh'),
        ...admin,
        pooler,
        seconds,
        seconds,
        hashed(readTemplate('pgbouncer/resume.sh')),
      ],
    },
    { argv: [...sh('pgbouncer/resume.sh'), ...admin] },
    { argv: ['runuser', '-u', user, '--', 'psql', '-XqAtw', '-h', sockets, '-p', number, ...showState] },
    { argv: [...sh('postgres/await-shutdown.sh'), controldata, data, seconds] },
    { argv: [...sh('postgres/stop-leader.sh'), like(postgresText), data, user, sockets, number, member, seconds] },
  ];
}

const showState: Word[] = ['-U', 'pgbouncer', '-c', 'SHOW STATE', 'pgbouncer'];

function undos(): GateRule[] {
  return [
    { argv: [...sh('chaos/arm.sh'), id, tenant, number], stdin: { undo: true } },
    { argv: [...sh('chaos/disarm.sh'), tenant] },
    { argv: [...sh('chaos/disarm.sh'), tenant, id] },
    { argv: ['sh', '-c', hashed(listUndos('acme').argv[2]!), 'sh', tenant] },
  ];
}

function processFaults(): GateRule[] {
  const signal = like('KILL|STOP|CONT');
  const loop = like(`--unit=pgs-chaos-loop-${idText}`);
  return [
    { argv: ['pkill', '--signal', signal, '--uid', user, '--pidfile', pidFile] },
    { argv: ['pkill', '--signal', 'KILL', '--uid', user] },
    { argv: ['pkill', '--signal', 'KILL', '--newest', '--uid', user, '--full', '^postgres: .*app app '] },
    { argv: ['pgrep', '--list-name', '--runstates', 'T', '--uid', user, '--pidfile', pidFile] },
    { argv: ['pgrep', '--uid', user, '--full', like('\\^postgres: [a-z .*]+')] },
    { argv: ['pgrep', '--list-full', '--uid', user, '--full', like('\\^postgres: [a-z .*]+')] },
    { argv: ['head', '-n', '3', pidFile] },
    { argv: ['systemctl', 'kill', like('--signal=(KILL|STOP|CONT)'), like('--kill-whom=(main|all)'), unit] },
    { argv: ['systemctl', 'show', '--property=MainPID,InvocationID,NRestarts', unit] },
    { argv: ['systemctl', 'show', '--property=ActiveState', '--value', unit] },
    { argv: [...sh('chaos/keep-down.sh'), like('on|off'), unit] },
    { argv: [...sh('chaos/state.sh'), unit] },
    { argv: ['systemd-run', '--quiet', '--collect', loop, limit, ...sh('chaos/crash-loop.sh'), user, pidFile] },
    { argv: ['systemctl', 'stop', like(`pgs-chaos-[a-z-]+-${idText}\\.service`)] },
    { argv: [...sh('chaos/out-of-memory.sh'), like('on|off'), slice] },
    { argv: ['grep', '^oom_kill ', like(`/sys/fs/cgroup/pgs\\.slice/${sliceText}/memory\\.events`)] },
    { argv: ['cat', like(`/sys/fs/cgroup/pgs\\.slice/${sliceText}/io\\.max`)] },
  ];
}

/** Only to the fleet's own etcd: the script has root's login to it. */
function dcsFaults({ hosts, etcd }: Pick<Inventory, 'hosts' | 'etcd'>): GateRule[] {
  const config = like(pathsOf('@').patroniConfig.replaceAll('.', '\\.').replace('@', tenantText));
  const failsafe: GateRule = { argv: [...sh('chaos/failsafe.sh'), like('show|true|false'), user, config, tenant] };
  if (etcd.kind === 'external') return [failsafe];
  const members = hosts.filter((h) => etcd.members.includes(h.name));
  const endpoints = members.map((h) => endpointUrl(h.address, etcd.clientPort)).join(',');
  return [failsafe, { argv: [...sh('chaos/etcd-alarm.sh'), like('list|clear'), endpoints, etcdLogin, etcdTls] }];
}

const limit = like('--property=RuntimeMaxSec=[0-9]{1,4}');

/** A table of pgs's own that lets ssh through first and drops some of the rest. */
function networkFaults(): GateRule[] {
  const table = 'pgs_chaos_[A-Za-z0-9_]{1,150}';
  const forget = `add table inet (?P<t>${table})\\ndelete table inet (?P=t)\\n`;
  const chain = (name: string, side: string) =>
    `  chain ${name} \\{\\n    type filter hook ${name} priority -300; policy accept;\\n    tcp ${side} 22 accept\\n` +
    '(    [a-z0-9_{},.:!="\\- ]{1,2000} counter drop\\n)*  \\}\\n';
  const cuts = `table inet (?P=t) \\{\\n${chain('input', 'dport')}${chain('output', 'sport')}\\}\\n`;
  const netem = sh('chaos/netem.sh');
  const address = like('[0-9a-f.:]{2,45}');
  const milliseconds = like('[0-9]+(\\.[0-9]+)?ms');
  return [
    { argv: ['nft', '--file', '-'], stdin: like(`${forget}(${cuts})?`) },
    { argv: ['nft', 'list', 'table', 'inet', like(table)] },
    { argv: [...netem, 'on', address, milliseconds, milliseconds, like('[0-9]+(\\.[0-9]+)?%')] },
    { argv: [...netem, 'off', address] },
    { argv: ['tc', 'qdisc', 'show'] },
  ];
}

/** Without those that break data: what only sandboxes may do, the operator does. */
function hostFaults(): GateRule[] {
  const burning = (kind: string, script: string): GateRule => ({
    argv: [
      ...['systemd-run', '--quiet', '--collect', like(`--unit=pgs-chaos-${kind}-${idText}`), limit],
      ...['--property=KillMode=control-group', ...sh(script), number],
    ],
  });
  const home = like(homeText);
  const bound = (kind: string) => like(`IO${kind}BandwidthMax=(${homeText} [0-9]{1,9}K)?`);
  const jumped = like(`/run/pgs-chaos-clock-${idText}`);
  return [
    burning('burn-processor', 'chaos/burn-processor.sh'),
    burning('burn-disk', 'chaos/burn-disk.sh'),
    {
      argv: [
        'systemctl',
        'show',
        '--property=ActiveState,TasksCurrent',
        like(`pgs-chaos-burn-[a-z-]+${idText}\\.service`),
      ],
    },
    { argv: [...sh('chaos/fill-disk.sh'), like('fill|free'), home, patroni, user] },
    { argv: ['df', '--output=avail', home] },
    { argv: ['systemctl', 'set-property', '--runtime', slice, bound('Read'), bound('Write')] },
    { argv: [...sh('chaos/jump-clock.sh'), like('jump|back'), like('-?[0-9]{1,5}'), id] },
    { argv: ['test', '-e', jumped] },
  ];
}
