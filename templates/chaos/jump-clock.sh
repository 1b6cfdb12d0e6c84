# Sets the clock off, or right again; a note in /run says that it is off. Arguments: jump or back, seconds, id.
set -eu
note=/run/pgs-chaos-clock-$3
case $1 in
jump)
  date --set="@$(($(date +%s) + $2))" >/dev/null
  : >"$note"
  ;;
back)
  [ -e "$note" ] || exit 0
  date --set="@$(($(date +%s) - $2))" >/dev/null
  rm -f "$note"
  ;;
esac
