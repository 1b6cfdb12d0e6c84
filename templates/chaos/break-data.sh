# Breaks a member's data directory, or lets Patroni make it anew. Arguments: wipe, corrupt, rebuild or start, Patroni's unit, the directory.
set -eu
case $1 in
wipe)
  systemctl stop "$2"
  rm -rf "$3"
  systemctl start --no-block "$2"
  ;;
corrupt)
  systemctl stop "$2"
  cp -p "$3/global/pg_control" "$3/global/pg_control.pgs-chaos"
  mv "$3/global/pg_control.pgs-chaos" "$3/global/pg_control"
  dd if=/dev/urandom of="$3/global/pg_control" bs=512 count=1 conv=notrunc 2>/dev/null
  systemctl start --no-block "$2"
  ;;
rebuild)
  systemctl stop "$2"
  rm -rf "$3"
  systemctl start --no-block "$2"
  ;;
start) systemctl start --no-block "$2" ;;
esac
