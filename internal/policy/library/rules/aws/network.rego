# Networks on AWS: what is open to everyone.
package tutti.aws.network

import data.tutti.lib

# METADATA
# title: Ports open to the world
# description: A security group lets everyone reach a port that is not among those that may be open (open_ports).
# custom:
#   id: aws.network.open_ingress
#   severity: critical
#   compliance: CIS AWS 3.0 5.2, 5.3
#   remediation: Limit the rule to the ranges or security groups that need it, or list the port in open_ports.
deny_open_ingress contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_security_group", "aws_default_security_group", "aws_security_group_rule", "aws_vpc_security_group_ingress_rule"}
	lib.writes(rc)
	some [attribute, from, to] in opened(rc)
	lib.closed(from, to)
	msg := sprintf("lets everyone reach ports %v to %v", [from, to])
}

opened(rc) := [["ingress", first(r), last(r)] |
	some r in rc.change.after.ingress
	not ping(r)
	lib.everyone(array.concat(blocks(r, "cidr_blocks"), blocks(r, "ipv6_cidr_blocks")))
] if rc.type in {"aws_security_group", "aws_default_security_group"}

opened(rc) := [["cidr_blocks", first(r), last(r)] |
	rc.change.after.type == "ingress"
	r := rc.change.after
	not ping(r)
	lib.everyone(array.concat(blocks(r, "cidr_blocks"), blocks(r, "ipv6_cidr_blocks")))
] if {
	rc.type == "aws_security_group_rule"
}

opened(rc) := [[attribute, first(r), last(r)] |
	r := rc.change.after
	not ping(r)
	some attribute in ["cidr_ipv4", "cidr_ipv6"]
	r[attribute] in lib.anywhere
] if {
	rc.type == "aws_vpc_security_group_ingress_rule"
}

# ICMP has types where others have ports. A protocol that is not there is not known
# yet: it must be given.
ping(r) if {
	is_null(object.get(r, "protocol", null))
	is_null(object.get(r, "ip_protocol", null))
}

ping(r) if r.protocol in {"icmp", "icmpv6", "58"}

ping(r) if r.ip_protocol in {"icmp", "icmpv6", "58"}

blocks(r, name) := [b | some b in object.get(r, name, [])]

every_port(r) if r.protocol in {"-1", "all"}

every_port(r) if r.ip_protocol in {"-1", "all"}

first(r) := 0 if every_port(r)

first(r) := r.from_port if not every_port(r)

last(r) := 65535 if every_port(r)

last(r) := r.to_port if not every_port(r)

# METADATA
# title: Network ACL open to the world
# description: A network ACL lets everyone reach a port of administration.
# custom:
#   id: aws.network.open_acl
#   severity: medium
#   compliance: CIS AWS 3.0 5.1
#   remediation: Let only known ranges reach ports of administration.
deny_open_acl contains lib.finding(rego.metadata.rule(), rc, "cidr_block", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_network_acl_rule"}
	lib.writes(rc)
	r := rc.change.after
	r.rule_action == "allow"
	lib.off(rc, ["egress"])
	r.cidr_block in lib.anywhere
	some port in lib.settings.admin_ports
	reaches(r, port)
	msg := sprintf("lets everyone reach port %d", [port])
}

reaches(r, _) if r.protocol in {"-1", "all"}

reaches(r, port) if {
	not r.protocol in {"-1", "all"}
	r.from_port <= port
	port <= r.to_port
}

# METADATA
# title: Default VPC in use
# description: The default VPC has public subnets and open rules; what is in it is reachable by accident.
# custom:
#   id: aws.network.default_vpc
#   severity: medium
#   compliance: none
#   remediation: Make a VPC of your own and leave the default one alone.
deny_default_vpc contains lib.finding(rego.metadata.rule(), rc, "", "takes over the default network") if {
	some rc in input.resource_changes
	rc.type in {"aws_default_vpc", "aws_default_subnet"}
	lib.writes(rc)
}

# METADATA
# title: Load balancer without TLS
# description: A listener of a load balancer passes on traffic that was not encrypted on its way.
# custom:
#   id: aws.network.listener_plain
#   severity: high
#   compliance: none
#   remediation: Use HTTPS or TLS with a certificate; let plain HTTP only redirect.
deny_listener_plain contains lib.finding(rego.metadata.rule(), rc, "protocol", msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_lb_listener", "aws_alb_listener"}
	lib.writes(rc)
	rc.change.after.protocol == "HTTP"
	some action in rc.change.after.default_action
	action.type != "redirect"
	msg := "answers plain HTTP"
}

# METADATA
# title: Old TLS policy
# description: A listener or distribution speaks versions of TLS that are broken.
# custom:
#   id: aws.network.old_tls
#   severity: high
#   compliance: none
#   remediation: Use a policy for TLS 1.2 and newer, such as ELBSecurityPolicy-TLS13-1-2-2021-06 or TLSv1.2_2021.
deny_old_tls contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	rc.type in {"aws_lb_listener", "aws_alb_listener", "aws_cloudfront_distribution", "aws_api_gateway_domain_name"}
	lib.writes(rc)
	some [attribute, version] in spoken(rc)
	msg := sprintf("speaks old versions of TLS (%s)", [version])
}

spoken(rc) := [["ssl_policy", rc.change.after.ssl_policy] |
	regex.match(`^ELBSecurityPolicy-(2015-05|2016-08|TLS-1-0-.*|TLS-1-1-.*|FS-2018-06|FS-1-1-.*|TLS13-1-0-.*|TLS13-1-1-.*)$`, rc.change.after.ssl_policy)
] if {
	rc.type in {"aws_lb_listener", "aws_alb_listener"}
}

spoken(rc) := [["viewer_certificate", c.minimum_protocol_version] |
	some c in rc.change.after.viewer_certificate
	c.minimum_protocol_version in lib.settings.old_tls
] if {
	rc.type == "aws_cloudfront_distribution"
}

spoken(rc) := [["security_policy", rc.change.after.security_policy] | rc.change.after.security_policy in lib.settings.old_tls] if rc.type == "aws_api_gateway_domain_name"

# METADATA
# title: Distribution answers plain HTTP
# description: A CloudFront distribution lets viewers use HTTP without redirecting them.
# custom:
#   id: aws.network.cdn_plain
#   severity: medium
#   compliance: none
#   remediation: Set viewer_protocol_policy to redirect-to-https or https-only.
deny_cdn_plain contains lib.finding(rego.metadata.rule(), rc, "default_cache_behavior", "answers plain HTTP") if {
	some rc in input.resource_changes
	rc.type in {"aws_cloudfront_distribution"}
	lib.writes(rc)
	some b in rc.change.after.default_cache_behavior
	b.viewer_protocol_policy == "allow-all"
}

# METADATA
# title: Everything may call across origins
# description: An API lets the scripts of every site read its answers.
# custom:
#   id: aws.network.wildcard_cors
#   severity: medium
#   compliance: none
#   remediation: List the origins that use the API.
deny_wildcard_cors contains lib.finding(rego.metadata.rule(), rc, attribute, "lets the scripts of every site call it") if {
	some rc in input.resource_changes
	rc.type in {"aws_apigatewayv2_api", "aws_lambda_function_url", "aws_s3_bucket_cors_configuration"}
	lib.writes(rc)
	some [attribute, origins] in origin_lists(rc)
	"*" in origins
}

origin_lists(rc) := [["cors_configuration", c.allow_origins] | some c in rc.change.after.cors_configuration] if rc.type == "aws_apigatewayv2_api"

origin_lists(rc) := [["cors", c.allow_origins] | some c in rc.change.after.cors] if rc.type == "aws_lambda_function_url"

origin_lists(rc) := [["cors_rule", c.allowed_origins] | some c in rc.change.after.cors_rule] if rc.type == "aws_s3_bucket_cors_configuration"

# METADATA
# title: Machines with public addresses
# description: Every machine that is started in the subnet gets a public address.
# custom:
#   id: aws.network.public_subnet
#   severity: medium
#   compliance: AWS FSBP EC2.15
#   remediation: Set map_public_ip_on_launch to false and give public addresses to load balancers only.
deny_public_subnet contains lib.finding(rego.metadata.rule(), rc, "map_public_ip_on_launch", "gives every machine a public address") if {
	some rc in input.resource_changes
	rc.type in {"aws_subnet"}
	lib.writes(rc)
	rc.change.after.map_public_ip_on_launch == true
}
