package cost

import (
	"bytes"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// enginePlan is a plan as the engine makes one: marks, unknowns, modules, an
// object that moved, one that is deposed, one that is not targeted.
func enginePlan(t *testing.T) *plans.Plan {
	t.Helper()
	ty := cty.Object(map[string]cty.Type{"instance_type": cty.String, "tenancy": cty.String})
	object := func(size cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"instance_type": size, "tenancy": cty.NullVal(cty.String)})
	}
	null := cty.NullVal(ty)
	small, large := object(cty.StringVal("t3.small")), object(cty.StringVal("t3.large"))
	at := func(text string) addrs.ResourceInstance {
		inst, err := addrs.ParseResourceInstance(text)
		if err != nil {
			t.Fatal(err)
		}
		return inst
	}
	provider := addrs.ProviderConfig{Provider: addrs.DefaultProvider("aws")}
	change := func(text string, action plans.Action, before, after cty.Value) *plans.Change {
		return &plans.Change{Object: addrs.Object{Instance: at(text)}, Provider: provider, Action: action, Type: ty, Before: before, After: after}
	}
	p := &plans.Plan{Mode: plans.Normal, Prior: states.New()}
	p.Changes = []*plans.Change{
		change(`aws_instance.new[0]`, plans.Create, null, small),
		change(`aws_instance.new[1]`, plans.Create, null, object(cty.UnknownVal(cty.String))),
		change(`module.a["x"].aws_instance.grows`, plans.Update, small, large),
		change(`aws_instance.replaced`, plans.CreateThenDelete, large, small),
		change(`aws_instance.stays`, plans.NoOp, small, small),
		change(`aws_instance.gone`, plans.Delete, large, null),
		change(`aws_instance.secret`, plans.Create, null, object(cty.StringVal("top.secret").Mark(marks.Sensitive))),
		change(`data.aws_instance.read`, plans.Read, null, small),
	}
	moved := change(`aws_instance.here`, plans.NoOp, small, small)
	moved.PrevAddress = at(`aws_instance.there`)
	deposed := change(`aws_instance.stays`, plans.Delete, small, null)
	deposed.Object.Deposed = "00000001"
	p.Changes = append(p.Changes, moved, deposed)
	for _, name := range []string{`aws_instance.untouched`, `aws_instance.there`} {
		o := addrs.Object{Instance: at(name)}
		p.Prior.Instances[o] = &states.Instance{Object: o, Provider: provider, Attributes: []byte(`{"instance_type":"t3.small","tenancy":null}`)}
	}
	return p
}

// TestFromPlan holds the two ways from a plan to prices against each other.
func TestFromPlan(t *testing.T) {
	p := enginePlan(t)
	rows, diags := ParseRows("own.csv", []byte("type,component,match,unit,price,currency\naws_instance,compute,instance_type=t3.small,month,10,USD\naws_instance,compute,instance_type=t3.large,month,40,USD\n"))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	b := NewBook(rows, nil)
	own := b.Estimate(FromPlan("", p, nil), nil)
	if total := own.In("USD"); total.Before.String() != "130" || total.After.String() != "90" {
		t.Errorf("%s -> %s, want 130 -> 90 in:\n%s", total.Before, total.After, describe(own))
	}
	if own.Unknown != 2 {
		t.Errorf("%d unknown, want 2", own.Unknown)
	}
	if bytes.Contains(describe(own), []byte("top.secret")) {
		t.Error("a sensitive value is in the estimate")
	}
	doc, err := jsonplan.Plan(p, nil, jsonplan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := FromPlanJSON(doc)
	if err != nil {
		t.Fatal(err)
	}
	other := b.Estimate(list, nil)
	want, got := own.In("USD"), other.In("USD")
	if want.Before.Compare(got.Before) != 0 || want.After.Compare(got.After) != 0 || own.Unknown != other.Unknown {
		t.Errorf("from the plan:\n%s\nfrom its JSON form:\n%s", describe(own), describe(other))
	}
}
