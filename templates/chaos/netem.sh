# Delays what leaves the host on the interface of its default route, or ends that. Arguments: on, delay, jitter, loss; or off.
set -eu
device=$(ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
case $1 in
on) tc qdisc replace dev "$device" root netem delay "$2" "$3" loss "$4" ;;
off) tc qdisc del dev "$device" root 2>/dev/null || : ;;
esac
