#!/usr/bin/env bash
# Makes sure that there is a Chromium for the UI's tests, and the fonts that their
# screenshots were made with, and prints where it is. Debian's packages are used.
set -euo pipefail
find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }
fonts() { fc-list 2>/dev/null | grep -q DejaVuSans.ttf; }
if [ -z "$(find_browser)" ] || ! fonts; then
  if ! command -v apt-get >/dev/null; then
    echo "no Chromium and no apt-get to install it with" >&2
    exit 1
  fi
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  { $sudo apt-get install -y -q chromium fonts-dejavu-core fontconfig ||
    { $sudo apt-get update -q && $sudo apt-get install -y -q chromium fonts-dejavu-core fontconfig; }; } >&2
fi
find_browser
