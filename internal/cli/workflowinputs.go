package cli

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/zclconf/go-cty/cty"
)

// chooseEnvironment is the environment a command works in: the one named, or
// the one selected. Where the project declares some, it must be one of them.
func (p *project) chooseEnvironment(declared *projects.Project, named string) (string, diag.List) {
	name := named
	if name == "" {
		name = p.environment
	}
	if len(declared.Environments) == 0 || declared.Environments[name] != nil {
		return name, nil
	}
	names := strings.Join(sortedKeys(declared.Environments), ", ")
	if named == "" && name == defaultEnv {
		return "", diag.Errorf("No environment selected", "This project has the environments %s: name one with -env=NAME, or select one with \"tutti workspace select NAME\".", names)
	}
	return "", diag.Errorf("No such environment", "This project declares no environment %q. Declared are: %s.", name, names)
}

// workflowInputs gathers the values of a workflow's variables, and of the
// project's: those of the environment, then files, TF_VAR_NAME and -var as
// everywhere.
func workflowInputs(p *projects.Project, d *flow.Definition, environment string, o *variableOptions) (map[string]cty.Value, diag.List) {
	return variableValues(p, fmt.Sprintf("the workflow %q", d.Workflow.Name), d.Variables(), environment, o)
}

// variableValues gathers the values of some variables in an environment. owner is what
// declares them.
func variableValues(p *projects.Project, owner string, declared map[string]*configs.Variable, environment string, o *variableOptions) (map[string]cty.Value, diag.List) {
	raw := map[string]configs.InputValue{}
	var diags diag.List
	if e := p.Environments[environment]; e != nil {
		for name, expr := range e.Variables {
			if declared[name] == nil {
				diags = append(diags, diag.ErrorAt(expr.Range(), "Value for undeclared variable", "The project declares no variable %q.", name)...)
				continue
			}
			v, found := expr.Value(&hcl.EvalContext{Functions: functions.Table(functions.Options{BaseDir: p.Dir})})
			diags = append(diags, diag.FromHCL(found)...)
			rng := expr.Range()
			raw[name] = configs.InputValue{Value: v, Source: configs.FromCaller, Range: &rng}
		}
	}
	values, found := configs.CollectVariables(p.Dir, owner, &configs.Module{Variables: declared}, o.given, os.Environ(), maps.Clone(p.Files)) // others read the project at the same time
	diags = append(diags, found...)
	for name, v := range values {
		raw[name] = v
	}
	inputs := map[string]cty.Value{}
	for _, name := range sortedKeys(declared) {
		v := declared[name]
		in, ok := raw[name]
		if !ok {
			if v.Required() {
				diags = append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable", "The variable %q has no value: give one with -var %[1]s=VALUE, a .tfvars file or the environment variable TF_VAR_%[1]s.", name)...)
				continue
			}
			in = configs.InputValue{Value: v.Default, Source: configs.FromCaller}
		}
		value, found := configs.PrepareVariable(v, in)
		diags = append(diags, found...)
		inputs[name] = value
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return inputs, append(diags, flow.CheckInputs(declared, inputs)...)
}

// declaredOutputs are the names of the outputs of a stack's root module; nil
// where it cannot be read.
func declaredOutputs(p *projects.Project, name string) map[string]bool {
	s := p.Stacks[name]
	if s == nil {
		return nil
	}
	m, diags := configs.LoadModule(p.StackDir(s), nil)
	if m == nil || diags.HasErrors() {
		return nil
	}
	out := map[string]bool{}
	for output := range m.Outputs {
		out[output] = true
	}
	return out
}
