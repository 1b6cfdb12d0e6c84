# Lets a tenant's cgroup run out of memory: its limit becomes a little more than what cannot be taken back. Arguments: on or off, the slice.
# A drop-in of its own, until the next boot, whose name comes after that of the tenant's limits: they hold again when it is gone, and a reload by
# somebody else does not end the fault. `systemctl revert` would take the tenant's limits too, and a limit set by command would stay in force.
set -eu
folder=/run/systemd/system/$2.d
file=$folder/90-pgs-chaos-memory.conf
case $1 in
on)
  mkdir -p "$folder"
  printf '[Slice]\nMemoryMax=64M\nMemorySwapMax=0\n' >"$file"
  ;;
off)
  rm -f "$file"
  rmdir "$folder" 2>/dev/null || :
  ;;
esac
systemctl daemon-reload
