package runs

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

func object(t *testing.T, addr string) addrs.Object {
	t.Helper()
	r, err := addrs.ParseResourceInstance(addr)
	if err != nil {
		t.Fatal(err)
	}
	return addrs.Object{Instance: r}
}

func TestClaimOf(t *testing.T) {
	prior := states.New()
	for i, addr := range []string{"thing.same", "thing.changed", "thing.needed[0]", "thing.needed[1]", "thing.moved", "thing.refreshed", "thing.replaced"} {
		o := object(t, addr)
		prior.Instances[o] = &states.Instance{Object: o, Version: int64(i + 1)}
	}
	refreshed := object(t, "thing.refreshed")
	replaced := &plans.Change{Object: object(t, "thing.replaced"), Action: plans.CreateThenDelete, DestroyLegDeposed: "0badc0de"}
	plan := &plans.Plan{
		Prior: prior,
		Adjust: []states.Change{
			{Object: refreshed, Before: &states.Instance{Object: refreshed, Version: 40}, After: prior.Instances[refreshed]},
			{Object: object(t, "thing.old"), Before: &states.Instance{Version: 50}},
			{Object: object(t, "thing.moved"), After: prior.Instances[object(t, "thing.moved")]},
		},
		Changes: []*plans.Change{
			{Object: object(t, "thing.same"), Action: plans.NoOp, Dependencies: []addrs.ConfigResource{object(t, "thing.unrelated").Instance.Config()}},
			{Object: object(t, "thing.changed"), Action: plans.Update, Dependencies: []addrs.ConfigResource{object(t, "thing.needed[0]").Instance.Config()}},
			{Object: object(t, "thing.new"), Action: plans.Create},
			{Object: object(t, "thing.moved"), Action: plans.NoOp, PrevAddress: object(t, "thing.old").Instance},
			replaced,
		},
	}
	deposed := replaced.Object
	deposed.Deposed = "0badc0de"
	got := ClaimOf(plan)
	want := map[addrs.Object]int64{
		object(t, "thing.changed"): 2, object(t, "thing.needed[0]"): 3, object(t, "thing.needed[1]"): 4, object(t, "thing.new"): 0,
		object(t, "thing.moved"): 0, object(t, "thing.old"): 50, refreshed: 40, replaced.Object: 7, deposed: 0,
	}
	if diff := cmp.Diff(want, got.Expect); diff != "" {
		t.Error(diff)
	}
	for o := range want {
		written := o.Instance.Resource.Name != "needed"
		if slices.Contains(got.Objects, o) != written {
			t.Errorf("%s claimed: %t", o, !written)
		}
	}
	if !slices.IsSortedFunc(got.Objects, compareObjects) {
		t.Error("claimed objects are not sorted")
	}
}

func TestFinalOutputs(t *testing.T) {
	value := func(s string) *states.Output {
		return &states.Output{Value: json.RawMessage(s), Type: json.RawMessage(`"string"`)}
	}
	prior := states.New()
	for _, name := range []string{"same", "changed", "deleted", "nulled", "failed", "untouched"} {
		prior.Outputs[name] = value(`"` + name + `"`)
	}
	plan := &plans.Plan{Mode: plans.Normal, Prior: prior, Outputs: []*plans.OutputChange{
		{Name: "deleted", Action: plans.Delete, After: cty.NullVal(cty.String)}, {Name: "failed", Action: plans.Update},
	}}
	final := engine.Final{
		Outputs: map[string]*states.Output{"same": value(`"same"`), "changed": value(`"new"`), "added": value(`"x"`), "failed": prior.Outputs["failed"]},
		Changes: []*plans.OutputChange{{Name: "nulled", Action: plans.Update, After: cty.NullVal(cty.String)}},
	}
	want := map[string]*states.Output{"changed": value(`"new"`), "added": value(`"x"`), "deleted": nil, "nulled": nil}
	if diff := cmp.Diff(want, finalOutputs(plan, final, Succeeded)); diff != "" {
		t.Error(diff)
	}
	plan.Mode = plans.Destroy
	if got := finalOutputs(plan, engine.Final{}, Succeeded); len(got) != len(prior.Outputs) || got["same"] != nil {
		t.Errorf("destroying everything leaves outputs: %v", got)
	}
	if got := finalOutputs(plan, engine.Final{}, Failed); len(got) != 0 {
		t.Errorf("a failed destroy deletes outputs: %v", got)
	}
}

func TestCheckResultsJSON(t *testing.T) {
	got := CheckResultsJSON([]plans.CheckResult{
		{Kind: "output_value", Module: "m", Name: "o", Status: plans.CheckPass, Instances: []plans.CheckInstance{{Module: "module.m[0]", Status: plans.CheckPass}}},
		{Kind: "resource", Name: "thing.x", Status: plans.CheckFail, Instances: []plans.CheckInstance{{Key: addrs.IntKey(1), Status: plans.CheckFail, Problems: []string{"bad"}}}},
		{Kind: "check", Name: "c", Status: plans.CheckUnknown},
		{Kind: "var", Name: "v", Status: plans.CheckPass, Instances: []plans.CheckInstance{{Status: plans.CheckPass}}},
	})
	want := `[{"object_kind":"output","config_addr":"module.m.output.o","status":"pass","objects":[{"object_addr":"module.m[0].output.o","status":"pass"}]},` +
		`{"object_kind":"resource","config_addr":"thing.x","status":"fail","objects":[{"object_addr":"thing.x[1]","status":"fail","failure_messages":["bad"]}]},` +
		`{"object_kind":"check","config_addr":"check.c","status":"unknown","objects":null},` +
		`{"object_kind":"var","config_addr":"var.v","status":"pass","objects":[{"object_addr":"var.v","status":"pass"}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if CheckResultsJSON(nil) != nil {
		t.Error("something for nothing")
	}
}

func TestIDsSortByTime(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := ""
	for range 50 {
		id := NewID(at)
		if len(id) != 12 || id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last, at = id, at.Add(37*time.Millisecond)
	}
}
