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
# unless said otherwise); removing it after down forgets the cloud. The APIs
# listen on OpenStack's usual ports, database and queue on unusual ones.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/scripts/openstack
dir=${OPENSTACK_DIR:-$PWD/.cache/openstack}
host=127.0.0.1
keystone=5000 glance=9292 placement=8778 nova=8774 neutron=9696
database=23306 queue=25673 distribution=25674 epmd=24369
auth_url=http://$host:$keystone/v3

# Where programs would write: nothing into the home of whoever runs this.
export HOME=$dir/home XDG_CACHE_HOME=$dir/home/cache PYTHONDONTWRITEBYTECODE=1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
umask 077

. scripts/processes.sh

install_packages() {
  local packages=(keystone glance-api placement-api nova-api nova-conductor nova-scheduler
    nova-compute neutron-server mariadb-server rabbitmq-server curl)
  if [ "$(dpkg-query -W -f '${Status}\n' "${packages[@]}" 2>/dev/null | grep -c '^install ok installed')" = "${#packages[@]}" ]; then
    return
  fi
  [ "$(id -u)" = 0 ] || fail "installing packages needs root"
  # Packages ask this program whether their services may be started: they may not.
  policy=/usr/sbin/policy-rc.d
  if [ -e $policy ]; then
    mv $policy $policy.before-openstack
  fi
  trap 'rm -f $policy; [ ! -e $policy.before-openstack ] || mv $policy.before-openstack $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  umask 022
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 HOME=/root
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

answers() { curl -sS -o /dev/null --max-time 5 "http://$host:$1/"; }
listens() { (: <"/dev/tcp/$host/$1"); }

# once NAME COMMAND…: only where it has not succeeded before.
once() {
  local name=$1
  shift
  [ ! -e "$dir/done/$name" ] || return 0
  echo "openstack: setting up $name" >&2
  "$@" >>"$dir/log/setup-$name.out" 2>&1 || {
    tail -n 30 "$dir/log/setup-$name.out" >&2
    fail "cannot set up $name"
  }
  : >"$dir/done/$name"
}

sql() { mariadb --no-defaults -h $host -P $database -u openstack -p"$password" --skip-column-names -e "$1"; }

down() {
  [ -d "$dir/run" ] || return 0
  local name
  for name in neutron nova-compute nova-scheduler nova-conductor nova-api placement glance keystone; do
    stop $name TERM &
  done
  wait
  stop rabbitmq TERM
  stop epmd TERM
  stop mariadb TERM
}

print_env() {
  [ -r "$dir/password" ] || fail "not set up: $dir (run scripts/openstack.sh up)"
  cat <<ENV
export OS_AUTH_URL=$auth_url
export OS_USERNAME=admin
export OS_PASSWORD=$(cat "$dir/password")
export OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_ID=default
export OS_PROJECT_DOMAIN_ID=default
export OS_REGION_NAME=RegionOne
export OS_IDENTITY_API_VERSION=3
ENV
}

. "$here/settings.sh"
. "$here/up.sh"

case ${1-} in
install) install_packages ;;
up | down)
  mkdir -p "$dir"/{etc,log,run,done,home}
  exec 9>"$dir/lock"
  flock 9
  "$1"
  ;;
env) print_env ;;
*)
  echo "usage: scripts/openstack.sh install|up|down|env" >&2
  exit 2
  ;;
esac
