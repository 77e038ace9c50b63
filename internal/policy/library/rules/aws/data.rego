# Databases, queues, streams and caches on AWS.
package tutti.aws.data

import data.tutti.lib

# METADATA
# title: Public database
# description: A database has an address that everyone can reach.
# custom:
#   id: aws.data.public_database
#   severity: critical
#   compliance: CIS AWS 3.0 2.3.3
#   remediation: Set publicly_accessible to false and reach the database from within its network.
deny_public_database contains lib.finding(rego.metadata.rule(), rc, "publicly_accessible", "can be reached by everyone") if {
	some rc in input.resource_changes
	rc.type in {"aws_db_instance", "aws_rds_cluster_instance", "aws_redshift_cluster", "aws_dms_replication_instance"}
	lib.writes(rc)
	rc.change.after.publicly_accessible == true
}

# METADATA
# title: Unencrypted database
# description: A database, cluster or cache is stored in clear.
# custom:
#   id: aws.data.unencrypted_database
#   severity: high
#   compliance: CIS AWS 3.0 2.3.1
#   remediation: Encrypt it when it is created; encryption cannot be switched on later without a copy.
deny_unencrypted_database contains lib.finding(rego.metadata.rule(), rc, name, "is stored in clear") if {
	some rc in input.resource_changes
	encryption[rc.type]
	lib.writes(rc)
	name := encryption[rc.type]
	lib.off(rc, [name])
	not replica(rc)
}

encryption := {
	"aws_db_instance": "storage_encrypted",
	"aws_rds_cluster": "storage_encrypted",
	"aws_docdb_cluster": "storage_encrypted",
	"aws_neptune_cluster": "storage_encrypted",
	"aws_redshift_cluster": "encrypted",
	"aws_elasticache_replication_group": "at_rest_encryption_enabled",
}

# A replica, and what is restored, has the encryption of what it comes from.
replica(rc) if {
	some name in ["replicate_source_db", "snapshot_identifier"]
	not lib.known(rc, [name])
}

replica(rc) if lib.present(rc, ["replicate_source_db"])

replica(rc) if lib.present(rc, ["snapshot_identifier"])

# METADATA
# title: Unencrypted queue, topic or stream
# description: Messages are stored in clear.
# custom:
#   id: aws.data.unencrypted_queue
#   severity: high
#   compliance: AWS FSBP SQS.1, Kinesis.1
#   remediation: Set a KMS key, or sqs_managed_sse_enabled for queues.
deny_unencrypted_queue contains lib.finding(rego.metadata.rule(), rc, attribute, "keeps messages in clear") if {
	some rc in input.resource_changes
	rc.type in {"aws_sqs_queue", "aws_sns_topic", "aws_kinesis_stream"}
	lib.writes(rc)
	attribute := unlocked(rc)
}

unlocked(rc) := "kms_master_key_id" if {
	rc.type == "aws_sqs_queue"
	lib.absent(rc, ["kms_master_key_id"])
	lib.value(rc, ["sqs_managed_sse_enabled"]) == false
}

unlocked(rc) := "kms_master_key_id" if {
	rc.type == "aws_sns_topic"
	lib.absent(rc, ["kms_master_key_id"])
}

unlocked(rc) := "encryption_type" if {
	rc.type == "aws_kinesis_stream"
	lib.other(rc, ["encryption_type"], {"KMS"})
}

# METADATA
# title: Database without deletion protection
# description: One wrong command deletes the database.
# custom:
#   id: aws.data.unprotected_database
#   severity: medium
#   compliance: AWS FSBP RDS.7, RDS.8
#   remediation: Set deletion_protection to true (deletion_protection_enabled for DynamoDB).
deny_unprotected_database contains lib.finding(rego.metadata.rule(), rc, name, "can be deleted at once") if {
	some rc in input.resource_changes
	protection[rc.type]
	lib.writes(rc)
	name := protection[rc.type]
	lib.off(rc, [name])
}

protection := {
	"aws_db_instance": "deletion_protection",
	"aws_rds_cluster": "deletion_protection",
	"aws_docdb_cluster": "deletion_protection",
	"aws_neptune_cluster": "deletion_protection",
	"aws_dynamodb_table": "deletion_protection_enabled",
}

# METADATA
# title: Database without enough backups
# description: Backups are off or kept for fewer days than backup_days.
# custom:
#   id: aws.data.few_backups
#   severity: medium
#   compliance: AWS FSBP RDS.11
#   remediation: Set backup_retention_period to at least backup_days.
deny_few_backups contains lib.finding(rego.metadata.rule(), rc, "backup_retention_period", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_db_instance", "aws_rds_cluster", "aws_docdb_cluster", "aws_neptune_cluster"}
	lib.writes(rc)
	lib.less(rc, ["backup_retention_period"], lib.settings.backup_days)
	lib.absent(rc, ["replicate_source_db"])
	msg := sprintf("keeps backups for less than %d days", [lib.settings.backup_days])
}

# METADATA
# title: Table without recovery to a point in time
# description: A DynamoDB table cannot be set back to what it was.
# custom:
#   id: aws.data.no_recovery
#   severity: medium
#   compliance: AWS FSBP DynamoDB.2
#   remediation: Add point_in_time_recovery with enabled = true.
deny_no_recovery contains lib.finding(rego.metadata.rule(), rc, "point_in_time_recovery", "cannot be set back to a point in time") if {
	some rc in input.resource_changes
	rc.type in {"aws_dynamodb_table"}
	lib.writes(rc)
	lib.off(rc, ["point_in_time_recovery", 0, "enabled"])
}

# METADATA
# title: Password of a database in the configuration
# description: The password is in the plan and in the state, for everyone who may read them.
# custom:
#   id: aws.data.password_in_plan
#   severity: medium
#   compliance: none
#   remediation: Use manage_master_user_password, or password_wo with an ephemeral value.
deny_password_in_plan contains lib.finding(rego.metadata.rule(), rc, name, "has its password in the plan") if {
	some rc in input.resource_changes
	rc.type in {"aws_db_instance", "aws_rds_cluster", "aws_docdb_cluster", "aws_redshift_cluster"}
	lib.writes(rc)
	some name in ["password", "master_password"]
	lib.present(rc, [name])
}
