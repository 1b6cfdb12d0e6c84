#!/bin/sh
# Remembers which content a unit's process loaded, so that a file that was changed on disk but not loaded is seen later.
#
#   stamp UNIT PATH…      notes the sha256 of the files (of a directory: of all files in it) as "about to be loaded"
#   stamp --commit UNIT   the process has taken them: the note becomes the unit's stamp
#
# A unit calls the first form as root before it starts (ExecStartPre=+) and before it reloads (first ExecReload=+), and the
# second when it has started (ExecStartPost=+) or reloaded (last ExecReload=+). The unit's own files are noted by every
# start. A reload keeps the notes of what it does not name, and never takes a new unit file: only a restart does.
set -euf
umask 077
export LC_ALL=C
stamps=/run/pgs/stamps
own=/etc/systemd/system

if [ "$1" = --commit ]; then
  [ ! -f "$stamps/$2.next" ] || mv -f "$stamps/$2.next" "$stamps/$2"
  exit 0
fi

unit=$1
shift
mkdir -p -m 0755 /run/pgs
mkdir -p "$stamps"

# systemd sets MAINPID for a reload, and not before a start.
kept=
if [ -n "${MAINPID:-}" ]; then
  if [ -f "$stamps/$unit" ]; then
    while read -r hash file; do
      covered=
      for path in "$@"; do
        case $file in "$path" | "$path"/*) covered=yes ;; esac
      done
      case $file in "$own"/*) covered= ;; esac
      [ -n "$covered" ] || kept="$kept$hash  $file
"
    done <"$stamps/$unit"
  fi
else
  case $unit in
    *@*) set -- "$@" "$own/$unit" "$own/$unit.d" "$own/${unit%%@*}@.${unit##*.}" "$own/${unit%%@*}@.${unit##*.}.d" ;;
    *) set -- "$@" "$own/$unit" "$own/$unit.d" ;;
  esac
fi

for path in "$@"; do
  shift
  [ ! -e "$path" ] || set -- "$@" "$path"
done
{
  printf %s "$kept"
  [ $# -eq 0 ] || find -H "$@" -type f ! -name '.*.pgs-new' -exec sha256sum {} + | sort -k 2
} >"$stamps/$unit.new"
mv -f "$stamps/$unit.new" "$stamps/$unit.next"
