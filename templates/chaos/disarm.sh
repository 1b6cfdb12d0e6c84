# Runs the undo of a fault now and takes it away; with no id, of every fault of the tenant. Prints what was undone.
# Arguments: tenant, id or nothing.
set -u
dir=/var/lib/pgs-chaos
failed=0
for note in "$dir"/*.tenant; do
  [ -e "$note" ] || continue
  [ "$(cat "$note")" = "$1" ] || continue
  id=$(basename "$note" .tenant)
  [ -z "${2-}" ] || [ "$id" = "$2" ] || continue
  if sh "$dir/$id"; then
    unit=pgs-chaos-undo-$id
    systemctl stop "$unit.timer" 2>/dev/null
    # One that waits to try again; one that runs ends by itself.
    [ "$(systemctl show --property=SubState --value "$unit.service")" != auto-restart ] || systemctl stop "$unit.service"
    systemctl disable -q "$unit.service" 2>/dev/null
    rm -f "/etc/systemd/system/$unit.service" "/etc/systemd/system/$unit.timer" "$dir/$id" "$note"
    systemctl daemon-reload
    printf '%s\n' "$id"
  else
    failed=1
  fi
done
exit $failed
