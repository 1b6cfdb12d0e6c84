# Puts users, directories, files and units of a host in order, one change a line on standard input:
#
#   unit-gone UNIT                            forget a stopped unit: disable it, remove its own file and stamp
#   user NAME HOME                            system user with a group of its own, no shell
#   directory OWNER GROUP MODE PATH
#   device OWNER GROUP MODE PATH              only if it is there
#   file OWNER GROUP MODE SIZE ARGS PATH      ARGS lines of a validating command, then SIZE bytes of content and a newline
#   remove PATH
#   user-gone NAME
#   enable|disable|mask|unmask|unit UNIT      `unit`: only see that systemd has read its file
#   end
#
# A file appears complete, with its owner and mode, or not at all. Prints `@failed <what was being done>` when a change
# fails, with the reason on standard error. Every change may be repeated. Names hold no spaces.
set -uf
umask 077
export LC_ALL=C

doing='preparing the change'
temporary= as= seen=
fail() {
  [ $# -eq 0 ] || printf '%s\n' "$*" >&2
  printf '@failed %s\n' "$doing"
  exit 1
}
trap '[ -z "$temporary" ] || $as rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT TERM PIPE

[ -d /run/pgs ] || mkdir -m 0755 /run/pgs || fail
exec 9>/run/pgs/apply.lock || fail
flock -w 30 9 || fail 'another run of pgs has been changing this host for 30 s'

# A directory that belongs to another user is that user's ground: a link planted there would lead root anywhere. Below such
# a directory the change is made as that user. Sets `as` to the words to put before a command.
walk_to() {
  parent=${1%/*}
  [ "$parent" != "$seen" ] || return 0
  seen=$parent as= ancestors= up=$parent
  while [ -n "$up" ]; do
    ancestors="$up $ancestors"
    up=${up%/*}
  done
  [ -n "$ancestors" ] || return 0
  # shellcheck disable=SC2086
  for uid in $(stat -L -c %u -- $ancestors 2>/dev/null); do
    [ "$uid" != 0 ] || continue
    entry=$(getent passwd "$uid") || fail "a directory above $1 belongs to user id $uid, which has no name"
    owner_above=${entry%%:*}
    gid=${entry#*:*:*:} gid=${gid%%:*}
    as="setpriv --reuid=$uid --regid=$gid --clear-groups --"
    return 0
  done
}

# Below another user's directory only things of that user are made.
refuse_other_owner() {
  [ -z "$as" ] || [ "$1" = "$owner_above" ] || fail "a directory above it belongs to $owner_above, so it cannot be given to $1"
}

add_user() {
  if entry=$(getent passwd "$1"); then
    home=${entry%:*} home=${home##*:}
    [ "$home" = "$2" ] || usermod --home "$2" "$1" || fail
    return 0
  fi
  group=--user-group
  ! getent group "$1" >/dev/null || group="--gid=$1"
  useradd --system "$group" --no-create-home --home-dir "$2" --shell /usr/sbin/nologin "$1" || fail
}

remove_user() {
  if getent passwd "$1" >/dev/null; then
    # userdel itself refuses while the user has processes, and names one.
    userdel "$1" || fail
  fi
  ! getent group "$1" >/dev/null || groupdel "$1" || fail
}

make_directory() {
  walk_to "$4"
  refuse_other_owner "$1"
  [ ! -L "$4" ] || fail 'it is a symbolic link, and a directory is wanted'
  if [ -n "$as" ]; then
    $as install -d -m "$3" -- "$4" || fail
  else
    install -d -o "$1" -g "$2" -m "$3" -- "$4" || fail
  fi
  seen=
}

own_device() {
  [ -e "$4" ] || return 0
  [ ! -L "$4" ] && { [ -c "$4" ] || [ -b "$4" ]; } || fail 'it is no device'
  chown -- "$1:$2" "$4" && chmod -- "$3" "$4" || fail
}

# SIZE NEW MODE OWNER:GROUP PATH: takes the content from standard input and puts it in place; without a PATH it stays at NEW.
# One process for all of that, because a tenant has dozens of files. It is run as whoever owns the ground.
# shellcheck disable=SC2016
write='
  umask 077
  [ ! -e "$2" ] && [ ! -L "$2" ] || rm -f -- "$2" || exit 1
  head -c "$1" >"$2" || exit 1
  read -r _ || { echo "the list of changes was cut off" >&2; exit 1; }
  [ -z "$4" ] || chown -- "$4" "$2" || exit 1
  [ "$3" = 0600 ] || chmod -- "$3" "$2" || exit 1
  [ -z "$5" ] || mv -fT -- "$2" "$5" || exit 1'

write_file() {
  owner=$1 group=$2 mode=$3 size=$4 arguments=$5 path=$6
  walk_to "$path"
  refuse_other_owner "$owner"
  new="${path%/*}/.${path##*/}.pgs-new"
  set --
  while [ "$arguments" -gt 0 ]; do
    IFS= read -r word || fail 'the list of changes was cut off'
    case $word in *'{}'*) word=${word%%'{}'*}$new${word#*'{}'} ;; esac
    set -- "$@" "$word"
    arguments=$((arguments - 1))
  done
  ownership= target=$path
  [ -n "$as" ] || [ "$owner:$group" = root:root ] || ownership=$owner:$group
  [ $# -eq 0 ] || target=
  temporary=$new
  $as sh -c "$write" sh "$size" "$new" "$mode" "$ownership" "$target" || fail
  if [ $# -gt 0 ]; then
    "$@" </dev/null >&2 || fail "$1 does not accept the new content (the old file is still in place)"
    $as mv -fT -- "$new" "$path" || fail
  fi
  temporary=
  notice_unit_file "$path"
}

remove_path() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  walk_to "$1"
  $as rm -rf --one-file-system -- "$1" || fail
  case $1 in /etc/systemd/system/*) notice_unit_file "$1" && reload=yes ;; esac
  seen=
}

forget_unit() {
  systemctl --no-reload disable -q -- "$1" 2>/dev/null
  rm -f -- "/etc/systemd/system/$1" "/run/pgs/stamps/$1" "/run/pgs/stamps/$1.next" || fail
  reload=yes gone="$gone $1"
}

reload= gone= units= slices= enable= disable= mask= unmask=
# systemd finds the file of a new unit by itself; reading all units again costs a third of a second of CPU, so it is asked
# whether it has an older one. For what it cannot be asked about (drop-ins, templates) it reads them again in any case.
notice_unit_file() {
  case $1 in
    /etc/systemd/system/*.slice.d/*) reload=yes within=${1%.d/*} slices="$slices ${within##*/}" ;;
    /etc/systemd/system/*/* | /etc/systemd/system/*@.*) reload=yes ;;
    /etc/systemd/system/*) units="$units ${1##*/}" ;;
  esac
}

# The kernel is told a running slice's limits only when they are set by command: systemd 257 that reads its files again leaves those in force
# that were (measured). So what the files say is set, and what that leaves in /run is removed: the files alone say it, now and after a boot.
hold_slice() {
  files=$(find "/etc/systemd/system/$1.d" -name '*.conf' 2>/dev/null | sort)
  # shellcheck disable=SC2046,SC2086
  systemctl set-property --runtime -- "$1" CPUWeight= CPUQuota= MemoryHigh=infinity MemoryMax=infinity TasksMax=infinity \
    $([ -z "$files" ] || grep -hE '^(CPUWeight|CPUQuota|MemoryHigh|MemoryMax|TasksMax)=' $files) || fail
  for property in CPUWeight CPUQuota MemoryHigh MemoryMax TasksMax; do
    rm -f -- "/run/systemd/system.control/$1.d/50-$property.conf" || fail
  done
  systemctl daemon-reload || fail
}

ended=
while read -r kind a b c d e f; do
  case $kind in
    unit-gone) doing="removing unit $a" && forget_unit "$a" ;;
    user) doing="creating user $a" && add_user "$a" "$b" ;;
    directory) doing="creating directory $d" && make_directory "$a" "$b" "$c" "$d" ;;
    device) doing="giving $d to $a" && own_device "$a" "$b" "$c" "$d" ;;
    file) doing="writing $f" && write_file "$a" "$b" "$c" "$d" "$e" "$f" ;;
    remove) doing="removing $a" && remove_path "$a" ;;
    user-gone) doing="removing user $a" && remove_user "$a" ;;
    enable) enable="$enable $a" ;;
    disable) disable="$disable $a" ;;
    mask) mask="$mask $a" ;;
    unmask) [ ! "/etc/systemd/system/$a" -ef /dev/null ] || unmask="$unmask $a" ;;
    unit) units="$units $a" ;;
    end) ended=yes ;;
    *) doing='reading the list of changes' && fail "it has a line that starts with '$kind'" ;;
  esac
done
[ -n "$ended" ] || fail 'the list of changes was cut off'

set_units() {
  verb=$1
  shift
  [ $# -gt 0 ] || return 0
  doing="systemctl $verb $*"
  systemctl --no-reload -q "$verb" -- "$@" || fail
  # What is enabled matters at the next boot only.
  [ "$verb" = enable ] || reload=yes
}
# shellcheck disable=SC2086
set_units unmask $unmask
# shellcheck disable=SC2086
set_units enable $enable
for unit in $disable; do
  # What does not exist is not enabled, and systemctl would refuse.
  said=$(systemctl --no-reload -q disable -- "$unit" 2>&1) || case $said in
    *'does not exist'*) ;;
    *) doing="systemctl disable $unit" && fail "$said" ;;
  esac
  reload=yes
done
# shellcheck disable=SC2086
set_units mask $mask

doing='making systemd read the changed units'
if [ -z "$reload" ] && [ -n "$units" ]; then
  # shellcheck disable=SC2086
  case $(systemctl show -p NeedDaemonReload --value -- $units) in *yes*) reload=yes ;; esac
fi
[ -z "$reload" ] || systemctl daemon-reload || fail
for slice in $slices; do
  doing="limiting $slice"
  hold_slice "$slice"
done
# shellcheck disable=SC2086
[ -z "$gone" ] || systemctl reset-failed -- $gone 2>/dev/null
exit 0
