#!/bin/sh
# Makes HAProxy take what is in its directories: UNIT USER MASTER_SOCKET CONFIG_DIR TLS_DIR. The unit's ExecReload calls it as root.
#
# The lock is the one under which pgs changes this host's files, so that what is checked, noted and loaded is one state: a tenant
# whose files come or go at this moment waits. HAProxy is asked on its master socket, which answers when the new worker runs or was
# refused; a signal would say nothing of a refusal. (HAProxy before 2.7 closes the socket without a word.)
set -eu
unit=$1 user=$2 master=$3
shift 2
configs=$2

exec 9>/run/pgs/apply.lock
flock -w 60 9 || {
  echo 'another run of pgs has been changing this host for 60 s' >&2
  exit 1
}
shift
/usr/local/lib/pgs/stamp "$unit" "$@"
setpriv --reuid="$user" --regid="$user" --clear-groups -- /usr/sbin/haproxy -c -q -f "$configs"
answer=$(echo reload | socat -t 60 - "UNIX-CONNECT:$master")
case $answer in
'' | Success=1*) /usr/local/lib/pgs/stamp --commit "$unit" ;;
*)
  printf '%s\n' "$answer" >&2
  exit 1
  ;;
esac
