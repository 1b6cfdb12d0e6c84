# Starts, stops, restarts or reloads one unit and waits for the end of that: VERB UNIT SECONDS. When it fails, prints
# `@timeout` if the time was over, the unit's state, and its last journal lines.
set -u
export LC_ALL=C
verb=$1 unit=$2 seconds=$3
# A unit that failed often may not be started by systemd until this is forgotten.
case $verb in start | restart) systemctl reset-failed -- "$unit" 2>/dev/null ;; esac
command=$verb
case $unit in
*@*) ;; # belongs to one tenant, whose lock is held
*)
  # Of all tenants: systemd counts a start or reload that is asked for while another one runs as done by that one, which may have
  # read the files before they were written. So it is one after the other, and what was started meanwhile is reloaded.
  exec 8>"/run/pgs/$unit.lock"
  flock -w "$seconds" 8
  [ "$verb $(systemctl show -P CanReload -- "$unit")" != 'start yes' ] || command=reload-or-restart
  ;;
esac
timeout "$seconds" systemctl "$command" -- "$unit"
code=$?
[ "$code" -ne 0 ] || exit 0
[ "$code" -eq 124 ] || [ "$verb" != stop ] || systemctl is-active -q -- "$unit" || exit 0
[ "$code" -ne 124 ] || echo @timeout
systemctl show -p LoadState -p ActiveState -p SubState -p Result -- "$unit"
echo @journal
journalctl -q --no-pager --no-hostname -n 15 -u "$unit"
exit 1
