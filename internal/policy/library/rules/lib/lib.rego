# Package tutti.lib is what the rules of the library have in common.
#
# What a plan does not know yet is absent in change.after and true in
# change.after_unknown. No rule takes such an absence for a "no": it asks through
# absent, off or other, which hold only for what is known.
package tutti.lib

# settings are those of settings/data.yaml, member by member replaced by those
# that a project gives as data.library.
settings := object.union(data.settings, given)

default given := {}

given := data.library

# writes holds for managed resources that come to be or are changed. Rules look at
# the type before they ask, because most objects are of another.
writes(rc) if {
	rc.mode == "managed"
	some action in rc.change.actions
	action in {"create", "update"}
}

# makes holds for managed resources that come to be.
makes(rc) if {
	rc.mode == "managed"
	"create" in rc.change.actions
}

# removes holds for objects that are destroyed, for good or to be replaced.
removes(rc) if {
	rc.mode == "managed"
	"delete" in rc.change.actions
}

# value is what an attribute is to be; undefined where it is unknown or not there.
value(rc, path) := v if {
	v := object.get(rc.change.after, path, null)
	not is_null(v)
}

# known holds unless an attribute, or something that it is part of, is known only
# after the plan has been applied.
known(rc, path) if not unknown(rc, path)

# unknown holds for what is marked so. It looks at the value, too, which is not there:
# Tutti then knows that the rule is to be asked again when it is.
unknown(rc, path) if {
	rc.change.after_unknown[path[0]] == true
	is_null(object.get(rc.change.after, path[0], null))
}

unknown(rc, path) if {
	count(path) > 1
	rc.change.after_unknown[path[0]] # most objects have nothing unknown there
	some n in numbers.range(2, count(path))
	part := array.slice(path, 0, n)
	object.get(rc.change.after_unknown, part, false) == true
	is_null(object.get(rc.change.after, part, null))
}

# absent holds for what is known not to be set.
absent(rc, path) if {
	not present(rc, path)
	known(rc, path)
}

present(rc, path) if not empty(object.get(rc.change.after, path, null))

empty(v) if v in {null, "", []}

# off holds for what is known not to be true.
off(rc, path) if {
	not on(rc, path)
	known(rc, path)
}

on(rc, path) if object.get(rc.change.after, path, null) == true

# other holds for what is known to be none of some values, unset included.
other(rc, path, wanted) if {
	not one(rc, path, wanted)
	known(rc, path)
}

one(rc, path, wanted) if object.get(rc.change.after, path, null) in wanted

# less holds for numbers that are known to be less, unset included.
less(rc, path, n) if {
	v := value(rc, path)
	to_number(v) < n
}

less(rc, path, _) if absent(rc, path)

# finding is what a rule says of an object, unless it is allowed for this one.
finding(meta, rc, attribute, msg) := {
	"msg": sprintf("%s %s", [rc.address, msg]),
	"address": rc.address,
	"attribute": attribute,
	"fix": meta.custom.remediation,
	"severity": meta.custom.severity,
} if not allowed(meta.custom.id, rc)

# allowed holds where data (allow: rule → addresses) or the tag of the object
# (allow_tag: rules, between spaces or commas) say so.
allowed(id, rc) if {
	some pattern in settings.allow[id]
	glob.match(pattern, null, rc.address)
}

allowed(id, rc) if {
	v := labels(rc)[settings.allow_tag]
	id in split(replace(v, ",", " "), " ")
}

# labels are the tags of an object, under whatever name its provider has them.
labels(rc) := object.get(rc.change.after, labelled[split(rc.type, "_")[0]], {})

labelled := {"aws": ["tags"], "azurerm": ["tags"], "google": ["labels"], "kubernetes": ["metadata", 0, "annotations"]}

# anywhere are the ranges that are everyone.
anywhere := {"0.0.0.0/0", "::/0", "*", "0.0.0.0", "Internet", "Any", "any", "/0"}

# everyone holds for a list of ranges in which there is one of everyone.
everyone(ranges) if {
	some r in ranges
	r in anywhere
}

# closed holds for a range of ports where one is not allowed to be open.
closed(from, to) if {
	some p in numbers.range(to_number(from), min([to_number(to), to_number(from) + 1024]))
	not p in settings.open_ports
}

# attached holds where an object of another type names this one in an attribute: by
# a reference in the configuration, by the same value, or, as far as is known, by
# something that is not known yet and comes by way of other modules. What is looked for
# is in sets, so that many objects are not each held against many.
attached(rc, type, attribute, own) if {
	[module_of(rc), sprintf("%s.%s", [rc.type, rc.name])] in references(type, attribute)
} else if {
	astray(type, attribute, rc.type)
} else if {
	elsewhere(type, attribute, rc.type)
	is_null(object.get(rc.change.after, [own], null))
	unknown(rc, [own])
} else if {
	named := values(type, attribute)
	count(named) > 0
	value(rc, [own]) in named
}

# elsewhere holds where an object of a type does not name one of another type that
# stands next to it.
elsewhere(type, attribute, to) if {
	some o in input.resource_changes
	o.type == type
	not plainly(o, to, attribute)
}

# astray holds where what such an object names is not known yet, either.
astray(type, attribute, to) if {
	some o in input.resource_changes
	o.type == type
	is_null(object.get(o.change.after, [attribute], null))
	unknown(o, [attribute])
	not plainly(o, to, attribute)
}

values(type, attribute) := {v |
	some o in input.resource_changes
	o.type == type
	v := value(o, [attribute])
}

# plainly holds where it is written next to an object which one it is attached to.
plainly(o, type, attribute) if [module_of(o), o.name, type] in neighbours(o.type, attribute)

module_of(rc) := regex.replace(object.get(rc, "module_address", ""), `\[[^\]]*\]`, "")

# references are those that an attribute of a type has in the configuration: in which
# module to what.
references(type, attribute) := {[d.module, to] |
	some d in declared[type]
	some to in d.expressions[attribute].references
}

# neighbours are objects of a type by the types that an attribute refers to.
neighbours(type, attribute) := {[d.module, d.name, split(to, ".")[0]] |
	some d in declared[type]
	some to in d.expressions[attribute].references
}

# declared are the resources of the configuration, by type: those of the root module,
# and those of the modules that it calls.
declared[r.type] contains object.union({"name": ""}, object.union(r, {"module": ""})) if {
	some r in input.configuration.root_module.resources
}

declared[r.type] contains object.union({"name": ""}, object.union(r, {"module": module})) if {
	walk(input.configuration.root_module.module_calls, [path, resources])
	path[count(path) - 1] == "resources"
	module := concat(".", [part |
		some i, step in array.concat(["module_calls"], path)
		step == "module_calls"
		part := sprintf("module.%s", [path[i]])
	])
	some r in resources
}

# statements are those of a policy document in JSON, each with lists for what may
# be one text.
statements(text) := [s |
	document := json.unmarshal(text)
	some raw in listed(document.Statement)
	s := {
		"effect": raw.Effect,
		"actions": listed(object.get(raw, "Action", [])),
		"not_actions": listed(object.get(raw, "NotAction", [])),
		"resources": listed(object.get(raw, "Resource", [])),
		"principals": principals(raw),
		"bound": "Condition" in object.keys(raw),
	}
]

listed(v) := v if is_array(v)

listed(v) := [v] if not is_array(v)

principals(raw) := ["*"] if raw.Principal == "*"

principals(raw) := [p |
	some _, list in raw.Principal
	some p in listed(list)
] if {
	is_object(raw.Principal)
}

principals(raw) := [] if not raw.Principal

# secret holds for text in which there is a key or a password in clear.
secret(text) if {
	is_string(text)
	some pattern in settings.secret_patterns
	regex.match(pattern, text)
}

# secret_name holds for names of what is usually secret.
secret_name(name) if regex.match(settings.secret_names, lower(name))

# pods are the paths to the specification of the pods of Kubernetes objects, by type.
pods := object.union_n([
	{type: ["spec", 0] | some type in {"kubernetes_pod", "kubernetes_pod_v1"}},
	{type: ["spec", 0, "template", 0, "spec", 0] | some type in {
		"kubernetes_deployment", "kubernetes_deployment_v1",
		"kubernetes_stateful_set", "kubernetes_stateful_set_v1",
		"kubernetes_daemonset", "kubernetes_daemon_set_v1",
		"kubernetes_job", "kubernetes_job_v1",
		"kubernetes_replication_controller", "kubernetes_replication_controller_v1",
	}},
	{type: ["spec", 0, "job_template", 0, "spec", 0, "template", 0, "spec", 0] | some type in {"kubernetes_cron_job", "kubernetes_cron_job_v1"}},
])

workloads := object.keys(pods)

# in_pods are the paths to something in the specification of pods, by its name and by
# type. They are made once, because many objects are asked.
in_pods := {name: {type: array.concat(path, [name]) | some type, path in pods} |
	some name in ["container", "init_container", "volume", "security_context", "service_account_name", "automount_service_account_token", "host_network", "host_pid", "host_ipc"]
}

# containers are those of an object, with their paths.
containers(rc) := [[array.concat(path, [i]), c] |
	some kind in ["container", "init_container"]
	path := in_pods[kind][rc.type]
	some i, c in object.get(rc.change.after, path, [])
]

# text writes a path as people read it.
text(path) := concat(".", [sprintf("%v", [p]) | some p in path])

# unpinned holds for images that may be others tomorrow: no tag, or latest.
unpinned(image) if {
	not contains(image, "@")
	not regex.match(`:[^/:]+$`, image)
}

unpinned(image) if {
	not contains(image, "@")
	endswith(image, ":latest")
}
