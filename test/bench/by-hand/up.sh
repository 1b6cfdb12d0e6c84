#!/bin/bash
# The baseline of the benchmark: the cluster that `pgs cluster create` makes, set up by hand on the same prepared hosts, the way
# a careful person does it: the distribution's packages, Patroni's default timing (ttl 30, loop_wait 10, retry_timeout 10),
# HAProxy as Patroni's documentation shows it, TLS everywhere, for-loops over ssh. Ends when three of three stream and every
# host's HAProxy has taken a write and shown it through its replica port. Changes nothing of pgs's own but a user, a role and
# the prefix /byhand/ in the fleet's etcd.
#
#   up.sh ORDER DIRECTORY SSH_KEY KNOWN_HOSTS NAME=ADDRESS…
#
# ORDER `in-turn`: as most guides say, the next host only when the one before is seen to be well. `together`: all at once, and look
# at the end. BYHAND_SYNCHRONOUS (default quorum) is Patroni's synchronous_mode, BYHAND_CHECKS how HAProxy checks.
set -euo pipefail
umask 077
order=$1 dir=$2 key=$3 known=$4
shift 4
mkdir -p "$dir"
cd "$dir"
names=() addresses=()
for host in "$@"; do names+=("${host%%=*}") addresses+=("${host#*=}"); done

ssh_to() {
  local address=$1
  shift
  ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -i "$key" -o UserKnownHostsFile="$known" -o LogLevel=ERROR "root@$address" "$@"
}

# Passwords and certificates: a CA, one certificate a host for PostgreSQL and Patroni, one for HAProxy's checks.
for who in superuser replication rewind rest etcd; do openssl rand -hex 16 >"$who.password"; done
password() { cat "$1.password"; }
alternatives=$(printf ',IP:%s' "${addresses[@]}")
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj '/CN=byhand CA' -out ca.crt \
  -addext keyUsage=critical,keyCertSign,cRLSign
issue() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" -sha256 -days 365 \
    -extfile <(printf 'subjectAltName=DNS:%s%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' "$1" "$alternatives") \
    -out "$1.crt" 2>/dev/null
}
for name in "${names[@]}" haproxy; do issue "$name"; done

# etcd: a user of its own with its own prefix. The fleet's root login and a certificate that etcd takes are on each of its hosts.
password etcd | ssh_to "${addresses[0]}" '
  set -e
  set -a; . /etc/pgs/etcd-defrag.env; set +a
  etcd="etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/pgs/etcd/tls/client-ca.crt --cert=/etc/pgs/etcd/tls/server.crt --key=/etc/pgs/etcd/tls/server.key"
  $etcd role add byhand
  $etcd role grant-permission byhand readwrite --prefix=true /byhand/
  $etcd user add byhand --interactive=false
  $etcd user grant-role byhand byhand' >/dev/null

patroni_yml() {
  local name=$1 address=$2
  cat <<END
scope: byhand
namespace: /byhand/
name: $name
etcd3:
  hosts: [$(printf '%s:2379,' "${addresses[@]}" | sed 's/,$//')]
  protocol: https
  cacert: /etc/patroni/etcd-ca.crt
  cert: /etc/patroni/etcd.crt
  key: /etc/patroni/etcd.key
  username: byhand
  password: $(password etcd)
restapi:
  listen: $address:8008
  connect_address: $address:8008
  certfile: /etc/patroni/server.crt
  keyfile: /etc/patroni/server.key
  cafile: /etc/patroni/ca.crt
  verify_client: required
  authentication: {username: patroni, password: $(password rest)}
ctl: {certfile: /etc/patroni/server.crt, keyfile: /etc/patroni/server.key, cacert: /etc/patroni/ca.crt}
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    synchronous_mode: ${BYHAND_SYNCHRONOUS:-quorum}
    postgresql:
      use_pg_rewind: true
      use_slots: true
  initdb: [data-checksums, {encoding: UTF8}, {locale: C.UTF-8}, {auth-local: peer}, {auth-host: scram-sha-256}]
postgresql:
  listen: $address:5432
  connect_address: $address:5432
  data_dir: /var/lib/postgresql/17/byhand
  bin_dir: /usr/lib/postgresql/17/bin
  pgpass: /run/byhand-patroni/pgpass
  authentication:
    superuser: {username: postgres, password: $(password superuser), sslmode: verify-full, sslrootcert: /etc/patroni/ca.crt}
    replication: {username: replicator, password: $(password replication), sslmode: verify-full, sslrootcert: /etc/patroni/ca.crt}
    rewind: {username: rewinder, password: $(password rewind), sslmode: verify-full, sslrootcert: /etc/patroni/ca.crt}
  parameters:
    unix_socket_directories: /run/byhand-patroni
    ssl: "on"
    ssl_ca_file: /etc/patroni/ca.crt
    ssl_cert_file: /etc/patroni/server.crt
    ssl_key_file: /etc/patroni/server.key
  pg_hba:
    - local all all peer
    - hostssl replication replicator all scram-sha-256
    - hostssl all all all scram-sha-256
END
}

haproxy_cfg() {
  local service i
  cat <<END
global
  maxconn 1000
defaults
  mode tcp
  retries 2
  timeout client 30m
  timeout connect 4s
  timeout server 30m
  timeout check 5s
END
  for service in primary:5000 replica:5001; do
    cat <<END
listen ${service%:*}
  bind *:${service#*:}
  option httpchk OPTIONS /${service%:*}
  http-check expect status 200
  default-server ${BYHAND_CHECKS:-inter 3s fall 3 rise 2} on-marked-down shutdown-sessions check-ssl verify required ca-file /etc/byhand-haproxy/ca.crt crt /etc/byhand-haproxy/check.pem
END
    for i in "${!names[@]}"; do
      echo "  server ${names[i]} ${addresses[i]}:5432 maxconn 100 check port 8008"
    done
  done
}

unit() {
  local description=$1 user=$2 name=$3 type=$4 start=$5
  cat <<END
[Unit]
Description=$description
After=network-online.target
[Service]
Type=$type
User=$user
Group=$user
RuntimeDirectory=$name
KillMode=${6:-mixed}
TimeoutStopSec=60
Restart=on-failure
ExecStart=$start
[Install]
WantedBy=multi-user.target
END
}

set_up_host() {
  local name=$1 address=$2
  local files=$name.files
  mkdir -p "$files/etc/patroni" "$files/etc/byhand-haproxy" "$files/etc/systemd/system"
  patroni_yml "$name" "$address" >"$files/etc/patroni/byhand.yml"
  cp ca.crt "$files/etc/patroni/ca.crt"
  cp "$name.crt" "$files/etc/patroni/server.crt"
  cp "$name.key" "$files/etc/patroni/server.key"
  haproxy_cfg >"$files/etc/byhand-haproxy/haproxy.cfg"
  cp ca.crt "$files/etc/byhand-haproxy/ca.crt"
  cat haproxy.crt haproxy.key >"$files/etc/byhand-haproxy/check.pem"
  unit 'Patroni, by hand' postgres byhand-patroni simple '/usr/bin/patroni /etc/patroni/byhand.yml' process \
    >"$files/etc/systemd/system/byhand-patroni.service"
  unit 'HAProxy, by hand' haproxy byhand-haproxy notify '/usr/sbin/haproxy -Ws -f /etc/byhand-haproxy/haproxy.cfg' \
    >"$files/etc/systemd/system/byhand-haproxy.service"
  tar -C "$files" -c . | ssh_to "$address" 'tar -x --no-same-owner --no-overwrite-dir -C / &&
    cp /etc/pgs/etcd/tls/client-ca.crt /etc/patroni/etcd-ca.crt &&
    cp /etc/pgs/etcd/tls/server.crt /etc/patroni/etcd.crt &&
    cp /etc/pgs/etcd/tls/server.key /etc/patroni/etcd.key &&
    chown -R postgres:postgres /etc/patroni && chown -R haproxy:haproxy /etc/byhand-haproxy &&
    install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/17 /var/lib/postgresql/17/byhand &&
    systemctl daemon-reload && systemctl -q enable --now byhand-patroni byhand-haproxy'
}
sql() {
  PGPASSWORD=$(password superuser) psql -XqAt \
    "host=$1 port=$2 user=postgres dbname=postgres sslmode=verify-full sslrootcert=$dir/ca.crt connect_timeout=3" -c "$3" 2>>psql.log
}
until_answers() {
  until [ "$(sql "$1" "$2" "$3")" = "$4" ]; do sleep 0.2; done
}
until_streaming() {
  until_answers "${addresses[0]}" "$1" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'" "$2"
}

running=()
for i in "${!names[@]}"; do
  if [ "$order" = in-turn ]; then
    set_up_host "${names[i]}" "${addresses[i]}"
    until_streaming 5432 "$i"
  else
    set_up_host "${names[i]}" "${addresses[i]}" &
    running+=($!)
  fi
done
for pid in "${running[@]}"; do wait "$pid"; done

until_streaming 5000 $((${#names[@]} - 1))
sql "${addresses[0]}" 5000 'CREATE TABLE proof (entry text)'
for address in "${addresses[@]}"; do
  until_answers "$address" 5000 "INSERT INTO proof VALUES ('$address') RETURNING 1" 1
done
for address in "${addresses[@]}"; do
  until_answers "$address" 5001 'SELECT count(*) >= 3 AND pg_is_in_recovery() FROM proof' t
done
