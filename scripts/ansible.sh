#!/usr/bin/env bash
# Installs what the tests of playbooks need, from Debian's packages: Ansible and
# the client it reaches other machines with. What is there already is left alone.
# Where they cannot be had it fails, and the tests skip.
set -euo pipefail
if command -v ansible-playbook >/dev/null && command -v ssh >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "ansible: install ansible-core 2.14 or newer and an SSH client; this script can as root on Debian only" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ansible-core openssh-client
