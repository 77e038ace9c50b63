package flow

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// CheckInputs judges the validation rules of variables.
func CheckInputs(declared map[string]*configs.Variable, inputs map[string]cty.Value) diag.List {
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

// InputsOfChild are the values of the variables of a workflow that a step of
// another one runs: those that the step gives, and of the project's variables
// also those that the other run has.
func (d *Definition) InputsOfChild(given cty.Value, outer map[string]cty.Value) (map[string]cty.Value, *Error) {
	values := map[string]cty.Value{}
	if !given.IsNull() {
		bare, own := given.Unmark()
		if !bare.Type().IsObjectType() && !bare.Type().IsMapType() {
			return nil, &Error{EvaluationError, "The inputs of a workflow are an object."}
		}
		for name, v := range bare.AsValueMap() {
			values[name] = v.WithMarks(own)
		}
	}
	inputs := map[string]cty.Value{}
	declared := d.Variables()
	for _, name := range sortedKeys(declared) {
		raw, ok := values[name]
		if !ok {
			raw, ok = outer[name] // of the project
			ok = ok && d.Workflow.Variables[name] == nil
		}
		if !ok {
			if declared[name].Required() {
				return nil, &Error{EvaluationError, fmt.Sprintf("The workflow %q needs a value for its variable %q.", d.Workflow.Name, name)}
			}
			continue
		}
		value, diags := configs.PrepareVariable(declared[name], configs.InputValue{Value: raw, Source: configs.FromCaller})
		if diags.HasErrors() {
			return nil, &Error{EvaluationError, diags.Err().Error()}
		}
		inputs[name] = value
	}
	return inputs, nil
}
