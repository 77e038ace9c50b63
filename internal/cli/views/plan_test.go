package views

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// sampleSchema has every kind of attribute and block.
func sampleSchema() *providers.Block {
	nested := func(n providers.Nesting) *providers.NestedBlock {
		return &providers.NestedBlock{Nesting: n, Block: providers.Block{Attributes: map[string]*providers.Attribute{
			"port":   {Type: cty.Number, Required: true},
			"source": {Type: cty.String, Optional: true},
			"key":    {Type: cty.String, Optional: true, Sensitive: true},
		}}}
	}
	disk := map[string]*providers.Attribute{
		"size": {Type: cty.Number, Required: true},
		"pass": {Type: cty.String, Optional: true, Sensitive: true},
	}
	return &providers.Block{
		Attributes: map[string]*providers.Attribute{
			"id":          {Type: cty.String, Computed: true},
			"name":        {Type: cty.String, Required: true},
			"description": {Type: cty.String, Optional: true},
			"zone":        {Type: cty.String, Optional: true},
			"policy":      {Type: cty.String, Optional: true},
			"script":      {Type: cty.String, Optional: true},
			"password":    {Type: cty.String, Optional: true, Sensitive: true},
			"secret_wo":   {Type: cty.String, Optional: true, WriteOnly: true},
			"labels":      {Type: cty.Map(cty.String), Optional: true},
			"hosts":       {Type: cty.List(cty.String), Optional: true},
			"groups":      {Type: cty.Set(cty.String), Optional: true},
			"anything":    {Type: cty.DynamicPseudoType, Optional: true},
			"disks":       {NestedType: &providers.NestedObject{Attributes: disk, Nesting: providers.NestingList}, Optional: true},
		},
		BlockTypes: map[string]*providers.NestedBlock{
			"allow":    nested(providers.NestingSet),
			"deny":     nested(providers.NestingList),
			"network":  nested(providers.NestingMap),
			"timeouts": nested(providers.NestingSingle),
		},
	}
}

func sampleSchemas(addrs.Provider) *providers.Schemas {
	s := providers.Schema{Block: sampleSchema()}
	return &providers.Schemas{ResourceTypes: map[string]providers.Schema{"test_thing": s}, DataSources: map[string]providers.Schema{"test_thing": s}}
}

type members map[string]cty.Value

// thing makes a value of the sample schema; what is not given is null.
func thing(m members) cty.Value {
	ruleType := cty.Object(map[string]cty.Type{"port": cty.Number, "source": cty.String, "key": cty.String})
	all := members{
		"id": cty.NullVal(cty.String), "name": cty.StringVal("n"), "description": cty.NullVal(cty.String), "zone": cty.NullVal(cty.String),
		"policy": cty.NullVal(cty.String), "script": cty.NullVal(cty.String), "password": cty.NullVal(cty.String), "secret_wo": cty.NullVal(cty.String),
		"labels": cty.NullVal(cty.Map(cty.String)), "hosts": cty.NullVal(cty.List(cty.String)), "groups": cty.NullVal(cty.Set(cty.String)),
		"anything": cty.NullVal(cty.DynamicPseudoType),
		"disks":    cty.NullVal(cty.List(cty.Object(map[string]cty.Type{"size": cty.Number, "pass": cty.String}))),
		"allow":    cty.SetValEmpty(ruleType), "deny": cty.ListValEmpty(ruleType), "network": cty.MapValEmpty(ruleType), "timeouts": cty.NullVal(ruleType),
	}
	for name, v := range m {
		all[name] = v
	}
	return cty.ObjectVal(all)
}

func rule(port int64, source string) cty.Value {
	return cty.ObjectVal(members{"port": cty.NumberIntVal(port), "source": cty.StringVal(source), "key": cty.StringVal("hunter2")})
}

func stringsOf(s ...string) []cty.Value {
	out := make([]cty.Value, len(s))
	for i := range s {
		out[i] = cty.StringVal(s[i])
	}
	return out
}

func change(t *testing.T, address string, action plans.Action, before, after cty.Value) *plans.Change {
	t.Helper()
	return &plans.Change{Object: objectAt(t, address), Action: action, Before: before, After: after, Type: thing(nil).Type()}
}

var nothing = cty.NullVal(cty.DynamicPseudoType)

// samplePlan has a change of every kind.
func samplePlan(t *testing.T) *plans.Plan {
	t.Helper()
	str := cty.StringVal
	rich := members{
		"id": str("i-1"), "description": str("old"), "zone": str("a"), "password": str("hunter2"),
		"policy": str(`{"version":1,"allow":["x","y"],"keep":true}`), "script": str("one\ntwo\nthree\n"),
		"labels": cty.MapVal(members{"team": str("a"), "gone": str("g"), "env": str("dev")}),
		"hosts":  cty.ListVal(stringsOf("a", "b", "c", "d", "e")), "groups": cty.SetVal(stringsOf("x", "y")),
		"anything": cty.ObjectVal(members{"n": cty.NumberIntVal(1), "null": nothing}),
		"disks":    cty.ListVal([]cty.Value{cty.ObjectVal(members{"size": cty.NumberIntVal(1), "pass": str("hunter2")})}),
		"allow":    cty.SetVal([]cty.Value{rule(1, "s"), rule(2, "s")}), "deny": cty.ListVal([]cty.Value{rule(1, "a"), rule(2, "b")}),
		"network": cty.MapVal(members{"k": rule(1, "n")}), "timeouts": rule(9, "t"),
	}
	changed := members{}
	for name, v := range rich {
		changed[name] = v
	}
	for name, v := range (members{
		"description": str("new"), "zone": cty.UnknownVal(cty.String), "password": str("hunter22"),
		"policy": str(`{"version":2,"allow":["x","z"],"keep":true}`), "script": str("one\n2\nthree\n"),
		"labels": cty.MapVal(members{"team": str("b"), "more": str("m"), "env": str("dev")}),
		"hosts":  cty.ListVal(stringsOf("a", "b", "x", "d", "e", "f")), "groups": cty.SetVal(stringsOf("x", "z")),
		"anything": cty.ObjectVal(members{"n": cty.NumberIntVal(2), "null": nothing, "more": nothing}),
		"disks":    cty.ListVal([]cty.Value{cty.ObjectVal(members{"size": cty.NumberIntVal(2), "pass": str("hunter22")})}),
		"allow":    cty.SetVal([]cty.Value{rule(1, "s"), rule(3, "s")}), "deny": cty.ListVal([]cty.Value{rule(1, "a"), rule(2, "c")}),
		"network": cty.MapVal(members{"k": rule(2, "n")}), "timeouts": rule(10, "t"),
	}) {
		changed[name] = v
	}
	created := members{}
	for name, v := range changed {
		created[name] = v
	}
	created["id"], created["allow"] = cty.UnknownVal(cty.String), cty.UnknownVal(thing(nil).Type().AttributeType("allow"))
	created["deny"] = cty.ListVal([]cty.Value{rule(1, "hunter2").Mark(marks.Sensitive)})

	replaced := change(t, "test_thing.replaced", plans.DeleteThenCreate, thing(rich), thing(members{"id": cty.UnknownVal(cty.String), "zone": str("b"), "timeouts": rule(10, "t")}))
	replaced.Reason, replaced.RequiredReplace = plans.ReasonReplaceBecauseCannotUpdate, []cty.Path{cty.GetAttrPath("zone"), cty.GetAttrPath("timeouts").GetAttr("port")}
	tainted := change(t, `test_thing.tainted["k"]`, plans.CreateThenDelete, thing(members{"id": str("i-2")}), thing(members{"id": cty.UnknownVal(cty.String)}))
	tainted.Reason = plans.ReasonReplaceBecauseTainted
	requested := change(t, "test_thing.requested", plans.DeleteThenCreate, thing(members{"id": str("i-2")}), thing(members{"id": cty.UnknownVal(cty.String)}))
	requested.Reason = plans.ReasonReplaceByRequest
	deleted := change(t, "module.m.test_thing.deleted[3]", plans.Delete, thing(rich), nothing)
	deleted.Reason = plans.ReasonDeleteCountIndex
	deposed := change(t, "test_thing.updated", plans.Delete, thing(members{"id": str("i-0")}), nothing)
	deposed.Object.Deposed = "12345678"
	read := change(t, "data.test_thing.read", plans.Read, nothing, thing(members{"id": cty.UnknownVal(cty.String)}))
	read.Reason = plans.ReasonReadConfigUnknown
	forgotten := change(t, "test_thing.forgotten", plans.Forget, thing(members{"id": str("i-3")}), nothing)
	moved := change(t, "test_thing.moved", plans.NoOp, thing(members{"id": str("i-4"), "description": str("d")}), thing(members{"id": str("i-4"), "description": str("d")}))
	moved.PrevAddress = objectAt(t, "test_thing.was").Instance
	imported := change(t, "test_thing.imported", plans.NoOp, thing(members{"id": str("i-5"), "zone": str("z")}), thing(members{"id": str("i-5"), "zone": str("z")}))
	imported.Importing = &plans.Importing{ID: "i-5"}
	byIdentity := change(t, "test_thing.identity", plans.Update, thing(members{"id": str("i-6"), "zone": str("z")}), thing(members{"id": str("i-6"), "zone": str("y")}))
	byIdentity.Importing = &plans.Importing{Identity: cty.ObjectVal(members{"account": str("x"), "region": str("y")})}
	drifted := change(t, "test_thing.updated", plans.Update, thing(rich), thing(changed))

	return &plans.Plan{
		Mode: plans.Normal,
		Changes: []*plans.Change{
			change(t, "test_thing.created", plans.Create, nothing, thing(created)),
			change(t, "test_thing.updated", plans.Update, thing(rich), thing(changed)),
			change(t, "test_thing.same", plans.NoOp, thing(rich), thing(rich)),
			replaced, tainted, requested, deleted, deposed, read, forgotten, moved, imported, byIdentity,
		},
		Drift:    []*plans.Change{drifted},
		Relevant: []plans.RelevantAttribute{{Resource: objectAt(t, "test_thing.updated").Instance, Attribute: cty.GetAttrPath("zone")}},
		Outputs: []*plans.OutputChange{
			{Name: "added", Action: plans.Create, Before: nothing, After: cty.TupleVal(stringsOf("a"))},
			{Name: "gone", Action: plans.Delete, Before: str("g"), After: nothing},
			{Name: "same", Action: plans.NoOp, Before: str("g"), After: str("g")},
			{Name: "secret", Action: plans.Update, Before: str("hunter2"), After: str("hunter22"), Sensitive: true},
			{Name: "later", Action: plans.Update, Before: str("old"), After: cty.DynamicVal},
		},
	}
}

func TestPlanGolden(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		(&Terminal{Out: &out, Width: 80, Color: color}).Plan(samplePlan(t), sampleSchemas)
		name := "plan.txt"
		if color {
			name = "plan_color.txt"
		}
		golden(t, name, out.Bytes())
		if strings.Contains(out.String(), "hunter2") {
			t.Error("a sensitive value is shown")
		}
	}
}

// TestPlanModes looks at what plans without changes of objects say.
func TestPlanModes(t *testing.T) {
	outputs := []*plans.OutputChange{{Name: "o", Action: plans.Create, Before: nothing, After: cty.True}}
	drift := []*plans.Change{change(t, "test_thing.a", plans.Update, thing(members{"zone": cty.StringVal("a")}), thing(members{"zone": cty.StringVal("b")}))}
	var out bytes.Buffer
	for _, c := range []struct {
		name string
		plan plans.Plan
	}{
		{"nothing", plans.Plan{Mode: plans.Normal}},
		{"nothing to destroy", plans.Plan{Mode: plans.Destroy}},
		{"only outputs", plans.Plan{Mode: plans.Normal, Outputs: outputs}},
		{"failed", plans.Plan{Mode: plans.Normal, Errored: true}},
		{"refresh, the same", plans.Plan{Mode: plans.RefreshOnly}},
		{"refresh, changed", plans.Plan{Mode: plans.RefreshOnly, Drift: drift, Outputs: outputs}},
		{"drift that does not matter", plans.Plan{Mode: plans.Normal, Drift: drift}},
	} {
		fmt.Fprintf(&out, "-- %s --\n", c.name)
		(&Terminal{Out: &out, Width: 80}).Plan(&c.plan, sampleSchemas)
	}
	golden(t, "plan_modes.txt", out.Bytes())
}

// TestTextFitsTheWidth checks that prose is wrapped, at several widths.
func TestTextFitsTheWidth(t *testing.T) {
	for _, size := range []int{50, 80, 120} {
		var out bytes.Buffer
		terminal := &Terminal{Out: &out, Width: size}
		p := samplePlan(t)
		terminal.Plan(p, sampleSchemas)
		p.Mode, p.Changes, p.Outputs, p.Drift = plans.Destroy, nil, nil, nil
		terminal.Plan(p, sampleSchemas)
		p.Mode = plans.RefreshOnly
		terminal.Plan(p, sampleSchemas)
		for _, line := range strings.Split(out.String(), "\n") {
			// Values, addresses and totals are as long as they are.
			if columns(line) > size && !strings.Contains(line, " = ") && !strings.HasPrefix(line, "  # ") && !strings.HasPrefix(line, "Plan: ") {
				t.Errorf("width %d: %q has %d columns", size, line, columns(line))
			}
		}
	}
}

// TestLargePlan checks that rendering stays linear: 10,000 objects take well
// under a second.
func TestLargePlan(t *testing.T) {
	p := &plans.Plan{Mode: plans.Normal}
	schemas := sampleSchemas(addrs.Provider{})
	value := thing(members{"id": cty.UnknownVal(cty.String), "zone": cty.StringVal("a"), "labels": cty.MapVal(members{"a": cty.StringVal("b")})})
	for i := range 10000 {
		p.Changes = append(p.Changes, change(t, fmt.Sprintf("test_thing.a[%d]", i), plans.Create, nothing, value))
	}
	var out bytes.Buffer
	began := time.Now()
	(&Terminal{Out: &out, Width: 80}).Plan(p, func(addrs.Provider) *providers.Schemas { return schemas })
	if took := time.Since(began); took > 30*time.Second { // others may use the machine
		t.Errorf("it took %s", took)
	} else {
		t.Logf("%d bytes in %s", out.Len(), took)
	}
	if !strings.Contains(out.String(), "Plan: 10000 to add, 0 to change, 0 to destroy.") {
		t.Error("the totals are wrong")
	}
}
