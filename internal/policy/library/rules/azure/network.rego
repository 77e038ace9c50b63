# Networks and doors on Azure.
package tutti.azure.network

import data.tutti.lib

# METADATA
# title: Ports open to the world
# description: A rule lets everyone reach a port that is not among those that may be open (open_ports).
# custom:
#   id: azure.network.open_ingress
#   severity: critical
#   compliance: CIS Azure 2.0 6.1, 6.2
#   remediation: Limit the source to the ranges that need it, or list the port in open_ports.
deny_open_ingress contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	rc.type in {"azurerm_network_security_rule", "azurerm_network_security_group"}
	lib.writes(rc)
	some [attribute, r] in rules(rc)
	lower(r.access) == "allow"
	lower(r.direction) == "inbound"
	not ping(r)
	lib.everyone(several(r, "source_address_prefix", "source_address_prefixes"))
	some ports in several(r, "destination_port_range", "destination_port_ranges")
	lib.closed(first(ports), last(ports))
	msg := sprintf("lets everyone reach ports %s", [ports])
}

rules(rc) := [["source_address_prefix", rc.change.after]] if rc.type == "azurerm_network_security_rule"

rules(rc) := [["security_rule", r] | some r in rc.change.after.security_rule] if rc.type == "azurerm_network_security_group"

# A protocol that is not there is not known yet: it must be given.
ping(r) if is_null(object.get(r, "protocol", null))

ping(r) if lower(r.protocol) == "icmp"

several(r, one, many) := array.concat([v | v := r[one]; v != null; v != ""], [v | some v in r[many]])

first(ports) := 0 if ports == "*"

first(ports) := to_number(split(ports, "-")[0]) if ports != "*"

last(ports) := 65535 if ports == "*"

last(ports) := to_number(split(ports, "-")[count(split(ports, "-")) - 1]) if ports != "*"

# METADATA
# title: Database open to the world
# description: A firewall rule lets every address in, or everything on Azure.
# custom:
#   id: azure.network.open_database
#   severity: critical
#   compliance: CIS Azure 2.0 4.1.2
#   remediation: List the addresses that need it, or use a private endpoint.
deny_open_database contains lib.finding(rego.metadata.rule(), rc, "start_ip_address", "lets every address in") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_mssql_firewall_rule", "azurerm_postgresql_firewall_rule", "azurerm_postgresql_flexible_server_firewall_rule", "azurerm_mysql_flexible_server_firewall_rule", "azurerm_redis_firewall_rule"}
	lib.writes(rc)
	some name in ["start_ip_address", "start_ip"]
	rc.change.after[name] == "0.0.0.0"
}

# METADATA
# title: Application without HTTPS
# description: An application or function answers plain HTTP.
# custom:
#   id: azure.network.app_plain
#   severity: high
#   compliance: CIS Azure 2.0 9.2
#   remediation: Set https_only to true.
deny_app_plain contains lib.finding(rego.metadata.rule(), rc, "https_only", "answers plain HTTP") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_linux_web_app", "azurerm_windows_web_app", "azurerm_linux_function_app", "azurerm_windows_function_app"}
	lib.writes(rc)
	lib.off(rc, ["https_only"])
}

# METADATA
# title: Old TLS
# description: A service speaks versions of TLS before 1.2.
# custom:
#   id: azure.network.old_tls
#   severity: high
#   compliance: CIS Azure 2.0 3.15, 9.3
#   remediation: Set the minimum version to 1.2.
deny_old_tls contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	startswith(rc.type, "azurerm_")
	lib.writes(rc)
	some attribute in ["min_tls_version", "minimum_tls_version", "minimal_tls_version_enforced"]
	rc.change.after[attribute] in lib.settings.old_tls
	msg := sprintf("speaks old versions of TLS (%s)", [rc.change.after[attribute]])
}

# METADATA
# title: Everything may call across origins
# description: An application lets the scripts of every site read its answers.
# custom:
#   id: azure.network.wildcard_cors
#   severity: medium
#   compliance: none
#   remediation: List the origins that use it.
deny_wildcard_cors contains lib.finding(rego.metadata.rule(), rc, "site_config.0.cors", "lets the scripts of every site call it") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_linux_web_app", "azurerm_windows_web_app", "azurerm_linux_function_app", "azurerm_windows_function_app"}
	lib.writes(rc)
	some c in rc.change.after.site_config[0].cors
	"*" in c.allowed_origins
}
