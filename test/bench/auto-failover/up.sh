#!/bin/bash
# pg_auto_failover from Debian's packages as its documentation sets it up: a monitor on the fourth machine, three nodes that it keeps
# synchronous (number_sync_standbys is 1 with three nodes), its own defaults for everything, TLS with certificates that each signs
# itself. Ends when there are a primary and two secondaries, and the role and database `app` on them.
#
#   up.sh DIRECTORY SSH_KEY KNOWN_HOSTS NAME=ADDRESS NAME=ADDRESS NAME=ADDRESS MONITOR=ADDRESS
set -euo pipefail
umask 077
dir=$1 key=$2 known=$3
shift 3
mkdir -p "$dir"
openssl rand -hex 16 >"$dir/app.password"
addresses=()
for host in "$@"; do addresses+=("${host#*=}"); done
monitor=${addresses[-1]}
unset 'addresses[-1]'

ssh_to() {
  local address=$1
  shift
  ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -i "$key" -o UserKnownHostsFile="$known" -o LogLevel=ERROR "root@$address" "$@"
}
all() {
  local pids=()
  for address in "${addresses[@]}" "$monitor"; do
    ssh_to "$address" "$1" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}
as_postgres='runuser -u postgres -- env -i LANG=C.UTF-8 PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin HOME=/var/lib/postgresql'
run_it='systemctl daemon-reload && systemctl -q enable --now pgautofailover'

all 'export DEBIAN_FRONTEND=noninteractive; { apt-get -qq update && apt-get -qq install -y --no-install-recommends \
  pg-auto-failover-cli postgresql-17-auto-failover; } >/tmp/apt.log 2>&1 || { cat /tmp/apt.log >&2; exit 1; }'

ssh_to "$monitor" "cd /var/lib/postgresql && $as_postgres pg_autoctl create monitor --pgdata /var/lib/postgresql/monitor --pgport 5433 \
  --hostname $monitor --auth trust --ssl-self-signed >/tmp/pgaf.log 2>&1 || { cat /tmp/pgaf.log >&2; exit 1; }
  $as_postgres pg_autoctl -q show systemd --pgdata /var/lib/postgresql/monitor >/etc/systemd/system/pgautofailover.service
  $run_it
  until runuser -u postgres -- psql -Xqw -p 5433 -c 'SELECT 1' pg_auto_failover >/dev/null 2>&1; do sleep 0.2; done"
uri="postgres://autoctl_node@$monitor:5433/pg_auto_failover?sslmode=require"

node() {
  ssh_to "$1" "cd /var/lib/postgresql && $as_postgres pg_autoctl create postgres --pgdata /var/lib/postgresql/pgaf --pgport 6432 \
    --hostname $1 --name node-${1##*.} --auth trust --ssl-self-signed --monitor '$uri' >/tmp/pgaf.log 2>&1 || { cat /tmp/pgaf.log >&2; exit 1; }
    $2
    $as_postgres pg_autoctl -q show systemd --pgdata /var/lib/postgresql/pgaf >/etc/systemd/system/pgautofailover.service
    $run_it"
}
# What is in the first node's pg_hba.conf comes to the others with their base backup. Its own rules for its members are added one by one,
# and once in a while a node was left without that of another, which could then never follow it.
rules='hostssl app app all scram-sha-256'
for address in "${addresses[@]}"; do
  rules+=$'\n'"hostssl replication pgautofailover_replicator $address/32 trust"
done
node "${addresses[0]}" "echo '$rules' >>/var/lib/postgresql/pgaf/pg_hba.conf"
reported() { ssh_to "$monitor" "runuser -u postgres -- psql -XqAtw -p 5433 -c 'SELECT count(*) FROM pgautofailover.node WHERE reportedstate = \$\$$1\$\$ AND goalstate = reportedstate' pg_auto_failover"; }
until [ "$(reported single)" = 1 ]; do sleep 0.3; done
for address in "${addresses[@]:1}"; do node "$address" true & done
wait
until [ "$(reported primary)" = 1 ] && [ "$(reported secondary)" = 2 ]; do sleep 0.3; done
# Not before: its base backups wait for a spread checkpoint, which takes minutes as soon as there is something to write.
ssh_to "${addresses[0]}" 'runuser -u postgres -- psql -Xqw -v ON_ERROR_STOP=1 -p 6432 postgres' <<END >/dev/null
CREATE ROLE app LOGIN PASSWORD '$(cat "$dir/app.password")';
CREATE DATABASE app OWNER app;
END
