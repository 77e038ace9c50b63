# Machines, containers and clusters on AWS, and what is written down about them.
package tutti.aws.compute

import data.tutti.lib

# METADATA
# title: Instance metadata without tokens
# description: A machine answers version 1 of the metadata service, which gives its credentials to whoever can make it fetch a URL.
# custom:
#   id: aws.compute.metadata_v1
#   severity: high
#   compliance: CIS AWS 3.0 5.6
#   remediation: Set metadata_options.http_tokens to required.
deny_metadata_v1 contains lib.finding(rego.metadata.rule(), rc, "metadata_options", "answers version 1 of the metadata service") if {
	some rc in input.resource_changes
	rc.type in {"aws_instance", "aws_launch_template"}
	lib.writes(rc)
	lib.other(rc, ["metadata_options", 0, "http_tokens"], {"required"})
	lib.other(rc, ["metadata_options", 0, "http_endpoint"], {"disabled"})
}

# METADATA
# title: Open cluster
# description: Everyone can reach the API of an EKS cluster.
# custom:
#   id: aws.compute.public_cluster
#   severity: high
#   compliance: AWS FSBP EKS.1
#   remediation: Set endpoint_public_access to false, or list ranges in public_access_cidrs.
deny_public_cluster contains lib.finding(rego.metadata.rule(), rc, "vpc_config", "has an API that everyone can reach") if {
	some rc in input.resource_changes
	rc.type in {"aws_eks_cluster"}
	lib.writes(rc)
	lib.value(rc, ["vpc_config", 0, "endpoint_public_access"]) != false
	lib.everyone(lib.value(rc, ["vpc_config", 0, "public_access_cidrs"]))
}

# METADATA
# title: Cluster without audit log
# description: Nobody can tell afterwards who did what in an EKS cluster.
# custom:
#   id: aws.compute.cluster_unaudited
#   severity: medium
#   compliance: AWS FSBP EKS.8
#   remediation: Add "audit" to enabled_cluster_log_types.
deny_cluster_unaudited contains lib.finding(rego.metadata.rule(), rc, "enabled_cluster_log_types", "keeps no audit log") if {
	some rc in input.resource_changes
	rc.type in {"aws_eks_cluster"}
	lib.writes(rc)
	lib.known(rc, ["enabled_cluster_log_types"])
	not audits(rc)
}

audits(rc) if "audit" in rc.change.after.enabled_cluster_log_types

# METADATA
# title: Trail with gaps
# description: A CloudTrail is off, misses regions, or cannot be checked for changes.
# custom:
#   id: aws.compute.trail_incomplete
#   severity: high
#   compliance: CIS AWS 3.0 3.1, 3.2
#   remediation: Set is_multi_region_trail and enable_log_file_validation to true and leave enable_logging on.
deny_trail_incomplete contains lib.finding(rego.metadata.rule(), rc, name, msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_cloudtrail"}
	lib.writes(rc)
	some name in ["is_multi_region_trail", "enable_log_file_validation", "enable_logging"]
	missing(rc, name)
	msg := sprintf("has %s off", [name])
}

missing(rc, name) if {
	name != "enable_logging"
	lib.off(rc, [name])
}

missing(rc, "enable_logging") if rc.change.after.enable_logging == false

# METADATA
# title: Network without flow log
# description: Nobody can tell afterwards who talked to whom in a VPC.
# custom:
#   id: aws.compute.no_flow_log
#   severity: low
#   compliance: CIS AWS 3.0 3.7
#   remediation: Add an aws_flow_log for the VPC.
warn_no_flow_log contains lib.finding(rego.metadata.rule(), rc, "", "has no aws_flow_log") if {
	some rc in input.resource_changes
	rc.type in {"aws_vpc"}
	lib.makes(rc)
	not lib.attached(rc, "aws_flow_log", "vpc_id", "id")
}

# METADATA
# title: Unpinned image
# description: A repository lets tags be moved to other images.
# custom:
#   id: aws.compute.mutable_tags
#   severity: medium
#   compliance: AWS FSBP ECR.2
#   remediation: Set image_tag_mutability to IMMUTABLE.
deny_mutable_tags contains lib.finding(rego.metadata.rule(), rc, "image_tag_mutability", "lets tags be moved") if {
	some rc in input.resource_changes
	rc.type in {"aws_ecr_repository"}
	lib.writes(rc)
	lib.other(rc, ["image_tag_mutability"], {"IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"})
}

# METADATA
# title: Privileged or unpinned container
# description: A container of an ECS task is privileged, or its image is not pinned.
# custom:
#   id: aws.compute.loose_container
#   severity: high
#   compliance: AWS FSBP ECS.4
#   remediation: Leave privileged off and name the image by version or digest.
deny_loose_container contains lib.finding(rego.metadata.rule(), rc, "container_definitions", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_ecs_task_definition"}
	lib.writes(rc)
	some c in json.unmarshal(rc.change.after.container_definitions)
	some msg in loose(c)
}

loose(c) := array.concat(
	[sprintf("runs container %v privileged", [c.name]) | c.privileged == true],
	[sprintf("runs an unpinned image, %s", [c.image]) | lib.unpinned(c.image)],
)
