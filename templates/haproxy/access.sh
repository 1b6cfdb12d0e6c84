#!/bin/sh
# Lets other networks in at the front door of a running HAProxy, without a reload: MASTER_SOCKET ADMIN_SOCKET MAP_FILE TENANT KEEP. The new
# map comes on standard input; sessions that it does not permit are cut, unless KEEP is `keep`. Prints how many were cut.
#
# The lock is the one under which pgs changes this host's files (see haproxy-reload).
set -eu
master=$1 admin=$2 map=$3 tenant=$4 keep=$5
lock=${PGS_RUN:-/run/pgs}/apply.lock stamp=${PGS_RUN:-/run/pgs}/stamps/pgs-haproxy.service

exec 9>"$lock"
flock -w 60 9 || {
  echo 'another run of pgs has been changing this host for 60 s' >&2
  exit 1
}
[ -f "$map" ] || {
  echo "$map is not there: the front door does not know $tenant yet" >&2
  exit 1
}
umask 077
# As apply.sh names what it has not put in place yet.
new=$(dirname "$map")/.$(basename "$map").pgs-new
cat >"$new"
chown --reference="$map" "$new"
chmod --reference="$map" "$new"
mv -f "$new" "$map"

ask() { printf '%s\n' "$2" | socat -t 5 - "UNIX-CONNECT:$1"; }
# One that does not run reads the file when it starts.
if ! ask "$admin" 'show version' >/dev/null 2>&1; then
  echo 'HAProxy does not run'
  exit 0
fi

version=$(ask "$admin" "prepare map $map" | sed -n 's/^New version created: //p')
[ -n "$version" ] || {
  echo "HAProxy has not loaded $map: the front door does not know $tenant yet" >&2
  exit 1
}
commands=$(sed "s|^|add map @$version $map |" "$map" | tr '\n' ';')
answer=$(ask "$admin" "${commands}commit map @$version $map")
said=$(ask "$admin" "show map $map" | sed 's/^0x[0-9a-f]* //' | grep . | sort)
[ "$said" = "$(sort "$map")" ] || {
  printf 'HAProxy did not take %s: %s\n' "$map" "$answer" >&2
  exit 1
}

# What it has loaded is what is on disk, as after a reload.
if [ -f "$stamp" ]; then
  hash=$(sha256sum "$map" | cut -d ' ' -f 1)
  awk -v file="$map" -v hash="$hash" '$2 == file { $0 = hash "  " file } { print }' "$stamp" >"$stamp.new"
  mv -f "$stamp.new" "$stamp"
fi
exec 9>&-

cut=0
permits() { ask "$admin" "get map $map $1" | grep -q 'value="open"'; }
# Workers from before a reload have sessions, too.
workers=$(ask "$master" 'show proc' | awk '$2 == "worker" { print $1 }')
[ "$keep" = keep ] || for worker in $workers; do
  sessions=$(ask "$master" "@!$worker show sess" | sed -n "s/^\(0x[0-9a-f]*\): .*src=\([^ ]*\):[0-9]* fe=pgs:door be=$tenant:door\(-tls-first\)\{0,1\} .*/\2 \1/p")
  for from in $(printf '%s\n' "$sessions" | awk 'NF { print $1 }' | sort -u); do
    if permits "$from"; then continue; fi
    gone=$(printf '%s\n' "$sessions" | awk -v from="$from" '$1 == from { print $2 }')
    ask "$master" "$(printf '%s\n' "$gone" | sed "s/^/@!$worker shutdown session /" | paste -sd ';')" >/dev/null
    cut=$((cut + $(printf '%s\n' "$gone" | wc -l)))
  done
done
echo "$cut"
