# Lets a key in, or no more: one line of a user's authorized_keys, told by its comment. Other lines stay as they are.
# Arguments: the user, the comment. Standard input: the line, or nothing. Prints `changed` or `same`.
set -eu
user=$1 comment=$2
line=$(cat)
home=$(getent passwd "$user" | cut -d : -f 6)
group=$(id -g "$user")
keys=$home/.ssh/authorized_keys
umask 077
[ -d "$home/.ssh" ] || install -d -o "$user" -g "$group" -m 0700 "$home/.ssh"
[ -e "$keys" ] || install -o "$user" -g "$group" -m 0600 /dev/null "$keys"
new=$(mktemp "$home/.ssh/.pgs-XXXXXX")
trap 'rm -f "$new"' EXIT
# Whole words at the end of a line, so that the comment of another fleet is never meant.
awk -v c="$comment" '$NF != c' "$keys" >"$new"
[ -z "$line" ] || printf '%s\n' "$line" >>"$new"
if cmp -s "$keys" "$new"; then
  echo same
  exit 0
fi
chown --reference="$keys" "$new"
chmod --reference="$keys" "$new"
mv "$new" "$keys"
echo changed
