package gate

import (
	"maps"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
)

// Plan is a plan together with the configuration it was made from.
type Plan struct {
	Plan    *plans.Plan
	Encoded []byte
	Config  *configs.Config
	// Ephemeral are the values of ephemeral variables, which no plan keeps.
	Ephemeral map[string]cty.Value
	// Late are values that were not known when the plan was made.
	Late map[string]cty.Value
	File string // the file it came from; empty for one made just now

	Decided *Judgement // what policy says; nil until asked
	Costs   *Costs     // see [Case.Judge]
	Refused bool       // a policy or a budget kept it from being carried out
	// Forbidden says that whom it is done for may not carry it out.
	Forbidden bool
}

// Encode fills in the plan's bytes and digest.
func (l *Plan) Encode(sealer plans.Sealer) diag.List {
	if l.Encoded != nil {
		return nil
	}
	data, err := plans.Encode(l.Plan, sealer)
	if err != nil {
		return diag.FromError(err)
	}
	l.Encoded = data
	return nil
}

// EncodeLate returns the bytes of the values that arrived late, to be kept with
// the run; nil where there are none.
func (l *Plan) EncodeLate(sealer plans.Sealer) ([]byte, diag.List) {
	if len(l.Late) == 0 {
		return nil, nil
	}
	data, err := plans.EncodeValues(l.Late, sealer)
	if err != nil {
		return nil, diag.FromError(err)
	}
	return data, nil
}

// variables are those of the plan, with the values that arrived since it was made.
func (l *Plan) variables() map[string]plans.Variable {
	if len(l.Late) == 0 {
		return l.Plan.Variables
	}
	out := maps.Clone(l.Plan.Variables)
	for name, v := range l.Late {
		if variable, ok := out[name]; ok {
			variable.Value = v
			out[name] = variable
		}
	}
	return out
}
