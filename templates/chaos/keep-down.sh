# Keeps a unit down when its process ends, or lets it up again and starts it. The drop-in is under /run: a boot removes it.
# Arguments: on or off, the unit.
set -eu
dir=/run/systemd/system/$2.d
case $1 in
on)
  mkdir -p "$dir"
  printf '[Service]\nRestart=no\n' >"$dir/pgs-chaos.conf"
  systemctl daemon-reload
  ;;
off)
  if [ -e "$dir/pgs-chaos.conf" ]; then
    rm -f "$dir/pgs-chaos.conf"
    rmdir --ignore-fail-on-non-empty "$dir"
    systemctl daemon-reload
  fi
  systemctl reset-failed "$2" 2>/dev/null || :
  # A pooler or a Patroni takes its time to be ready; who waits for that is not the undo.
  systemctl start --no-block "$2"
  ;;
esac
