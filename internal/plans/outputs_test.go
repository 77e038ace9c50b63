package plans

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

func TestOutputsOfPlansAndStates(t *testing.T) {
	prior := states.New()
	prior.Outputs["kept"] = &states.Output{Value: []byte(`"k"`), Type: []byte(`"string"`), Sensitive: true}
	prior.Outputs["gone"] = &states.Output{Value: []byte(`["g"]`), Type: []byte(`["list","string"]`)}
	refined := cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("i-").NewValue()
	secret := cty.StringVal("s").Mark(marks.Sensitive)
	p := &Plan{Mode: Normal, Prior: prior, Outputs: []*OutputChange{
		{Name: "gone", Action: Delete, After: cty.NullVal(cty.DynamicPseudoType)},
		{Name: "new", Action: Create, After: refined},
		{Name: "parts", Action: NoOp, Sensitive: true, After: cty.TupleVal([]cty.Value{secret, refined}).Mark(marks.Sensitive)},
		{Name: "same", Action: NoOp, After: cty.True},
	}}
	got, err := p.PlannedOutputs()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]cty.Value{
		"kept": cty.StringVal("k").Mark(marks.Sensitive), "new": refined, "same": cty.True,
		"parts": cty.TupleVal([]cty.Value{cty.StringVal("s"), refined}).Mark(marks.Sensitive),
	}
	if diff := cmp.Diff(want, got, samePlan); diff != "" {
		t.Error(diff)
	}
	p.Mode = Destroy
	if got, err := p.PlannedOutputs(); err != nil || len(got) != 0 {
		t.Errorf("after destroying: %v, %v", got, err)
	}

	got, err = StateOutputs(prior)
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]cty.Value{"kept": want["kept"], "gone": cty.ListVal([]cty.Value{cty.StringVal("g")})}
	if diff := cmp.Diff(want, got, samePlan); diff != "" {
		t.Error(diff)
	}
	object := OutputsObject(got, []string{"kept", "declared"})
	if !object.RawEquals(cty.ObjectVal(map[string]cty.Value{"kept": want["kept"], "declared": cty.NullVal(cty.DynamicPseudoType)})) {
		t.Errorf("object is %#v", object)
	}
	prior.Outputs["bad"] = &states.Output{Value: []byte(`1`), Type: []byte(`["list","string"]`)}
	if _, err := StateOutputs(prior); err == nil {
		t.Error("a damaged output was read")
	}
}
