#!/bin/sh
# Makes a virtual machine of the sandbox this machine and no other: on its first boot it waits on its second serial port for a tar of its
# identity in base64 (src/sandbox/identity.ts). A saved state is taken while it waits, so its clock stands where it was saved: it is set
# when the clock of the hardware, which is that of the box, comes to a new second. (A time that is sent is late on a busy box.) What fails
# says so on the port. The journal, which began under another machine's id, begins anew when its process ends, which systemd
# starts again; should it be starting just now, there is none to end.
set -eu
port=/dev/ttyS1
# It also waits until all that was written before is out: what the port still holds when its last user closes it is thrown away.
settle() { stty -F "$port" raw -echo -ixon; }
settle
exec 3<>"$port" 2>&3
trap 'code=$?; [ "$code" = 0 ] || echo "failed with code $code" >&3; settle' EXIT
echo waiting >&3
sed '/^end$/q' <&3 | sed '/^end$/d' | base64 -d | tar -x -C / --no-same-owner
echo received >&3
clock=/sys/class/rtc/rtc0/since_epoch
read -r before <"$clock"
now=$before
while [ "$now" = "$before" ]; do read -r now <"$clock"; done
date -s "@$now" >/dev/null
echo on time >&3
hostname -F /etc/hostname
touch /etc/pgs-sandbox-identity
sync
pkill -x systemd-journal || echo 'no journal to begin anew' >&3
echo done >&3
