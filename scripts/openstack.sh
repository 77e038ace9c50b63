#!/usr/bin/env bash
# An OpenStack of one's own, on loopback, from Debian's packages: Keystone,
# Glance, Placement, Nova (whose servers are pretended) and Neutron (without
# agents), on a MariaDB and a RabbitMQ of their own. All of them are plain
# processes; no service of the machine is started or touched.
#
# Usage: scripts/openstack.sh install   install the packages (as root, Debian 12)
#        scripts/openstack.sh up        set up what is missing, start what is stopped
#        scripts/openstack.sh down      stop everything that up started
#        scripts/openstack.sh env       print the OS_* variables, to be eval'ed
#
# Settings, logs and data lie in the folder OPENSTACK_DIR (.cache/openstack
# unless said otherwise); removing it after down forgets the cloud. The ports
# are OpenStack's usual ones, and can be moved with the variables below.
set -euo pipefail
cd "$(dirname "$0")/.."

install_packages() {
  local packages=(keystone glance-api placement-api nova-api nova-conductor nova-scheduler
    nova-compute neutron-server mariadb-server rabbitmq-server curl)
  if dpkg-query -W -f '${Status}\n' "${packages[@]}" 2>/dev/null | grep -c '^install ok installed' | grep -qx "${#packages[@]}"; then
    return
  fi
  [ "$(id -u)" = 0 ] || { echo "openstack: installing packages needs root" >&2; exit 1; }
  # Packages ask this program whether their services may be started: they may not.
  local policy=/usr/sbin/policy-rc.d
  if [ -e $policy ]; then
    mv $policy $policy.before-openstack
  fi
  trap 'rm -f /usr/sbin/policy-rc.d; [ ! -e /usr/sbin/policy-rc.d.before-openstack ] || mv /usr/sbin/policy-rc.d.before-openstack /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

case ${1-} in
install) install_packages ;;
*)
  echo "usage: scripts/openstack.sh install|up|down|env" >&2
  exit 2
  ;;
esac
