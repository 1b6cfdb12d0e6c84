# Writes and syncs without a pause until it is ended; what it wrote goes with it. Argument: how many at once.
dir=/var/lib/pgs/.chaos-burn
mkdir -p "$dir"
trap 'rm -rf "$dir"; exit 0' TERM INT EXIT
n=$1
while [ "$n" -gt 0 ]; do
  (while :; do dd if=/dev/zero of="$dir/$n" bs=64k count=256 conv=fsync 2>/dev/null; done) &
  n=$((n - 1))
done
wait
