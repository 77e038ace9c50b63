package observer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"
)

func driftOf(t *testing.T, address string, before, after cty.Value) *plans.Change {
	t.Helper()
	inst, err := addrs.ParseResourceInstance(address)
	if err != nil {
		t.Fatal(err)
	}
	c := &plans.Change{Object: addrs.Object{Instance: inst}, Action: plans.Update, Before: before, After: after}
	if after.IsNull() {
		c.Action = plans.Delete
	}
	return c
}

func always(*plans.Change) bool { return true }

func TestChanges(t *testing.T) {
	secret := func(s string) cty.Value { return cty.StringVal(s).Mark(marks.Sensitive) }
	rule := func(port int64) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"from_port": cty.NumberIntVal(port), "to_port": cty.NumberIntVal(80)})
	}
	object := func(name, password cty.Value, tags map[string]cty.Value, set []cty.Value, rules ...cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{
			"name": name, "password": password, "tags": cty.MapVal(tags), "zones": cty.SetVal(set), "ingress": cty.ListVal(rules),
		})
	}
	before := object(cty.StringVal("web"), secret("hunter2"), map[string]cty.Value{"a": cty.StringVal("1"), "b b": cty.StringVal("2")}, []cty.Value{cty.StringVal("x")}, rule(80), rule(81))
	after := object(cty.StringVal("web2"), secret("hunter3"), map[string]cty.Value{"a": cty.StringVal("1"), "c": cty.StringVal("3")}, []cty.Value{cty.StringVal("y")}, rule(80), rule(8080))
	gone := cty.NullVal(before.Type())
	p := &plans.Plan{Drift: []*plans.Change{
		driftOf(t, `module.m.aws_instance.b["x"]`, before, after),
		driftOf(t, "aws_instance.a", before, gone),
	}}
	got, err := json.MarshalIndent(Changes(p, func(c *plans.Change) bool { return c.Action != plans.Delete }), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `[
 {
  "address": "aws_instance.a",
  "action": "delete"
 },
 {
  "address": "module.m.aws_instance.b[\"x\"]",
  "action": "update",
  "attributes": [
   {
    "path": "ingress[1].from_port",
    "before": 81,
    "after": 8080
   },
   {
    "path": "name",
    "before": "web",
    "after": "web2"
   },
   {
    "path": "password",
    "sensitive": true
   },
   {
    "path": "tags[\"b b\"]",
    "before": "2",
    "after": null
   },
   {
    "path": "tags[\"c\"]",
    "before": null,
    "after": "3"
   },
   {
    "path": "zones",
    "before": [
     "x"
    ],
    "after": [
     "y"
    ]
   }
  ],
  "target": "module.m.aws_instance.b[\"x\"]"
 }
]`
	if string(got) != want {
		t.Errorf("the changes are\n%s", got)
	}
}

// TestLongValuesAreToldApart although they are not kept.
func TestLongValuesAreToldApart(t *testing.T) {
	object := func(s string) cty.Value { return cty.ObjectVal(map[string]cty.Value{"script": cty.StringVal(s)}) }
	long := strings.Repeat("x", 100_000)
	prints := map[string]bool{}
	for _, end := range []string{"a", "b"} {
		list := Changes(&plans.Plan{Drift: []*plans.Change{driftOf(t, "a.b", object("short"), object(long+end))}}, always)
		a := list[0].Attributes[0]
		if string(a.Before) != `"short"` || string(a.After) != `"… (100003 bytes)"` {
			t.Errorf("kept is %s, %s", a.Before, a.After)
		}
		prints[a.Print] = true
	}
	if len(prints) != 2 {
		t.Error("two long values are not told apart")
	}
}

// TestNothingSensitiveIsFound: whatever shape values have, and wherever in them
// something is sensitive, it is in nothing that is kept or told.
func TestNothingSensitiveIsFound(t *testing.T) {
	const canary = "canary"
	rapid.Check(t, func(t *rapid.T) {
		count := 0
		var value func(depth int, sensitive bool, name string) cty.Value
		value = func(depth int, sensitive bool, name string) cty.Value {
			// What is inside of something sensitive is so without a mark of its own.
			mark := rapid.IntRange(0, 3).Draw(t, name+"m") == 0
			var v cty.Value
			kind := rapid.IntRange(0, 4).Draw(t, name+"k")
			if depth == 0 {
				kind = 0
			}
			some := func(n int) (out []cty.Value) {
				for i := range n {
					out = append(out, value(depth-1, sensitive || mark, fmt.Sprint(name, i)))
				}
				return out
			}
			switch kind {
			case 0:
				count++
				text := fmt.Sprint("open", count)
				if sensitive || mark {
					text = fmt.Sprint(canary, count)
				}
				v = cty.StringVal(text)
			case 1:
				v = cty.TupleVal(some(rapid.IntRange(0, 3).Draw(t, name+"n")))
			case 2:
				inner := some(2)
				v = cty.ObjectVal(map[string]cty.Value{"a": inner[0], "b": inner[1]})
			case 3:
				count++
				v = cty.SetVal([]cty.Value{value(0, sensitive || mark, name+"s")})
			default:
				v = cty.MapVal(map[string]cty.Value{fmt.Sprint("k", rapid.IntRange(0, 1).Draw(t, name+"y")): value(0, sensitive || mark, name+"v")})
			}
			if mark {
				v = v.Mark(marks.Sensitive)
			}
			return v
		}
		a, b := value(3, false, "a"), value(3, false, "b")
		list := differences(nil, "", cty.ObjectVal(map[string]cty.Value{"x": a}), cty.ObjectVal(map[string]cty.Value{"x": b}))
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), canary) {
			t.Fatalf("%#v and %#v differ in %s", a, b, text)
		}
		bareA, _ := a.UnmarkDeep()
		bareB, _ := b.UnmarkDeep()
		if same := bareA.RawEquals(bareB); same != (len(list) == 0) {
			t.Fatalf("%#v and %#v: %s", a, b, text)
		}
	})
}
