#!/usr/bin/env bash
# Builds OpenTofu into .cache/build/tofu, for measuring side by side (see
# docs/performance.md). It takes some eight minutes of CPU time, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.12.6
out=$PWD/.cache/build/tofu
[ -x "$out" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")"
cd "$work"
cat >go.mod <<MOD
module example.com/tofu-build

go 1.26

require github.com/opentofu/opentofu $version

replace github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
MOD
go get -tool "github.com/opentofu/opentofu/cmd/tofu@$version"
go build -trimpath -ldflags "-X github.com/opentofu/opentofu/version.dev=no" -o "$out" github.com/opentofu/opentofu/cmd/tofu
