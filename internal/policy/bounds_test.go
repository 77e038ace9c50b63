package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
)

// TestLowerBounds has an estimate of which only a lower bound is known, and rules that
// compare it: what is so already and stays so is certain, and nothing else.
func TestLowerBounds(t *testing.T) {
	for _, c := range []struct {
		rule  string
		least string
		want  string // deny, unknown, or nothing
	}{
		{`deny contains "dear" if input.tutti.cost.monthly.at_least > 500`, "600", "deny dear"},
		{`deny contains "dear" if input.tutti.cost.monthly.at_least > 500`, "400", "unknown "},
		{`deny contains "cheap" if input.tutti.cost.monthly.at_least < 500`, "400", "unknown cheap"},
		{`deny contains "cheap" if input.tutti.cost.monthly.at_least < 500`, "600", "unknown "},
		{`deny contains "not dear" if not input.tutti.cost.monthly.at_least > 500`, "400", "unknown not dear"},
		{`deny contains "four" if input.tutti.cost.monthly.at_least == 400`, "400", "unknown four"},
		{`deny contains m if { c := input.tutti.cost.monthly; c.at_least > 500; m := sprintf("at least %v a month, %.2f exactly", [c.at_least, c.at_least]) }`, "600.5", "deny at least 600.5 a month, 600.50 exactly"},
		{`deny contains m if { c := input.tutti.cost.monthly; c.at_least > 500; m := sprintf("at least %d a month", [c.at_least]) }`, "600", "deny at least 600 a month"},
		{`deny contains m if { input.tutti.cost.monthly.at_least > 500; m := sprintf("it was %v", [input.tutti.cost.monthly.after]) }`, "600", "unknown "},
		{"dear if input.tutti.cost.monthly.at_least > 500\ndeny contains \"dear\" if dear", "600", "deny dear"},
		{"default deny := false\ndeny if input.tutti.cost.monthly.at_least > 500", "600", "deny The rule main.deny is not satisfied"},
		{`deny := "cheap" if input.tutti.cost.monthly.at_least < 500 else := "dear" if input.tutti.cost.monthly.at_least > 900`, "400", "unknown cheap"},
		{`deny contains r.address if { some r in input.tutti.cost.resources; r.monthly.at_least > 500 }`, "600", "deny t.a"},
		{`deny contains r.address if { some r in input.tutti.cost.resources; r.monthly.at_least > 500 }`, "400", "unknown "},
		{"deny contains \"small\" if input.tutti.cost.monthly.at_least < 700\ndeny contains \"dear\" if input.tutti.cost.monthly.at_least > 500", "600", "deny dear, unknown small"},
	} {
		p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + c.rule)})
		if diags.HasErrors() {
			t.Fatal(c.rule, diags.Err())
		}
		monthly := map[string]any{"before": 0, "at_least": json.Number(c.least)}
		marks := map[string]any{"after": true, "difference": true, "at_least": true}
		about := map[string]any{
			"cost":         map[string]any{"monthly": monthly, "resources": []any{map[string]any{"address": "t.a", "monthly": monthly}}},
			"cost_unknown": map[string]any{"monthly": marks, "resources": []any{map[string]any{"monthly": marks}}},
		}
		d, err := policy.ParsePlan([]byte(plan(change("t.a", `{"size":1}`, `{}`))), about)
		if err != nil {
			t.Fatal(err)
		}
		out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{})
		if diags.HasErrors() {
			t.Fatal(c.rule, diags.Err())
		}
		var got []string
		for _, f := range out.Findings {
			if s := fmt.Sprintf("%s %s", f.Status, f.Message); f.Message != "" || len(out.Findings) == 1 {
				got = append(got, s)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s, %s: %q, want %q", c.rule, c.least, text, c.want)
		}
	}
}
