package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
	"pgregory.net/rapid"
)

// priced are rules about what a plan costs, beside some that judge each object by
// itself and look at the run. None about costs judges objects by themselves.
const priced = `package main
deny_each contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }
deny_asked contains m if { some rc in input.resource_changes; not rc.change.after.a == input.tutti.stack; m := rc.address }
deny_sum contains "it costs too much" if input.tutti.cost.monthly.after > 5
deny_cheap contains "it costs nothing" if not input.tutti.cost.monthly.after > 0
deny_one contains m if { some r in input.tutti.cost.resources; r.monthly.after > 3; m := r.address }
deny_none contains m if { some r in input.tutti.cost.resources; not r.monthly.after; m := r.address }
deny_both contains m if { some rc in input.resource_changes; some r in input.tutti.cost.resources; r.address == rc.address; r.monthly.after > 2; rc.change.after.a == "x"; m := rc.address }
deny_whole contains m if { cost := input.tutti.cost; some rc in input.resource_changes; rc.change.after.a == "x"; cost.monthly.after > 2; m := rc.address }
deny_told contains m if { about := input.tutti; some rc in input.resource_changes; rc.change.after.a == "x"; about.cost.monthly.after > 2; m := rc.address }
deny_late contains m if { some rc in input.resource_changes; rc.change.after.a == input.variables.v.value; m := rc.address }
deny_output contains m if { some rc in input.resource_changes; rc.change.after.a == input.output_changes.o.after; m := rc.address }
deny_high contains "it costs too much already" if input.tutti.cost.monthly.at_least > 5
deny_low contains "it costs too little" if input.tutti.cost.monthly.at_least < 3
deny_not contains "it is not dear" if not input.tutti.cost.monthly.at_least >= 4
deny_exact contains "it costs four" if input.tutti.cost.monthly.at_least == 4
deny_between contains "it is neither" if { cost := input.tutti.cost.monthly; cost.at_least > 2; cost.at_least < 6 }
deny_helped contains m if { dear; some rc in input.resource_changes; rc.change.after.a == "x"; m := rc.address }
dear if input.tutti.cost.monthly.at_least > 4
deny_each_high contains m if { some r in input.tutti.cost.resources; r.monthly.at_least > 2; m := r.address }
deny_each_low contains m if { some r in input.tutti.cost.resources; r.monthly.at_least < 2; m := r.address }
deny_or := "cheap" if input.tutti.cost.monthly.at_least < 2 else := "dear" if input.tutti.cost.monthly.at_least > 6
deny_plan contains m if { some rc in input.resource_changes; rc.change.after.a == "x"; count(input.plan.resource_changes) > 1; m := rc.address }`

// TestCostIsNotGuessed draws plans with costs, parts of which are not known, values of
// variables and outputs that come late, and what they come to.
func TestCostIsNotGuessed(t *testing.T) {
	p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": []byte(priced)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	alone := map[string]bool{"p main.deny_each": true, "p main.deny_asked": true}
	for _, line := range strings.Split(priced, "\n")[1:] {
		name, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(name, "deny") {
			continue
		}
		if got := p.ByObject("main." + name); got != alone["p main."+name] {
			t.Fatalf("%s judges each object by itself: %v", name, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		type doc = map[string]any
		var changes, changed, prices, final, marks []any
		sum, least, open := 0, 0, false
		for i := range rapid.IntRange(1, 4).Draw(t, "resources") {
			address, cost := fmt.Sprintf("t.r%d", i), rapid.IntRange(0, 4).Draw(t, "cost")
			after, unknown := doc{}, doc{}
			later := doc{"a": rapid.SampledFrom([]string{"x", "y", "shop"}).Draw(t, "a")}
			if rapid.Bool().Draw(t, "unknown") {
				unknown["a"] = true
			} else {
				after = later
			}
			resource := func(after, unknown doc) doc {
				return doc{"address": address, "type": "t", "change": doc{"actions": []any{"create"}, "after": after, "after_unknown": unknown}}
			}
			changes, changed = append(changes, resource(after, unknown)), append(changed, resource(later, doc{}))
			price := doc{"address": address, "monthly": doc{"after": cost, "at_least": cost}}
			final = append(final, price)
			if rapid.IntRange(0, 2).Draw(t, "open") == 0 {
				open = true
				part := rapid.IntRange(0, cost).Draw(t, "part")
				prices, marks = append(prices, doc{"address": address, "monthly": doc{"at_least": part}}), append(marks, doc{"monthly": doc{"after": true, "at_least": true}})
				least += part
			} else {
				prices, marks = append(prices, price), append(marks, doc{})
				least += cost
			}
			sum += cost
		}
		value := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")
		known := doc{"monthly": doc{"after": sum, "at_least": sum}, "resources": final}
		some, unknown := doc{"monthly": doc{"after": sum, "at_least": sum}, "resources": prices}, doc{"resources": marks}
		if open {
			some["monthly"], unknown["monthly"] = doc{"at_least": least}, doc{"after": true, "at_least": true}
		}
		variable, output := doc{"value": value}, doc{"after": value, "after_unknown": false}
		if rapid.Bool().Draw(t, "late") {
			variable, output = doc{}, doc{"after_unknown": true}
		}
		parsed := func(about doc, changes []any, variable, output doc) *policy.Document {
			data, err := json.Marshal(doc{"format_version": "1.2", "resource_changes": changes, "variables": doc{"v": variable}, "output_changes": doc{"o": output}})
			if err != nil {
				t.Fatal(err)
			}
			about["stack"] = "shop"
			d, err := policy.ParsePlan(data, about)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		before := parsed(doc{"cost": some, "cost_unknown": unknown}, changes, variable, output)
		after := parsed(doc{"cost": known, "cost_unknown": doc{}}, changed, doc{"value": value}, doc{"after": value, "after_unknown": false})
		nothingGuessedOf(t, p, priced, before, after)
		sameOfEach(t, p, before, changes, alone)
	})
}

// sameOfEach holds what rules that judge each object by itself say of a plan against
// what they say of its objects.
func sameOfEach(t *rapid.T, p *policy.Policy, whole *policy.Document, changes []any, only map[string]bool) {
	rest, err := whole.Rest()
	if err != nil {
		t.Fatal(err)
	}
	said := func(d *policy.Document) (denied, open []string) {
		out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{Only: only})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		for _, f := range out.Findings {
			if f.Status == policy.Unknown {
				open = append(open, f.Rule)
			} else {
				denied = append(denied, f.Rule+" "+f.Message)
			}
		}
		return denied, open
	}
	denied, open := said(whole)
	var deniedEach, openEach []string
	for _, change := range changes {
		data, err := json.Marshal(map[string]any{"format_version": "1.2", "resource_changes": []any{change}})
		if err != nil {
			t.Fatal(err)
		}
		one, err := rest.With(data)
		if err != nil {
			t.Fatal(err)
		}
		d, o := said(one)
		deniedEach, openEach = append(deniedEach, d...), append(openEach, o...)
	}
	for _, list := range []*[]string{&denied, &open, &deniedEach, &openEach} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if !slices.Equal(denied, deniedEach) || !slices.Equal(open, openEach) {
		t.Fatalf("of all: %q (open: %q), of each: %q (open: %q)", denied, open, deniedEach, openEach)
	}
}
