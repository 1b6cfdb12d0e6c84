#!/bin/sh
# Writes a row every 200 ms with psql and a string as `pgs cluster url` prints it, each over a connection of its own, and says what
# came of each: writer.sh URL WHO.
while :; do
  if said=$(psql -Xq "$1" -v who="$2" 2>&1 <<'SQL'
INSERT INTO written (who) VALUES (:'who')
SQL
  ); then echo ok; else echo "error $said" | tr '\n' ' ' && echo; fi
  sleep 0.2
done
