# Installs packages so that nothing starts that did not run before: MODE PACKAGE… Finishes what an interrupted dpkg left.
# With mode `every-source`, package lists that cannot be fetched are a failure; with `any-source` only when packages are
# missing in the end. On failure prints the last 300 lines of apt, after `@update-failed` if lists could not be fetched.
set -u
export LC_ALL=C DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
mode=$1
shift
lock_wait_s=120

# A run whose pgs was killed goes on here for a while; apt's own lock would keep the two apart, but not their policies.
exec 9>/run/lock/pgs-install.lock
flock -w 600 9 || { echo 'another run of pgs has been installing packages here for 10 minutes'; exit 100; }

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f -- "$log"; ! grep -qs "^# Written by pgs" "$policy" || rm -f -- "$policy"' EXIT
trap 'exit 1' HUP INT TERM PIPE

# Maintainer scripts ask this policy before they start a unit. It binds only while this process lives, so that a leftover
# of a killed run forbids nothing. A policy of somebody else stays; the masked units are the other half of the guard.
if [ ! -e "$policy" ] || grep -qs '^# Written by pgs' "$policy"; then
  cat >"$policy.pgs-new" <<END
#!/bin/sh
# Written by pgs while it installs packages; may be deleted.
kill -0 $$ 2>/dev/null || exit 0
case \$1 in chrony | chrony.service) exit 0 ;; esac
systemctl is-active -q -- "\$1" && exit 0
exit 101
END
  chmod 0755 "$policy.pgs-new" && mv -f "$policy.pgs-new" "$policy"
fi

apt() {
  apt-get -q -y -o DPkg::Lock::Timeout=$lock_wait_s -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Dpkg::Use-Pty=0 \
    -o APT::Keep-Downloaded-Packages=false -o APT::Update::Error-Mode=any "$@" </dev/null >>"$log" 2>&1
}

# dpkg itself does not wait for its lock.
configure_rest() {
  until dpkg --configure -a --force-confdef --force-confold </dev/null >"$log" 2>&1; do
    grep -q 'dpkg frontend lock' "$log" && [ $lock_wait_s -gt 0 ] || return 1
    sleep 2
    lock_wait_s=$((lock_wait_s - 2))
  done
}

fail() {
  [ -z "${update_failed-}" ] || echo @update-failed
  tail -n 300 "$log"
  exit 100
}

if [ -n "$(dpkg --audit)" ] || [ -n "$(ls /var/lib/dpkg/updates)" ]; then
  configure_rest
  apt install --fix-broken || fail
fi
apt update || update_failed=yes
[ "$mode" != every-source ] || [ -z "${update_failed-}" ] || fail
# An unrelated source that is broken does not matter when what is wanted is known all the same.
[ -n "${update_failed-}" ] || : >"$log"
apt install --no-install-recommends -- "$@" || fail
