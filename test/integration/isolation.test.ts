// A tenant's superuser has a shell on the machine under its database. From there it tries to reach everything that is not its own; each
// attempt comes with a control that shows that it is a right one: the same on the tenant's own thing, or the same as root, succeeds.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addresses, destroyQuietly, onOk, pgsOk, until, untilHealthy } from './machines.js';
import { asRoot, asSuperuser, type Attempt, type Outcome } from './tenant-shell.js';

const intruder = 'acme';
const neighbour = 'acme2';

/** What the attempts are aimed at, on the host of the intruder's leader. */
interface Ground {
  tenant: string;
  user: string;
  home: string;
  run: string;
  config: string;
  address: string;
  port: number;
  rest: number;
  uid: number;
  postmaster: number;
  patroni: number;
  /** The System V segment of its postmaster. */
  shmId: number;
  /** A file of its postmaster's in /dev/shm. */
  shmFile: string;
}

interface Row {
  what: string;
  of: (ground: Ground) => Attempt;
  /** Who succeeds with it: the intruder on its own thing, or root on the neighbour's. */
  control: 'own' | 'root';
}

const python = (code: string) => ({ shell: `exec python3 - <<'END'\n${code}\nEND` });
const shell = (line: string) => ({ shell: line });

const files: Row[] = [
  { what: 'list its data directory', of: (g) => shell(`ls ${g.home}/data`), control: 'own' },
  { what: 'read a data file', of: (g) => shell(`cat ${g.home}/data/PG_VERSION`), control: 'own' },
  { what: 'read its patroni.yml', of: (g) => shell(`cat ${g.config}/patroni.yml`), control: 'own' },
  { what: 'read its REST key', of: (g) => shell(`cat ${g.config}/tls/rest.key`), control: 'own' },
  { what: 'read its SQL key', of: (g) => shell(`cat ${g.config}/tls/sql.key`), control: 'own' },
  { what: 'read its etcd key', of: (g) => shell(`cat ${g.config}/tls/etcd.key`), control: 'own' },
  { what: 'list its sockets', of: (g) => shell(`ls ${g.run}`), control: 'own' },
  {
    what: 'write beside its data',
    of: (g) => shell(`touch ${g.home}/planted && rm ${g.home}/planted`),
    control: 'own',
  },
  {
    what: 'write beside its sockets',
    of: (g) => shell(`touch ${g.run}/planted && rm ${g.run}/planted`),
    control: 'own',
  },
  {
    what: 'pg_read_file its patroni.yml',
    of: (g) => ({ sql: `SELECT pg_read_file('${g.config}/patroni.yml')` }),
    control: 'own',
  },
  {
    what: 'pg_read_binary_file',
    of: (g) => ({ sql: `SELECT pg_read_binary_file('${g.home}/data/PG_VERSION')` }),
    control: 'own',
  },
  { what: 'pg_ls_dir', of: (g) => ({ sql: `SELECT pg_ls_dir('${g.home}/data')` }), control: 'own' },
  { what: 'pg_stat_file', of: (g) => ({ sql: `SELECT pg_stat_file('${g.home}/data/PG_VERSION')` }), control: 'own' },
  { what: 'lo_import its key', of: (g) => ({ sql: `SELECT lo_import('${g.config}/tls/sql.key')` }), control: 'own' },
  {
    what: 'COPY into its directory',
    of: (g) => ({ sql: `COPY (SELECT 1) TO '${g.home}/copied'` }),
    control: 'own',
  },
  {
    what: 'COPY from its directory',
    of: (g) => ({ sql: `CREATE TEMP TABLE IF NOT EXISTS got (line text); COPY got FROM '${g.home}/data/PG_VERSION'` }),
    control: 'own',
  },
];

const memory: Row[] = [
  { what: 'signal its postmaster', of: (g) => shell(`kill -0 ${g.postmaster}`), control: 'own' },
  { what: 'signal its Patroni', of: (g) => shell(`kill -0 ${g.patroni}`), control: 'own' },
  { what: 'read its command line', of: (g) => shell(`cat /proc/${g.postmaster}/cmdline`), control: 'own' },
  { what: 'read its environment', of: (g) => shell(`cat /proc/${g.postmaster}/environ`), control: 'own' },
  { what: 'read its memory map', of: (g) => shell(`cat /proc/${g.postmaster}/maps`), control: 'own' },
  { what: 'open its memory', of: (g) => python(`open('/proc/${g.postmaster}/mem', 'rb')`), control: 'root' },
  { what: 'enter its root', of: (g) => shell(`ls /proc/${g.postmaster}/root/`), control: 'own' },
  { what: 'see that it runs', of: (g) => shell(`ps -eo uid= | grep -w ${g.uid}`), control: 'own' },
  { what: 'read its shared memory file', of: (g) => shell(`cat /dev/shm/${g.shmFile} >/dev/null`), control: 'own' },
  {
    what: 'attach its System V segment',
    of: (g) =>
      python(
        `import ctypes\nlibc = ctypes.CDLL(None, use_errno=True); libc.shmat.restype = ctypes.c_void_p\n` +
          `assert libc.shmat(${g.shmId}, None, 0o10000) != ctypes.c_void_p(-1).value`,
      ),
    control: 'own',
  },
  { what: 'connect to its socket', of: (g) => unixConnect(`${g.run}/.s.PGSQL.${g.port}`), control: 'own' },
  {
    what: 'log in through its socket',
    of: (g) => shell(`psql -h ${g.run} -p ${g.port} -U postgres -d postgres -c 'SELECT 1'`),
    control: 'own',
  },
  { what: 'become its user', of: (g) => shell(`setpriv --reuid=${g.uid} true`), control: 'root' },
];

function unixConnect(path: string): Attempt {
  return python(`import socket\nsocket.socket(socket.AF_UNIX).connect('${path}')`);
}

const fleet: Row[] = [
  { what: "HAProxy's admin socket", of: () => unixConnect('/run/pgs-haproxy/admin.sock'), control: 'root' },
  { what: "HAProxy's master socket", of: () => unixConnect('/run/pgs-haproxy/master.sock'), control: 'root' },
  {
    what: "HAProxy's key for a neighbour",
    of: (g) => shell(`cat /etc/pgs/haproxy/tls/${g.tenant}-client.pem`),
    control: 'root',
  },
  { what: "HAProxy's configuration", of: () => shell('ls /etc/pgs/haproxy/conf.d'), control: 'root' },
  { what: "etcd's data", of: () => shell('ls /var/lib/pgs-etcd/data'), control: 'root' },
  { what: "etcd's server key", of: () => shell('cat /etc/pgs/etcd/tls/server.key'), control: 'root' },
  { what: "etcd's peer key", of: () => shell('cat /etc/pgs/etcd/tls/peer.key'), control: 'root' },
  { what: "root's login to etcd", of: () => shell('cat /etc/pgs/etcd-defrag.env'), control: 'root' },
  { what: "the units' stamps", of: () => shell('ls /run/pgs/stamps'), control: 'root' },
  { what: 'the journal', of: () => shell('journalctl -q -n 1 | grep .'), control: 'root' },
  {
    what: "the journal's files",
    of: () => shell('find /var/log/journal /run/log/journal -name "*.journal" | grep .'),
    control: 'root',
  },
  { what: 'the ssh host key', of: () => shell('cat /etc/ssh/ssh_host_ed25519_key'), control: 'root' },
  { what: "root's authorized keys", of: () => shell('cat /root/.ssh/authorized_keys'), control: 'root' },
  { what: 'passwords of the machine', of: () => shell('cat /etc/shadow'), control: 'root' },
  {
    what: 'systemd over its bus',
    of: (g) => shell(`systemctl show -p MainPID pgs-patroni@${g.tenant}`),
    control: 'root',
  },
  {
    what: 'any private key on the machine but its own',
    of: () =>
      shell(
        `grep -rlsIE '^-----BEGIN .*PRIVATE KEY' /etc /var /run /root /home /srv /opt /usr/local | grep -v '^/etc/pgs/tenants/${intruder}/tls/'`,
      ),
    control: 'root',
  },
];

const names: Row[] = [
  { what: 'ls /var/lib/pgs', of: (g) => shell(`ls /var/lib/pgs | grep -x ${g.tenant}`), control: 'own' },
  { what: 'ls /etc/pgs/tenants', of: (g) => shell(`ls /etc/pgs/tenants | grep -x ${g.tenant}`), control: 'own' },
  { what: 'ls /run/pgs', of: (g) => shell(`ls /run/pgs | grep -x ${g.tenant}`), control: 'own' },
  {
    what: 'units',
    of: (g) => shell(`ls /etc/systemd/system /run/systemd/units | grep '@${g.tenant}[.]'`),
    control: 'root',
  },
  {
    what: 'control groups',
    of: (g) => shell(`find /sys/fs/cgroup | grep 'pgs-patroni@${g.tenant}[.]'`),
    control: 'root',
  },
  { what: 'owners of shared memory', of: (g) => shell(`ipcs -m | grep ' ${g.user} '`), control: 'own' },
  { what: 'shared memory', of: (g) => shell(`ls -ln /dev/shm | grep ' ${g.uid} '`), control: 'own' },
];

const machine: Row[] = [
  { what: 'write into /etc', of: () => shell('touch /etc/planted && rm /etc/planted'), control: 'root' },
  {
    what: 'write anywhere but its own and temporary directories',
    of: () =>
      shell(
        [
          'find / ( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp',
          `-o -path /var/lib/pgs/${intruder} -o -path /run/pgs/${intruder} )`,
          "-prune -o -writable '!' -type l -print 2>/dev/null | grep -m 1 .",
        ]
          .join(' ')
          .replaceAll(/ ([()]) /g, " '$1' "),
      ),
    control: 'root',
  },
  {
    what: 'write into /sys',
    of: () => shell('find /sys -writable -type f 2>/dev/null | grep -m 1 .'),
    control: 'root',
  },
  {
    what: 'make a setuid program',
    of: () => shell('cp /bin/true /tmp/s && chmod u+s /tmp/s; test -u /tmp/s'),
    control: 'root',
  },
  { what: 'sudo', of: () => shell('sudo -n true'), control: 'root' },
  { what: 'su', of: () => shell('su -s /bin/sh root -c true </dev/null'), control: 'root' },
  { what: 'hold a capability', of: () => shell("grep 'CapBnd:.*[1-9a-f]' /proc/self/status"), control: 'root' },
  {
    what: 'run without a system call filter',
    of: () => shell("grep -P 'NoNewPrivs:\\t0' /proc/self/status"),
    control: 'root',
  },
  { what: 'a user namespace', of: () => shell('unshare --user true'), control: 'root' },
  { what: 'a mount namespace', of: () => shell('unshare --mount true'), control: 'root' },
  { what: 'mount', of: () => shell('mount -t tmpfs none /mnt && umount /mnt'), control: 'root' },
  { what: 'make a device', of: () => shell('mknod /tmp/d c 1 3 && rm /tmp/d'), control: 'root' },
  { what: 'change the owner of a file', of: (g) => shell(`touch /tmp/o && chown ${g.uid} /tmp/o`), control: 'root' },
  { what: 'a raw socket', of: () => socket('AF_INET, socket.SOCK_RAW, 1'), control: 'root' },
  { what: 'a packet socket', of: () => socket('AF_PACKET, socket.SOCK_RAW'), control: 'root' },
  { what: 'a netlink socket', of: () => socket('AF_NETLINK, socket.SOCK_RAW'), control: 'root' },
  { what: 'change its priority', of: () => shell('renice -n -5 $$'), control: 'root' },
];

function socket(kind: string): Attempt {
  return python(`import socket\nsocket.socket(socket.${kind})`);
}

/** Always with the intruder's own certificates and passwords. */
const network: Row[] = [
  {
    what: "log in as replication with one's own password",
    of: (g) =>
      shell(
        `PGPASSWORD=$(python3 -c "import yaml; print(yaml.safe_load(open('/etc/pgs/tenants/${intruder}/patroni.yml'))` +
          `['postgresql']['authentication']['replication']['password'])") ` +
          `psql 'host=${g.address} port=${g.port} user=pgs_replication replication=true sslmode=require' -c IDENTIFY_SYSTEM`,
      ),
    control: 'own',
  },
  {
    what: "read REST with one's own certificate",
    of: (g) =>
      python(
        [
          'import http.client, ssl',
          "tls = ssl._create_unverified_context(); own = '/etc/pgs/tenants/acme/tls/rest'",
          "tls.load_cert_chain(own + '.crt', own + '.key')",
          `rest = http.client.HTTPSConnection('${g.address}', ${g.rest}, context=tls, timeout=5)`,
          "rest.request('GET', '/patroni'); assert rest.getresponse().status == 200",
        ].join('\n'),
      ),
    control: 'own',
  },
];

const everything: Record<string, Row[]> = { files, memory, fleet, names, machine, network };
const rows = Object.values(everything).flat();
let other: Ground;
const outcomes = new Map<Row, { attempt: Outcome; control: Outcome }>();

beforeAll(async () => {
  for (const tenant of [intruder, neighbour]) await pgsOk(['cluster', 'create', tenant, '--replicas', '2']);
  const status = await untilHealthy(intruder);
  const { host } = status.members.find((m) => m.name === status.leader)!;
  const own = await groundOf(intruder, host);
  other = await groundOf(neighbour, host);
  const byIntruder = await asSuperuser(intruder, [
    ...rows.map((row) => row.of(other)),
    ...rows.map((row) => row.of(own)),
  ]);
  const byRoot = await asRoot(
    host,
    rows.map((row) => row.of(other)).map((attempt) => ('shell' in attempt ? attempt.shell : 'false')),
  );
  rows.forEach((row, n) => {
    const control = row.control === 'root' ? byRoot[n]! : byIntruder[rows.length + n]!;
    outcomes.set(row, { attempt: byIntruder[n]!, control });
  });
});

afterAll(async () => {
  await destroyQuietly(intruder);
  await destroyQuietly(neighbour);
});

async function groundOf(tenant: string, host: string): Promise<Ground> {
  const [home, run, config] = [`/var/lib/pgs/${tenant}`, `/run/pgs/${tenant}`, `/etc/pgs/tenants/${tenant}`];
  const said = await onOk(
    host,
    `id -u pgs-${tenant}; systemctl show -p MainPID --value pgs-patroni@${tenant}; ` +
      `awk 'NR == 1 || NR == 4 { print $1 } NR == 7 { print $2 }' ${home}/data/postmaster.pid; ` +
      `ls /proc/$(head -n 1 ${home}/data/postmaster.pid)/root/dev/shm -ln | awk -v uid=$(id -u pgs-${tenant}) '$3 == uid { print $9; exit }'`,
  );
  const [uid, patroni, postmaster, port, shmId, shmFile] = said.trim().split('\n');
  const numbers = { uid: Number(uid), patroni: Number(patroni), postmaster: Number(postmaster), shmId: Number(shmId) };
  if (!shmFile || Object.values(numbers).some((n) => !(n >= 0))) throw new Error(`${tenant} on ${host}: ${said}`);
  // The last two of a tenant's ports that are in use: PostgreSQL, and after it Patroni's REST.
  const places = {
    user: `pgs-${tenant}`,
    home,
    run,
    config,
    address: addresses()[host]!,
    port: Number(port),
    rest: Number(port) + 1,
  };
  return { tenant, ...places, ...numbers, shmFile };
}

describe.each(Object.entries(everything))("a tenant's superuser cannot reach a neighbour: %s", (_, group) => {
  test.each(group.map((row) => [row.what, row] as const))('%s', (_what, row) => {
    const { attempt, control } = outcomes.get(row)!;
    expect(control.code, `the control fails, so the attempt shows nothing: ${control.output}`).toBe(0);
    expect(attempt.code, `it succeeded: ${attempt.output.slice(0, 500)}`).not.toBe(0);
  });
});

test('without a password nobody gets into a cluster, from the machine of a member neither', async () => {
  const { address, port } = other;
  const users = ['postgres', 'app', 'pgs_probe', 'pgs_replication', 'pgs_rewind'];
  const said = await asSuperuser(
    intruder,
    users.map((user) =>
      shell(`psql -w 'host=${address} port=${port} user=${user} dbname=postgres sslmode=require' -c 'SELECT 1'`),
    ),
  );
  for (const { code, output } of said) {
    expect(output).toMatch(/no password supplied|pg_hba.conf rejects/);
    expect(code).not.toBe(0);
  }
});

describe('the walls around a tenant', () => {
  test('score as well as services that need no network can hope for', async () => {
    const units = `pgs-patroni@${intruder}.service pgs-haproxy.service pgs-etcd.service pgs-etcd-defrag.service`;
    const said = await onOk('h1', `systemd-analyze security --no-pager ${units} | grep -oP 'level for [^:]+: [0-9.]+'`);
    const scores = said
      .trim()
      .split('\n')
      .map((line) => Number(line.split(': ')[1]));
    expect(scores).toHaveLength(4);
    expect(Math.max(...scores)).toBeLessThan(1.6);
  });

  test('leave a PostgreSQL that outlived its Patroni to the next Patroni, unharmed', async () => {
    const status = await untilHealthy(intruder);
    const { host } = status.members.find((m) => m.name === status.leader)!;
    const before = await groundOf(intruder, host);
    await onOk(host, `kill -KILL ${before.patroni}`);
    await until('another Patroni runs', async () => {
      const pid = Number(await onOk(host, `systemctl show -p MainPID --value pgs-patroni@${intruder}`));
      return pid > 0 && pid !== before.patroni;
    });
    expect((await untilHealthy(intruder)).leader).toBe(status.leader);
    const after = await groundOf(intruder, host);
    expect(after.postmaster).toBe(before.postmaster);
    // Its mounts are those of the Patroni that is gone, and must still be whole.
    const [alive] = await asSuperuser(intruder, [shell(`ls ${after.run} ${after.home}/data && df /dev/shm`)]);
    expect(alive!.code).toBe(0);
  });
});
