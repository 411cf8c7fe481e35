#!/bin/bash
# The first start makes the cluster and runs what is in /docker-entrypoint-initdb.d; every start ends in the server.
set -euo pipefail
[ "${1:-postgres}" = postgres ] || exec "$@"
shift || true
sockets=/var/run/postgresql
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}
  [ -n "$password" ] || { echo 'POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must be set' >&2; exit 1; }
  mkdir -p "$PGDATA" && chmod 700 "$PGDATA"
  initdb -D "$PGDATA" -U "$user" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --no-locale \
    --pwfile=<(printf '%s\n' "$password")
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -c unix_socket_directories=$sockets" start
  run() { psql -v ON_ERROR_STOP=1 -h "$sockets" -U "$user" "$@"; }
  [ "$database" = postgres ] || run -d postgres -c "CREATE DATABASE \"$database\""
  for file in /docker-entrypoint-initdb.d/*.sql; do run -d "$database" -f "$file"; done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@"
