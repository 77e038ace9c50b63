package policy_test

import (
	"strings"
	"testing"
)

// TestWholeObjects has rules that look at all of an object by one call. An object that
// lacks something is not what it will be, whatever the call makes of it now.
func TestWholeObjects(t *testing.T) {
	const (
		known   = `{"a": "x", "b": "y"}`
		partial = `{"b": "y"}`
	)
	for _, condition := range []string{
		`contains(json.marshal(rc.change.after), "x")`,
		`not contains(json.marshal(rc.change.after), "z")`,
		`contains(json.marshal_with_options(rc.change.after, {"pretty": true}), "x")`,
		`contains(json.marshal({"in": [rc.change]}), "x")`,
		`not contains(json.marshal(rc), "z")`,
		`contains(yaml.marshal(rc.change.after), "x")`,
		`not contains(yaml.marshal(rc.change.after), "z")`,
		`contains(urlquery.encode_object(rc.change.after), "x")`,
		`json.patch(rc.change.after, [{"op": "add", "path": "/c", "value": 1}]) == {"a": "x", "b": "y", "c": 1}`,
		`"x" in graph.reachable({"r": [rc.change.after.b], "y": object.keys(rc.change.after), "a": ["x"], "b": [], "x": []}, ["r"])`,
		`count(graph.reachable(rc.change.after, ["a"])) > 0`,

		`rc.change.after in {{"a": "x", "b": "y"}, {"a": "z"}}`,
		`{"in": [rc.change.after]} in {{"in": [{"a": "x", "b": "y"}]}}`,
		`rc.change.after, 1 in {{"a": "x", "b": "y"}: 1}`,
		`count({rc.change.after} & {{"a": "x", "b": "y"}}) == 1`,
		`count({[rc.change.after]} - {[{"a": "x", "b": "y"}]}) == 0`,
		`count(intersection({{rc.change.after}, {{"a": "x", "b": "y"}}})) == 1`,
		`object.get({{"a": "x", "b": "y"}: 1}, rc.change.after, 0) == 1`,
		`object.get({{"a": "x", "b": "y"}: {"k": 1}}, [rc.change.after, "k"], 0) == 1`,
		`object.filter({{"a": "x", "b": "y"}: 1}, [rc.change.after]) != {}`,
		`object.remove({{"a": "x", "b": "y"}: 1}, {rc.change.after}) == {}`,
		`object.subset({{"a": "x", "b": "y"}}, {rc.change.after})`,
		`some key, v in {{"a": "x", "b": "y"}: 1}; key == rc.change.after; v == 1`,
	} {
		t.Run(condition, func(t *testing.T) {
			rule := "package main\ndeny contains m if { some rc in input.resource_changes; " + condition + "; m := rc.address }"
			if got, want := judge(t, rule, plan(change("t.r", known, `{}`))), "deny main.deny [t.r ] t.r\n"; got != want {
				t.Errorf("where everything is known: %q, want %q", got, want)
			}
			if got, want := judge(t, rule, plan(change("t.r", partial, `{"a":true}`))), "unknown main.deny [t.r a] "; !strings.HasPrefix(got, want) {
				t.Errorf("where something is not: %q, want %q", got, want)
			}
		})
	}
}
