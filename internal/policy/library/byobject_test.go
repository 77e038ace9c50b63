package library_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
	"pgregory.net/rapid"
)

// TestByObject draws plans of the examples, with some attributes unknown. Rules that
// judge each object by itself say of a plan what they say of its objects, and no rule
// is certain of what the values of the unknown attributes may change.
func TestByObject(t *testing.T) {
	p, all := prepare(t), load(t)
	var objects []example
	for _, id := range slices.Sorted(maps.Keys(all)) {
		of := all[id]
		for _, e := range slices.Concat(of.Pass, of.Fail, of.With) {
			if e.Configuration == nil && e.After != nil {
				objects = append(objects, e)
			}
		}
	}
	list, alone := rules(t), 0
	for _, r := range list {
		if p.ByObject(r.Name) {
			alone++
		}
	}
	if alone < len(list)/2 {
		t.Fatalf("%d of %d rules judge each object by itself", alone, len(list))
	}
	rapid.Check(t, func(r *rapid.T) {
		rule := rapid.SampledFrom(list).Draw(r, "rule")
		of := all[rule.ID]
		near := slices.DeleteFunc(slices.Concat(of.Pass, of.Fail, of.With), func(e example) bool { return e.Configuration != nil || e.After == nil })
		if len(near) == 0 {
			near = objects
		}
		var open, filled []example
		for i := range rapid.IntRange(1, 4).Draw(r, "objects") {
			from := near
			if rapid.IntRange(0, 3).Draw(r, "other") == 0 {
				from = objects
			}
			e := rapid.SampledFrom(from).Draw(r, "object")
			e.Name = fmt.Sprint("x", i)
			later := e
			later.Unknown = map[string]any{"id": true, "arn": true, "self_link": true}
			e.After, e.Unknown = maps.Clone(e.After), map[string]any{}
			for _, name := range slices.Sorted(maps.Keys(e.After)) {
				if rapid.IntRange(0, 3).Draw(r, "unknown") == 0 {
					delete(e.After, name)
					e.Unknown[name] = true
				}
			}
			open, filled = append(open, e), append(filled, later)
		}
		only := map[string]bool{"library " + rule.Name: true}
		said := func(d *policy.Document) (denied, open []string) {
			out, diags := policy.Judge(r.Context(), []*policy.Policy{p}, d, policy.Options{Only: only})
			if diags.HasErrors() {
				r.Fatal(diags.Err())
			}
			for _, f := range out.Findings {
				if f.Status == policy.Unknown {
					open = append(open, f.Rule)
				} else {
					denied = append(denied, f.Message)
				}
			}
			return denied, open
		}
		parse := func(data []byte) *policy.Document {
			d, err := policy.ParsePlan(data, nil)
			if err != nil {
				r.Fatal(err)
			}
			return d
		}
		data := plan(t, open...)
		whole := parse(data)
		denied, unknown := said(whole)
		after, unknownAfter := said(parse(plan(t, filled...)))
		for _, m := range denied {
			if !slices.Contains(after, m) {
				r.Fatalf("%s denied for certain: %q, and does not: %q", rule.Name, m, after)
			}
		}
		if len(unknown) == 0 && (len(unknownAfter) > 0 || !slices.Equal(denied, after)) {
			r.Fatalf("%s: nothing was open, denied was %q, and is %q", rule.Name, denied, after)
		}
		if !p.ByObject(rule.Name) {
			return
		}
		rest, err := whole.Rest()
		if err != nil {
			r.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(data, &doc); err != nil {
			r.Fatal(err)
		}
		var deniedEach, unknownEach []string
		for _, change := range doc["resource_changes"].([]any) {
			data, err := json.Marshal(map[string]any{"format_version": "1.2", "resource_changes": []any{change}})
			if err != nil {
				r.Fatal(err)
			}
			one, err := rest.With(data)
			if err != nil {
				r.Fatal(err)
			}
			d, u := said(one)
			deniedEach, unknownEach = append(deniedEach, d...), append(unknownEach, u...)
		}
		for _, list := range []*[]string{&denied, &deniedEach} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		if !slices.Equal(denied, deniedEach) || len(unknown) == 0 != (len(unknownEach) == 0) {
			r.Fatalf("%s says of all %q (open: %v), of each %q (open: %v)", rule.Name, denied, unknown, deniedEach, unknownEach)
		}
	})
}
