# Looks at what makes a host fit for pgs and prints it in sections that `parse-check-facts.ts` reads. Changes nothing.
# Arguments: names of packages. Runs on a bare Debian: nothing that pgs installs is needed.
set -u
export LC_ALL=C
echo "@clock $(date +%s%N)"

echo @release
cat /etc/os-release
echo @machine
echo "architecture $(dpkg --print-architecture)"
echo "uid $(id -u)"
echo "cores $(nproc)"
echo "container $(systemd-detect-virt -c)"
while read -r key value _; do
  [ "$key" != MemTotal: ] || echo "memory-kib $value"
done </proc/meminfo

echo @disk
place=/var/lib/pgs
while [ ! -d "$place" ]; do place=${place%/*}; done
df -Pk "$place" | tail -n 1
df -Pi "$place" | tail -n 1

echo @cgroup
[ ! -r /sys/fs/cgroup/cgroup.controllers ] || echo "controllers $(cat /sys/fs/cgroup/cgroup.controllers)"

echo @watchdog
for device in /dev/watchdog*; do
  [ ! -e "$device" ] || echo "device $device"
done
for entry in /sys/class/watchdog/*; do
  [ -d "$entry" ] || continue
  identity=
  [ ! -r "$entry/identity" ] || read -r identity <"$entry/identity"
  echo "identity ${entry##*/} $identity"
done
find /proc/[0-9]*/fd -lname '/dev/watchdog*' -printf '%l %p\n' 2>/dev/null | while read -r device path; do
  pid=${path#/proc/}
  pid=${pid%%/*}
  echo "holder $device $pid $(stat -c %U "/proc/$pid") $(cat "/proc/$pid/comm")"
done
# shellcheck disable=SC2012
if ls "/lib/modules/$(uname -r)"/kernel/drivers/watchdog/softdog.ko* >/dev/null 2>&1; then echo softdog; fi

echo @time
services=$(systemctl list-units --plain --no-legend --state=active \
  chrony.service chronyd.service systemd-timesyncd.service ntp.service ntpd.service ntpsec.service openntpd.service)
if [ -n "$services" ]; then
  printf '%s\n' "$services"
  echo "synchronized $(timedatectl show -p NTPSynchronized --value 2>/dev/null)"
fi

if command -v ss >/dev/null; then
  echo @listening
  sockets=$(ss -Hltnp)
  printf '%s\n' "$sockets"
  # The unit of each process, to tell pgs's own from strangers.
  echo @processes
  printf '%s\n' "$sockets" | grep -o 'pid=[0-9]*' | sort -u | while IFS='=' read -r _ pid; do
    [ -r "/proc/$pid/cgroup" ] || continue
    while read -r line; do cgroup=$line; done <"/proc/$pid/cgroup"
    echo "$pid $cgroup"
  done
fi
echo @ephemeral
cat /proc/sys/net/ipv4/ip_local_port_range
cat /proc/sys/net/ipv4/ip_local_reserved_ports

echo @packages
# shellcheck disable=SC2016
packages=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev} ${Version}\n' "$@" unattended-upgrades needrestart 2>/dev/null)
printf '%s\n' "$packages"
installed=' ' held=
while read -r name status _; do
  case $status in ?i) installed="$installed$name " ;; esac
  case $status in h*) held="$held $name" ;; esac
done <<END
$packages
END
# apt takes ten times as long as all the rest, and its word counts only for what is not there yet.
echo @candidates
for name in "$@"; do
  shift
  case $installed in *" $name "*) ;; *) set -- "$@" "$name" ;; esac
done
[ $# -eq 0 ] || apt-cache policy "$@"
echo @holds
for name in $held; do echo "$name"; done
echo @interrupted
dpkg --audit
ls /var/lib/dpkg/updates

echo @units
systemctl list-units --all --plain --no-legend 'postgresql@*.service' 'patroni@*.service' \
  etcd.service haproxy.service pgbouncer.service patroni.service pgbackrest.service
echo @unit-files
systemctl list-unit-files --plain --no-legend etcd.service haproxy.service pgbouncer.service patroni.service \
  pgbackrest.service

# What keeps upgrades off pgs's units, by the program that it is for.
echo @guards
[ ! -f /etc/apt/apt.conf.d/52pgs ] || echo unattended-upgrades
[ ! -f /etc/needrestart/conf.d/pgs.conf ] || echo needrestart

# When the journal's limits were written, and when journald last read any.
echo @journald
stat -c %Y /etc/systemd/journald.conf.d/pgs.conf 2>/dev/null || echo absent
systemctl show --timestamp=unix -p ExecMainStartTimestamp --value systemd-journald.service

echo "@clock $(date +%s%N)"
echo @end
