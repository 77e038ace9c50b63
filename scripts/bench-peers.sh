#!/usr/bin/env bash
# Measures Tutti's workflows beside other systems that carry steps out durably,
# and prints tables in Markdown. PostgreSQL is started for it, waiting for the
# disk; its data and Tutti's store lie in the same folder, /tmp, which must not
# be in memory.
#
# Usage: scripts/bench-peers.sh peers|temporal [FLAG…]
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?peers or temporal}
shift
folder=$(mktemp -d)
trap 'scripts/postgres.sh stop "$folder"; rm -rf "$folder"' EXIT
program=$folder/$what
(cd "bench/$what" && go build -o "$program" .)
if environment=$(POSTGRES_FSYNC=on scripts/postgres.sh start "$folder"); then
  eval "$environment"
elif [ "$what" = peers ]; then
  exit 1
fi
case $what in
peers) "$program" -dir /tmp "$@" ;;
temporal)
  "$program" -dir /tmp -store sqlite "$@"
  if [ -n "${PGHOST:-}" ]; then
    "$program" -dir /tmp -store postgres "$@"
  fi
  ;;
esac
