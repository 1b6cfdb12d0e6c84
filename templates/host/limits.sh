# What the kernel holds a slice and a unit's main process to: SLICE UNIT. Prints `NAME VALUE` lines: `group`, the control group's files
# that are there (version 2, or version 1 where a controller is mounted so), and `nofile`.
set -u
export LC_ALL=C
slice=$1 unit=$2
group=$(systemctl show -p ControlGroup --value -- "$slice")
pid=$(systemctl show -p MainPID --value -- "$unit")
printf 'group %s\n' "$group"

# NAME of the file, and directories below /sys/fs/cgroup where it may be.
say() {
  name=$1
  shift
  for root in "$@"; do
    file=/sys/fs/cgroup/$root$group/$name
    [ -r "$file" ] || continue
    printf '%s %s\n' "$name" "$(cat "$file")"
    return
  done
}
if [ -n "$group" ] && [ "$group" != / ]; then
  for name in cpu.weight cpu.max memory.max memory.high; do say "$name" '' unified; done
  for name in cpu.shares cpu.cfs_quota_us cpu.cfs_period_us; do say "$name" cpu cpu,cpuacct; done
  say memory.limit_in_bytes memory
  say pids.max '' unified pids
fi
if [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/limits" ]; then
  awk '/^Max open files/ { print "nofile " $4 }' "/proc/$pid/limits"
fi
exit 0
