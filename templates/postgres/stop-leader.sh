# Stops the PostgreSQL of a leader in order, so that its successor has every byte, and prints the position of its last record.
# Arguments: directory of PostgreSQL's programs, data directory, OS user, socket directory, port, name of the successor, seconds.
# The other standbys' senders end with the request to stop, when they cannot come back: the last record behind the successor, they
# leave it the leader's key, and follow it at once.
# A session that does not end (its process is stopped, or hangs in the kernel) would keep PostgreSQL stopping for ever, while Patroni
# sees a leader that answers nobody: after its time PostgreSQL is killed, and its successor has every acknowledged commit all the same.
bin=$1 data=$2 user=$3 sockets=$4 port=$5 successor=$6 limit=$7
others=$(printf "SELECT pid FROM pg_stat_replication WHERE application_name <> :'successor'\n" |
  runuser -u "$user" -- "$bin/psql" -XqAtw -h "$sockets" -p "$port" -U postgres -d postgres -v successor="$successor") || exit 1
read -r postmaster < "$data/postmaster.pid" || exit 1
kill -INT "$postmaster" || exit 1
[ -z "$others" ] || kill -TERM $others 2>/dev/null
runuser -u "$user" -- "$bin/pg_ctl" stop -D "$data" -m fast -w -t "$limit" >/dev/null 2>&1 ||
  runuser -u "$user" -- "$bin/pg_ctl" stop -D "$data" -m immediate -w -t 10 >/dev/null 2>&1
"$bin/pg_controldata" "$data" | sed -n 's/^Database cluster state: *shut down$/stopped/p; s/^Latest checkpoint location: *//p'
