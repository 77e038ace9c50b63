# Permissions, machines and clusters on Azure.
package tutti.azure.identity

import data.tutti.lib

# METADATA
# title: Role that allows everything
# description: A role of one's own allows all actions.
# custom:
#   id: azure.identity.wildcard_role
#   severity: high
#   compliance: CIS Azure 2.0 1.23
#   remediation: List the actions that are needed.
deny_wildcard_role contains lib.finding(rego.metadata.rule(), rc, "permissions", "allows all actions") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_role_definition"}
	lib.writes(rc)
	some p in rc.change.after.permissions
	some name in ["actions", "data_actions"]
	"*" in p[name]
}

# METADATA
# title: Owner of a subscription
# description: Somebody becomes Owner or may give rights to others, for a whole subscription.
# custom:
#   id: azure.identity.owner
#   severity: high
#   compliance: none
#   remediation: Assign a narrower role, or for a resource group.
deny_owner contains lib.finding(rego.metadata.rule(), rc, "role_definition_name", msg) if {
	some rc in input.resource_changes
	rc.type in {"azurerm_role_assignment"}
	lib.writes(rc)
	rc.change.after.role_definition_name in {"Owner", "User Access Administrator"}
	regex.match(`^/subscriptions/[^/]+/?$`, rc.change.after.scope)
	msg := sprintf("makes an %s of the subscription", [rc.change.after.role_definition_name])
}

# METADATA
# title: Machine with passwords
# description: People can sign in to a machine by password.
# custom:
#   id: azure.identity.password_login
#   severity: high
#   compliance: none
#   remediation: Set disable_password_authentication to true and give keys.
deny_password_login contains lib.finding(rego.metadata.rule(), rc, "disable_password_authentication", "can be signed in to by password") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_linux_virtual_machine", "azurerm_linux_virtual_machine_scale_set"}
	lib.writes(rc)
	rc.change.after.disable_password_authentication == false
}

# METADATA
# title: Open cluster
# description: Everyone can reach the API of an AKS cluster.
# custom:
#   id: azure.identity.public_cluster
#   severity: high
#   compliance: none
#   remediation: Set private_cluster_enabled, or list ranges in api_server_access_profile.authorized_ip_ranges.
deny_public_cluster contains lib.finding(rego.metadata.rule(), rc, "api_server_access_profile", "has an API that everyone can reach") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_kubernetes_cluster"}
	lib.writes(rc)
	lib.off(rc, ["private_cluster_enabled"])
	lib.absent(rc, ["api_server_access_profile", 0, "authorized_ip_ranges"])
}

# METADATA
# title: Registry with a shared password
# description: A registry has an administrator whose password everyone shares.
# custom:
#   id: azure.identity.registry_admin
#   severity: medium
#   compliance: none
#   remediation: Set admin_enabled to false and use identities.
deny_registry_admin contains lib.finding(rego.metadata.rule(), rc, "admin_enabled", "has an administrator with a shared password") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_container_registry"}
	lib.writes(rc)
	rc.change.after.admin_enabled == true
}
