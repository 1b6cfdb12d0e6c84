# Kills every tenant that the fencing service guarded, when that cannot be kept running (pgs-fence-failed.service), and takes the
# pipes away, so that no Patroni arms a watchdog that is not there. Resets the machine if a kill is refused.
set -u
# systemd comes here at every failure, also when it is about to start the next run: that one goes on with what was armed.
for _ in 1 2 3 4 5 6; do
  [ "$(systemctl show -p ActiveState --value pgs-fence.service)" = failed ] || exit 0
  sleep 0.2
done
for tenant in /etc/pgs/fence.d/*.json; do
  [ -e "$tenant" ] || continue
  name=${tenant##*/}
  name=${name%.json}
  [ -p "/run/pgs/fence/$name/pipe" ] || continue
  rm -f -- "/run/pgs/fence/$name/pipe"
  slice=$(sed -n 's/.*"slice": *"\([^"]*\)".*/\1/p' "$tenant")
  # JSON doubles a backslash.
  slice=$(printf '%s\n' "$slice" | sed 's/\\\\/\\/g')
  cgroup=/sys/fs/cgroup/$slice
  [ -d "$cgroup" ] || continue
  if echo 1 >"$cgroup/cgroup.kill"; then
    echo "$name: FENCED: the fencing service cannot be kept running"
  else
    echo "RESETS THE MACHINE: $cgroup could not be killed"
    systemctl reboot --force --force
  fi
done
