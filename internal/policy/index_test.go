package policy

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// typed are rules that ask for the types of changes, and whether they can be
// rewritten to go through the changes of some types only.
var typed = []struct {
	rewritten bool
	rule      string
}{
	{true, `deny contains m if { some rc in input.resource_changes; rc.type == "a"; m := rc.address }`},
	{true, `deny contains m if { rc := input.resource_changes[_]; "a" == rc.type; rc.change.after.v == 1; m := rc.address }`},
	{true, `deny contains m if { some rc in input.resource_changes; rc.type in {"a", "c"}; m := rc.address }`},
	{true, `kinds := {"a", "b"} & {"b", "c"}
deny contains m if { some rc in input.resource_changes; rc.change.after.v > 0; rc.type in kinds; m := rc.address }`},
	{true, `kinds := {"a": [1, 2], "c": [3]}
deny contains m if { some rc in input.resource_changes; kinds[rc.type]; some v in kinds[rc.type]; rc.change.after.v == v; m := rc.address }`},
	{true, `deny contains m if { some rc in input.resource_changes; not rc.type == "a"; m := rc.address }`},
	{true, `deny contains m if { some rc in input.resource_changes; rc.type != "a"; regex.match("^[ab]$", rc.type); m := rc.address }`},
	{true, `deny contains m if { some rc in input.resource_changes; startswith(rc.type, "b"); kind := rc.type; m := sprintf("%s %s", [rc.address, kind]) }`},
	{true, `of(type) := [rc.address | some rc in input.resource_changes; rc.type == type]
deny contains m if { some type in ["a", "b", "none"]; m := concat(" ", of(type)) }`},
	{true, `deny contains m if { m := concat(" ", [rc.address | some rc in input.resource_changes; rc.type == "b"; rc.change.after.v != 2]) }`},
	{false, `deny contains m if { m := concat(" ", [rc.address | some rc in input.resource_changes; rc.type in {"a", "b"}]) }`},
	{true, `deny contains m if { m := count({rc.address | some rc in input.resource_changes; rc.type in {"a", "b"}}) }`},
	{true, `deny contains m if { m := {rc.address: rc.type | some rc in input.resource_changes; rc.type in {"a", "b"}} }`},
	{true, `deny contains m if { some x in input.resource_changes; some y in input.resource_changes; x.type == y.type; x.address != y.address; x.change.after.v == y.change.after.v; m := x.address }`},
	{true, `deny contains m if { some x in input.resource_changes; x.type == "a"; some y in input.resource_changes; y.type == "b"; x.change.after.v == y.change.after.v; m := [x.address, y.address] }`},
	{false, `deny contains m if { some i, rc in input.resource_changes; rc.type == "a"; m := [i, rc.address] }`},
	{false, `deny contains m if { some rc in input.resource_changes; startswith(rc.address, rc.type); m := rc.address }`},
	{true, `has(type) if { some rc in input.resource_changes; rc.type == type; rc.change.after.v == 1 } else if { some rc in input.resource_changes; rc.type == "b"; rc.type != type }
deny contains type if { some type in {"a", "b", "c"}; has(type) }`},
	{false, `changed contains rc.address if { some rc in input.resource_changes; rc.type == "a" }
deny contains m if { some m in changed with input as {"resource_changes": [{"type": "a", "address": "other"}]} }`},
	{true, `changed contains rc.address if { some rc in input.resource_changes; rc.type == "a" }
test_changed if changed == {"other"} with input as {"resource_changes": [{"type": "a", "address": "other"}]}
deny contains m if { some m in changed }`},
	{false, `changed contains rc.address if { some rc in input.resource_changes; rc.type == "a" }
test_changed if changed == {"other"} with input as {"resource_changes": [{"type": "a", "address": "other"}]}
deny := "none" if { input.nothing } else := "other" if { test_changed }`},
	{true, `unknown(rc) if { some k in rc.keys; k == rc.type }
deny contains m if { some rc in input.resource_changes; limit := input.tutti.limit; rc.type == limit; not unknown(rc); m := rc.address }`},
	{true, `deny contains m if { every rc in input.resource_changes { rc.type == "a" }; some rc in input.resource_changes; rc.type == "a"; m := rc.address }`},
}

// TestIndexChangesNothing holds what rules come to with the index of changes against
// what they come to as they are written.
func TestIndexChangesNothing(t *testing.T) {
	var prepared []*Policy
	for _, c := range typed {
		p, diags := Prepare("p", Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + c.rule)})
		if diags.HasErrors() {
			t.Fatal(c.rule, diags.Err())
		}
		prepared = append(prepared, p)
		compiled, err := p.compile(variant{indexed: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, m := range compiled.Modules {
			text += m.String()
		}
		if got := strings.Contains(text, byType.Name); got != c.rewritten {
			t.Fatalf("rewritten: %v, want %v\n%s\n%s", got, c.rewritten, c.rule, text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var changes []string
		for i := range rapid.IntRange(0, 6).Draw(t, "changes") {
			kind := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "type")
			changes = append(changes, fmt.Sprintf(`{"address":"%s.r%d","type":%q,"change":{"actions":["create"],"after":{"v":%d}}}`, kind, i, kind, rapid.IntRange(0, 3).Draw(t, "v")))
		}
		d, err := ParsePlan([]byte(`{"format_version":"1.2","resource_changes":[`+strings.Join(changes, ",")+`]}`), map[string]any{"limit": "a"})
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.plain()
		if err != nil || in.index == nil {
			t.Fatal("there is no index: ", err)
		}
		for i, p := range prepared {
			j := judging{p: p, r: p.rules[0], d: d}
			with, err := j.eval(t.Context(), j.program(false, in), j.r.query, members(mostSaid), in)
			if err != nil {
				t.Fatal(err)
			}
			tracked, err := j.eval(t.Context(), j.program(true, in), j.r.query, members(mostSaid), in)
			if err != nil {
				t.Fatal(err)
			}
			without, err := j.eval(t.Context(), j.program(false, input{}), j.r.query, members(mostSaid), input{term: in.term})
			if err != nil {
				t.Fatal(err)
			}
			if !same(with, without) || !same(tracked, without) {
				t.Fatalf("%s\nwith index: %v\ntracked: %v\nwithout: %v", typed[i].rule, with, tracked, without)
			}
		}
	})
}

// TestNoIndex judges a plan in which a change has no type.
func TestNoIndex(t *testing.T) {
	p, diags := Prepare("p", Mandatory, "policy", map[string][]byte{"main.rego": []byte(`package main
deny contains m if { some rc in input.resource_changes; not rc.type == "a"; m := rc.address }`)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, err := ParsePlan([]byte(`{"format_version":"1.2","resource_changes":[{"address":"x"},{"address":"y","type":"a"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, diags := Judge(t.Context(), []*Policy{p}, d, Options{})
	if diags.HasErrors() || len(out.Findings) != 1 || out.Findings[0].Resource != "x" {
		t.Fatal(out, diags.Err())
	}
}
