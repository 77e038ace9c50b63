# Permissions and keys on AWS.
package tutti.aws.identity

import data.tutti.lib

# METADATA
# title: Policy that allows everything
# description: A policy allows all actions, or all of a service, on all resources.
# custom:
#   id: aws.identity.wildcard_policy
#   severity: critical
#   compliance: CIS AWS 3.0 1.16
#   remediation: List the actions and the resources that are needed.
deny_wildcard_policy contains lib.finding(rego.metadata.rule(), rc, "policy", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy", "aws_ssoadmin_permission_set_inline_policy"}
	lib.writes(rc)
	some s in lib.statements(text(rc))
	s.effect == "Allow"
	"*" in s.resources
	some action in s.actions
	regex.match(`^(\*|[a-z0-9-]+:\*)$`, action)
	msg := sprintf("allows %s on everything", [action])
}

text(rc) := rc.change.after.policy if rc.type != "aws_ssoadmin_permission_set_inline_policy"

text(rc) := rc.change.after.inline_policy if rc.type == "aws_ssoadmin_permission_set_inline_policy"

# METADATA
# title: Policy that allows all but some
# description: NotAction with Allow allows everything that is not listed, also what comes later.
# custom:
#   id: aws.identity.not_action
#   severity: high
#   compliance: none
#   remediation: List what is allowed with Action.
deny_not_action contains lib.finding(rego.metadata.rule(), rc, "policy", "allows everything but a list") if {
	some rc in input.resource_changes
	rc.type in {"aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy"}
	lib.writes(rc)
	some s in lib.statements(rc.change.after.policy)
	s.effect == "Allow"
	count(s.not_actions) > 0
}

# METADATA
# title: Role or resource open to everyone
# description: A policy names everyone (*) as principal, without a condition.
# custom:
#   id: aws.identity.wildcard_principal
#   severity: critical
#   compliance: none
#   remediation: Name the accounts, roles or services; or add a condition that limits who it is.
deny_wildcard_principal contains lib.finding(rego.metadata.rule(), rc, attribute, "is open to everyone") if {
	some rc in input.resource_changes
	documents[rc.type]
	lib.writes(rc)
	attribute := documents[rc.type]
	some s in lib.statements(rc.change.after[attribute])
	s.effect == "Allow"
	"*" in s.principals
	not s.bound
}

documents := {
	"aws_iam_role": "assume_role_policy",
	"aws_s3_bucket_policy": "policy",
	"aws_sqs_queue_policy": "policy",
	"aws_sqs_queue": "policy",
	"aws_sns_topic_policy": "policy",
	"aws_kms_key": "policy",
	"aws_secretsmanager_secret_policy": "policy",
	"aws_ecr_repository_policy": "policy",
	"aws_backup_vault_policy": "policy",
	"aws_opensearch_domain_policy": "access_policies",
}

# METADATA
# title: Function that everyone may call
# description: A Lambda function may be called by everyone, or by URL without authorisation.
# custom:
#   id: aws.identity.public_function
#   severity: high
#   compliance: AWS FSBP Lambda.1
#   remediation: Name the principal with source_arn or source_account; use AWS_IAM for URLs.
deny_public_function contains lib.finding(rego.metadata.rule(), rc, attribute, "may be called by everyone") if {
	some rc in input.resource_changes
	rc.type in {"aws_lambda_permission", "aws_lambda_function_url"}
	lib.writes(rc)
	some [attribute, bad] in [["principal", "*"], ["authorization_type", "NONE"]]
	rc.change.after[attribute] == bad
}

# METADATA
# title: Administrator policy attached
# description: A user, group or role gets AdministratorAccess.
# custom:
#   id: aws.identity.administrator
#   severity: high
#   compliance: CIS AWS 3.0 1.16
#   remediation: Attach policies with what is needed.
deny_administrator contains lib.finding(rego.metadata.rule(), rc, "policy_arn", "makes an administrator") if {
	some rc in input.resource_changes
	rc.type in {"aws_iam_role_policy_attachment", "aws_iam_user_policy_attachment", "aws_iam_group_policy_attachment", "aws_iam_policy_attachment"}
	lib.writes(rc)
	regex.match(`^arn:aws[a-z-]*:iam::aws:policy/(AdministratorAccess|IAMFullAccess)$`, rc.change.after.policy_arn)
}

# METADATA
# title: Key for good
# description: An access key for a user does not expire and is in the state.
# custom:
#   id: aws.identity.access_key
#   severity: medium
#   compliance: none
#   remediation: Let workloads assume roles; let people sign in through an identity provider.
warn_access_key contains lib.finding(rego.metadata.rule(), rc, "", "makes a key that does not expire") if {
	some rc in input.resource_changes
	rc.type in {"aws_iam_access_key"}
	lib.makes(rc)
}

# METADATA
# title: Key that is not rotated
# description: A KMS key stays the same for ever.
# custom:
#   id: aws.identity.rotation_off
#   severity: medium
#   compliance: CIS AWS 3.0 3.6
#   remediation: Set enable_key_rotation to true.
deny_rotation_off contains lib.finding(rego.metadata.rule(), rc, "enable_key_rotation", "is never rotated") if {
	some rc in input.resource_changes
	rc.type in {"aws_kms_key"}
	lib.writes(rc)
	lib.off(rc, ["enable_key_rotation"])
	lib.other(rc, ["customer_master_key_spec"], {"RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "HMAC_256"})
}
