"""Looks at a host's watchdogs and fencing service, and prints one JSON object (watchdog/facts.ts). Changes nothing. Arguments: tenants."""
import glob, json, os, pwd, stat, subprocess, sys, time


def read(path, default=""):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return default


def run(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=8).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def number(text):
    return float(text) if text.replace(".", "", 1).isdigit() else None


def user_of(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def files_of(paths):
    """(device, inode) or device number of each path that is there."""
    found = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[path] = ("device", status.st_rdev) if stat.S_ISCHR(status.st_mode) else ("file", status.st_dev, status.st_ino)
    return found


def unit_of(pid):
    last = read("/proc/%s/cgroup" % pid).rpartition("\n")[2]
    units = [part for part in last.split("/") if part.endswith((".service", ".scope"))]
    return units[-1].replace("\\x2d", "-") if units else None


def holders_of(wanted):
    """Who has which of these files open, by path."""
    found = {path: [] for path in wanted}
    for entry in glob.glob("/proc/[0-9]*/fd"):
        pid = entry.split("/")[2]
        try:
            names = os.listdir(entry)
        except OSError:
            continue
        for name in names:
            try:
                status = os.stat(entry + "/" + name)
                what = ("device", status.st_rdev) if stat.S_ISCHR(status.st_mode) else ("file", status.st_dev, status.st_ino)
                writes = [path for path, key in wanted.items() if key == what]
                if not writes or not writable("/proc/%s/fdinfo/%s" % (pid, name)):
                    continue
                owner = user_of(os.stat("/proc/" + pid).st_uid)
            except OSError:
                continue
            holder = {"pid": int(pid), "command": read("/proc/%s/comm" % pid), "user": owner, "unit": unit_of(pid)}
            for path in writes:
                if holder not in found[path]:
                    found[path].append(holder)
    return found


def writable(info):
    flags = [line.split()[1] for line in read(info).splitlines() if line.startswith("flags:")]
    return bool(flags) and int(flags[0], 8) & 3 in (1, 2)


def blacklists():
    files = [f for d in ("/etc", "/run", "/usr/lib", "/lib") for f in sorted(glob.glob(d + "/modprobe.d/*.conf"))]
    hits, real = [], set()
    for path in files:
        if os.path.realpath(path) not in real and any(line.split() == ["blacklist", "softdog"] for line in read(path).splitlines()):
            hits.append(path)
        real.add(os.path.realpath(path))
    return hits


properties = dict(
    line.split("=", 1)
    for line in run("systemctl", "show", "pgs-fence.service", "-p", "ActiveState", "-p", "LoadState").splitlines()
)
try:
    state = json.load(open("/run/pgs/fence.json"))["tenants"]
except (OSError, ValueError, KeyError):
    state = {}
boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
names = sorted(os.path.basename(path) for path in glob.glob("/sys/class/watchdog/watchdog*"))
pipes = {name: "/run/pgs/fence/%s/pipe" % name for name in sys.argv[1:]}
held = holders_of(files_of(["/dev/watchdog"] + ["/dev/" + name for name in names] + list(pipes.values())))

devices = []
for name in names:
    about = lambda key, name=name: read("/sys/class/watchdog/%s/%s" % (name, key))
    node = "/dev/" + name
    if not os.path.exists(node):
        continue
    # /dev/watchdog is another name of the first one.
    holders = held.get(node, []) + [h for h in (held.get("/dev/watchdog", []) if name == "watchdog0" else []) if h not in held.get(node, [])]
    owners = {user_of(os.stat(path).st_uid) for path in [node] + (["/dev/watchdog"] if name == "watchdog0" else []) if os.path.exists(path)}
    devices.append({
        "node": node,
        "identity": about("identity"),
        "active": about("state") == "active",
        "timeoutS": number(about("timeout")),
        "leftS": number(about("timeleft")),
        "nowayout": about("nowayout") == "1",
        "owner": owners.pop() if len(owners) == 1 else "root",
        "holders": holders,
    })

tenants = {}
for name, pipe in pipes.items():
    known = state.get(name, {})
    armed, timeout, last = known.get("armed", False), known.get("timeoutS", 0), known.get("lastS")
    there = os.path.lexists(pipe)
    tenants[name] = {
        "pipe": "absent" if not there else "present" if stat.S_ISFIFO(os.lstat(pipe).st_mode) else "other",
        "armed": armed,
        "timeoutS": timeout,
        "lastAgoS": None if last is None else round(boot_s - last, 3),
        "leftS": round(last + timeout - boot_s, 3) if armed else None,
        "fenced": known.get("fenced"),
        "holders": [h for h in held.get(pipe, []) if h["pid"] != 1 and h["unit"] != "pgs-fence.service"],
    }

release = os.uname().release
manager = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
# "t 10000000"; the largest number means that it is off.
usec = run("busctl", "get-property", *manager, "RuntimeWatchdogUSec").rpartition(" ")[2]
print(json.dumps({
    "container": run("systemd-detect-virt", "-c") or "none",
    "service": None if properties.get("LoadState") != "loaded" else properties.get("ActiveState"),
    "systemdTimeoutS": int(usec) / 1e6 if usec.isdigit() and int(usec) < 2**63 else 0,
    "bootId": read("/proc/sys/kernel/random/boot_id"),
    "softdog": {
        "loaded": os.path.isdir("/sys/module/softdog"),
        "available": bool(glob.glob("/lib/modules/%s/kernel/drivers/watchdog/softdog.ko*" % release)),
        "blacklistedBy": blacklists(),
    },
    "devices": devices,
    "tenants": tenants,
}))
