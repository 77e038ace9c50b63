package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"pgregory.net/rapid"
)

// TestAlike holds what functions make of watched objects against what they make of
// plain ones. They must come to the same, or ask for what is unknown, or break down:
// whatever else they did, nobody would notice.
func TestAlike(t *testing.T) {
	capabilities()
	values := map[string]string{
		"object": `{"a": "x", "n": 1, "inner": {"b": [1, 2]}}`, "empty": `{}`, "same": `{"a": "x"}`, "list": `["a", 1]`, "path": `["inner", "b"]`, "set": `{"a", "n"}`,
		"text": `"a"`, "number": `1`, "null": `null`, "true": `true`, "pattern": `"^a$"`, "json": `"{\"a\": 1}"`,
	}
	terms := func(w *watcher) map[string]*ast.Term {
		out := map[string]*ast.Term{}
		for name, src := range values {
			out[name] = ast.MustParseTerm(src)
		}
		if w != nil {
			for _, name := range []string{"object", "empty", "same"} {
				out[name] = ast.NewTerm(&watchedObject{Object: out[name].Value.(ast.Object), w: w, missing: map[string]int{"unknown": w.id("x", name)}})
			}
		}
		out["listed"], out["pairs"] = ast.ArrayTerm(out["object"], out["same"]), ast.ArrayTerm(ast.ArrayTerm(ast.StringTerm("a"), out["object"]))
		out["collected"] = ast.SetTerm(out["object"], ast.StringTerm("a"))
		out["holder"] = ast.ObjectTerm(ast.Item(ast.StringTerm("in"), out["object"]), ast.Item(ast.StringTerm("a"), out["same"]))
		return out
	}
	w := newWatcher()
	plain, watched := terms(nil), terms(w)
	// call tells what a function makes of arguments; ok is false where that counts as
	// having asked for everything.
	call := func(name string, of map[string]*ast.Term, args []string) (said string, ok bool) {
		list := make([]*ast.Term, len(args))
		for i, arg := range args {
			list[i] = of[arg]
		}
		w.reset()
		defer func() {
			if recover() != nil {
				said, ok = "", false
			}
		}()
		err := topdown.GetBuiltin(name)(topdown.BuiltinContext{Context: t.Context(), Cancel: topdown.NewCancel()}, list, func(out *ast.Term) error {
			said += unwatched(out, func(*watchedObject) {}).String() + ";"
			return nil
		})
		if err != nil {
			said += "error"
		}
		return said, len(w.seen) == 0
	}
	names := sorted(plain)
	for name := range alike {
		if ast.BuiltinMap[name] == nil {
			t.Fatalf("there is no function %s", name)
		}
	}
	for _, b := range capabilities().Builtins {
		name, n := b.Name, len(b.Decl.NamedFuncArgs().Args)
		if topdown.GetBuiltin(name) == nil || !alike[name] && (b.IsNondeterministic() || n > 3) {
			continue
		}
		var try func(args []string)
		try = func(args []string) {
			if len(args) < n {
				for _, arg := range names {
					try(append(slices.Clone(args), arg))
				}
				return
			}
			with, ok := call(name, watched, args)
			if without, _ := call(name, plain, args); ok && with != without {
				t.Errorf("%s of %v: %s, and with watched objects %s", name, args, without, with)
			}
		}
		try(nil)
	}
}

// TestOnce holds what rules say that are evaluated once against what they say where
// both documents are evaluated.
func TestOnce(t *testing.T) {
	rules := map[string]bool{ // and whether they are evaluated once
		`deny contains m if { some rc in input.resource_changes; not rc.change.after.a == "x"; m := rc.address }`:                                     true,
		`deny contains m if { some rc in input.resource_changes; m := sprintf("%s %v", [rc.address, rc.change.after]) }`:                              true,
		`deny contains m if { some rc in input.resource_changes; count(rc.change.after) > 1; m := rc.address }`:                                       true,
		`deny contains m if { some x in input.resource_changes; some y in input.resource_changes; x.change.after == y.change.after; m := x.address }`: true,
		`deny contains m if { some rc in input.resource_changes; {"in": rc.change.after} in {{"in": {"a": "x"}}, {"in": {}}}; m := rc.address }`:      true,
		`deny contains m if { some rc in input.resource_changes; m := object.union(rc.change.after, {"msg": rc.address}) }`:                           true,
		`deny contains rc.change.after if some rc in input.resource_changes`:                                                                          true,
		`shown(v) := json.marshal(v)
deny contains m if { some rc in input.resource_changes; m := shown(rc.change.after) }`: false,
		`deny contains m if { some rc in input.resource_changes; m := yaml.marshal(rc.change.after) }`: false,
		`bad contains rc.address if { some rc in input.resource_changes; rc.change.after.a == "x" }
deny contains m if { some m in bad with data.limit as 1 }`: false,
		`shown(v) := json.marshal(v)
default deny := []
deny := ["nothing"] if { input.nothing } else := ["x"] if { some rc in input.resource_changes; contains(shown(rc.change.after), "\"x\"") }`: false,
	}
	prepared := map[string]*Policy{}
	for rule, once := range rules {
		p, diags := Prepare("p", Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + rule)})
		if diags.HasErrors() {
			t.Fatal(rule, diags.Err())
		}
		if p.rules[0].once != once {
			t.Fatalf("evaluated once: %v, want %v\n%s", !once, once, rule)
		}
		prepared[rule] = p
	}
	rapid.Check(t, func(t *rapid.T) {
		var changes []string
		for i := range rapid.IntRange(1, 4).Draw(t, "changes") {
			var after, unknown []string
			for _, name := range []string{"a", "b"} {
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
				case 1:
					unknown = append(unknown, fmt.Sprintf("%q:true", name))
				default:
					after = append(after, fmt.Sprintf("%q:%q", name, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")))
				}
			}
			changes = append(changes, fmt.Sprintf(`{"address":"t.r%d","type":"t","change":{"actions":["create"],"after":{%s},"after_unknown":{%s}}}`, i, strings.Join(after, ","), strings.Join(unknown, ",")))
		}
		d, err := ParsePlan([]byte(`{"format_version":"1.2","resource_changes":[`+strings.Join(changes, ",")+`]}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		for rule, p := range prepared {
			once, diags := Judge(t.Context(), []*Policy{p}, d, Options{})
			twice, d2 := Judge(t.Context(), []*Policy{p}, d, Options{twice: true})
			if diags.HasErrors() || d2.HasErrors() || !reflect.DeepEqual(once, twice) {
				t.Fatalf("%s\nonce: %v %v\ntwice: %v %v", rule, once, diags, twice, d2)
			}
		}
	})
}

// TestTracks holds the plain variant of a policy for the tracked one only where no
// comprehension has an index.
func TestTracks(t *testing.T) {
	for rule, want := range map[string]bool{
		`deny contains m if { some rc in input.resource_changes; m := concat(" ", [o.address | some o in input.resource_changes]) }`: true,
		`deny contains m if {
	some rc in input.resource_changes
	kind := rc.type
	same := [o.address | some o in input.resource_changes; o.type == kind]
	m := concat(" ", same)
}`: false,
	} {
		p, diags := Prepare("p", Mandatory, "policy", map[string][]byte{"main.rego": []byte("package main\n" + rule)})
		if diags.HasErrors() {
			t.Fatal(rule, diags.Err())
		}
		plain, tracked := p.program(variant{}), p.program(variant{tracked: true})
		if plain.tracks != want || (plain == tracked) != want {
			t.Errorf("tracks: %v, want %v\n%s", plain.tracks, want, rule)
		}
	}
}
