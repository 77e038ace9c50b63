#!/usr/bin/env bash
# Builds Gitea, the host of code that tests open pull requests at, from the Go module
# proxy into .cache/build/gitea, and prints where it is: the program "gitea", and in
# "share" the files that it reads (templates, settings it comes with). Its web pages
# have no scripts or styles, which another toolchain would build: the API needs none.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.26.0
sum=h1:fJP9dqLbzKrKWUVnCVTfVersZdVDuyJQLEDzCAOmKKA=
out=$PWD/.cache/build/gitea
mkdir -p "${out%/*}"

# One at a time: two builds of the same thing would get into each other's way.
exec 9>"$out.lock"
flock 9

stamp=$(sha256sum "scripts/${0##*/}" | cut -d' ' -f1)
if [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ]; then
  if ! command -v gcc >/dev/null; then
    echo "no gcc, which the SQLite in Gitea is compiled with" >&2
    exit 1
  fi
  echo "building Gitea $version, which takes some ten minutes of CPU time" >&2
  rm -rf "$out.new" && mkdir -p "$out.new/share"
  # Gitea replaces modules, which only its own go.mod can do: so it is built as the
  # main module, in a copy of its files.
  module=$(cd / && go mod download -json "code.gitea.io/gitea@$version")
  field() { sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$module"; }
  if [ "$(field Sum)" != "$sum" ]; then
    echo "code.gitea.io/gitea $version has the checksum $(field Sum), and not $sum" >&2
    exit 1
  fi
  cp -r "$(field Dir)" "$out.new/source"
  chmod -R u+w "$out.new/source"
  (cd "$out.new/source" && CGO_ENABLED=1 nice -n 19 go build -trimpath -buildvcs=false -tags "sqlite sqlite_unlock_notify" \
    -ldflags "-s -w -X main.Version=${version#v}" -o ../gitea .)
  mv "$out.new/source"/{options,public,templates,LICENSE} "$out.new/share"
  rm -rf "$out.new/source" "$out" && mv "$out.new" "$out"
  echo "$stamp" >"$out.stamp"
fi
echo "$out"
