package plans

import (
	"fmt"

	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// PlannedOutputs returns the values the root module's outputs will have once
// the plan is applied, unchanged ones included. What only applying tells is
// unknown, with what is known about it. Outputs that the plan leaves alone,
// because of targets, have their stored values; after destroying there are none.
//
// The result is what [StateOutputs] will be, as far as it is known: without
// ephemeral outputs and without those that are null, and a sensitive output is
// marked as a whole also where only parts of it are sensitive. Values planned
// from it so look the same before and after.
func (p *Plan) PlannedOutputs() (map[string]cty.Value, error) {
	out := map[string]cty.Value{}
	if p.Mode == Destroy {
		return out, nil
	}
	planned := make(map[string]bool, len(p.Outputs))
	for _, o := range p.Outputs {
		planned[o.Name] = true
		v, _ := o.After.Unmark()
		if v.IsKnown() && v.IsNull() {
			continue
		}
		v = o.After
		if o.Sensitive || marks.Contains(v, marks.Sensitive) {
			v, _ = v.UnmarkDeep()
			v = v.Mark(marks.Sensitive)
		}
		out[o.Name] = v
	}
	if p.Prior == nil {
		return out, nil
	}
	for name, stored := range p.Prior.Outputs {
		if planned[name] {
			continue
		}
		v, err := OutputValue(stored)
		if err != nil {
			return nil, fmt.Errorf("cannot read output %q: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// StateOutputs returns the values of the outputs a state has, sensitive ones
// marked. Outputs that are null are not in a state.
func StateOutputs(st *states.State) (map[string]cty.Value, error) {
	out := make(map[string]cty.Value, len(st.Outputs))
	for name, stored := range st.Outputs {
		v, err := OutputValue(stored)
		if err != nil {
			return nil, fmt.Errorf("cannot read output %q: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// OutputValue decodes a stored output.
func OutputValue(o *states.Output) (cty.Value, error) {
	ty, err := ctyjson.UnmarshalType(o.Type)
	if err != nil {
		return cty.DynamicVal, err
	}
	v, err := ctyjson.Unmarshal(o.Value, ty)
	if err != nil {
		return cty.DynamicVal, err
	}
	if o.Sensitive {
		v = v.Mark(marks.Sensitive)
	}
	return v, nil
}

// OutputsObject makes the object that stands for a stack in expressions: all
// outputs it declares, null where they have no value.
func OutputsObject(values map[string]cty.Value, declared []string) cty.Value {
	attrs := make(map[string]cty.Value, len(declared))
	for _, name := range declared {
		v, ok := values[name]
		if !ok {
			v = cty.NullVal(cty.DynamicPseudoType)
		}
		attrs[name] = v
	}
	return cty.ObjectVal(attrs)
}
