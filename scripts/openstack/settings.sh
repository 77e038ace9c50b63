# Part of scripts/openstack.sh: the settings of every service. Only what differs
# from their defaults, and nothing that reaches beyond loopback.

# authentication USER: how a service asks Keystone who its callers are.
authentication() {
  cat <<CONF
www_authenticate_uri = $auth_url
auth_url = $auth_url
auth_type = password
username = $1
password = $password
user_domain_id = default
project_domain_id = default
project_name = service
region_name = RegionOne
CONF
}

connection() { echo "connection = mysql+pymysql://openstack:$password@$host:$database/$1?charset=utf8"; }

# settings NAME: keep standard input as the settings of a service.
settings() { cat >"$dir/etc/$1.conf"; }

write_settings() {
  local transport="transport_url = rabbit://openstack:$password@$host:$queue/"

  settings rabbitmq <<CONF
listeners.tcp.1 = $host:$queue
default_user = openstack
default_pass = $password
loopback_users = none
disk_free_limit.absolute = 10MB
log.console = true
log.file = false
CONF

  settings keystone <<CONF
[DEFAULT]
log_file = $dir/log/keystone.log
[database]
$(connection keystone)
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = $dir/data/keystone/fernet
[credential]
key_repository = $dir/data/keystone/credential
CONF

  settings glance <<CONF
[DEFAULT]
log_file = $dir/log/glance.log
bind_host = $host
bind_port = $glance
workers = 0
node_staging_uri = file://$dir/data/glance/staging
image_cache_dir = $dir/data/glance/cache
[database]
$(connection glance)
[glance_store]
stores = file
default_store = file
filesystem_store_datadir = $dir/data/glance/images
[task]
work_dir = $dir/data/glance/work
[oslo_concurrency]
lock_path = $dir/data/glance/lock
[paste_deploy]
config_file = /etc/glance/glance-api-paste.ini
flavor = keystone
[keystone_authtoken]
$(authentication glance)
CONF

  settings placement <<CONF
[DEFAULT]
log_file = $dir/log/placement.log
[api]
auth_strategy = keystone
[placement_database]
$(connection placement)
[keystone_authtoken]
$(authentication placement)
CONF

  settings nova <<CONF
[DEFAULT]
$transport
log_dir = $dir/log
state_path = $dir/data/nova
host = localhost
my_ip = $host
enabled_apis = osapi_compute
osapi_compute_listen = $host
osapi_compute_listen_port = $nova
osapi_compute_workers = 1
compute_driver = fake.FakeDriver
instance_usage_audit = false
[api_database]
$(connection nova_api)
[database]
$(connection nova)
[keystone_authtoken]
$(authentication nova)
[wsgi]
api_paste_config = /etc/nova/api-paste.ini
[conductor]
workers = 1
[scheduler]
workers = 1
[filter_scheduler]
track_instance_changes = false
[quota]
instances = -1
cores = -1
ram = -1
key_pairs = -1
[vnc]
enabled = false
[oslo_concurrency]
lock_path = $dir/data/nova/lock
[glance]
api_servers = http://$host:$glance
[placement]
$(authentication placement)
[neutron]
$(authentication neutron)
CONF

  settings neutron <<CONF
[DEFAULT]
$transport
log_file = $dir/log/neutron.log
state_path = $dir/data/neutron
host = localhost
bind_host = $host
bind_port = $neutron
core_plugin = ml2
service_plugins = router
api_workers = 1
rpc_workers = 0
rpc_state_report_workers = 0
auth_strategy = keystone
api_paste_config = /etc/neutron/api-paste.ini
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
dhcp_agent_notification = false
[database]
$(connection neutron)
[keystone_authtoken]
$(authentication neutron)
[oslo_concurrency]
lock_path = $dir/data/neutron/lock
[ml2]
type_drivers = local
tenant_network_types = local
mechanism_drivers = plug
extension_drivers = port_security
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_security_group = -1
quota_security_group_rule = -1
CONF
}
