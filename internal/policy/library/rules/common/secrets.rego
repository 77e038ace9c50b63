# Keys and passwords in clear.
package tutti.common.secrets

import data.tutti.lib

# METADATA
# title: Secret in a script of a machine
# description: What a machine runs when it starts has a key or a password in clear. Whoever may see the machine can read it.
# custom:
#   id: common.secrets.user_data
#   severity: critical
#   compliance: none
#   remediation: Let the machine fetch the secret from a store, as itself.
deny_user_data contains lib.finding(rego.metadata.rule(), rc, attribute, "has a secret in clear in what it runs at its start") if {
	some rc in input.resource_changes
	scripts[rc.type]
	lib.writes(rc)
	some [attribute, encoded] in scripts[rc.type]
	text := decoded(lib.value(rc, [attribute]), encoded)
	lib.secret(text)
}

scripts := {
	"aws_instance": [["user_data", false], ["user_data_base64", true]],
	"aws_launch_template": [["user_data", true]],
	"aws_launch_configuration": [["user_data", false]],
	"azurerm_linux_virtual_machine": [["custom_data", true], ["user_data", true]],
	"azurerm_windows_virtual_machine": [["custom_data", true], ["user_data", true]],
	"google_compute_instance": [["metadata_startup_script", false]],
	"google_compute_instance_template": [["metadata_startup_script", false]],
}

decoded(v, false) := v

decoded(v, true) := base64.decode(v) if base64.is_valid(v)

decoded(v, true) := v if not base64.is_valid(v)

# METADATA
# title: Secret in an environment variable
# description: A function, container or application has a key or a password in clear among its environment variables.
# custom:
#   id: common.secrets.environment
#   severity: high
#   compliance: CIS Kubernetes 1.8 5.4.1
#   remediation: Refer to a secret of the platform's store instead of its value.
deny_environment contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	some rc in input.resource_changes
	rc.type in carriers
	lib.writes(rc)
	some [attribute, name, text] in variables(rc)
	spilled(name, text)
	msg := sprintf("has a secret in clear in the environment variable %s", [name])
}

carriers := lib.workloads | {
	"aws_lambda_function", "aws_ecs_task_definition",
	"azurerm_linux_web_app", "azurerm_windows_web_app", "azurerm_linux_function_app", "azurerm_windows_function_app",
	"google_cloudfunctions_function", "google_cloud_run_service", "google_cloud_run_v2_service",
}

spilled(_, text) if lib.secret(text)

spilled(name, text) if {
	lib.secret_name(name)
	is_string(text)
	not refers(text)
}

# References to stores, and nothing.
refers(text) if text == ""

refers(text) if regex.match(`^(arn:|@Microsoft\.KeyVault|projects/|sm://|vault:|\$\{|https?://|/)`, text)

variables(rc) := [["environment", name, v] |
	some name, v in rc.change.after.environment[0].variables
] if {
	rc.type == "aws_lambda_function"
}

variables(rc) := [["container_definitions", e.name, e.value] |
	some c in json.unmarshal(rc.change.after.container_definitions)
	some e in c.environment
] if {
	rc.type == "aws_ecs_task_definition"
}

variables(rc) := [["app_settings", name, v] | some name, v in rc.change.after.app_settings] if startswith(rc.type, "azurerm_")

variables(rc) := [["environment_variables", name, v] |
	some name, v in rc.change.after.environment_variables
] if {
	rc.type == "google_cloudfunctions_function"
}

variables(rc) := [["template", e.name, e.value] |
	some t in rc.change.after.template
	some c in run_containers(t)
	some e in c.env
] if {
	startswith(rc.type, "google_cloud_run_")
}

variables(rc) := [[lib.text(path), e.name, e.value] |
	some kind in ["container", "init_container"]
	path := lib.in_pods[kind][rc.type]
	some c in object.get(rc.change.after, path, [])
	some e in c.env
	e.value != null
] if {
	rc.type in lib.workloads
}

run_containers(t) := t.containers if t.containers

run_containers(t) := [c | some s in t.spec; some c in s.containers] if not t.containers

# METADATA
# title: Secret in a configuration map
# description: A ConfigMap has a key or a password in clear; they are not treated as secrets by anyone.
# custom:
#   id: common.secrets.config_map
#   severity: high
#   compliance: none
#   remediation: Put it into a Secret that is filled from a store.
deny_config_map contains lib.finding(rego.metadata.rule(), rc, "data", msg) if {
	some rc in input.resource_changes
	rc.type in {"kubernetes_config_map", "kubernetes_config_map_v1"}
	lib.writes(rc)
	some name, text in rc.change.after.data
	lib.secret(text)
	msg := sprintf("has a secret in clear under %q", [name])
}
