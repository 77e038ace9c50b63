package views

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func stored(t *testing.T, address string, m members) *states.Instance {
	t.Helper()
	v := thing(m)
	data, err := ctyjson.Marshal(v, thing(nil).Type())
	if err != nil {
		t.Fatal(err)
	}
	return &states.Instance{Object: objectAt(t, address), Attributes: data, Status: states.Ready}
}

func TestInstanceGolden(t *testing.T) {
	schema := providers.Schema{Block: sampleSchema()}
	rich := members{
		"id": cty.StringVal("i-1"), "password": cty.StringVal("hunter2"), "script": cty.StringVal("a\nb\n"), "policy": cty.StringVal(`{"a":[1,{}]}`),
		"labels": cty.MapVal(members{"team": cty.StringVal("a"), "x y": cty.StringVal("g")}), "hosts": cty.ListVal(stringsOf("a", "b")),
		"disks": cty.ListVal([]cty.Value{cty.ObjectVal(members{"size": cty.NumberIntVal(1), "pass": cty.StringVal("hunter2")})}),
		"allow": cty.SetVal([]cty.Value{rule(1, "s")}), "network": cty.MapVal(members{"k": rule(1, "n")}), "timeouts": rule(9, "t"),
	}
	whole := stored(t, `module.m["a"].test_thing.a[0]`, rich)
	tainted := stored(t, "test_thing.tainted", nil)
	tainted.Status = states.Tainted
	deposed := stored(t, "test_thing.a", nil)
	deposed.Object.Deposed = "12345678"
	data := stored(t, "data.test_thing.a", nil)
	marked := stored(t, "test_thing.marked", members{"zone": cty.StringVal("hunter2")})
	marked.SensitivePaths = []cty.Path{cty.GetAttrPath("zone")}
	var out bytes.Buffer
	for _, inst := range []*states.Instance{whole, tainted, deposed, data, marked} {
		Instance(&out, inst, schema)
	}
	// Without a schema nothing says what is sensitive but the state.
	Instance(&out, marked, providers.Schema{})
	Instance(&out, &states.Instance{Object: objectAt(t, "test_thing.bare"), Attributes: json.RawMessage(`{"id":"x","n":[1]}`)}, providers.Schema{})
	golden(t, "instances.txt", out.Bytes())
	if strings.Contains(out.String(), "hunter2") {
		t.Error("a sensitive value is shown")
	}
}

func sampleOutputs() []NamedValue {
	return []NamedValue{
		{Name: "empty", Value: cty.EmptyObjectVal},
		{Name: "list", Value: cty.ListVal(stringsOf("a", "b"))},
		{Name: "null", Value: nothing},
		{Name: "object", Value: cty.ObjectVal(members{
			"lines": cty.StringVal("one\ntwo\n"), "map": cty.MapVal(members{"k": cty.NumberFloatVal(1.5)}), "null": cty.NullVal(cty.String),
			"set": cty.SetVal(stringsOf("x")), "tuple": cty.TupleVal([]cty.Value{cty.True, cty.StringVal(`say "hi" ${x}`)}),
		})},
		{Name: "secret", Value: cty.StringVal("hunter2"), Sensitive: true},
		{Name: "text", Value: cty.StringVal("one\ntwo")},
	}
}

func TestOutputsGolden(t *testing.T) {
	var out bytes.Buffer
	terminal := &Terminal{Out: &out, Width: 80}
	terminal.Outputs(nil)
	terminal.Outputs(sampleOutputs())
	StateOutputs(&out, sampleOutputs())
	golden(t, "outputs.txt", out.Bytes())
	if strings.Contains(out.String(), "hunter2") {
		t.Error("a sensitive value is shown")
	}
}

func TestApplied(t *testing.T) {
	for _, c := range []struct {
		mode   plans.Mode
		totals Totals
		status string
		want   string
	}{
		{plans.Normal, Totals{Added: 1}, "succeeded", "Apply complete! Resources: 1 added, 0 changed, 0 destroyed."},
		{plans.Normal, Totals{Imported: 2, Forgotten: 1}, "succeeded", "Apply complete! Resources: 2 imported, 0 added, 0 changed, 0 destroyed, 1 forgotten."},
		{plans.Destroy, Totals{Destroyed: 3}, "succeeded", "Destroy complete! Resources: 3 destroyed."},
		{plans.Normal, Totals{Added: 1}, "interrupted", "tutti resume run-1"},
		{plans.Normal, Totals{Added: 1}, "failed", "Apply failed. Resources: 1 added, 0 changed, 0 destroyed."},
	} {
		var out bytes.Buffer
		(&Terminal{Out: &out, Width: 80}).Applied(c.mode, c.totals, "apply", c.status, "run-1")
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%v %v %s: got %q, want %q in it", c.mode, c.totals, c.status, out.String(), c.want)
		}
	}
}
