package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
	"pgregory.net/rapid"
)

// decisions are policies that are asked for one rule, allow, of all the kinds that
// it may be. They look at the attributes a and b.
var decisions = []string{
	`default allow := false
allow if every rc in input.resource_changes { rc.change.after.a == "x" }`,
	`allow if { some rc in input.resource_changes; rc.change.after.a == "x" }`,
	`allow if not bad
bad if { some rc in input.resource_changes; rc.change.after.a == "y" }`,
	`allow := false if { some rc in input.resource_changes; rc.change.after.a == "y" } else := true`,
	`allow := true if { some rc in input.resource_changes; rc.change.after.a == "x" } else := false if { input.resource_changes[0].change.after.b == "y" } else := true`,
	`default allow := true
allow := false if { some rc in input.resource_changes; rc.change.after.a != "x" }`,
	`reasons contains rc.address if { some rc in input.resource_changes; not rc.change.after.a == "x" }
allow := {"allow": count(reasons) == 0, "reasons": reasons}`,
	`allow := {"allowed": true, "message": "x"} if { some rc in input.resource_changes; rc.change.after.b == "y" } else := {"allowed": false, "message": "none"}`,
	`allow contains rc.address if { some rc in input.resource_changes; rc.change.after.a == "x" }`,
	`allow := [rc.address | some rc in input.resource_changes; object.get(rc.change.after, "a", "none") == "none"]`,
	`allow if count([rc | some rc in input.resource_changes; rc.change.after.a == "x"]) < 2`,
	`allow if { some rc in input.resource_changes; rc.change.after.a == "x"; rc.change.after.b != "y" }`,
	`score := sum([1 | some rc in input.resource_changes; rc.change.after.a == "x"])
default allow = false
allow if score < 2`,
}

// otherwise are rules whose messages rest on what others did not say.
var otherwise = []string{
	`deny := "first" if { some rc in input.resource_changes; rc.change.after.a == "x" } else := "second"`,
	`default deny := "not safe"
deny := [] if { some rc in input.resource_changes; rc.change.after.a == "x" }`,
	`deny[rc.address] := reason if { some rc in input.resource_changes; reason := rc.change.after.a }`,
	`deny.x contains rc.address if { some rc in input.resource_changes; rc.change.after.a == "x" }
deny.y contains rc.address if { some rc in input.resource_changes; not rc.change.after.b }`,
	`warn_a contains rc.address if { some rc in input.resource_changes; rc.change.after.a == "x" }
exception contains ["a"] if { some rc in input.resource_changes; rc.change.after.b == "y" }`,
}

// TestNoDecisionIsGuessed is TestNothingIsGuessed for decisions: what is certain
// holds for all values of what is unknown.
func TestNoDecisionIsGuessed(t *testing.T) {
	var texts []string
	var prepared []*policy.Policy
	for i, text := range slices.Concat(decisions, otherwise) {
		from := policy.Source{Dir: "policy", Files: map[string][]byte{"main.rego": []byte("package main\n" + text)}}
		if i < len(decisions) {
			from.Decisions = []string{"main/allow"}
		}
		p, diags := policy.PrepareSource("p", policy.Mandatory, from)
		if diags.HasErrors() {
			t.Fatal(text, diags.Err())
		}
		texts, prepared = append(texts, text), append(prepared, p)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.IntRange(0, len(prepared)-1).Draw(t, "policy")
		var open, filled []string
		for i := range rapid.IntRange(1, 3).Draw(t, "resources") {
			var now, later, marks []string
			for _, name := range []string{"a", "b"} {
				given := fmt.Sprintf("%q:%s", name, rapid.SampledFrom([]string{`"x"`, `"y"`, `"z"`, `null`, `"none"`}).Draw(t, "value"))
				switch rapid.IntRange(0, 5).Draw(t, "kind") {
				case 0:
				case 1, 2:
					later, marks = append(later, given), append(marks, fmt.Sprintf("%q:true", name))
				default:
					now, later = append(now, given), append(later, given)
				}
			}
			object := func(members []string) string { return "{" + strings.Join(members, ",") + "}" }
			address := fmt.Sprintf("t.r%d", i)
			open = append(open, change(address, object(now), object(marks)))
			filled = append(filled, change(address, object(later), "{}"))
		}
		nothingGuessed(t, prepared[p], texts[p], planOf(open, nil), planOf(filled, nil))
	})
}

// TestUndecided has what no decision can be made of.
func TestUndecided(t *testing.T) {
	for _, c := range []struct{ rego, decision, want string }{
		{"allow := 7", "main/allow", "main.allow is number. It must be true or false"},
		{"allow := \"no\"", "main/allow", "main.allow is string. It must be true or false"},
		{"allow := {\"x\": 1}", "main/allow", "is an object without \"allow\""},
		{"allow := {\"allow\": \"yes\"}", "main/allow", "must be true or false"},
		{"allow := null", "main/allow", "main.allow is null. It must be true or false"},
		{"allow := true\nallow := false if input.format_version", "main/allow", "complete rules must not produce multiple outputs"},
	} {
		t.Run(c.rego, func(t *testing.T) {
			out, diags := judged(t, policy.Options{}, c.rego, c.decision)
			if !diags.HasErrors() || !strings.Contains(diags[0].Detail, c.want) || len(out.Findings) > 0 {
				t.Errorf("got %v and %v, want %q", out.Findings, diags, c.want)
			}
		})
	}
}
