# Buckets, disks, file systems and images on AWS.
package tutti.aws.storage

import data.tutti.lib

# METADATA
# title: Public bucket
# description: The ACL of a bucket lets everyone, or every user of AWS, read or write it.
# custom:
#   id: aws.storage.public_bucket
#   severity: critical
#   compliance: CIS AWS 3.0 2.1.4
#   remediation: Use the ACL "private" and give access by policy.
deny_public_bucket contains lib.finding(rego.metadata.rule(), rc, "acl", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_s3_bucket", "aws_s3_bucket_acl"}
	lib.writes(rc)
	rc.change.after.acl in {"public-read", "public-read-write", "authenticated-read", "website"}
	msg := sprintf("is open to everyone (%s)", [rc.change.after.acl])
}

# METADATA
# title: Bucket without a block of public access
# description: Nothing keeps a later ACL or policy from making the bucket public.
# custom:
#   id: aws.storage.bucket_unblocked
#   severity: high
#   compliance: CIS AWS 3.0 2.1.4
#   remediation: Add an aws_s3_bucket_public_access_block for the bucket with all four settings true.
deny_bucket_unblocked contains lib.finding(rego.metadata.rule(), rc, "", "has no aws_s3_bucket_public_access_block") if {
	some rc in input.resource_changes
	rc.type in {"aws_s3_bucket"}
	lib.makes(rc)
	not lib.attached(rc, "aws_s3_bucket_public_access_block", "bucket", "bucket")
}

# METADATA
# title: Block of public access with a hole
# description: One of the four settings that keep a bucket from being public is off.
# custom:
#   id: aws.storage.block_incomplete
#   severity: high
#   compliance: CIS AWS 3.0 2.1.4
#   remediation: Set block_public_acls, block_public_policy, ignore_public_acls and restrict_public_buckets to true.
deny_block_incomplete contains lib.finding(rego.metadata.rule(), rc, name, msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_s3_bucket_public_access_block", "aws_s3_account_public_access_block"}
	lib.writes(rc)
	some name in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]
	lib.off(rc, [name])
	msg := sprintf("does not set %s", [name])
}

# METADATA
# title: Unencrypted disk
# description: A volume is stored in clear.
# custom:
#   id: aws.storage.unencrypted_disk
#   severity: high
#   compliance: CIS AWS 3.0 2.2.1
#   remediation: Set encrypted to true, with a key of your own where it matters.
deny_unencrypted_disk contains lib.finding(rego.metadata.rule(), rc, lib.text(path), "is stored in clear") if {
	some rc in input.resource_changes
	rc.type in {"aws_ebs_volume", "aws_efs_file_system", "aws_instance", "aws_ebs_snapshot_copy", "aws_ami_copy"}
	lib.writes(rc)
	some path in disks(rc)
	lib.off(rc, path)
}

disks(rc) := [["encrypted"]] if rc.type in {"aws_ebs_volume", "aws_efs_file_system", "aws_ebs_snapshot_copy", "aws_ami_copy"}

disks(rc) := [[kind, i, "encrypted"] |
	some kind in ["root_block_device", "ebs_block_device"]
	some i, _ in rc.change.after[kind]
] if {
	rc.type == "aws_instance"
}

# METADATA
# title: Public snapshot or image
# description: A snapshot or machine image is shared with every account of AWS.
# custom:
#   id: aws.storage.public_image
#   severity: critical
#   compliance: AWS FSBP EC2.1
#   remediation: Share with the accounts that need it, by account id.
deny_public_image contains lib.finding(rego.metadata.rule(), rc, attribute, "is shared with everyone") if {
	some rc in input.resource_changes
	rc.type in {"aws_ami_launch_permission", "aws_db_snapshot", "aws_db_cluster_snapshot"}
	lib.writes(rc)
	some attribute in ["group", "shared_accounts"]
	shared(rc.change.after[attribute])
}

shared(v) if v == "all"

shared(v) if "all" in v

# METADATA
# title: Bucket that deletes with its contents
# description: force_destroy lets Terraform delete a bucket with everything in it.
# custom:
#   id: aws.storage.force_destroy
#   severity: medium
#   compliance: none
#   remediation: Leave force_destroy false; empty a bucket on purpose when it is to go.
deny_force_destroy contains lib.finding(rego.metadata.rule(), rc, "force_destroy", "may be deleted with all that is in it") if {
	some rc in input.resource_changes
	rc.type in {"aws_s3_bucket"}
	lib.writes(rc)
	rc.change.after.force_destroy == true
}

# METADATA
# title: Bucket without versions
# description: What is overwritten or deleted in the bucket is gone.
# custom:
#   id: aws.storage.versioning_off
#   severity: medium
#   compliance: none
#   remediation: Set versioning_configuration.status to Enabled.
deny_versioning_off contains lib.finding(rego.metadata.rule(), rc, "versioning_configuration.0.status", "keeps no earlier versions") if {
	some rc in input.resource_changes
	rc.type in {"aws_s3_bucket_versioning"}
	lib.writes(rc)
	rc.change.after.versioning_configuration[0].status in {"Suspended", "Disabled"}
}
