#!/usr/bin/env bash
# Builds the OpenID Connect provider that tests log in at, dex, into
# .cache/build/dex. What is built already is left alone unless its source changed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/.cache/build/dex
mkdir -p "${out%/*}"

# One at a time: two builds of the same thing would get into each other's way.
exec 9>"${out%/*}/dex.lock"
flock 9

stamp=$(cat tools/dex/go.mod tools/dex/go.sum tools/dex/main.go | sha256sum | cut -d' ' -f1)
if [ ! -x "$out" ] || [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ]; then
  echo "building dex" >&2
  (cd tools/dex && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$out.new" .)
  mv "$out.new" "$out"
  echo "$stamp" >"$out.stamp"
fi
echo "$out"
