# What holds for all providers: tags, places.
package tutti.common.governance

import data.tutti.lib

# METADATA
# title: Missing tags
# description: A resource that can have tags (labels) lacks some of those in required_tags.
# custom:
#   id: common.governance.missing_tags
#   severity: low
#   compliance: none
#   remediation: Add the tags, or set them for all resources in the provider (default_tags, default_labels).
deny_missing_tags contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	count(lib.settings.required_tags) > 0
	some rc in input.resource_changes
	not startswith(rc.type, "kubernetes_") # they have labels of another kind
	rc.mode == "managed"
	some action in rc.change.actions
	action in {"create", "update"}
	attribute := tags_of(rc)
	some tag in lib.settings.required_tags
	lib.absent(rc, [attribute, tag])
	lib.absent(rc, ["tags", tag])
	msg := sprintf("lacks the tag %q", [tag])
}

# A resource can have tags where its type has the attribute, be it null.
tags_of(rc) := "tags_all" if {
	has(rc, "tags_all")
} else := "tags" if {
	regex.match("^(aws|azurerm)_", rc.type)
	has(rc, "tags")
} else := "effective_labels" if {
	has(rc, "effective_labels")
} else := "labels" if {
	startswith(rc.type, "google_")
	has(rc, "labels")
}

has(rc, name) if object.get(rc.change.after, name, "-") != "-"

has(rc, name) if rc.change.after_unknown[name] == true

# METADATA
# title: Place that may not be used
# description: A resource is to be in a region, zone or location that is not in regions.
# custom:
#   id: common.governance.region
#   severity: medium
#   compliance: none
#   remediation: Use one of the regions that may be used, or add this one.
deny_region contains lib.finding(rego.metadata.rule(), rc, attribute, msg) if {
	count(lib.settings.regions) > 0
	some rc in input.resource_changes
	rc.mode == "managed"
	"create" in rc.change.actions
	regex.match("^(aws|azurerm|google)_", rc.type)
	some attribute in ["region", "location", "zone", "availability_zone"]
	place := rc.change.after[attribute]
	is_string(place)
	name := plain(place)
	name != "global"
	not allowed_place(name)
	msg := sprintf("is to be in %s", [place])
}

plain(place) := lower(replace(regex.replace(place, `^.*/`, ""), " ", ""))

# Zones are named like their regions, and something more.
allowed_place(name) if {
	some region in lib.settings.regions
	regex.match(sprintf("^%s(-?[a-z0-9])?$", [region]), name)
}

# METADATA
# title: Provider for a region that may not be used
# description: A provider is configured for a region that is not in regions.
# custom:
#   id: common.governance.provider_region
#   severity: medium
#   compliance: none
#   remediation: Configure the provider for one of the regions that may be used.
deny_provider_region contains object.union(lib.finding(rego.metadata.rule(), {"address": name, "type": "provider"}, "region", msg), {"address": ""}) if {
	count(lib.settings.regions) > 0
	some name, p in input.configuration.provider_config
	place := p.expressions.region.constant_value
	not allowed_place(plain(place))
	msg := sprintf("is a provider for %s", [place])
}
