# What runs in Kubernetes.
package tutti.kubernetes.pods

import data.tutti.lib

# METADATA
# title: Privileged container
# description: A privileged container is root on its node.
# custom:
#   id: kubernetes.pods.privileged
#   severity: critical
#   compliance: CIS Kubernetes 1.8 5.2.2
#   remediation: Leave security_context.privileged off and add the capabilities that are needed.
deny_privileged contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	lib.on(rc, array.concat(path, ["security_context", 0, "privileged"]))
	msg := sprintf("runs container %v privileged", [c.name])
}

# METADATA
# title: Container that can gain privileges
# description: Processes of the container may get more privileges than they began with.
# custom:
#   id: kubernetes.pods.escalation
#   severity: medium
#   compliance: CIS Kubernetes 1.8 5.2.6
#   remediation: Set security_context.allow_privilege_escalation to false.
deny_escalation contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	lib.other(rc, array.concat(path, ["security_context", 0, "allow_privilege_escalation"]), {false, "false"})
	msg := sprintf("lets container %v gain privileges", [c.name])
}

# METADATA
# title: Container that may run as root
# description: Neither the pod nor the container rules out that it runs as root.
# custom:
#   id: kubernetes.pods.root
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.2.7
#   remediation: Set run_as_non_root to true in the security_context of the pod or of the container.
deny_root contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	rootish(rc, array.concat(path, ["security_context", 0]))
	rootish(rc, array.concat(lib.in_pods.security_context[rc.type], [0]))
	msg := sprintf("may run container %v as root", [c.name])
}

rootish(rc, path) if {
	lib.off(rc, array.concat(path, ["run_as_non_root"]))
	not user(rc, array.concat(path, ["run_as_user"]))
	lib.known(rc, array.concat(path, ["run_as_user"]))
}

user(rc, path) if to_number(lib.value(rc, path)) > 0

# METADATA
# title: Pod in the namespaces of its node
# description: A pod shares network, processes or memory with its node.
# custom:
#   id: kubernetes.pods.host_namespaces
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.2.3, 5.2.4, 5.2.5
#   remediation: Leave host_network, host_pid and host_ipc off.
deny_host_namespaces contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some name in ["host_network", "host_pid", "host_ipc"]
	path := lib.in_pods[name][rc.type]
	lib.on(rc, path)
	msg := sprintf("has %s on", [name])
}

# METADATA
# title: Directory of the node in a pod
# description: A pod mounts a directory of its node, by which it can get at the node and other pods.
# custom:
#   id: kubernetes.pods.host_path
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.2.12
#   remediation: Use a persistent volume, a config map or an empty directory.
deny_host_path contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	path := lib.in_pods.volume[rc.type]
	some v in lib.value(rc, path)
	some h in v.host_path
	msg := sprintf("mounts %v of its node", [h.path])
}

# METADATA
# title: Container without limits
# description: A container may use all memory of its node.
# custom:
#   id: kubernetes.pods.no_limits
#   severity: medium
#   compliance: none
#   remediation: Set resources.limits, for memory at least.
deny_no_limits contains lib.finding(rego.metadata.rule(), rc, lib.text(path), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	lib.absent(rc, array.concat(path, ["resources", 0, "limits", "memory"]))
	msg := sprintf("sets no limit to the memory of container %v", [c.name])
}

# METADATA
# title: Unpinned image
# description: The image has no tag or the tag latest, so that what runs depends on when it was started.
# custom:
#   id: kubernetes.pods.unpinned_image
#   severity: medium
#   compliance: none
#   remediation: Name the image by version or, better, by digest.
deny_unpinned_image contains lib.finding(rego.metadata.rule(), rc, lib.text(array.concat(path, ["image"])), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	lib.unpinned(c.image)
	msg := sprintf("runs an unpinned image, %s", [c.image])
}

# METADATA
# title: Container with powerful capabilities
# description: A container is given capabilities with which it can take over its node.
# custom:
#   id: kubernetes.pods.capabilities
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.2.9
#   remediation: Drop ALL and add what is needed, never SYS_ADMIN, NET_ADMIN, SYS_PTRACE or ALL.
deny_capabilities contains lib.finding(rego.metadata.rule(), rc, lib.text(at), msg) if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	some [path, c] in lib.containers(rc)
	at := array.concat(path, ["security_context", 0, "capabilities", 0, "add"])
	some added in lib.value(rc, at)
	upper(added) in {"ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH"}
	msg := sprintf("gives container %v the capability %s", [c.name, added])
}

# METADATA
# title: Default service account
# description: Pods use the default service account and get its token, so that rights given to one are given to all.
# custom:
#   id: kubernetes.pods.default_account
#   severity: medium
#   compliance: CIS Kubernetes 1.8 5.1.5, 5.1.6
#   remediation: Name a service account of its own, or set automount_service_account_token to false.
deny_default_account contains lib.finding(rego.metadata.rule(), rc, lib.text(path), "uses the default service account") if {
	some rc in input.resource_changes
	rc.type in lib.workloads
	lib.writes(rc)
	path := lib.in_pods.service_account_name[rc.type]
	plain_account(rc, path)
	lib.other(rc, lib.in_pods.automount_service_account_token[rc.type], {false})
}

plain_account(rc, path) if lib.absent(rc, path)

plain_account(rc, path) if lib.value(rc, path) == "default"
