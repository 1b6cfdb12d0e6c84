# Tries a login to PostgreSQL from this host, as the OS user of the tenant: OS_USER DIRECTORY PSQL HOW CONNINFO SQL. What is tried comes by
# standard input and lies in a directory of that user for the moment: HOW is `passfile` (a line of a password file) or `certificate`
# (certificate and key). Prints `accepted`, or what psql says.
umask 077
user=$1 near=$2 psql=$3 how=$4 conninfo=$5 sql=$6
dir=$(runuser -u "$user" -- mktemp -d "$near/try.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
runuser -u "$user" -- sh -c 'cat >"$1"' sh "$dir/given" || exit 1
case $how in
passfile) login="passfile=$dir/given" ;;
certificate) login="sslcert=$dir/given sslkey=$dir/given" ;;
esac
if said=$(runuser -u "$user" -- "$psql" -XqAtw -d "$conninfo connect_timeout=5 $login" -c "$sql" 2>&1); then
  echo accepted
else
  printf '%s\n' "$said"
fi
