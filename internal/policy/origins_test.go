package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
)

// TestFindingsNameTheirRule has rules of one name in two files, each with annotations
// of its own: a finding is of one of them, and passed are those without any.
func TestFindingsNameTheirRule(t *testing.T) {
	files := map[string][]byte{
		"a.rego": []byte(`package main

# METADATA
# title: Sizes
# custom:
#   severity: low
#   remediation: Make it smaller.
deny contains msg if {
	some rc in input.resource_changes
	rc.change.after.size > 3
	msg := sprintf("%s is too big", [rc.address])
}

deny contains "there are too many" if count(input.resource_changes) > 9
`),
		"b.rego": []byte(`package main

# METADATA
# title: Names
# custom:
#   severity: high
deny[msg] {
	rc := input.resource_changes[_]
	not rc.change.after.name
	msg := sprintf("%s has no name", [rc.address])
}

deny[msg] {
	rc := input.resource_changes[_]
	rc.change.after.name == "x"
	msg := sprintf("%s is called x", [rc.address])
}
`),
	}
	p, diags := policy.Prepare("p", policy.Mandatory, "policy", files)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	for _, c := range []struct {
		name, plan string
		passed     int
		want       []string
	}{
		{"known", plan(change("t.a", `{"size":4,"name":"a"}`, `{}`), change("t.b", `{"size":5}`, `{}`)), 2, []string{
			"deny low t.a is too big: policy/a.rego:8 Sizes (Make it smaller.)",
			"deny low t.b is too big: policy/a.rego:8 Sizes (Make it smaller.)",
			"deny high t.b has no name: policy/b.rego:7 Names ()",
		}},
		{"unknown", plan(change("t.a", `{"size":4,"name":"x"}`, `{"id":true}`), change("t.b", `{"size":1}`, `{"name":true}`)), 1, []string{
			"deny low t.a is too big: policy/a.rego:8 Sizes (Make it smaller.)",
			"deny  t.a is called x: policy/b.rego:13  ()",
			"unknown high t.b has no name: policy/b.rego:7 Names ()",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := policy.ParsePlan([]byte(c.plan), nil)
			if err != nil {
				t.Fatal(err)
			}
			out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{})
			if len(diags) > 0 {
				t.Fatal(diags)
			}
			var got []string
			for _, f := range out.Findings {
				got = append(got, fmt.Sprintf("%s %s %s: %s:%d %s (%s)", f.Status, f.Severity, f.Message, f.RuleAt.File, f.RuleAt.Line, f.Title, f.Fix))
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) || out.Policies[0].Passed != c.passed || out.Policies[0].Rules != 4 {
				t.Errorf("got %q, %d of %d pass", got, out.Policies[0].Passed, out.Policies[0].Rules)
			}
		})
	}
}
