# Lets a tenant's cgroup run out of memory: its limit becomes a little more than what cannot be taken back. Arguments: on or off, the slice.
set -eu
case $1 in
on) systemctl set-property --runtime "$2" MemoryMax=64M MemorySwapMax=0 ;;
off) systemctl set-property --runtime "$2" MemoryMax=infinity MemorySwapMax=infinity ;;
esac
