#!/bin/sh
# Makes HAProxy take what is in its directories: UNIT USER MASTER_SOCKET ADMIN_SOCKET STATE_FILE CONFIG_DIR TLS_DIR. The unit's
# ExecReload calls it as root.
#
# The lock is the one under which pgs changes this host's files, so that what is checked, noted and loaded is one state: a tenant
# whose files come or go at this moment waits. HAProxy is asked on its master socket, which answers when the new worker runs or was
# refused; a signal would say nothing of a refusal. (HAProxy before 2.7 closes the socket without a word.)
#
# The new worker begins with what the old one knew of its servers. Otherwise every member counts as the leader until its first
# check, and clients of all tenants are led to replicas.
set -eu
unit=$1 user=$2 master=$3 admin=$4 state=$5 configs=$6
shift 5

exec 9>/run/pgs/apply.lock
flock -w 60 9 || {
  echo 'another run of pgs has been changing this host for 60 s' >&2
  exit 1
}
/usr/local/lib/pgs/stamp "$unit" "$@"
# Many tenants that come at once wait for each other here: one reload takes the files of all that have written theirs.
notes=/run/pgs/stamps/$unit
[ ! -f "$notes" ] || [ "$(sort "$notes")" != "$(sort "$notes.next")" ] || exit 0
umask 077
as_user="setpriv --reuid=$user --regid=$user --clear-groups --"
# shellcheck disable=SC2016,SC2086
$as_user sh -c 'echo "show servers state" | socat -t 5 - "UNIX-CONNECT:$1" >"$2.new" && mv -f "$2.new" "$2"' sh "$admin" "$state"
# shellcheck disable=SC2086
$as_user /usr/sbin/haproxy -c -q -f "$configs"
answer=$(echo reload | socat -t 60 - "UNIX-CONNECT:$master")
case $answer in
'' | Success=1*) /usr/local/lib/pgs/stamp --commit "$unit" ;;
*)
  printf '%s\n' "$answer" >&2
  exit 1
  ;;
esac
exec 9>&-

# Sessions that are open stay with the old worker, which checks nobody any more: it would not cut them off from a member that is
# lost or changes its role. The poolers come over as soon as their clients' transactions end, which no client notices. But a server
# connection that is logging in at this moment would be ended, PgBouncer would count that as a failed login, and refuse new clients until
# the next one went well: so it is told in a moment without, if there is one within a second.
say() {
  timeout 2 runuser -u "$1" -- psql -XqAtxw -h "$2" -p "$3" -U pgbouncer -c "$4" pgbouncer 2>/dev/null
}
logs_in() {
  say "$@" 'SHOW POOLS' | awk -F '|' '$1 == "sv_login" { n += $2 } END { exit (n == 0) }'
}
reconnect() {
  tries=20
  while [ $tries -gt 0 ] && logs_in "$@"; do
    tries=$((tries - 1))
    sleep 0.05
  done
  say "$@" RECONNECT
}
running=0
for config in /etc/pgs/tenants/*/pgbouncer-*.ini; do
  [ -f "$config" ] || continue
  reconnect "$(stat -c %U "$config")" "$(sed -n 's/^unix_socket_dir = //p' "$config")" "$(sed -n 's/^listen_port = //p' "$config")" &
  running=$(((running + 1) % 8))
  [ $running -ne 0 ] || wait
done
wait
