#!/usr/bin/env bash
# Builds the UI into internal/server/web/dist, from where it is embedded in the
# program. What is built already is left alone while its sources stay the same.
# Needs Node 20.19 or later with npm; without them the program is built without
# its UI, and says so in the browser.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache
exec 8>.cache/web.lock
flock 8
if ! command -v npm >/dev/null; then
  echo "no npm: the program is built without its UI" >&2
  exit 0
fi
sources() {
  find web internal/server/api -type f ! -path 'web/node_modules/*' ! -name '*_test.go' ! -path 'web/test/*' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}
stamp=$(sources)
if [ -e internal/server/web/dist/index.html ] && [ "$(cat .cache/web.stamp 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi
echo "building the UI" >&2
go run ./cmd/tutti metadata openapi >.cache/openapi.json
cd web
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error
fi
npm run --silent types >/dev/null
npm run --silent build >../.cache/web.log 2>&1 || { cat ../.cache/web.log >&2; exit 1; }
echo "$stamp" >../.cache/web.stamp
