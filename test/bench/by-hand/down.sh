#!/bin/bash
# Removes what up.sh made, so that the next round finds the hosts as they were: DIRECTORY SSH_KEY KNOWN_HOSTS NAME=ADDRESS…
set -euo pipefail
dir=$1 key=$2 known=$3
shift 3
ssh_to() {
  local address=$1
  shift
  ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -i "$key" -o UserKnownHostsFile="$known" -o LogLevel=ERROR "root@$address" "$@"
}
running=()
for host in "$@"; do
  ssh_to "${host#*=}" 'systemctl -q disable --now byhand-haproxy byhand-patroni 2>/dev/null || true
    rm -rf /etc/patroni/{byhand.yml,ca.crt,server.crt,server.key,etcd-ca.crt,etcd.crt,etcd.key} /etc/byhand-haproxy \
      /etc/systemd/system/byhand-{patroni,haproxy}.service /var/lib/postgresql/17/byhand /run/byhand-patroni
    systemctl daemon-reload' &
  running+=($!)
done
for pid in "${running[@]}"; do wait "$pid"; done
ssh_to "${1#*=}" '
  set -a; . /etc/pgs/etcd-defrag.env; set +a
  etcd="etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/pgs/etcd/tls/client-ca.crt --cert=/etc/pgs/etcd/tls/server.crt --key=/etc/pgs/etcd/tls/server.key"
  $etcd del --prefix /byhand/
  $etcd user delete byhand
  $etcd role delete byhand' >/dev/null
rm -rf "$dir"
