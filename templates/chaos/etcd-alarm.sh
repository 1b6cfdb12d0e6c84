# Shows etcd's alarms, or clears NOSPACE as the undo of a drill. etcdctl clears all kinds at once, so one beside it is left to people.
# Arguments: list or clear, endpoints with commas between, the file with root's login, the directory of the TLS files.
set -eu
. "$3"
export ETCDCTL_API=3 ETCDCTL_USER ETCDCTL_ENDPOINTS="$2"
export ETCDCTL_CACERT="$4/client-ca.crt" ETCDCTL_CERT="$4/server.crt" ETCDCTL_KEY="$4/server.key"
alarms=$(etcdctl alarm list)
printf '%s\n' "$alarms"
[ "$1" = clear ] || exit 0
case $alarms in
*CORRUPT*)
  echo 'there is the alarm CORRUPT too: nothing was cleared' >&2
  exit 1
  ;;
*NOSPACE*) etcdctl alarm disarm ;;
esac
