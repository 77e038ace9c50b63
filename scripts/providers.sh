#!/usr/bin/env bash
# Builds the provider plugins that tests, demo and benchmarks use, into a
# filesystem mirror under .cache/providers, and writes .cache/terraformrc, a CLI
# configuration that installs from there and from nowhere else.
#
# Usage: scripts/providers.sh [core|cloud|all]
#   core (the default): time and local, and the project's own test providers
#   cloud, all:         openstack as well, which takes minutes to build
#
# What is built already is left alone: own providers are built again when their
# source changes.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
which=${1:-core}
cache=$root/.cache
mirror=$cache/providers
platform=$(go env GOOS)_$(go env GOARCH)
mkdir -p "$cache/build" "$mirror"

# One at a time: two builds of the same thing would get into each other's way.
exec 9>"$cache/build/lock"
flock 9

# place BINARY NAMESPACE TYPE VERSION: put a program into the mirror under both
# public hosts.
place() {
  local binary=$1 namespace=$2 type=$3 version=$4 host dir target
  for host in registry.terraform.io registry.opentofu.org; do
    dir=$mirror/$host/$namespace/$type/$version/$platform
    target=$dir/terraform-provider-${type}_v$version
    if [ ! -e "$target" ] || [ "$binary" -nt "$target" ]; then
      mkdir -p "$dir"
      ln -f "$binary" "$target" 2>/dev/null || cp -f "$binary" "$target"
    fi
  done
}

# real PATH VERSION NAME: build a published provider.
real() {
  local path=$1 version=$2 name=$3 out=$cache/build/$3-$2
  if [ ! -x "$out" ]; then
    echo "building $name $version" >&2
    # Within the module's own go.mod and go.sum: "go install PATH@VERSION" asks
    # for the list of all versions as well, which not every proxy gives.
    local source
    source=$(cd "$cache" && GOFLAGS=-mod=mod go mod download -json "$path@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -n "$source" ] || { echo "cannot download $path $version" >&2; exit 1; }
    (cd "$source" && GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -o "$out.new" .) || exit 1
    mv "$out.new" "$out"
  fi
  echo "$out"
}

# own NAME: build one of the project's test providers.
own() {
  local name=$1 out=$cache/build/terraform-provider-$1 stamp
  stamp=$(cd tools && { cat go.mod go.sum; find "cmd/terraform-provider-$name" internal -name '*.go' ! -name '*_test.go' 2>/dev/null | sort | xargs cat; } | sha256sum | cut -d' ' -f1)
  if [ ! -x "$out" ] || [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "building $name" >&2
    (cd tools && go build -trimpath -o "$out" "./cmd/terraform-provider-$name")
    echo "$stamp" >"$out.stamp"
  fi
  echo "$out"
}

time=$(real github.com/hashicorp/terraform-provider-time v0.14.2 terraform-provider-time)
place "$time" hashicorp time 0.14.2
place "$time" hashicorp time 0.13.1
local=$(real github.com/terraform-providers/terraform-provider-local v1.4.1-0.20260513075820-3561e410f9fe terraform-provider-local)
place "$local" hashicorp local 2.5.3

for dir in tools/cmd/terraform-provider-*; do
  name=${dir##*/terraform-provider-}
  binary=$(own "$name")
  while read -r namespace type version; do
    place "$binary" "$namespace" "$type" "$version"
  done <"$dir/versions"
done

case $which in
core) ;;
cloud | all)
  openstack=$(real github.com/terraform-provider-openstack/terraform-provider-openstack v1.54.1 terraform-provider-openstack)
  place "$openstack" terraform-provider-openstack openstack 1.54.1
  ;;
*)
  echo "usage: scripts/providers.sh [core|cloud|all]" >&2
  exit 2
  ;;
esac

cat >"$cache/terraformrc.new" <<CONFIG
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
CONFIG
mv "$cache/terraformrc.new" "$cache/terraformrc"
