package cli

import (
	"maps"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
)

// loadedPlan is a plan together with the configuration it was made from.
type loadedPlan struct {
	plan    *plans.Plan
	encoded []byte
	config  *configs.Config
	// ephemeral are the values of ephemeral variables, which no plan keeps.
	ephemeral map[string]cty.Value
	// late are values that were not known when the plan was made.
	late map[string]cty.Value
	file string // the file it came from; empty for one made just now

	decided *judgement // what policy says; nil until asked
	costs   *judged    // see operation.judge
	refused bool       // a policy or a budget kept it from being carried out
	// forbidden says that whom it is done for may not carry it out.
	forbidden bool
}

// encode fills in the plan's bytes and digest.
func (l *loadedPlan) encode(sealer plans.Sealer) diag.List {
	if l.encoded != nil {
		return nil
	}
	data, err := plans.Encode(l.plan, sealer)
	if err != nil {
		return diag.FromError(err)
	}
	l.encoded = data
	return nil
}

// encodeLate returns the bytes of the values that arrived late, to be kept with
// the run; nil where there are none.
func (l *loadedPlan) encodeLate(sealer plans.Sealer) ([]byte, diag.List) {
	if len(l.late) == 0 {
		return nil, nil
	}
	data, err := plans.EncodeValues(l.late, sealer)
	if err != nil {
		return nil, diag.FromError(err)
	}
	return data, nil
}

// variables are those of the plan, with the values that arrived since it was made.
func (l *loadedPlan) variables() map[string]plans.Variable {
	if len(l.late) == 0 {
		return l.plan.Variables
	}
	out := maps.Clone(l.plan.Variables)
	for name, v := range l.late {
		if variable, ok := out[name]; ok {
			variable.Value = v
			out[name] = variable
		}
	}
	return out
}
