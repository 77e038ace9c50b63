package flow

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// ValidateInputs judges the validation rules of variables.
func ValidateInputs(declared map[string]*configs.Variable, inputs map[string]cty.Value) diag.List {
	var diags diag.List
	vars := cty.EmptyObjectVal
	if len(inputs) > 0 {
		vars = cty.ObjectVal(inputs)
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"var": vars}, Functions: functions.Table(functions.Options{})}
	for _, name := range sortedKeys(declared) {
		for _, rule := range declared[name].Validations {
			v, found := rule.Condition.Value(ctx)
			diags = append(diags, diag.FromHCL(found)...)
			if found.HasErrors() {
				continue
			}
			v, _ = v.Unmark()
			ok, err := convert.Convert(v, cty.Bool)
			if err != nil || ok.IsNull() || !ok.IsKnown() {
				diags = append(diags, diag.ErrorAt(rule.Condition.Range(), "Invalid condition", "The condition of a validation must be true or false.")...)
				continue
			}
			if ok.True() {
				continue
			}
			message := "The value is not accepted."
			if text, found := rule.ErrorMessage.Value(ctx); !found.HasErrors() {
				text, _ = text.Unmark()
				if s, err := convert.Convert(text, cty.String); err == nil && s.IsKnown() && !s.IsNull() {
					message = s.AsString()
				}
			}
			diags = append(diags, diag.ErrorAt(rule.DeclRange, "Invalid value for variable", "The value of the variable %q is not accepted: %s", name, message)...)
		}
	}
	return diags
}
