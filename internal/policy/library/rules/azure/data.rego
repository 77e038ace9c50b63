# Storage, databases and vaults on Azure.
package tutti.azure.data

import data.tutti.lib

# METADATA
# title: Public container
# description: Everyone can read a container, or an account allows containers that everyone can read.
# custom:
#   id: azure.data.public_container
#   severity: critical
#   compliance: CIS Azure 2.0 3.7
#   remediation: Set container_access_type to private and allow_nested_items_to_be_public to false.
deny_public_container contains lib.finding(rego.metadata.rule(), rc, attribute, "is open to everyone") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_storage_container", "azurerm_storage_account"}
	lib.writes(rc)
	some attribute in ["container_access_type", "allow_nested_items_to_be_public"]
	rc.change.after[attribute] in {"blob", "container", true}
}

# METADATA
# title: Storage without encrypted transfer
# description: A storage account answers plain HTTP.
# custom:
#   id: azure.data.plain_transfer
#   severity: high
#   compliance: CIS Azure 2.0 3.1
#   remediation: Set https_traffic_only_enabled to true.
deny_plain_transfer contains lib.finding(rego.metadata.rule(), rc, attribute, "answers without encryption") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_storage_account", "azurerm_redis_cache"}
	lib.writes(rc)
	some [attribute, bad] in [
		["https_traffic_only_enabled", false], ["enable_https_traffic_only", false],
		["non_ssl_port_enabled", true], ["enable_non_ssl_port", true],
	]
	rc.change.after[attribute] == bad
}

# METADATA
# title: Public database
# description: A database, cache or registry can be reached from the internet.
# custom:
#   id: azure.data.public_database
#   severity: high
#   compliance: none
#   remediation: Set public_network_access_enabled to false and use a private endpoint.
deny_public_database contains lib.finding(rego.metadata.rule(), rc, "public_network_access_enabled", "can be reached from the internet") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_mssql_server", "azurerm_postgresql_server", "azurerm_postgresql_flexible_server", "azurerm_mysql_server", "azurerm_mariadb_server", "azurerm_cosmosdb_account", "azurerm_redis_cache"}
	lib.writes(rc)
	rc.change.after.public_network_access_enabled == true
}

# METADATA
# title: Vault that can be emptied
# description: Keys and secrets that are deleted can be purged at once.
# custom:
#   id: azure.data.vault_purge
#   severity: medium
#   compliance: CIS Azure 2.0 8.5
#   remediation: Set purge_protection_enabled to true.
deny_vault_purge contains lib.finding(rego.metadata.rule(), rc, "purge_protection_enabled", "has no protection against purging") if {
	some rc in input.resource_changes
	rc.type in {"azurerm_key_vault"}
	lib.writes(rc)
	lib.off(rc, ["purge_protection_enabled"])
}

# METADATA
# title: Database without enough backups
# description: Backups are kept for fewer days than backup_days.
# custom:
#   id: azure.data.few_backups
#   severity: medium
#   compliance: none
#   remediation: Set backup_retention_days to at least backup_days.
deny_few_backups contains lib.finding(rego.metadata.rule(), rc, "backup_retention_days", msg) if {
	some rc in input.resource_changes
	rc.type in {"azurerm_postgresql_server", "azurerm_postgresql_flexible_server", "azurerm_mysql_flexible_server"}
	lib.writes(rc)
	days := lib.value(rc, ["backup_retention_days"])
	days < lib.settings.backup_days
	msg := sprintf("keeps backups for %d days", [days])
}
