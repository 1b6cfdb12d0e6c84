#!/bin/sh
# Gives the kernel's watchdog to a tenant's user before its Patroni starts: USER. udev's rule does the same when the device appears; this
# is for one that appeared before the rule, or that udev has not come to yet. Never fails: Patroni says what it could not open.
user=$1
tries=50
while [ ! -e /dev/watchdog ] && [ "$tries" -gt 0 ]; do
  sleep 0.1
  tries=$((tries - 1))
done
for node in /dev/watchdog /dev/watchdog0; do
  [ ! -e "$node" ] || { chown "$user" "$node" && chmod 0600 "$node"; }
done
exit 0
