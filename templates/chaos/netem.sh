# Delays what leaves the host on the interface that leads to another host of the fleet, or ends that. Not every host has a default route.
# Arguments: on, the other host's address, delay, jitter, loss; or off, the address.
set -eu
device=$(ip -o route get "$2" | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
case $1 in
on) tc qdisc replace dev "$device" root netem delay "$3" "$4" loss "$5" ;;
off) tc qdisc del dev "$device" root 2>/dev/null || : ;;
esac
