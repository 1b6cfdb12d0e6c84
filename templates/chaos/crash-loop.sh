# Kills the postmaster every two seconds. Arguments: OS user, path of postmaster.pid.
while :; do
  pkill --signal KILL --uid "$1" --pidfile "$2"
  sleep 2
done
