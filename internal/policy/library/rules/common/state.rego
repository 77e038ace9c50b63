# What holds data and is to go.
package tutti.common.state

import data.tutti.lib

stateful := {
	"aws_db_instance", "aws_rds_cluster", "aws_docdb_cluster", "aws_neptune_cluster", "aws_redshift_cluster",
	"aws_dynamodb_table", "aws_s3_bucket", "aws_ebs_volume", "aws_efs_file_system", "aws_fsx_lustre_file_system",
	"aws_elasticache_cluster", "aws_elasticache_replication_group", "aws_opensearch_domain", "aws_elasticsearch_domain",
	"aws_msk_cluster", "aws_kinesis_stream", "aws_sqs_queue", "aws_kms_key", "aws_secretsmanager_secret", "aws_eks_cluster",
	"aws_ecr_repository", "aws_backup_vault", "aws_cognito_user_pool", "aws_route53_zone",
	"azurerm_storage_account", "azurerm_storage_container", "azurerm_managed_disk", "azurerm_mssql_server", "azurerm_mssql_database",
	"azurerm_postgresql_server", "azurerm_postgresql_flexible_server", "azurerm_mysql_flexible_server", "azurerm_cosmosdb_account",
	"azurerm_redis_cache", "azurerm_key_vault", "azurerm_key_vault_key", "azurerm_kubernetes_cluster", "azurerm_container_registry",
	"azurerm_eventhub", "azurerm_servicebus_queue", "azurerm_recovery_services_vault",
	"google_sql_database_instance", "google_sql_database", "google_storage_bucket", "google_compute_disk", "google_compute_region_disk",
	"google_bigquery_dataset", "google_bigquery_table", "google_spanner_instance", "google_spanner_database", "google_bigtable_instance",
	"google_filestore_instance", "google_redis_instance", "google_kms_crypto_key", "google_container_cluster", "google_alloydb_cluster",
	"google_pubsub_subscription", "google_artifact_registry_repository",
	"kubernetes_persistent_volume", "kubernetes_persistent_volume_v1", "kubernetes_persistent_volume_claim", "kubernetes_persistent_volume_claim_v1",
	"kubernetes_namespace", "kubernetes_namespace_v1", "kubernetes_stateful_set", "kubernetes_stateful_set_v1",
}

# METADATA
# title: Data to be deleted
# description: Something that holds data (a database, volume, bucket, key, cluster) is to be destroyed.
# custom:
#   id: common.state.deleted
#   severity: high
#   compliance: none
#   remediation: Make sure of a backup and override; or take the object out of the state with a removed block.
deny_deleted contains lib.finding(rego.metadata.rule(), rc, "", "holds data and is to be destroyed") if {
	some rc in input.resource_changes
	rc.type in stateful
	lib.removes(rc)
	not "create" in rc.change.actions
}

# METADATA
# title: Data to be replaced
# description: Something that holds data is to be destroyed and made anew, which does not bring its data back.
# custom:
#   id: common.state.replaced
#   severity: critical
#   compliance: none
#   remediation: Undo what forces the replacement, or move the data first; prevent_destroy guards against it.
deny_replaced contains lib.finding(rego.metadata.rule(), rc, attribute, "holds data and is to be replaced") if {
	some rc in input.resource_changes
	rc.type in stateful
	lib.removes(rc)
	"create" in rc.change.actions
	attribute := concat(", ", sort([lib.text(path) | some path in object.get(rc.change, "replace_paths", [])]))
}
