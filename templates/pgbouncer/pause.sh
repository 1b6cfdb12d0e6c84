# Holds the clients of a tenant's pooler on this host. The undo is armed before: a timer of systemd's lets the pooler go on after a
# fixed time, whatever becomes of pgs, of its connection and of this script.
# Arguments: tenant, OS user, directory of the admin socket, port, name of the timer without its suffix, the pooler's unit, seconds
# that open transactions may take, seconds until the undo, text of resume.sh.
# Prints `paused`, `absent` (there is no pooler), `stopped` (it does not run), `busy` (transactions did not end; it goes on), or ends
# with a code other than 0.
tenant=$1 user=$2 sockets=$3 port=$4 timer=$5 unit=$6 limit=$7 undo=$8 resume=$9
if ! systemctl is-active -q "$unit"; then
  if systemctl is-enabled -q "$unit" 2>/dev/null; then echo stopped; else echo absent; fi
  exit 0
fi
earlier=$(systemctl list-units --all --plain --no-legend "pgs-resume-*@$tenant.*" | cut -d ' ' -f 1)
systemd-run -q --collect --unit="$timer" --on-active="$undo" --timer-property=AccuracySec=50ms \
  -p Restart=on-failure -p RestartSec=500ms -p StartLimitIntervalSec=0 sh -c "$resume" sh "$tenant" "$user" "$sockets" "$port" "$timer" || exit 1
# That of a run that was killed would let the clients go in the middle of this one.
[ -z "$earlier" ] || systemctl stop $earlier 2>/dev/null
said=$(timeout -k 1 "$limit" runuser -u "$user" -- psql -Xqw -h "$sockets" -p "$port" -U pgbouncer -c PAUSE pgbouncer 2>&1)
code=$?
[ $code -eq 0 ] && { echo paused; exit 0; }
sh -c "$resume" sh "$tenant" "$user" "$sockets" "$port" "$timer" >/dev/null 2>&1
[ $code -eq 124 ] && { echo busy; exit 0; }
printf '%s\n' "$said" >&2
exit 1
