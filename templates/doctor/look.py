"""Looks at a host for `pgs doctor` and prints one JSON object (src/doctor/host-facts.ts). Changes nothing. On standard input: what of."""
import glob, json, os, pwd, re, stat, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor

began_ms = time.time() * 1000
asked = json.load(sys.stdin)
# Lines of a member's journal that say why it does not serve. Statements of clients are never among them.
TELLING = re.compile(
    r"PANIC|FATAL|CRITICAL|pg_rewind|requested WAL segment|system ID mismatch|system identifier|No space left|"
    r"could not (bind|open|write|create|locate|read|access|receive)|invalid value for parameter|unrecognized configuration parameter|"
    r"insufficient parameter settings|failed to start|not the healthiest|watchdog|Watchdog|address already in use|Error while"
)
CLIENT_NOISE = re.compile(
    r"password authentication failed|no pg_hba.conf entry|terminating connection|the database system is|remaining connection slots|too many clients|STATEMENT:"
)


def read(path, default=""):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return default


def run(*argv, stdin=None, seconds=8):
    try:
        ran = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=seconds)
        return ran.returncode, ran.stdout.strip(), ran.stderr.strip()
    except subprocess.TimeoutExpired:
        return 124, "", "no answer within %d s" % seconds
    except OSError as error:
        return 127, "", str(error)


def out(*argv):
    return run(*argv)[1]


def disks():
    found = {}
    own = [path for about in asked["tenants"] for path in (about["data"], about["data"] + "/pg_wal")]
    for path in ["/", "/var/lib/pgs", "/var/lib/pgs-etcd"] + own:
        try:
            device, fs = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue
        # The first of a file system names it, but for the root.
        if device in found and found[device]["path"] != "/":
            continue
        found[device] = {
            "path": path,
            "sizeMiB": fs.f_blocks * fs.f_frsize // 2**20,
            "freeMiB": fs.f_bavail * fs.f_frsize // 2**20,
            "inodes": fs.f_files,
            "inodesFree": fs.f_favail,
        }
    return sorted(found.values(), key=lambda disk: disk["path"])


def units():
    names = set(asked["units"])
    for line in out("systemctl", "list-units", "--all", "--plain", "--no-legend", "pgs-*.service", "pgs-*.timer").splitlines():
        names.add(line.split()[0])
    properties = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts,MainPID"
    shown = out("systemctl", "show", "-p", properties, "--", *sorted(names)) if names else ""
    found = {}
    for block in shown.split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in told:
            found[told["Id"]] = {
                "load": told.get("LoadState", ""),
                "active": told.get("ActiveState", ""),
                "sub": told.get("SubState", ""),
                "result": told.get("Result", ""),
                "enabled": told.get("UnitFileState") == "enabled",
                "restarts": int(told.get("NRestarts") or 0),
                "pid": int(told.get("MainPID") or 0),
            }
    return found


def strangers():
    listed = out(
        "systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating", "postgresql@*.service",
        "patroni@*.service", "etcd.service", "haproxy.service", "pgbouncer.service", "patroni.service",
    )
    return [line.split()[0] for line in listed.splitlines()]


def clock():
    services = out(
        "systemctl", "list-units", "--plain", "--no-legend", "--state=active", "chrony.service", "chronyd.service",
        "systemd-timesyncd.service", "ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service",
    )
    return [line.split()[0] for line in services.splitlines()]


def upgrades():
    code, listed, _ = run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", "unattended-upgrades", "needrestart")
    present = [line.split()[0] for line in listed.splitlines() if line.split()[1:2] and line.split()[1][1:2] == "i"]
    guards = {"unattended-upgrades": "/etc/apt/apt.conf.d/52pgs", "needrestart": "/etc/needrestart/conf.d/pgs.conf"}
    return [name for name in present if not os.path.exists(guards[name])]


def faults():
    undos = []
    for path in sorted(glob.glob("/var/lib/pgs-chaos/*.tenant")):
        undos.append({"id": os.path.basename(path)[: -len(".tenant")], "tenant": read(path)})
    tables = re.findall(r"^table inet (pgs_chaos_\w+)", out("nft", "list", "tables"), re.M)
    timers = re.findall(r"^(pgs-resume-[0-9a-f]+@[a-z0-9-]+\.timer)", out("systemctl", "list-units", "--plain", "--no-legend", "pgs-resume-*"), re.M)
    return {"undos": undos, "tables": tables, "resumeTimers": timers}


def processes():
    """(pid, parent, state, uid, words of the command line) of every process."""
    found = []
    for entry in glob.glob("/proc/[0-9]*"):
        line = read(entry + "/stat")
        if not line:
            continue
        rest = line.rpartition(")")[2].split()
        try:
            uid = os.stat(entry).st_uid
            with open(entry + "/cmdline", "rb") as file:
                words = file.read().decode("utf8", "replace").split("\0")
        except OSError:
            continue
        found.append((int(os.path.basename(entry)), int(rest[1]), rest[0], uid, words))
    return found


def size_mib(directory):
    total = 0
    try:
        for entry in os.scandir(directory):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0
    return total // 2**20


def member(about, listed):
    try:
        uid = pwd.getpwnam(about["user"]).pw_uid
    except KeyError:
        return {"present": False}
    own = [p for p in listed if p[3] == uid]
    names = lambda p: os.path.basename(p[4][0]) if p[4] and p[4][0] else ""
    # A postmaster is the only postgres whose parent is none; those that listen for queries are its children.
    postmasters = [p for p in own if names(p) == "postgres" and "-D" in p[4]]
    patroni = [p for p in own if any(word.endswith("/patroni") for word in p[4][:2])]
    asking = ["runuser", "-u", about["user"], "--"]
    place = ["-h", about["run"], "-p", str(about["port"]), "-U", "postgres", "-d", "postgres"]
    with ThreadPoolExecutor(4) as pool:
        sql = pool.submit(run, *asking, about["bin"] + "/psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", *place, "-f", "-", stdin=asked["sql"], seconds=6) if postmasters else None
        control = pool.submit(run, about["bin"] + "/pg_controldata", about["data"])
        pooler = pool.submit(run, *asking, "psql", "-XqAtw", "-h", about["run"], "-p", str(about["pooler"]), "-U", "pgbouncer", "-c", "SHOW STATE", "pgbouncer", seconds=4) if about["pooled"] else None
        journal = pool.submit(run, "journalctl", "-q", "--no-pager", "-o", "cat", "-u", about["unit"], "--since", "-15min", "-n", "600")
        code, text, error = sql.result() if sql else (1, "", "no postmaster runs")
        held = pooler.result() if pooler else (1, "", "")
        lines = [l for l in journal.result()[1].splitlines() if TELLING.search(l) and not CLIENT_NOISE.search(l)]
    told = re.search(r"^Database system identifier:\s+(\d+)$", control.result()[1], re.M)
    state = re.search(r"^paused\|(yes|no)$", held[1], re.M)
    return {
        "present": True,
        "postmasters": [{"pid": p[0], "state": p[2], "data": p[4][p[4].index("-D") + 1]} for p in postmasters],
        "patroni": [{"pid": p[0], "state": p[2]} for p in patroni],
        "stopped": [{"pid": p[0], "command": names(p)} for p in own if p[2] in "Tt"],
        "sql": json.loads(text) if code == 0 and text else None,
        "sqlError": "" if code == 0 else (error or "code %d" % code)[:300],
        "systemId": told.group(1) if told else None,
        "walMiB": size_mib(about["data"] + "/pg_wal"),
        "poolerPaused": None if state is None else state.group(1) == "yes",
        "log": [line[:300] for line in lines[-8:]],
    }


with ThreadPoolExecutor(8) as pool:
    listed = processes()
    members = {about["tenant"]: pool.submit(member, about, listed) for about in asked["tenants"]}
    parts = {name: pool.submit(work) for name, work in (("units", units), ("strangers", strangers), ("timeServices", clock), ("unguarded", upgrades), ("faults", faults))}
    answer = {name: part.result() for name, part in parts.items()}
    answer["tenants"] = {tenant: found.result() for tenant, found in members.items()}
answer["disks"] = disks()
answer["container"] = out("systemd-detect-virt", "-c") or "none"
answer["bootedAtMs"] = round(time.time() * 1000 - time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)
answer["clockMs"] = [round(began_ms), round(time.time() * 1000)]
print(json.dumps(answer))
