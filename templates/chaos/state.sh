# Prints the state of a unit's main process as ps has it: T is stopped. Argument: the unit.
ps -o state= -p "$(systemctl show --property=MainPID --value "$1")"
