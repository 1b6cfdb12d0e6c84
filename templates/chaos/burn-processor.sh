# Keeps processors busy until it is ended. Argument: how many.
n=$1
while [ "$n" -gt 0 ]; do
  (while :; do :; done) &
  n=$((n - 1))
done
wait
