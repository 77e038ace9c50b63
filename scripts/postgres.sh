#!/usr/bin/env bash
# Starts and stops a PostgreSQL server of one's own: on loopback, in a folder,
# never as root, gone when it is stopped.
#
# Usage: scripts/postgres.sh start FOLDER    prints PGHOST=… PGPORT=… and so on
#        scripts/postgres.sh stop FOLDER
#
# It does not wait for the disk, unless POSTGRES_FSYNC=on.
set -euo pipefail

# find PROGRAM: the server's programs often lie outside the path.
find_program() {
  command -v "$1" && return
  local candidate
  for candidate in /usr/lib/postgresql/*/bin/"$1" /usr/pgsql-*/bin/"$1" /opt/homebrew/opt/postgresql*/bin/"$1"; do
    if [ -x "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  echo "PostgreSQL's $1 is missing: install PostgreSQL (Debian: apt-get install postgresql)" >&2
  return 1
}

# plain COMMAND…: as a user who is not root, which the server insists on.
plain() {
  if [ "$(id -u)" != 0 ]; then
    "$@"
  else
    setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups -- env HOME=/ "$@"
  fi
}

owner=nobody
if id postgres >/dev/null 2>&1; then
  owner=postgres
fi

command=${1:?start or stop} folder=${2:?a folder}
case $command in
start)
  initdb=$(find_program initdb)
  pg_ctl=$(dirname "$(readlink -f "$initdb")")/pg_ctl
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd -P)
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  # Short, because the path of a socket may not be long.
  data=$(mktemp -d /tmp/tutti-pg-XXXXXX)
  echo "$password" >"$data/password"
  if [ "$(id -u)" = 0 ]; then
    chown -R "$owner" "$data"
  fi
  (
    cd "$data"
    plain "$initdb" -D "$data/data" -U admin --pwfile="$data/password" -A scram-sha-256 --no-sync -E UTF8 --locale=C >"$data/initdb.log" 2>&1 ||
      { cat "$data/initdb.log" >&2; exit 1; }
  )
  # A port that is free now may be taken a moment later: try again then.
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    if (cd "$data" && plain "$pg_ctl" -D "$data/data" -w -t 60 -l "$data/server.log" \
      -o "-c listen_addresses=127.0.0.1 -p $port -k $data -c fsync=${POSTGRES_FSYNC:-off} -c max_connections=200" start >/dev/null 2>&1); then
      echo "$data" >"$folder/postgres"
      echo "export PGHOST=127.0.0.1 PGPORT=$port PGUSER=admin PGPASSWORD=$password PGDATABASE=postgres"
      exit 0
    fi
  done
  cat "$data/server.log" >&2
  exit 1
  ;;
stop)
  data=$(cat "$folder/postgres" 2>/dev/null) || exit 0
  pg_ctl=$(dirname "$(readlink -f "$(find_program initdb)")")/pg_ctl
  (cd "$data" && plain "$pg_ctl" -D "$data/data" -m immediate -w stop >/dev/null) || true
  rm -rf "$data" "$folder/postgres"
  ;;
*)
  echo "usage: scripts/postgres.sh start|stop FOLDER" >&2
  exit 2
  ;;
esac
