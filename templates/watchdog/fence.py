#!/usr/bin/python3 -IS
"""The watchdog of a host that many tenants share (pgs-fence.service).

A kernel's watchdog device can be opened once. So each tenant's Patroni talks Patroni's own watchdog protocol to a named pipe of its
own (`watchdog.driver: testing`): `Ctimeout=N` and a newline sets the time-out, `1` is a keepalive, sent only after the leader lock
was renewed, and `V` before the close disarms. This service is the other end. As the kernel would, it goes on counting when the pipe is
closed without a `V`; when a tenant's time is over, it kills all processes of that tenant and of nobody else, and resets the machine
if that fails.

What is armed is kept in STATE, with deadlines on the clock since boot: a service that was killed, stalled (systemd's WatchdogSec) or
replaced goes on where the last one was. While it is gone for good, no pipe is there, so that no Patroni can arm; those that were armed
are killed by the last run (`--stopped`, the unit's ExecStopPost).

  fence             serve; SIGHUP takes a new version of this file
  fence --stopped   after the end of a run: fence what is left, unless the next run is about to begin
  fence --wait T    before tenant T's Patroni starts: until its pipe is there

Tenants are the files of TENANTS: NAME.json with `user`, `slice` (directory below the cgroup root) and `timeoutS` (for a pipe that is
open while nothing is known of it).
"""
import array, ctypes, errno, json, os, pwd, select, signal, socket, stat, sys, time

ROOT = os.environ.get("PGS_FENCE_ROOT", "")  # of tests
TENANTS = ROOT + "/etc/pgs/fence.d"
PIPES = ROOT + "/run/pgs/fence"
STATE = ROOT + "/run/pgs/fence.json"
CGROUPS = os.environ.get("PGS_FENCE_CGROUPS", "/sys/fs/cgroup")
UNIT = "pgs-fence.service"
TICK_S = 0.25
# How long killed processes may take to be gone before the machine is reset.
DYING_S = 3.0


def now():
    """Seconds since boot: goes on while the machine is suspended, and is the same for every run."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def log(text):
    print(text, flush=True)


class Tenant:
    """One tenant's pipe and what is known of it."""

    def __init__(self, name, user, slice, timeoutS):
        self.name, self.user, self.cgroup = name, user, os.path.join(CGROUPS, slice)
        self.default_timeout = float(timeoutS)
        self.pipe = os.path.join(PIPES, name, "pipe")
        self.fd = None
        self.armed, self.timeout, self.last, self.magic = False, float(timeoutS), None, False
        self.command = None
        self.fenced = None
        self.dying_until = None

    def open(self):
        """Makes the pipe unless it is there, and its reading end. A pipe that is there stays: somebody may be waiting in it."""
        account = pwd.getpwnam(self.user)
        if account.pw_uid == 0:
            raise ValueError("a tenant is never root")
        os.makedirs(os.path.dirname(self.pipe), mode=0o755, exist_ok=True)
        if not os.path.exists(self.pipe):
            old = os.umask(0o077)
            new = self.pipe + ".new"
            if os.path.lexists(new):
                os.unlink(new)
            os.mkfifo(new, 0o600)
            os.umask(old)
            if os.geteuid() == 0:
                os.chown(new, 0, account.pw_gid)
            os.chmod(new, 0o620)
            os.rename(new, self.pipe)
        if not stat.S_ISFIFO(os.lstat(self.pipe).st_mode):
            raise OSError(errno.EINVAL, "is no pipe", self.pipe)
        fresh = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK)
        # Only now is the old end closed: a pipe without a reader would refuse a keepalive.
        if self.fd is not None:
            os.close(self.fd)
        self.fd = fresh

    def deadline(self):
        return self.last + self.timeout if self.armed else None

    def read(self):
        """Takes what was written; true if anything changed."""
        changed = False
        while True:
            try:
                data = os.read(self.fd, 4096)
            except BlockingIOError:
                return changed
            if data == b"":
                self.closed()
                return True
            for byte in data:
                self.take(bytes([byte]))
            changed = True

    def take(self, byte):
        if self.command is not None:
            if byte == b"\n":
                self.set(self.command)
                self.command = None
            elif len(self.command) < 64:
                self.command += byte
            return
        if byte == b"C":
            self.command = b""
        elif byte == b"V":
            self.magic = True
        else:
            self.keepalive()

    def set(self, command):
        key, _, value = command.partition(b"=")
        if key == b"timeout" and value.isdigit() and 0 < int(value) < 65536:
            self.timeout = float(value)
            self.keepalive()
        else:
            log("%s: does not understand %r" % (self.name, command))

    def keepalive(self):
        if not self.armed:
            log("%s: armed, %g s" % (self.name, self.timeout))
        self.armed, self.magic, self.last, self.fenced = True, False, now(), None

    def closed(self):
        self.command = None
        self.open()
        if not self.armed:
            return
        if self.magic:
            self.armed = self.magic = False
            log("%s: disarmed" % self.name)
        else:
            log("%s: Patroni is gone without disarming: %.1f s left" % (self.name, self.deadline() - now()))

    def has_writer(self):
        """Whether somebody has the pipe open for writing; takes what was written."""
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return True
        for byte in data:
            self.take(bytes([byte]))
        return data != b""

    def fence(self, reason):
        since = None if self.last is None else now() - self.last
        started = time.monotonic()
        failure = None
        try:
            with open(os.path.join(self.cgroup, "cgroup.kill"), "w") as kill:
                kill.write("1")
        except OSError as error:
            failure = str(error)
        kill_user(self.user)
        after = "" if since is None else ", %.2f s after the last keepalive" % since
        log("%s: FENCED, %s%s%s" % (self.name, reason, after, "" if failure is None else " (its cgroup: %s)" % failure))
        self.fenced = {
            "atS": time.time(),
            "reason": reason,
            "afterKeepaliveS": since,
            "timeoutS": self.timeout,
            "killTookS": time.monotonic() - started,
        }
        self.armed = self.magic = False
        self.dying_until = now() + DYING_S

    def gone(self):
        """Whether nothing of the tenant's life before is left. What systemd has started since is new: it asks etcd first."""
        return not any(self.old(pid) for pid in processes_of(self.user))

    def old(self, pid):
        try:
            with open("/proc/%d/stat" % pid) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return False
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return fields[0] not in "ZX" and started < self.dying_until - DYING_S

    def known(self):
        return {"armed": self.armed, "timeoutS": self.timeout, "lastS": self.last, "magic": self.magic, "fenced": self.fenced}

    def remember(self, known):
        self.armed, self.timeout, self.magic = known["armed"], known["timeoutS"], known["magic"]
        self.last, self.fenced = known["lastS"], known["fenced"]


def processes_of(user):
    uid = pwd.getpwnam(user).pw_uid
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat("/proc/" + name).st_uid == uid:
                    found.append(int(name))
            except OSError:
                pass
    return found


def kill_user(user):
    """Kills processes of the user outside of the tenant's cgroup: a PostgreSQL that was started by hand."""
    for pid in processes_of(user):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def reset_machine(why):
    log("RESETS THE MACHINE: " + why)
    if ROOT:
        sys.exit(99)
    try:
        with open("/proc/sysrq-trigger", "w") as trigger:
            trigger.write("b")
    except OSError:
        pass
    ctypes.CDLL(None).reboot(0x01234567)


def tell_systemd(text, fd=None):
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path[0] == "@" else path)
            sock.sendmsg([text.encode()], rights)


def keep_pipe(tenant):
    """systemd keeps an end of the pipe open too: between two runs a keepalive or a disarming waits in it, and nobody blocks."""
    tell_systemd("FDSTOREREMOVE=1\nFDNAME=" + tenant.name)
    tell_systemd("FDSTORE=1\nFDPOLL=0\nFDNAME=" + tenant.name, tenant.fd)


def read_state():
    try:
        with open(STATE) as file:
            return json.load(file)["tenants"]
    except (OSError, ValueError, KeyError):
        return {}


def write_state(tenants):
    with open(STATE + ".new", "w") as file:
        json.dump({"version": 1, "pid": os.getpid(), "tenants": {t.name: t.known() for t in tenants.values()}}, file)
    os.rename(STATE + ".new", STATE)


def load_tenant(name):
    with open(os.path.join(TENANTS, name + ".json")) as file:
        wanted = json.load(file)
    return Tenant(name, wanted["user"], wanted["slice"], wanted["timeoutS"])


def update_tenants(tenants, state):
    """Takes tenants that came, lets go those that went (their Patroni is stopped before)."""
    try:
        names = {file[:-5] for file in os.listdir(TENANTS) if file.endswith(".json")}
    except FileNotFoundError:
        names = set()
    changed = False
    for name in names - set(tenants):
        try:
            tenant = load_tenant(name)
            tenant.open()
        except (OSError, ValueError, KeyError) as error:
            log("%s: cannot be guarded: %s" % (name, error))
            continue
        if name in state:
            tenant.remember(state[name])
        elif tenant.has_writer() and not tenant.armed:
            tenant.keepalive()
        keep_pipe(tenant)
        tenants[name] = tenant
        changed = True
    for name in set(tenants) - names:
        if tenants[name].armed:
            continue
        close_pipe(tenants.pop(name))
        changed = True
    return changed


def close_pipe(tenant):
    try:
        os.unlink(tenant.pipe)
    except FileNotFoundError:
        pass  # its directory went with the tenant
    os.close(tenant.fd)
    tell_systemd("FDSTOREREMOVE=1\nFDNAME=" + tenant.name)


def serve():
    run_whatever_the_load()
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append("stop"))
    signal.signal(signal.SIGHUP, lambda *_: asked.append("reload"))
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    tenants, state = {}, read_state()
    update_tenants(tenants, state)
    write_state(tenants)
    looked = 0.0
    tell_systemd("READY=1\nWATCHDOG=1")
    while not asked:
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        for tenant in tenants.values():
            poll.register(tenant.fd, select.POLLIN)
        deadlines = [t.deadline() for t in tenants.values() if t.armed]
        poll.poll(max(0, min([TICK_S] + [d - now() for d in deadlines])) * 1000)
        changed = step(tenants)
        if now() - looked > 1 and not asked:
            changed = update_tenants(tenants, {}) or changed
            looked = now()
        if changed:
            write_state(tenants)
        tell_systemd("WATCHDOG=1")
    write_state(tenants)
    if "stop" not in asked:
        os.execv(sys.executable, [sys.executable, "-IS"] + sys.argv)


def run_whatever_the_load():
    """Neither a busy processor nor a full memory may keep a kill waiting; a container may not be allowed to ask for that."""
    ctypes.CDLL(None).mlockall(3)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        pass


def step(tenants):
    changed = False
    for tenant in tenants.values():
        changed = tenant.read() or changed
        if tenant.armed and now() >= tenant.deadline():
            tenant.fence("no keepalive for %g s" % tenant.timeout)
            changed = True
        if tenant.dying_until is not None:
            if tenant.gone():
                tenant.dying_until = None
            elif now() > tenant.dying_until:
                reset_machine("processes of %s are left %g s after they were killed" % (tenant.user, DYING_S))
    return changed


def next_run_begins():
    """A stop is final; after anything else systemd starts the next run."""
    if ROOT:
        return "PGS_FENCE_FINAL" not in os.environ
    with os.popen("systemctl list-jobs --plain --no-legend") as jobs:
        return not any(line.split()[1:3] == [UNIT, "stop"] for line in jobs)


def stopped():
    if next_run_begins():
        return
    state, tenants = read_state(), {}
    for name in sorted(file[:-5] for file in os.listdir(TENANTS) if file.endswith(".json")):
        tenant = load_tenant(name)
        if os.path.exists(tenant.pipe):
            tenant.open()
            os.unlink(tenant.pipe)
            tenants[name] = tenant
    for tenant in tenants.values():
        if tenant.name in state:
            tenant.remember(state[tenant.name])
        if tenant.has_writer() or tenant.armed:
            tenant.fence("the fencing service was stopped")
    write_state(tenants)
    while any(t.dying_until is not None and not t.gone() for t in tenants.values()):
        if any(t.dying_until is not None and now() > t.dying_until for t in tenants.values()):
            reset_machine("killed processes are left after %g s" % DYING_S)
        time.sleep(0.05)


def wait(name):
    """Until the tenant's pipe is there, 5 s at most: a Patroni that finds none when it starts a cluster gives the cluster up."""
    os.makedirs(os.path.join(PIPES, name), mode=0o755, exist_ok=True)
    until = now() + 5
    while not os.path.exists(os.path.join(PIPES, name, "pipe")) and now() < until:
        time.sleep(0.05)


if __name__ == "__main__":
    os.umask(0o022)  # `--wait` runs with that of Patroni's unit, and its directory must be entered by the tenant
    os.makedirs(PIPES, mode=0o755, exist_ok=True)
    if sys.argv[1:] == ["--stopped"]:
        stopped()
    elif sys.argv[1:2] == ["--wait"]:
        wait(sys.argv[2])
    else:
        serve()
