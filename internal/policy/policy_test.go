package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
)

// judge evaluates Rego text on plan JSON and writes the findings as lines.
func judge(t *testing.T, rego, plan string) string {
	t.Helper()
	p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": []byte(rego), "limits/data.yaml": []byte("max: 3\n")})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, err := policy.ParsePlan([]byte(plan), map[string]any{"environment": map[string]any{"name": "prod"}})
	if err != nil {
		t.Fatal(err)
	}
	out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	var b strings.Builder
	for _, f := range out.Findings {
		fmt.Fprintf(&b, "%s %s [%s %s] %s\n", f.Status, f.Rule, f.Resource, f.Attribute, f.Message)
	}
	return b.String()
}

// change is one resource change of a plan.
func change(address, after, unknown string) string {
	kind, name, _ := strings.Cut(address, ".")
	return fmt.Sprintf(`{"address":%q,"mode":"managed","type":%q,"name":%q,"change":{"actions":["create"],"before":null,"after":%s,"after_unknown":%s,"before_sensitive":false,"after_sensitive":{"secret":true}}}`, address, kind, name, after, unknown)
}

func plan(changes ...string) string {
	return `{"format_version":"1.2","planned_values":{"root_module":{}},"resource_changes":[` + strings.Join(changes, ",") + `]}`
}

func TestJudge(t *testing.T) {
	buckets := plan(
		change("bucket.open", `{"acl":"public-read","size":2}`, `{}`),
		change("bucket.shut", `{"acl":"private","size":9,"secret":"swordfish"}`, `{}`),
		change("bucket.late", `{"size":1}`, `{"acl":true}`),
	)
	for _, c := range []struct{ name, rego, plan, want string }{
		{"known attributes are certain", `package main
deny contains msg if { some rc in input.resource_changes; rc.change.after.size > data.limits.max; msg := sprintf("%s is too big", [rc.address]) }`, buckets,
			"deny main.deny [bucket.shut ] bucket.shut is too big\n"},
		{"unknown is neither", `package main
deny contains msg if { some rc in input.resource_changes; rc.change.after.acl == "public-read"; msg := sprintf("%s is public", [rc.address]) }`, buckets,
			"deny main.deny [bucket.open ] bucket.open is public\nunknown main.deny [bucket.late acl] \n"},
		{"a missing attribute is not a denial yet", `package main
deny contains msg if { some rc in input.resource_changes; not rc.change.after.acl == "private"; msg := sprintf("%s is not private", [rc.address]) }`, buckets,
			"deny main.deny [bucket.open ] bucket.open is not private\nunknown main.deny [bucket.late acl] bucket.late is not private\n"},
		{"what is not looked at does not matter", `package main
deny contains msg if { some rc in input.resource_changes; rc.change.after.size > 5; rc.change.after.acl == "private"; msg := rc.address }`, buckets,
			"deny main.deny [bucket.shut ] bucket.shut\n"},
		{"helpers are followed", `package main
private contains rc.address if { some rc in input.resource_changes; rc.change.after.acl == "private" }
deny contains msg if { some rc in input.resource_changes; not private[rc.address]; msg := rc.address }`, buckets,
			"unknown main.deny [bucket.late acl] bucket.late\nunknown main.deny [bucket.open ] bucket.open\n"},
		{"functions are followed", `package main
public(rc) if rc.change.after.acl == "public-read"
deny contains msg if { some rc in input.resource_changes; public(rc); msg := rc.address }`, buckets,
			"deny main.deny [bucket.open ] bucket.open\nunknown main.deny [bucket.late acl] \n"},
		{"iteration asks for all", `package main
deny contains msg if { some rc in input.resource_changes; some v in rc.change.after; v == "private"; msg := rc.address }`, buckets,
			"deny main.deny [bucket.shut ] bucket.shut\nunknown main.deny [bucket.late acl] \n"},
		{"object.get has no default for what is unknown", `package main
deny contains msg if { some rc in input.resource_changes; object.get(rc.change.after, "acl", "none") == "none"; msg := rc.address }`, buckets,
			"unknown main.deny [bucket.late acl] bucket.late\n"},
		{"comprehensions are not trusted", `package main
deny contains "too few private buckets" if count([1 | some rc in input.resource_changes; rc.change.after.acl == "private"]) < 2`, buckets,
			"unknown main.deny [ ] too few private buckets\nunknown main.deny [bucket.late acl] \n"},
		{"rego of before, objects, exceptions", `package legacy
deny_size[{"msg": msg, "resource": rc.address, "fix": "shrink it"}] { rc := input.resource_changes[_]; rc.change.after.size > 3; msg := "big" }
violation_public[{"msg": msg}] { rc := input.resource_changes[_]; rc.change.after.acl == "public-read"; msg := "public" }
exception[rules] { rules := ["public"] }
warn[msg] { input.tutti.environment.name == "prod"; msg := "careful" }`, plan(change("bucket.shut", `{"acl":"private","size":9}`, `{}`)),
			"deny legacy.deny_size [bucket.shut ] big\nwarn legacy.warn [ ] careful\n"},
		{"sensitive values are masked", `package main
deny contains msg if { some rc in input.resource_changes; msg := sprintf("%s has %s", [rc.address, rc.change.after.secret]) }`, buckets,
			"deny main.deny [bucket.shut ] bucket.shut has (sensitive value)\n"},
		{"sensitive values of data sources and variables too", `package main
deny contains msg if { some r in input.prior_state.values.root_module.resources; msg := sprintf("it is %v, %v and 7", [r.values.token, input.variables.pin.value]) }`,
			`{"format_version":"1.2","variables":{"pin":{"value":7}},"configuration":{"root_module":{"variables":{"pin":{"sensitive":true}}}},"prior_state":{"values":{"root_module":{"resources":[{"address":"data.x.y","values":{"token":"hunter2"},"sensitive_values":{"token":true}}]}}}}`,
			"deny main.deny [ ] it is (sensitive value), (sensitive value) and (sensitive value)\n"},
		{"sensitive values are masked wherever a rule puts them", `package main
deny contains {"msg": "m", "resource": s, "attribute": s, "severity": s} if { some rc in input.resource_changes; s := rc.change.after.secret }`, buckets,
			"deny main.deny [(sensitive value) (sensitive value)] m\n"},
		{"everything may be compared", `package main
deny contains msg if { some rc in input.resource_changes; rc.change.before == rc.change.after; msg := rc.address }
deny contains msg if { all := {rc | some rc in input.resource_changes}; some rc in all; rc.change.after.size == 1; msg := rc.address }`, buckets,
			"deny main.deny [bucket.late ] bucket.late\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(t, c.rego, c.plan); got != c.want {
				t.Errorf("got:\n%swant:\n%s", got, c.want)
			}
		})
	}
}
