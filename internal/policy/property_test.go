package policy_test

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
	"pgregory.net/rapid"
)

// ways are rules of different kinds that look at the attributes a, b and list of
// resources, as people write them.
var ways = []string{
	`deny contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; not rc.change.after.a == "x"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; rc.change.after.a != "x"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; not rc.change.after.a; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; object.get(rc.change.after, "a", "none") == "none"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; some k, v in rc.change.after; v == "x"; m := sprintf("%s %s", [rc.address, k]) }`,
	`deny contains m if { count([rc | some rc in input.resource_changes; rc.change.after.a == "x"]) > 1; m := "too many" }`,
	`deny contains m if { every rc in input.resource_changes { rc.change.after.a == "x" }; m := "all are x" }`,
	`deny contains m if { some r1 in input.resource_changes; some r2 in input.resource_changes; r1.address != r2.address; r1.change.after.a == r2.change.after.b; m := sprintf("%s has what %s has", [r1.address, r2.address]) }`,
	`named contains rc.change.after.b if some rc in input.resource_changes
deny contains m if { some rc in input.resource_changes; not named[rc.change.after.a]; m := rc.address }`,
	`bad(rc) if rc.change.after.a == "x"
bad(rc) if rc.change.after.b == "y"
deny contains m if { some rc in input.resource_changes; bad(rc); m := rc.address }`,
	`default safe := false
safe if { some rc in input.resource_changes; rc.change.after.a == "y" }
deny contains "not safe" if not safe`,
	`deny contains m if { some rc in input.resource_changes; "x" in rc.change.after.list; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; count(rc.change.after.list) > 1; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; walk(rc.change.after, [p, v]); v == "x"; m := sprintf("%s %v", [rc.address, p]) }`,
	`deny contains m if { some rc in input.resource_changes; count(rc.change.after) > 2; m := rc.address }`,
	`by := {rc.change.after.a: rc.address | some rc in input.resource_changes; rc.address == "t.r0"}
deny contains m if { m := by["x"] }`,
	`deny contains m if { some rc in input.resource_changes; json.marshal(rc.change.after) == "{}"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; contains(json.marshal(rc.change.after), "x"); m := rc.address }`,
	`shown(v) := yaml.marshal(v)
deny contains m if { some rc in input.resource_changes; not contains(shown({"in": rc}), "x"); m := rc.address }`,
	`deny contains m if { all := {rc | some rc in input.resource_changes}; some rc in all; rc.change.after.b == "y"; m := rc.address }`,
	`deny contains m if { some rc in input.resource_changes; after := object.union(rc.change.after, {"c": 1}); after.a == "x"; m := rc.address }`,
	`kind(rc) := "good" if rc.change.after.a == "x"
else := "bad"
deny contains m if { some rc in input.resource_changes; kind(rc) == "bad"; m := rc.address }`,
	`deny_it contains m if { some rc in input.resource_changes; rc.change.after.b == "y"; m := rc.address }
exception contains ["it"] if { some rc in input.resource_changes; rc.change.after.a == "x" }`,
	`deny contains m if { some rc in input.resource_changes; rc.type == "t"; not rc.change.after.a == "x"; m := rc.address }`,
	`of(type) := {rc.change.after.b | some rc in input.resource_changes; rc.type == type}
deny contains m if { some rc in input.resource_changes; rc.type in {"t", "u"}; rc.change.after.a in of("t"); m := rc.address }`,
	`deny contains m if { some r in input.planned_values.root_module.resources; not r.values.a == "x"; m := r.address }`,
}

// shared are rules that use the same helpers, so that one finds what another left
// in the cache.
const shared = `named contains rc.change.after.b if some rc in input.resource_changes
default safe := false
safe if { some rc in input.resource_changes; rc.change.after.a == "y" }
of(name) := {rc.change.after[name] | some rc in input.resource_changes}
deny_1 contains m if { some rc in input.resource_changes; not named[rc.change.after.a]; m := rc.address }
deny_2 contains m if { some rc in input.resource_changes; rc.change.after.a in named; m := rc.address }
deny_3 contains "not safe" if not safe
deny_4 contains m if { safe; some rc in input.resource_changes; rc.change.after.b == "x"; m := rc.address }
deny_5 contains "some" if count(named) > 1
deny_6 contains m if { some m in of("a") & of("b") }
deny_7 contains m if { some rc in input.resource_changes; not rc.change.after.a in of("b"); m := rc.address }
deny_8 contains rc.address if { some rc in input.resource_changes; count(of("list")) > 0 }
deny_9 contains m if { some m in deny_1; not deny_2[m] }`

// TestNothingIsGuessed draws plans with unknown attributes, and values for these.
// What a rule is certain of must hold whatever the values are: every denial, and
// that nothing else will be denied where nothing is open.
func TestNothingIsGuessed(t *testing.T) {
	var prepared []*policy.Policy
	for _, way := range append(ways, shared) {
		p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + way)})
		if diags.HasErrors() {
			t.Fatal(way, diags.Err())
		}
		prepared = append(prepared, p)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.IntRange(0, len(prepared)-1).Draw(t, "rule")
		var open, filled, openPlanned, filledPlanned []string
		for i := range rapid.IntRange(1, 4).Draw(t, "resources") {
			var now, later, marks []string
			for _, name := range []string{"a", "b", "list"} {
				if rapid.IntRange(0, 4).Draw(t, "absent") == 0 {
					continue
				}
				value := func() string {
					one := rapid.SampledFrom([]string{`"x"`, `"y"`, `"z"`, `null`, `"none"`})
					if name != "list" {
						return fmt.Sprintf("%q:%s", name, one.Draw(t, "value"))
					}
					return fmt.Sprintf("%q:[%s]", name, strings.Join(rapid.SliceOfN(one, 0, 3).Draw(t, "list"), ","))
				}
				given := value()
				later = append(later, given)
				if rapid.IntRange(0, 2).Draw(t, "unknown") == 0 {
					marks = append(marks, fmt.Sprintf("%q:true", name))
				} else {
					now = append(now, given)
				}
			}
			address := fmt.Sprintf("t.r%d", i)
			object := func(members []string) string { return "{" + strings.Join(members, ",") + "}" }
			open = append(open, change(address, object(now), object(marks)))
			filled = append(filled, change(address, object(later), "{}"))
			openPlanned = append(openPlanned, fmt.Sprintf(`{"address":%q,"values":%s}`, address, object(now)))
			filledPlanned = append(filledPlanned, fmt.Sprintf(`{"address":%q,"values":%s}`, address, object(later)))
		}
		nothingGuessed(t, prepared[p], append(ways, shared)[p], planOf(open, openPlanned), planOf(filled, filledPlanned))
	})
}

// nothingGuessed holds what rules (text, for errors) are certain of before a plan is
// known against what they say of it then.
func nothingGuessed(t *rapid.T, p *policy.Policy, text, before, after string) {
	t.Helper()
	nothingGuessedOf(t, p, text, parsed(t, before), parsed(t, after))
}

func parsed(t *rapid.T, plan string) *policy.Document {
	t.Helper()
	d, err := policy.ParsePlan([]byte(plan), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func nothingGuessedOf(t *rapid.T, p *policy.Policy, text string, before, after *policy.Document) {
	t.Helper()
	certain, open := outcome(t, p, before)
	says, _ := outcome(t, p, after)
	for rule, denied := range certain {
		for _, m := range denied {
			if !slices.Contains(says[rule], m) {
				t.Fatalf("%s\n%s denied for certain: %q, and does not: %q", text, rule, m, says[rule])
			}
		}
	}
	for rule, denied := range says {
		if !open[rule] && !slices.Equal(certain[rule], denied) {
			t.Fatalf("%s\nnothing was open, %s denied %q, and now denies %q", text, rule, certain[rule], denied)
		}
	}
}

func planOf(changes, planned []string) string {
	return `{"format_version":"1.2","planned_values":{"root_module":{"resources":[` + strings.Join(planned, ",") + `]}},"resource_changes":[` + strings.Join(changes, ",") + `]}`
}

// outcome is what the rules of a policy deny for certain, and whether anything is
// open.
func outcome(t *rapid.T, p *policy.Policy, d *policy.Document) (denied map[string][]string, unknown map[string]bool) {
	out, diags := policy.Judge(context.Background(), []*policy.Policy{p}, d, policy.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	denied, unknown = map[string][]string{}, map[string]bool{}
	for _, f := range out.Findings {
		if f.Status == policy.Deny {
			denied[f.Rule] = append(denied[f.Rule], f.Message)
		} else {
			unknown[f.Rule] = true
		}
	}
	for _, messages := range denied {
		sort.Strings(messages)
	}
	return denied, unknown
}
