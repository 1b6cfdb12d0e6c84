"""What is installed, what apt would install, and what runs from files that are no longer there; prints one JSON object
(src/host/programs.ts). Changes nothing. Arguments: `candidates` or `installed`, then packages."""
import glob, json, os, pwd, re, subprocess, sys

mode, packages = sys.argv[1], sys.argv[2:]


def out(*argv):
    env = dict(os.environ, LC_ALL="C")
    return subprocess.run(argv, capture_output=True, text=True, env=env).stdout


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def gone(pid):
    """dpkg puts a new file in the place of the old one, which the process goes on with."""
    try:
        return os.readlink("/proc/%d/exe" % pid).endswith(" (deleted)")
    except OSError:
        return False


def postmaster(user):
    uid = pwd.getpwnam(user).pw_uid
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            words = read(entry + "/cmdline").split("\0")
            if os.stat(entry).st_uid == uid and os.path.basename(words[0]) == "postgres" and "-D" in words:
                return int(os.path.basename(entry))
        except OSError:
            continue
    return 0


installed = {}
for line in out("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}|${Version}\n", *packages).splitlines():
    name, _, rest = line.partition(" ")
    status, _, version = rest.partition("|")
    installed[name] = {"installed": version if status[1:2] == "i" else None, "held": status[:1] == "h", "broken": status[2:3] not in ("", " ")}
candidates = {}
if mode == "candidates":
    name = None
    for line in out("apt-cache", "policy", *packages).splitlines():
        if re.match(r"\S+:$", line):
            name = line[:-1]
        told = re.match(r"  Candidate: (\S+)$", line)
        if told and told.group(1) != "(none)":
            candidates[name] = told.group(1)

units = [l.split()[0] for l in out("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "pgs-*.service").splitlines()]
shown = out("systemctl", "show", "--timestamp=unix", "-p", "Id,MainPID,ExecMainStartTimestamp", "--", *units) if units else ""
programs = []
for block in shown.split("\n\n"):
    told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    unit, pid = told.get("Id", ""), int(told.get("MainPID") or 0)
    started = re.match(r"@(\d+)", told.get("ExecMainStartTimestamp", ""))
    known = re.match(r"pgs-(patroni|pgbouncer|pgbouncer-replica|haproxy|etcd)(?:@([a-z0-9-]+))?\.service$", unit)
    if not known or pid == 0:
        continue
    component, tenant = known.groups()
    replaced = gone(pid)
    if component == "patroni":
        # Python has read its files at the start; when they were replaced is when dpkg wrote their list.
        try:
            replaced = started is not None and os.stat("/var/lib/dpkg/info/patroni.list").st_mtime > int(started.group(1)) + 1
        except OSError:
            replaced = False
        server = postmaster("pgs-" + tenant)
        if server:
            programs.append({"unit": unit, "component": "postgres", "tenant": tenant, "replaced": gone(server)})
    programs.append({"unit": unit, "component": component, "tenant": tenant, "replaced": replaced})

for name in packages:
    about = installed.setdefault(name, {"installed": None, "held": False, "broken": False})
    about["candidate"] = candidates.get(name)
print(json.dumps({"packages": installed, "programs": programs}))
