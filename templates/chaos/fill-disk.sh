# Fills the file system of a member's home, or gives it back. The ballast is one file, so that the undo is to remove it. In a container,
# whose disk is the machine's below, the member is first moved to a file system of its own that has hardly any room; the undo moves it back.
# Arguments: fill or free, the home, Patroni's unit, the tenant's OS user.
set -eu
home=$2 unit=$3 user=$4
ballast=$home/.pgs-chaos-ballast
aside=/var/lib/pgs-chaos/aside-$user
own() { [ "$(stat --file-system --format=%T "$home")" = tmpfs ]; }
case $1 in
fill)
  umask 077
  if [ "$(stat --file-system --format=%T "$home")" = overlayfs ]; then
    systemctl stop "$unit"
    mkdir -p "$aside"
    cp -a "$home/." "$aside/"
    mount -t tmpfs -o "size=2g,mode=700,uid=$(id -u "$user"),gid=$(id -g "$user")" tmpfs "$home"
    cp -a "$aside/." "$home/"
    systemctl start "$unit"
    sleep 3
    mount -o "remount,size=$(($(df --output=used --block-size=1K "$home" | tail -n 1) + 1024))k" "$home"
  fi
  free=$(df --output=avail --block-size=1K "$home" | tail -n 1)
  [ "$free" -le 8 ] || fallocate --length "$((free - 8))K" "$ballast" 2>/dev/null || :
  # What fallocate left.
  dd if=/dev/zero of="$ballast" bs=4k oflag=append conv=notrunc 2>/dev/null || :
  ;;
free)
  rm -f "$ballast"
  if own && [ -d "$aside" ]; then
    mount -o remount,size=2g "$home"
    systemctl stop "$unit"
    rm -rf "$aside"
    mkdir -p "$aside"
    cp -a "$home/." "$aside/"
    umount --lazy "$home"
    rm -rf "$home/data"
    cp -a "$aside/." "$home/"
    rm -rf "$aside"
    systemctl start --no-block "$unit"
  elif [ -d "$aside" ]; then
    # A boot took the file system away; what lies below is as it was before.
    rm -rf "$aside"
  fi
  ;;
esac
