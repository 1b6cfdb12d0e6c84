# Waits until the PostgreSQL of a data directory has shut down in order and prints where its WAL ends then.
# Arguments: pg_controldata, data directory, seconds to wait.
controldata=$1 data=$2 end=$(($(date +%s) + $3))
while [ "$(date +%s)" -lt "$end" ]; do
  said=$("$controldata" "$data") || exit 1
  case "$said" in
    *'state:'*' shut down'[!\ ]*) printf '%s\n' "$said" | sed -n 's/^Latest checkpoint location: *//p'; exit 0 ;;
  esac
  sleep 0.05
done
exit 124
