# Lets a tenant's cgroup run out of memory: its limit becomes a little more than what cannot be taken back. Arguments: on or off, the slice.
# Set by command, since the kernel is not told of a running slice's files that are read again. The heal sets what the tenant's own files say, or
# no limit, and removes what the commands left in /run, so that those files alone say it.
set -eu
case $1 in
on) systemctl set-property --runtime -- "$2" MemoryMax=64M MemorySwapMax=0 ;;
off)
  files=$(find "/etc/systemd/system/$2.d" -name '*.conf' 2>/dev/null | sort)
  # shellcheck disable=SC2046,SC2086
  systemctl set-property --runtime -- "$2" MemoryMax=infinity MemorySwapMax=infinity \
    $([ -z "$files" ] || grep -hE '^Memory(Swap)?Max=' $files)
  rm -f -- "/run/systemd/system.control/$2.d/50-MemoryMax.conf" "/run/systemd/system.control/$2.d/50-MemorySwapMax.conf"
  systemctl daemon-reload
  ;;
esac
