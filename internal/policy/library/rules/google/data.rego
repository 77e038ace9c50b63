# Buckets, databases, keys and permissions on Google Cloud.
package tutti.google.data

import data.tutti.lib

# METADATA
# title: Open to everyone
# description: A bucket, dataset, topic, function or key is given to allUsers or allAuthenticatedUsers.
# custom:
#   id: google.data.all_users
#   severity: critical
#   compliance: CIS Google 2.0 5.1, 7.1
#   remediation: Name the accounts or groups that need it.
deny_all_users contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	regex.match(`^google_.*(_iam_(member|binding)|_access_control|_dataset_access)$`, rc.type)
	lib.writes(rc)
	some [attribute, who] in given(rc.change.after)
	who in {"allUsers", "allAuthenticatedUsers"}
	msg := sprintf("is for %s", [who])
}

given(after) := array.concat(
	[[name, after[name]] | some name in ["member", "entity", "special_group", "iam_member"]],
	[["members", m] | some m in after.members],
)

# METADATA
# title: Bucket with rights by object
# description: Rights can be given object by object, past the policy of the bucket.
# custom:
#   id: google.data.uniform_access
#   severity: medium
#   compliance: CIS Google 2.0 5.2
#   remediation: Set uniform_bucket_level_access to true.
deny_uniform_access contains lib.finding(rego.metadata.rule(), rc, "uniform_bucket_level_access", "lets rights be given object by object") if {
	some rc in input.resource_changes
	rc.type in {"google_storage_bucket"}
	lib.writes(rc)
	lib.off(rc, ["uniform_bucket_level_access"])
}

# METADATA
# title: Public database
# description: A database has a public address or lets every address in.
# custom:
#   id: google.data.public_database
#   severity: critical
#   compliance: CIS Google 2.0 6.5, 6.6
#   remediation: Set ipv4_enabled to false and give it a private_network.
deny_public_database contains lib.finding(rego.metadata.rule(), rc, "settings.0.ip_configuration", msg) if {
	some rc in input.resource_changes
	rc.type in {"google_sql_database_instance"}
	lib.writes(rc)
	some c in rc.change.after.settings[0].ip_configuration
	some msg in public(c)
}

public(c) := array.concat(
	["has a public address" | c.ipv4_enabled == true],
	["lets every address in" | some n in c.authorized_networks; n.value in lib.anywhere],
)

# METADATA
# title: Database that answers without encryption
# description: A database accepts connections that are not encrypted.
# custom:
#   id: google.data.plain_database
#   severity: high
#   compliance: CIS Google 2.0 6.4
#   remediation: Set ssl_mode to ENCRYPTED_ONLY or TRUSTED_CLIENT_CERTIFICATE_REQUIRED.
deny_plain_database contains lib.finding(rego.metadata.rule(), rc, "settings.0.ip_configuration", "accepts connections that are not encrypted") if {
	some rc in input.resource_changes
	rc.type in {"google_sql_database_instance"}
	lib.writes(rc)
	some c in rc.change.after.settings[0].ip_configuration
	c.ssl_mode == "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
}

# METADATA
# title: Database without backups
# description: Backups of a database are off.
# custom:
#   id: google.data.no_backups
#   severity: medium
#   compliance: CIS Google 2.0 6.7
#   remediation: Set backup_configuration.enabled to true.
deny_no_backups contains lib.finding(rego.metadata.rule(), rc, "settings.0.backup_configuration", "has no backups") if {
	some rc in input.resource_changes
	rc.type in {"google_sql_database_instance"}
	lib.writes(rc)
	lib.absent(rc, ["master_instance_name"])
	lib.off(rc, ["settings", 0, "backup_configuration", 0, "enabled"])
}

# METADATA
# title: No deletion protection
# description: One wrong command deletes the database or cluster.
# custom:
#   id: google.data.unprotected
#   severity: medium
#   compliance: none
#   remediation: Leave deletion_protection on.
deny_unprotected contains lib.finding(rego.metadata.rule(), rc, "deletion_protection", "can be deleted at once") if {
	some rc in input.resource_changes
	rc.type in {"google_sql_database_instance", "google_container_cluster", "google_bigquery_table", "google_spanner_database", "google_bigtable_instance"}
	lib.writes(rc)
	rc.change.after.deletion_protection == false
}

# METADATA
# title: Key that is not rotated
# description: A key for encryption stays the same for ever, or for more than 90 days.
# custom:
#   id: google.data.rotation_off
#   severity: medium
#   compliance: CIS Google 2.0 1.10
#   remediation: Set rotation_period to 7776000s or less.
deny_rotation_off contains lib.finding(rego.metadata.rule(), rc, "rotation_period", "is not rotated every 90 days") if {
	some rc in input.resource_changes
	rc.type in {"google_kms_crypto_key"}
	lib.writes(rc)
	lib.other(rc, ["purpose"], {"ASYMMETRIC_SIGN", "ASYMMETRIC_DECRYPT", "MAC"})
	stale(rc)
}

stale(rc) if lib.absent(rc, ["rotation_period"])

stale(rc) if to_number(trim_suffix(lib.value(rc, ["rotation_period"]), "s")) > 7776000

# METADATA
# title: Basic role
# description: Somebody becomes owner or editor of a whole project.
# custom:
#   id: google.data.basic_role
#   severity: high
#   compliance: CIS Google 2.0 1.5
#   remediation: Give predefined roles, or roles of your own.
deny_basic_role contains lib.finding(rego.metadata.rule(), rc, "role", msg) if {
	some rc in input.resource_changes
	rc.type in {"google_project_iam_member", "google_project_iam_binding", "google_folder_iam_member", "google_folder_iam_binding", "google_organization_iam_member", "google_organization_iam_binding"}
	lib.writes(rc)
	rc.change.after.role in {"roles/owner", "roles/editor"}
	msg := sprintf("gives %s", [rc.change.after.role])
}

# METADATA
# title: Key for good
# description: A key of a service account does not expire and is in the state.
# custom:
#   id: google.data.account_key
#   severity: medium
#   compliance: CIS Google 2.0 1.4
#   remediation: Let workloads run as the account, or use workload identity federation.
warn_account_key contains lib.finding(rego.metadata.rule(), rc, "", "makes a key that does not expire") if {
	some rc in input.resource_changes
	rc.type in {"google_service_account_key"}
	lib.makes(rc)
}
