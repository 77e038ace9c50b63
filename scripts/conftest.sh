#!/usr/bin/env bash
# Builds conftest into .cache/build/conftest, for measuring policies side by side
# (see docs/performance.md). It takes some minutes of CPU time, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v0.71.1
out=$PWD/.cache/build/conftest
[ -x "$out" ] && exit 0
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
mkdir -p "$(dirname "$out")"
GOFLAGS=-mod=mod GOBIN=$bin nice -n 10 go install -trimpath "github.com/open-policy-agent/conftest@$version"
mv "$bin/conftest" "$out"
