package builtin

import (
	"context"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

var (
	null      = cty.NullVal(cty.DynamicPseudoType)
	oldString = cty.StringVal("old")
	newString = cty.StringVal("new")
	theID     = cty.StringVal("the-id")
	unknown   = cty.UnknownVal(cty.String)
)

func newProvider() providers.Provider {
	return New(Options{NewID: func() string { return "new-id" }})
}

func object(id, input, output, triggers cty.Value) cty.Value {
	return data{id, input, output, triggers}.value()
}

// TestPlan holds what Terraform 1.11.4 plans and then stores.
func TestPlan(t *testing.T) {
	noObject := cty.NullVal(dataBlock().ImpliedType())
	current := object(theID, oldString, oldString, oldString)
	for name, test := range map[string]struct {
		prior, proposed, planned, applied cty.Value
		replace                           bool
	}{
		"create": {
			noObject, object(unknown, newString, cty.UnknownVal(cty.DynamicPseudoType), null),
			object(unknownID, newString, unknown, null), object(cty.StringVal("new-id"), newString, newString, null), false,
		},
		"create empty": {
			noObject, object(unknown, null, cty.UnknownVal(cty.DynamicPseudoType), null),
			object(unknownID, null, null, null), object(cty.StringVal("new-id"), null, null, null), false,
		},
		"create typed null": {
			noObject, object(unknown, cty.NullVal(cty.String), cty.DynamicVal, null),
			object(unknownID, cty.NullVal(cty.String), cty.NullVal(cty.String), null),
			object(cty.StringVal("new-id"), cty.NullVal(cty.String), cty.NullVal(cty.String), null), false,
		},
		"no change": {current, current, current, current, false},
		"input": {
			current, object(theID, newString, oldString, oldString),
			object(theID, newString, unknown, oldString), object(theID, newString, newString, oldString), false,
		},
		"input removed": {
			current, object(theID, null, oldString, oldString),
			object(theID, null, cty.DynamicVal, oldString), object(theID, null, null, oldString), false,
		},
		"input of another type": {
			current, object(theID, cty.NumberIntVal(1), oldString, oldString),
			object(theID, cty.NumberIntVal(1), cty.UnknownVal(cty.Number), oldString),
			object(theID, cty.NumberIntVal(1), cty.NumberIntVal(1), oldString), false,
		},
		"triggers": {
			current, object(theID, oldString, oldString, newString),
			object(unknownID, oldString, unknown, newString), object(cty.StringVal("new-id"), oldString, oldString, newString), true,
		},
		"triggers removed": {
			current, object(theID, oldString, oldString, null),
			object(unknownID, oldString, unknown, null), object(cty.StringVal("new-id"), oldString, oldString, null), true,
		},
		"triggers unknown": {
			current, object(theID, oldString, oldString, unknown),
			object(unknownID, oldString, unknown, unknown), cty.NilVal, true,
		},
		"destroy": {current, noObject, noObject, noObject, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, ctx := newProvider(), context.Background()
			plan := p.PlanResourceChange(ctx, providers.PlanRequest{
				TypeName: dataType, Prior: test.prior, Proposed: test.proposed, Config: test.proposed, PriorPrivate: []byte("x"),
			})
			if plan.Diags.HasErrors() || !plan.Planned.RawEquals(test.planned) {
				t.Fatalf("planned %#v, %v\nwant %#v", plan.Planned, plan.Diags, test.planned)
			}
			if (len(plan.RequiresReplace) == 1) != test.replace || string(plan.Private) != "x" {
				t.Errorf("replace %v, private %q", plan.RequiresReplace, plan.Private)
			}
			if test.applied == cty.NilVal {
				return
			}
			apply := p.ApplyResourceChange(ctx, providers.ApplyRequest{TypeName: dataType, Prior: test.prior, Planned: plan.Planned})
			if apply.Diags.HasErrors() || apply.Lost || !apply.Value.RawEquals(test.applied) {
				t.Errorf("applied %#v, %v\nwant %#v", apply.Value, apply.Diags, test.applied)
			}
		})
	}
}

// TestPlanUnknownInput holds that an input that becomes known during apply is
// copied then.
func TestPlanUnknownInput(t *testing.T) {
	p, ctx := newProvider(), context.Background()
	proposed := object(theID, cty.DynamicVal, oldString, null)
	plan := p.PlanResourceChange(ctx, providers.PlanRequest{TypeName: dataType, Prior: object(theID, oldString, oldString, null), Proposed: proposed})
	if !plan.Planned.GetAttr("output").RawEquals(cty.DynamicVal) {
		t.Fatalf("planned %#v", plan.Planned)
	}
	apply := p.ApplyResourceChange(ctx, providers.ApplyRequest{TypeName: dataType, Planned: object(theID, newString, cty.DynamicVal, null)})
	if !apply.Value.RawEquals(object(theID, newString, newString, null)) {
		t.Errorf("applied %#v", apply.Value)
	}
}

func TestNewIDs(t *testing.T) {
	p := New(Options{})
	seen := map[string]bool{}
	for range 100 {
		value := p.ApplyResourceChange(context.Background(), providers.ApplyRequest{TypeName: dataType, Planned: object(unknownID, null, null, null)}).Value
		id := value.GetAttr("id").AsString()
		if len(id) != 36 || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestImportAndUpgrade(t *testing.T) {
	p, ctx := newProvider(), context.Background()
	imported := p.ImportResourceState(ctx, providers.ImportRequest{TypeName: dataType, ID: "the-id"})
	if len(imported.Objects) != 1 || !imported.Objects[0].Value.RawEquals(object(theID, null, null, null)) {
		t.Errorf("imported %#v, %v", imported.Objects, imported.Diags)
	}
	upgraded := p.UpgradeResourceState(ctx, providers.UpgradeRequest{
		TypeName: dataType, JSON: []byte(`{"id":"the-id","input":{"value":[1.5],"type":["tuple",["number"]]},"output":null,"triggers_replace":null}`),
	})
	want := object(theID, cty.TupleVal([]cty.Value{cty.NumberFloatVal(1.5)}), null, null)
	if upgraded.Diags.HasErrors() || !upgraded.Value.RawEquals(want) {
		t.Errorf("upgraded %#v, %v", upgraded.Value, upgraded.Diags)
	}
	for name, req := range map[string]providers.UpgradeRequest{
		"newer":   {TypeName: dataType, Version: 1, JSON: []byte(`{}`)},
		"flatmap": {TypeName: dataType, Flatmap: map[string]string{"id": "x"}},
		"broken":  {TypeName: dataType, JSON: []byte(`{"id":[]}`)},
		"type":    {TypeName: "other", JSON: []byte(`{}`)},
	} {
		if resp := p.UpgradeResourceState(ctx, req); !resp.Diags.HasErrors() {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMove(t *testing.T) {
	p, ctx := newProvider(), context.Background()
	req := providers.MoveRequest{
		SourceProvider: addrs.DefaultProvider("null"), SourceType: "null_resource", TargetType: dataType,
		SourceJSON: []byte(`{"id":"the-id","triggers":{"a":"1"}}`),
	}
	triggers := cty.MapVal(map[string]cty.Value{"a": cty.StringVal("1")})
	if moved := p.MoveResourceState(ctx, req); moved.Diags.HasErrors() || !moved.Value.RawEquals(object(theID, null, null, triggers)) {
		t.Errorf("moved %#v, %v", moved.Value, moved.Diags)
	}
	req.SourceJSON = []byte(`{"id":"the-id","triggers":null}`)
	if moved := p.MoveResourceState(ctx, req); !moved.Value.RawEquals(object(theID, null, null, null)) {
		t.Errorf("moved %#v, %v", moved.Value, moved.Diags)
	}
	req.SourceType = "other"
	if moved := p.MoveResourceState(ctx, req); !moved.Diags.HasErrors() {
		t.Error("moved another type")
	}
}

// BenchmarkPlanApply creates ten thousand objects.
func BenchmarkPlanApply(b *testing.B) {
	p, ctx := New(Options{}), context.Background()
	noObject := cty.NullVal(dataBlock().ImpliedType())
	proposed := object(unknown, newString, cty.DynamicVal, null)
	for b.Loop() {
		for range 10_000 {
			plan := p.PlanResourceChange(ctx, providers.PlanRequest{TypeName: dataType, Prior: noObject, Proposed: proposed})
			p.ApplyResourceChange(ctx, providers.ApplyRequest{TypeName: dataType, Prior: noObject, Planned: plan.Planned})
		}
	}
}
