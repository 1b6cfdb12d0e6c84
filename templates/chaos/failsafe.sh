# Shows the cluster's settings, or switches failsafe mode on or off in them: with the tenant's own login to etcd, which is in Patroni's file,
# and as the tenant's user, since the file is the tenant's. Arguments: show, true or false, OS user, Patroni's file, tenant.
set -u
ctl() { runuser -u "$2" -- patronictl -c "$3" "$1" "$4" $5; }
[ "$1" != show ] || { ctl show-config "$2" "$3" "$4" ''; exit; }
# Somebody else may write at the same moment: the members' hosts undo it all at once.
for _ in 1 2 3 4; do
  ctl edit-config "$2" "$3" "$4" "--quiet --force --set failsafe_mode=$1" && exit
  sleep 1
done
exit 1
