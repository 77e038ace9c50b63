# Part of scripts/openstack.sh: sets up what is missing and starts what is
# stopped, in the order in which one needs the other.

tools() { /usr/bin/python3 "$here/tools.py" "$@"; }

start_database() {
  local options=(--no-defaults --user="$(id -un)" --datadir="$dir/data/mariadb")
  # An installation that was interrupted is begun again.
  if [ ! -e "$dir/done/mariadb" ]; then
    rm -rf "$dir/data/mariadb"
  fi
  mkdir -p "$dir/data/mariadb"
  once mariadb mariadb-install-db "${options[@]}" --auth-root-authentication-method=normal --skip-test-db
  {
    local name
    # No user without a password: what is not written here cannot enter.
    echo "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys' AND User <> 'openstack';"
    echo "FLUSH PRIVILEGES;"
    echo "CREATE OR REPLACE USER openstack@'$host' IDENTIFIED BY '$password';"
    for name in keystone glance placement nova_api nova nova_cell0 neutron; do
      echo "CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8mb3;"
      echo "GRANT ALL ON $name.* TO openstack@'$host';"
    done
  } >"$dir/etc/mariadb.sql"
  # The path of a socket may not be long: it is relative to the data.
  start mariadb mariadbd "${options[@]}" --init-file="$dir/etc/mariadb.sql" \
    --bind-address=$host --port=$database --socket=mariadb.sock --pid-file=mariadb.pid \
    --skip-name-resolve --max-connections=500 --performance-schema=OFF \
    --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=256M
  await mariadb 60 sql 'select 1'
}

start_queue() {
  mkdir -p "$dir/data/rabbitmq"
  start epmd env ERL_EPMD_ADDRESS=$host epmd -port $epmd
  await epmd 10 listens $epmd
  : >"$dir/etc/rabbitmq-env.conf"
  echo '[].' >"$dir/etc/rabbitmq-plugins"
  start rabbitmq env ERL_EPMD_ADDRESS=$host ERL_EPMD_PORT=$epmd \
    RABBITMQ_NODENAME=openstack@localhost RABBITMQ_DIST_PORT=$distribution \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false' \
    RABBITMQ_CONF_ENV_FILE="$dir/etc/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$dir/etc/rabbitmq" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/etc/rabbitmq-plugins" RABBITMQ_MNESIA_BASE="$dir/data/rabbitmq" \
    RABBITMQ_LOG_BASE="$dir/log" /usr/lib/rabbitmq/bin/rabbitmq-server
}

set_up_keystone() {
  local manage=(keystone-manage --config-file "$dir/etc/keystone.conf") user group
  user=$(id -un) group=$(id -gn)
  mkdir -p "$dir/data/keystone"/{fernet,credential}
  "${manage[@]}" db_sync
  "${manage[@]}" fernet_setup --keystone-user "$user" --keystone-group "$group"
  "${manage[@]}" credential_setup --keystone-user "$user" --keystone-group "$group"
  "${manage[@]}" bootstrap --bootstrap-username admin --bootstrap-password "$password" \
    --bootstrap-project-name admin --bootstrap-role-name admin --bootstrap-service-name keystone \
    --bootstrap-region-id RegionOne --bootstrap-admin-url "$auth_url/" \
    --bootstrap-internal-url "$auth_url/" --bootstrap-public-url "$auth_url/"
}

set_up_services() {
  export OS_AUTH_URL=$auth_url OS_USERNAME=admin OS_PASSWORD=$password OS_PROJECT_NAME=admin \
    OS_REGION_NAME=RegionOne SERVICE_PASSWORD=$password
  tools register glance image "http://$host:$glance"
  tools register placement placement "http://$host:$placement"
  tools register nova compute "http://$host:$nova/v2.1"
  tools register neutron network "http://$host:$neutron"
}

set_up_glance() {
  mkdir -p "$dir/data/glance"/{images,staging,cache,work,lock}
  glance-manage --config-file "$dir/etc/glance.conf" db_sync
}

set_up_placement() { placement-manage --config-file "$dir/etc/placement.conf" db sync; }

set_up_neutron() {
  mkdir -p "$dir/data/neutron/lock"
  neutron-db-manage --config-file "$dir/etc/neutron.conf" upgrade head
}

set_up_nova() {
  local manage=(nova-manage --config-file "$dir/etc/nova.conf")
  mkdir -p "$dir/data/nova"/{instances,lock}
  "${manage[@]}" api_db sync
  "${manage[@]}" cell_v2 map_cell0 --database_connection \
    "mysql+pymysql://openstack:$password@$host:$database/nova_cell0?charset=utf8"
  "${manage[@]}" cell_v2 list_cells | grep -q ' cell1 ' || "${manage[@]}" cell_v2 create_cell --name cell1
  "${manage[@]}" db sync
}

has_node() { [ "$(sql 'select count(*) from nova.compute_nodes where deleted = 0')" -ge 1 ]; }
discover() { nova-manage --config-file "$dir/etc/nova.conf" cell_v2 discover_hosts --verbose; }

up() {
  [ -x /usr/bin/neutron-server ] && [ -x /usr/sbin/mariadbd ] || fail "packages are missing: run scripts/openstack.sh install"
  local name
  if [ ! -e "$dir/password" ]; then
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password.new"
    mv "$dir/password.new" "$dir/password"
  fi
  password=$(cat "$dir/password")
  write_settings
  start_database
  start_queue

  once keystone set_up_keystone
  start keystone env OS_KEYSTONE_CONFIG_FILES="$dir/etc/keystone.conf" \
    /usr/bin/python3 "$here/tools.py" serve keystone.server.wsgi:initialize_public_application $keystone
  # Two at a time: each of them keeps a processor busy.
  once placement set_up_placement
  once glance set_up_glance
  await keystone 60 answers $keystone
  once services set_up_services
  once nova set_up_nova
  once neutron set_up_neutron

  await rabbitmq 60 listens $queue
  cp "$dir/etc/placement.conf" "$dir/etc/placement/placement.conf" 2>/dev/null ||
    { mkdir -p "$dir/etc/placement" && cp "$dir/etc/placement.conf" "$dir/etc/placement/"; }
  start placement env OS_PLACEMENT_CONFIG_DIR="$dir/etc/placement" \
    /usr/bin/python3 "$here/tools.py" serve placement.wsgi:init_application $placement
  start glance glance-api --config-file "$dir/etc/glance.conf"
  start neutron env PYTHONPATH="$here/plug" neutron-server --config-file "$dir/etc/neutron.conf"
  for name in api conductor scheduler; do
    start nova-$name nova-$name --config-file "$dir/etc/nova.conf"
  done
  await placement 60 answers $placement
  start nova-compute nova-compute --config-file "$dir/etc/nova.conf"
  await glance 60 answers $glance
  await nova-api 90 answers $nova
  await neutron 90 answers $neutron
  await nova-compute 90 has_node
  once compute discover
}
