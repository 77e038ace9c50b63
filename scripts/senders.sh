#!/usr/bin/env bash
# Fetches the servers whose events tests listen to (NATS, Mosquitto, Prometheus and its
# Alertmanager) and unpacks them into .cache/build/senders, and prints where they are.
# Debian's packages are used, and no service starts. Nothing is installed but the
# Alertmanager, which wants its templates where Debian puts them.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/.cache/build/senders
mkdir -p "${out%/*}"

# One at a time: two of these would get into each other's way.
exec 9>"$out.lock"
flock 9

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
packages="nats-server mosquitto prometheus
  libmosquitto1 libwebsockets17 libcjson1 libdlt2 libuv1 libev4"
stamp=$(echo "$packages" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ]; then
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "no apt-get and dpkg to fetch and unpack Debian's packages with" >&2
    exit 1
  fi
  rm -rf "$out.new" && mkdir -p "$out.new/packages"
  (
    cd "$out.new/packages"
    # shellcheck disable=SC2086 # it is a list
    apt-get download -q $packages 2>/dev/null || {
      $sudo apt-get update -q
      # shellcheck disable=SC2086
      apt-get download -q $packages
    }
  ) >&2
  for package in "$out.new"/packages/*.deb; do dpkg -x "$package" "$out.new"; done
  rm -rf "$out.new/packages" "$out" && mv "$out.new" "$out"
  echo "$stamp" >"$out.stamp"
fi
if ! command -v prometheus-alertmanager >/dev/null; then
  # At this run level no service is started.
  install() { $sudo env RUNLEVEL=1 apt-get install -y -q --no-install-recommends prometheus-alertmanager; }
  { install || { $sudo apt-get update -q && install; }; } >&2
fi
echo "$out"
