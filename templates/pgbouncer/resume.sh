# Lets the pooler of a tenant go on, and takes its own timer away. Run by pgs, and by that timer when pgs did not.
# Arguments: tenant, OS user, directory of the admin socket, port, name of the timer without its suffix.
# Prints `resumed`, `not paused` (which is as good), or `silent` with code 1 when the pooler did not answer: then the timer's service
# comes again until it does.
tenant=$1 user=$2 sockets=$3 port=$4 timer=$5
for limit in 2 2 4; do
  said=$(timeout -k 1 "$limit" runuser -u "$user" -- psql -Xqw -h "$sockets" -p "$port" -U pgbouncer -c RESUME pgbouncer 2>&1)
  code=$?
  case "$code $said" in
    0*) state='resumed' ;;
    *'not paused'*) state='not paused' ;;
    *)
      sleep 0.3
      # One that is stopped holds nobody.
      [ ! -S "$sockets/.s.PGSQL.$port" ] || continue
      state='not paused'
      ;;
  esac
  echo "$state"
  systemctl stop --no-block "$timer.timer" "$timer.service" 2>/dev/null
  exit 0
done
echo "silent"
printf '%s\n' "$said" >&2
exit 1
