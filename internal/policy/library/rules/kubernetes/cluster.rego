# Rights and doors of a Kubernetes cluster.
package tutti.kubernetes.cluster

import data.tutti.lib

# METADATA
# title: Role with wildcards
# description: A role allows everything on everything in some API group.
# custom:
#   id: kubernetes.cluster.wildcard_role
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.1.3
#   remediation: List resources and verbs.
deny_wildcard_role contains lib.finding(rego.metadata.rule(), rc, "rule", "has a rule with wildcards") if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_role", "kubernetes_role_v1", "kubernetes_cluster_role", "kubernetes_cluster_role_v1"}
	lib.writes(rc)
	some r in rc.change.after.rule
	some name in ["verbs", "resources"]
	"*" in r[name]
}

# METADATA
# title: Cluster administrator
# description: The role cluster-admin is bound to somebody.
# custom:
#   id: kubernetes.cluster.administrator
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.1.1
#   remediation: Bind a role with what is needed.
deny_administrator contains lib.finding(rego.metadata.rule(), rc, "role_ref", "binds cluster-admin") if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_cluster_role_binding", "kubernetes_cluster_role_binding_v1", "kubernetes_role_binding", "kubernetes_role_binding_v1"}
	lib.writes(rc)
	some ref in rc.change.after.role_ref
	ref.name == "cluster-admin"
}

# METADATA
# title: Rights for everyone
# description: A role is bound to the anonymous user, to all users or to a default service account.
# custom:
#   id: kubernetes.cluster.bound_to_all
#   severity: critical
#   compliance: CIS Kubernetes 1.8 5.1.5
#   remediation: Bind it to the accounts that need it.
deny_bound_to_all contains lib.finding(rego.metadata.rule(), rc, "subject", msg) if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_cluster_role_binding", "kubernetes_cluster_role_binding_v1", "kubernetes_role_binding", "kubernetes_role_binding_v1"}
	lib.writes(rc)
	some s in rc.change.after.subject
	s.name in {"system:anonymous", "system:unauthenticated", "system:authenticated", "default"}
	msg := sprintf("gives rights to %s", [s.name])
}

# METADATA
# title: Service open to the world
# description: A service of type LoadBalancer can be reached from everywhere.
# custom:
#   id: kubernetes.cluster.open_service
#   severity: high
#   compliance: none
#   remediation: List ranges in load_balancer_source_ranges, make it internal by annotation, or use an ingress with TLS.
deny_open_service contains lib.finding(rego.metadata.rule(), rc, "spec.0.load_balancer_source_ranges", "is open to the world") if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_service", "kubernetes_service_v1"}
	lib.writes(rc)
	rc.change.after.spec[0].type == "LoadBalancer"
	unlimited(rc)
	not within(rc)
}

unlimited(rc) if lib.absent(rc, ["spec", 0, "load_balancer_source_ranges"])

unlimited(rc) if lib.everyone(lib.value(rc, ["spec", 0, "load_balancer_source_ranges"]))

within(rc) if not lib.known(rc, ["metadata", 0, "annotations"])

within(rc) if {
	some unknown in rc.change.after_unknown.metadata[0].annotations
	unknown == true
}

within(rc) if {
	some name, v in rc.change.after.metadata[0].annotations
	regex.match(`load-balancer-(internal|type|scheme)$`, name)
	lower(v) in {"true", "internal", "0.0.0.0/0"}
}

# METADATA
# title: Ingress without TLS
# description: An ingress answers plain HTTP only.
# custom:
#   id: kubernetes.cluster.ingress_plain
#   severity: medium
#   compliance: none
#   remediation: Add a tls block with the hosts and a secret with the certificate.
deny_ingress_plain contains lib.finding(rego.metadata.rule(), rc, "spec.0.tls", "has no TLS") if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_ingress", "kubernetes_ingress_v1"}
	lib.writes(rc)
	lib.absent(rc, ["spec", 0, "tls"])
}

# METADATA
# title: Default namespace
# description: An object is put into the namespace default, where no boundary is drawn.
# custom:
#   id: kubernetes.cluster.default_namespace
#   severity: low
#   compliance: CIS Kubernetes 1.8 5.7.4
#   remediation: Give the object a namespace.
warn_default_namespace contains lib.finding(rego.metadata.rule(), rc, "metadata.0.namespace", "is in the default namespace") if {
	some rc in input.resource_changes
	rc.type in namespaced
	lib.writes(rc)
	in_default(rc)
}

namespaced := lib.workloads | {"kubernetes_service", "kubernetes_service_v1", "kubernetes_secret", "kubernetes_secret_v1"}

in_default(rc) if rc.change.after.metadata[0].namespace == "default"

in_default(rc) if lib.absent(rc, ["metadata", 0, "namespace"])
