# Looks at a host and prints what pgs asked for, in sections that `parse-facts.ts` reads. Changes nothing. Standard input
# names one thing a line: `user NAME`, `path PATH`, `public PATH` (a path whose content may be sent back), `unit UNIT`,
# `stamp UNIT`. Names hold no spaces. Needs only what every Debian has.
set -uf
export LC_ALL=C
users= paths= public=' ' units= stamps=
while read -r kind name; do
  case $kind in
    user) users="$users $name" ;;
    path) paths="$paths $name" ;;
    public) paths="$paths $name" public="$public$name " ;;
    unit) units="$units $name" ;;
    stamp) stamps="$stamps $name" ;;
  esac
done

echo @users
# shellcheck disable=SC2086 # names are words
[ -z "$users" ] || getent passwd $users

echo @paths
shown=
if [ -n "$paths" ]; then
  there= missing=
  for path in $paths; do
    if [ -e "$path" ] || [ -L "$path" ]; then there="$there $path"; else missing="$missing $path"; fi
  done
  # Why it is not there: "absent" is one thing, "cannot look" another.
  # shellcheck disable=SC2086
  [ -z "$missing" ] || find $missing -maxdepth 0 -printf '' 2>&1
  # A directory that holds nothing is `e`.
  # shellcheck disable=SC2086
  found=$([ -z "$there" ] ||
    find $there -maxdepth 0 \( -type d -empty -printf 'e %u %g %m 0 %p\n' \) -o -printf '%y %u %g %m %s %p\n')
  printf '%s\n' "$found"
  files=
  while read -r type _ _ _ size path; do
    [ "$type" = f ] || continue
    files="$files $path"
    case $public in
      *" $path "*) [ "$size" -gt 262144 ] || shown="$shown $path" ;;
    esac
  done <<END
$found
END
  echo @hashes
  # shellcheck disable=SC2086
  [ -z "$files" ] || sha256sum -- $files 2>&1
fi

# The contents in one piece; their sizes and hashes, sent before, tell where each begins and whether it is what was hashed.
printf '@contents%s\n' "$shown"
# shellcheck disable=SC2086
[ -z "$shown" ] || { cat -- $shown | base64 -w 0; echo; }

printf '@units%s\n' "$units"
# shellcheck disable=SC2086
[ -z "$units" ] || systemctl show --no-pager --timestamp=unix \
  -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -p ExecMainStartTimestamp -p ActiveEnterTimestamp \
  -- $units 2>&1 || echo "@failed systemctl show"

for unit in $stamps; do
  for which in "$unit" "$unit.next"; do
    [ -f "/run/pgs/stamps/$which" ] || continue
    printf '@stamp %s\n' "$which"
    while read -r line; do printf '%s\n' "$line"; done <"/run/pgs/stamps/$which"
  done
done

if command -v ss >/dev/null; then
  echo @listening
  ss -Hltnp
else
  echo @sockets
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
fi

echo @machine
nproc
while read -r key value _; do
  [ "$key" != MemTotal: ] || echo "$value"
done </proc/meminfo
echo @end
