package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
	"pgregory.net/rapid"
)

// single are rules, and whether they judge each object by itself.
var single = []struct {
	alone bool
	rule  string
}{
	{true, `deny contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }`},
	{true, `deny contains m if { rc := input.resource_changes[_]; rc.type == "t"; not rc.change.after.a == "x"; m := rc.address }`},
	{true, `bad(rc) if rc.change.after.a == "x"
bad(rc) if rc.change.after.b in limits
limits := {"y", "z"} if input.configuration.strict
deny contains m if { some rc in input.resource_changes; bad(rc); m := rc.address }
deny contains m if { some rc in input.resource_changes; walk(rc.change.after, [p, v]); v == "z"; m := sprintf("%s %v", [rc.address, p]) }`},
	{true, `deny contains m if { some rc in input.resource_changes; n := count([1 | some v in rc.change.after; v == "x"]); n > 1; m := rc.address }`},
	{true, `deny contains "strict" if input.configuration.strict`},
	{false, `deny contains m if { some i, rc in input.resource_changes; i > 0; rc.change.after.a == "x"; m := rc.address }`},
	{false, `deny contains m if { some rc in input.resource_changes; some other in input.resource_changes; rc.change.after.a == other.change.after.b; m := rc.address }`},
	{false, `deny contains m if { count([rc | some rc in input.resource_changes; rc.change.after.a == "x"]) > 1; m := "many" }`},
	{false, `deny contains m if { not any_x; m := "none is x" }
any_x if { some rc in input.resource_changes; rc.change.after.a == "x" }`},
	{false, `deny contains m if { every rc in input.resource_changes { rc.change.after.a == "x" }; m := "all are x" }`},
	{false, `deny contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; count(input.resource_changes) > 1; m := rc.address }`},
	{false, `all := input
deny contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; count(all.resource_changes) > 1; m := rc.address }`},
	{false, `deny contains m if { some rc in input.resource_changes; name := sprintf("resource_%s", ["changes"]); count(input[name]) > 1; m := rc.address }`},
	{false, `deny contains m if { some r in input.planned_values.root_module.resources; r.values.a == "x"; m := r.address }`},
	{false, `deny contains m if { some rc in input.resource_changes; object.get(input, ["resource_changes", 1, "address"], "") == rc.address; m := rc.address }`},
	{false, `deny := "one is x" if { some rc in input.resource_changes; rc.change.after.a == "x" }`},
	{false, `deny_a contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }
exception contains ["a"] if count(input.resource_changes) > 1`},
	{false, `first := input.resource_changes[0]
deny contains m if { some rc in input.resource_changes; rc.change.after.a == first.change.after.a; m := rc.address }`},
	{false, `changed contains rc.address if { some rc in input.resource_changes; rc.change.after.a == "x" }
deny contains m if { some m in changed with input as {"resource_changes": []} }
deny contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }`},
}

// TestByObject holds what rules say of plans against what they say of each object
// with nothing but the rest of the plan: what is certain of one is certain of both.
func TestByObject(t *testing.T) {
	var prepared []*policy.Policy
	for _, c := range single {
		p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + c.rule)})
		if diags.HasErrors() {
			t.Fatal(c.rule, diags.Err())
		}
		name := "main.deny"
		if strings.Contains(c.rule, "deny_a") {
			name = "main.deny_a"
		}
		if p.ByObject(name) != c.alone {
			t.Fatalf("by object: %v, want %v\n%s", !c.alone, c.alone, c.rule)
		}
		if c.alone {
			prepared = append(prepared, p)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var changes []string
		for i := range rapid.IntRange(1, 4).Draw(t, "resources") {
			var after, unknown []string
			for _, name := range []string{"a", "b"} {
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
				case 1:
					unknown = append(unknown, fmt.Sprintf("%q:true", name))
				default:
					after = append(after, fmt.Sprintf("%q:%q", name, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "value")))
				}
			}
			changes = append(changes, change(fmt.Sprintf("t.r%d", i), "{"+strings.Join(after, ",")+"}", "{"+strings.Join(unknown, ",")+"}"))
		}
		of := func(list ...string) []byte {
			return []byte(`{"format_version":"1.2","configuration":{"strict":` + fmt.Sprint(rapid.Bool().Draw(t, "strict")) + `},"resource_changes":[` + strings.Join(list, ",") + `]}`)
		}
		whole, err := policy.ParsePlan(of(changes...), nil)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := whole.Rest()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prepared {
			certain, open := certainly(t, p, whole)
			var certainEach []string
			openEach := false
			for i := range changes {
				one, err := rest.With([]byte(`{"format_version":"1.2","resource_changes":[` + changes[i] + `]}`))
				if err != nil {
					t.Fatal(err)
				}
				denied, unknown := certainly(t, p, one)
				certainEach, openEach = append(certainEach, denied...), openEach || unknown
			}
			slices.Sort(certainEach)
			certainEach = slices.Compact(certainEach)
			if open != openEach || !slices.Equal(certain, certainEach) {
				t.Fatalf("%s says of all %q (open: %v), and of each %q (open: %v)", p.Name, certain, open, certainEach, openEach)
			}
		}
	})
}

// certainly is what a policy denies for certain, and whether anything is open.
func certainly(t *rapid.T, p *policy.Policy, d *policy.Document) (denied []string, open bool) {
	out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	for _, f := range out.Findings {
		if f.Status == policy.Deny {
			denied = append(denied, f.Message)
		}
	}
	slices.Sort(denied)
	return slices.Compact(denied), out.Open()
}
