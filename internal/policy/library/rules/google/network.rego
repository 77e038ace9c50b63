# Networks, machines and clusters on Google Cloud.
package tutti.google.network

import data.tutti.lib

# METADATA
# title: Ports open to the world
# description: A firewall rule lets everyone reach a port that is not among those that may be open (open_ports).
# custom:
#   id: google.network.open_ingress
#   severity: critical
#   compliance: CIS Google 2.0 3.6, 3.7
#   remediation: Limit source_ranges, or list the port in open_ports.
deny_open_ingress contains lib.finding(rego.metadata.rule(), rc, "source_ranges", msg) if {
	some rc in input.resource_changes
	rc.type in {"google_compute_firewall"}
	lib.writes(rc)
	lib.other(rc, ["direction"], {"EGRESS"})
	lib.other(rc, ["disabled"], {true})
	lib.everyone(rc.change.after.source_ranges)
	some a in rc.change.after.allow
	not lower(a.protocol) in {"icmp", "esp", "ah"}
	some ports in opened(a)
	lib.closed(split(ports, "-")[0], split(ports, "-")[count(split(ports, "-")) - 1])
	msg := sprintf("lets everyone reach ports %s", [ports])
}

opened(a) := a.ports if count(a.ports) > 0

opened(a) := ["0-65535"] if lib.empty(object.get(a, "ports", "not known yet"))

# METADATA
# title: Default network in use
# description: Something is put into the default network, which has open rules.
# custom:
#   id: google.network.default_network
#   severity: medium
#   compliance: CIS Google 2.0 3.1
#   remediation: Make a network of your own; let projects be made with auto_create_network = false.
deny_default_network contains lib.finding(rego.metadata.rule(), rc, attribute, "uses the default network") if {
	some rc in input.resource_changes
	rc.type in {"google_compute_instance", "google_container_cluster", "google_compute_firewall", "google_project"}
	lib.writes(rc)
	some [attribute, used] in networks(rc)
	used
}

networks(rc) := [["network_interface", true] |
	some n in rc.change.after.network_interface
	regex.match(`(^|/)default$`, n.network)
] if {
	rc.type == "google_compute_instance"
}

networks(rc) := [["network", regex.match(`(^|/)default$`, rc.change.after.network)]] if rc.type in {"google_container_cluster", "google_compute_firewall"}

networks(rc) := [["auto_create_network", rc.change.after.auto_create_network]] if rc.type == "google_project"

# METADATA
# title: Machine with a public address
# description: A machine has an address that everyone can reach.
# custom:
#   id: google.network.public_machine
#   severity: medium
#   compliance: CIS Google 2.0 4.9
#   remediation: Leave access_config away; use a load balancer and Cloud NAT.
deny_public_machine contains lib.finding(rego.metadata.rule(), rc, "network_interface", "has a public address") if {
	some rc in input.resource_changes
	rc.type in {"google_compute_instance"}
	lib.writes(rc)
	some n in rc.change.after.network_interface
	count(n.access_config) > 0
}

# METADATA
# title: Default service account with all rights
# description: A machine runs as the default service account with access to everything.
# custom:
#   id: google.network.default_account
#   severity: high
#   compliance: CIS Google 2.0 4.1, 4.2
#   remediation: Give the machine a service account of its own.
deny_default_account contains lib.finding(rego.metadata.rule(), rc, "service_account", "runs as the default service account with all rights") if {
	some rc in input.resource_changes
	rc.type in {"google_compute_instance", "google_compute_instance_template"}
	lib.writes(rc)
	some i, s in rc.change.after.service_account
	some scope in s.scopes
	regex.match(`(^|/)cloud-platform$`, scope)
	standard(rc, i)
}

standard(rc, i) if lib.absent(rc, ["service_account", i, "email"])

standard(rc, i) if regex.match(`-compute@developer\.gserviceaccount\.com$`, lib.value(rc, ["service_account", i, "email"]))

# METADATA
# title: Old TLS
# description: A policy for load balancers speaks versions of TLS before 1.2.
# custom:
#   id: google.network.old_tls
#   severity: high
#   compliance: CIS Google 2.0 3.9
#   remediation: Set min_tls_version to TLS_1_2.
deny_old_tls contains lib.finding(rego.metadata.rule(), rc, "min_tls_version", "speaks old versions of TLS") if {
	some rc in input.resource_changes
	rc.type in {"google_compute_ssl_policy"}
	lib.writes(rc)
	lib.other(rc, ["min_tls_version"], {"TLS_1_2", "TLS_1_3"})
}

# METADATA
# title: Subnet without flow log
# description: Nobody can tell afterwards who talked to whom in a subnet.
# custom:
#   id: google.network.no_flow_log
#   severity: low
#   compliance: CIS Google 2.0 3.8
#   remediation: Add a log_config block.
warn_no_flow_log contains lib.finding(rego.metadata.rule(), rc, "log_config", "has no flow log") if {
	some rc in input.resource_changes
	rc.type in {"google_compute_subnetwork"}
	lib.writes(rc)
	lib.other(rc, ["purpose"], {"REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY", "PRIVATE_SERVICE_CONNECT"})
	lib.absent(rc, ["log_config"])
}

# METADATA
# title: Open cluster
# description: Everyone can reach the API of a GKE cluster.
# custom:
#   id: google.network.public_cluster
#   severity: high
#   compliance: none
#   remediation: Add master_authorized_networks_config, or a private endpoint.
deny_public_cluster contains lib.finding(rego.metadata.rule(), rc, "master_authorized_networks_config", "has an API that everyone can reach") if {
	some rc in input.resource_changes
	rc.type in {"google_container_cluster"}
	lib.writes(rc)
	lib.off(rc, ["private_cluster_config", 0, "enable_private_endpoint"])
	unlimited(rc)
}

unlimited(rc) if lib.absent(rc, ["master_authorized_networks_config"])

unlimited(rc) if {
	some b in rc.change.after.master_authorized_networks_config[0].cidr_blocks
	b.cidr_block in lib.anywhere
}
