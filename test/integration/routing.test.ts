// What clients feel of HAProxy and PgBouncer on bad days: nobody hangs, who must wait is released at once, and a pooler that is dead
// gets nobody. The stuck session of the usual configuration is reproduced beside ours, in the same fault.

import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  addresses,
  destroyQuietly,
  on,
  onOk,
  pgsOk,
  serviceClient,
  statusOf,
  until,
  untilHealthy,
  type Status,
} from './machines.js';

const tenant = 'routes';
const usualPort = 29990;
/** Preset fast. */
const holdLimitMs = 30_000;

let status: Status;
let entry: string;
let leader: { name: string; host: string };
const portOf = (service: string) => status.services.find((s) => s.service === service)!.port;

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await look();
});

afterEach(async () => {
  await on(leader.host, 'nft delete table inet cut');
  await untilHealthy(tenant);
  await look();
});

afterAll(async () => {
  await on(entry, 'systemctl stop usual-haproxy');
  await destroyQuietly(tenant);
});

async function look(): Promise<void> {
  status = await untilHealthy(tenant);
  leader = status.members.find((m) => m.name === status.leader)!;
  entry = status.members.find((m) => m.name !== status.leader)!.host;
}

/** HAProxy as most guides have it, on the same host with the same certificates, checking the same Patronis. */
async function startUsual(): Promise<void> {
  const members = status.members.map(
    (m) =>
      `  server ${m.name} ${addresses()[m.host]!}:${portOf('primary') + 4} check port ${portOf('primary') + 5} verifyhost ${m.host}`,
  );
  const config = [
    'global',
    '  ssl-server-verify required',
    'defaults',
    '  mode tcp',
    '  timeout connect 4s',
    '  timeout client 30m',
    '  timeout server 30m',
    '  timeout check 5s',
    'listen primary',
    `  bind *:${usualPort}`,
    '  option httpchk OPTIONS /primary',
    '  http-check expect status 200',
    '  default-server inter 3s fastinter 1s rise 3 fall 3 on-marked-down shutdown-sessions check-ssl verify required' +
      ` ca-file /etc/pgs/haproxy/tls/${tenant}-ca.crt crt /etc/pgs/haproxy/tls/${tenant}-client.pem`,
    ...members,
    '',
  ].join('\n');
  const written = await on(entry, 'cat > /run/usual.cfg', config);
  expect(written.code).toBe(0);
  await onOk(entry, 'systemd-run -q --collect --unit=usual-haproxy /usr/sbin/haproxy -W -f /run/usual.cfg');
  await until(
    'the usual configuration lets clients through',
    async () => (await knock(usualPort).ended) === 'answered',
  );
}

/**
 * The entry reaches neither PostgreSQL nor Patroni of the leader any more: a crash, as far as it can see, or with `drop` the loss of the
 * host, which answers nothing.
 */
async function cutLeader(how: 'reject with tcp reset' | 'drop' = 'reject with tcp reset'): Promise<void> {
  const ports = `${portOf('primary') + 4}, ${portOf('primary') + 5}`;
  await onOk(
    leader.host,
    `nft -f - <<'END'
table inet cut {
  chain input {
    type filter hook input priority 0;
    ip saddr ${addresses()[entry]!} tcp dport { ${ports} } ${how}
  }
}
END`,
  );
}

async function mendLeader(): Promise<void> {
  await onOk(leader.host, 'nft delete table inet cut');
}

interface Knock {
  /** Resolves when PostgreSQL has answered to the SSLRequest, or the connection ended without. */
  ended: Promise<'answered' | 'closed'>;
  fate: 'answered' | 'closed' | 'waiting';
  /** Wall clock, milliseconds. */
  endedAtMs: number;
  socket: Socket;
}

/** The first bytes of every client: an SSLRequest. */
function knock(port: number, host = entry): Knock {
  const socket = connect(port, addresses()[host], () => socket.write(Buffer.from('0000000804d2162f', 'hex')));
  const knocked: Knock = { ended: Promise.resolve('closed'), fate: 'waiting', endedAtMs: 0, socket };
  knocked.ended = new Promise((resolve) => {
    const end = (fate: 'answered' | 'closed') => {
      if (knocked.fate !== 'waiting') return;
      Object.assign(knocked, { fate, endedAtMs: Date.now() });
      resolve(fate);
      socket.destroy();
    };
    socket.on('data', () => end('answered'));
    socket.on('error', () => end('closed'));
    socket.on('close', () => end('closed'));
  });
  return knocked;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const count = (knocks: Knock[], fate: Knock['fate']) => knocks.filter((k) => k.fate === fate).length;

/** When HAProxy of the entry last saw the leader come up, wall clock, milliseconds. */
async function leaderUpAtMs(): Promise<number> {
  const lines = await onOk(entry, 'journalctl -u pgs-haproxy.service -n 200 --no-pager -o short-unix');
  const up = lines.split('\n').filter((line) => line.includes(`Server ${tenant}:leader/${leader.name} is UP`));
  return Number(up.at(-1)!.split(' ')[0]) * 1000;
}

async function untilGone(): Promise<void> {
  await until('the entry knows that the leader is gone', async () => {
    const route = (await statusOf(tenant)).services.find((s) => s.service === 'direct')!.routes[entry];
    return route?.length === 0;
  });
}

test('the usual configuration leaves sessions hanging for ever where ours answers every one', async () => {
  await startUsual();
  await cutLeader();
  const [usual, ours]: [Knock[], Knock[]] = [[], []];
  for (let i = 0; i < 80; i++) {
    usual.push(knock(usualPort));
    ours.push(knock(portOf('direct')));
    await pause(100);
  }
  await mendLeader();
  await Promise.all(ours.map((k) => k.ended));
  expect(ours.map((k) => k.fate)).toEqual(ours.map(() => 'answered'));
  // The others have long since been let through again, and still nobody says anything to those.
  await until(
    'the usual configuration lets clients through',
    async () => (await knock(usualPort).ended) === 'answered',
  );
  await pause(10_000);
  expect(count(usual, 'waiting')).toBeGreaterThan(0);
  for (const { socket } of usual) socket.destroy();
});

test('a host that vanishes while it is being connected to leaves nobody hanging, and its sessions are cut', async () => {
  const session = serviceClient(tenant, addresses()[entry]!, portOf('direct'), { connectionTimeoutMillis: 0 });
  await session.connect();
  const cut = new Promise<void>((resolve) => session.once('end', resolve));
  await cutLeader('drop');
  const knocks: Knock[] = [];
  for (let i = 0; i < 60; i++) {
    knocks.push(knock(portOf('direct')));
    await pause(100);
  }
  await cut;
  await mendLeader();
  await Promise.all(knocks.map((k) => k.ended));
  expect(knocks.map((k) => k.fate)).toEqual(knocks.map(() => 'answered'));
});

test('who was held is let go within 100 ms of the leader being seen', async () => {
  await cutLeader();
  await untilGone();
  const held = [1, 2, 3].map(() => knock(portOf('direct')));
  await pause(1000);
  expect(count(held, 'waiting')).toBe(3);
  await mendLeader();
  await Promise.all(held.map((k) => k.ended));
  const upMs = await leaderUpAtMs();
  for (const { fate, endedAtMs } of held) {
    expect(fate).toBe('answered');
    expect(endedAtMs - upMs).toBeLessThan(100);
  }
});

test('nobody is held longer than the limit: direct connections are closed, pooled ones get an error', async () => {
  const client = serviceClient(tenant, addresses()[entry]!, portOf('primary'), { query_timeout: 60_000 });
  await client.connect();
  await client.query('SELECT 1');
  await cutLeader();
  await untilGone();
  const startedMs = Date.now();
  const held = knock(portOf('direct'));
  const error = await client.query('SELECT 1').then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: '08P01', message: 'query_wait_timeout' });
  expect(await held.ended).toBe('closed');
  expect(held.endedAtMs - startedMs).toBeGreaterThan(holdLimitMs - 1000);
  await client.end().catch(() => undefined);
});

test('a leader whose Patroni cannot be reached keeps its clients, old and new', async () => {
  const session = serviceClient(tenant, addresses()[entry]!, portOf('direct'));
  await session.connect();
  const rest = portOf('primary') + 5;
  await onOk(
    leader.host,
    `nft -f - <<'END'
table inet cut {
  chain input { type filter hook input priority 0; ip saddr ${addresses()[entry]!} tcp dport ${rest} drop; }
}
END`,
  );
  const failing = `echo 'show stat' | socat - /run/pgs-haproxy/admin.sock | grep '^${tenant}:leader,${leader.name},'`;
  await until('the entry hears nothing of it', async () => /,UP \d+\/\d+,/.test((await on(entry, failing)).stdout));
  // HAProxy by itself would have marked it down after two failed checks, and cut its sessions 2.5 s later.
  await pause(5000);
  expect(await knock(portOf('direct')).ended).toBe('answered');
  expect((await session.query('SELECT pg_is_in_recovery() AS replica')).rows).toEqual([{ replica: false }]);
  await session.end();
});

test('an entry that is cut off from all other hosts sends its clients away, where others hold theirs until somebody leads', async () => {
  const lost = leader.host;
  const others = status.members.filter((m) => m.host !== lost).map((m) => addresses()[m.host]!);
  const pooled = serviceClient(tenant, addresses()[lost]!, portOf('primary'));
  await pooled.connect();
  pooled.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => pooled.once('end', resolve));
  await onOk(
    lost,
    `nft -f - <<'END'
table inet cut {
  chain input { type filter hook input priority 0; ip saddr { ${others.join(', ')} } drop; }
  chain output { type filter hook output priority 0; ip daddr { ${others.join(', ')} } drop; }
}
END`,
  );
  const services = ['direct', 'primary'].map(portOf);
  const held = knock(portOf('direct'));
  await until('the lost entry sends everybody away', async () => {
    const knocks = services.map((port) => knock(port, lost));
    await Promise.race([Promise.all(knocks.map((k) => k.ended)), pause(500)]);
    for (const { socket } of knocks) socket.destroy();
    return knocks.every((k) => k.fate === 'closed');
  });
  // Whoever had come before is told, too, and the pooler does not remember it.
  await ended;
  expect(await held.ended).toBe('answered');
  await onOk(lost, 'nft delete table inet cut');
  await untilHealthy(tenant);
  const again = serviceClient(tenant, addresses()[lost]!, portOf('primary'));
  await again.connect();
  expect((await again.query('SELECT 1')).rowCount).toBe(1);
  await again.end();
});

describe('a pooler that is dead behind a healthy Patroni gets no traffic', () => {
  const unit = `pgs-pgbouncer@${tenant}.service`;
  const serves = async () => {
    const client = serviceClient(tenant, addresses()[entry]!, portOf('primary'));
    try {
      await client.connect();
      return (await client.query('SELECT 1')).rowCount === 1;
    } catch {
      return false;
    } finally {
      void client.end().catch(() => undefined);
    }
  };

  test('when it is gone: the next connection already finds another one', async () => {
    await onOk(entry, `systemctl stop ${unit}`);
    try {
      for (let i = 0; i < 5; i++) expect(await serves()).toBe(true);
    } finally {
      await onOk(entry, `systemctl start ${unit}`);
    }
  });

  test('when it hangs: connections find another one once it failed its checks', async () => {
    await onOk(entry, `systemctl kill -s STOP ${unit}`);
    try {
      // Two checks of 2 s, and 2.5 s until the sessions are cut that went there before.
      await until('connections go elsewhere', serves, 15_000);
      for (let i = 0; i < 5; i++) expect(await serves()).toBe(true);
    } finally {
      await onOk(entry, `systemctl kill -s CONT ${unit}`);
    }
  });
});

test('a pooler that holds its clients is named by status, and the line that it gives lets them go', async () => {
  const client = serviceClient(tenant, addresses()[entry]!, portOf('primary'), { query_timeout: 60_000 });
  await client.connect();
  const warningOf = async () => (await statusOf(tenant)).warnings.find((w) => w.includes('paused')) ?? null;
  expect(await warningOf()).toBe(null);
  const line = `runuser -u pgs-${tenant} -- psql -h /run/pgs/${tenant} -p ${portOf('primary') + 6} -U pgbouncer -c`;
  await onOk(entry, `${line} PAUSE pgbouncer`);
  const held = client.query('SELECT 1');
  const warning = await warningOf();
  expect(warning).toContain(`the pooler is paused on ${entry}\n`);
  await onOk(entry, warning!.split('\n').at(-1)!);
  expect((await held).rowCount).toBe(1);
  expect(await warningOf()).toBe(null);
  await client.end();
});

test('a session to a leader that was demoted is cut', async () => {
  const client = serviceClient(tenant, addresses()[entry]!, portOf('direct'));
  await client.connect();
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  await pgsOk(['switchover', tenant]);
  await ended;
});

test('a client of the pooled service keeps its connection through a crash of the leader', async () => {
  const client = serviceClient(tenant, addresses()[entry]!, portOf('primary'));
  await client.connect();
  await client.query('SELECT 1');
  await onOk(leader.host, `kill -9 "$(head -1 /var/lib/pgs/${tenant}/data/postmaster.pid)"`);
  const before = leader.name;
  await until('another member leads', async () => {
    const { leader: now } = await statusOf(tenant);
    return now !== null && now !== before;
  });
  expect((await client.query('SELECT pg_is_in_recovery() AS replica')).rows).toEqual([{ replica: false }]);
  await client.end();
});

test('the runtime socket is a file that HAProxy alone can reach, and no port', async () => {
  expect(await onOk(entry, 'stat -c "%U %a" /run/pgs-haproxy /run/pgs-haproxy/admin.sock')).toBe(
    'pgs-haproxy 700\npgs-haproxy 600\n',
  );
  const listening = await onOk(entry, `ss -Hltnp | grep '"haproxy"' | awk '{ print $4 }'`);
  const ports = new Set(
    listening
      .trim()
      .split('\n')
      .map((line) => Number(line.split(':').at(-1))),
  );
  const lookup = portOf('primary') + 8;
  const frontDoor = 5432;
  const own = new Set([...status.services.map((s) => s.port), lookup, usualPort, frontDoor]);
  expect([...ports].filter((port) => !own.has(port))).toEqual([]);
});
