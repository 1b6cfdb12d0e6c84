# Kills every tenant that the fencing service guarded, when that cannot be kept running (pgs-fence-failed.service), and takes the
# pipes away, so that no Patroni arms a watchdog that is not there. Resets the machine if a kill is refused.
set -u
# systemd comes here at every failure, also when it is about to start the next run, which goes on with what was armed. So this waits
# for what becomes of it: a start of this unit while it runs is none, and the failure that is the last may come now.
failed=0
while [ "$failed" -lt 5 ]; do
  case $(systemctl show -p ActiveState --value pgs-fence.service) in
  failed) failed=$((failed + 1)) ;;
  active | inactive) exit 0 ;;
  *) failed=0 ;;
  esac
  sleep 0.1
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
# What was armed is dead: the next run, once it can be started, must not kill who begins anew.
rm -f /run/pgs/fence.json
