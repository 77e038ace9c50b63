package cli

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/zclconf/go-cty/cty"
)

// machineSuffix is how files with state machines end.
const machineSuffix = ".asl.json"

// machineDefinition finds another state machine by name: a file beside the
// project's.
func machineDefinition(name string) ([]byte, error) {
	if strings.ContainsAny(name, `/\`) {
		return nil, fmt.Errorf("%q is not a name", name)
	}
	return os.ReadFile(name + machineSuffix)
}

// stackOutputNames tells which outputs a stack declares, for checking workflows.
func stackOutputNames(p *projects.Project) func(string) (map[string]bool, bool) {
	known := map[string]map[string]bool{}
	return func(name string) (map[string]bool, bool) {
		if out, ok := known[name]; ok {
			return out, out != nil
		}
		known[name] = declaredOutputs(p, name)
		return known[name], known[name] != nil
	}
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

// checkWorkflows checks those named, or all.
func checkWorkflows(p *projects.Project, names []string) diag.List {
	if len(names) == 0 {
		names = sortedKeys(p.Workflows)
	}
	var diags diag.List
	for _, name := range names {
		w := p.Workflows[name]
		if w == nil {
			diags = append(diags, noWorkflow(p, name)...)
			continue
		}
		if w.Definition == "" {
			_, found := flow.New(p, name, stackOutputNames(p))
			diags = append(diags, found...)
			continue
		}
		if source := p.DefinitionOf(w); source != nil {
			diags = append(diags, machineErrors(p, w, asl.Validate(source, asl.Options{}))...)
		}
	}
	return diags
}

// machineErrors turns findings about a workflow's state machine into
// diagnostics.
func machineErrors(p *projects.Project, w *projects.Workflow, found []asl.Diagnostic) diag.List {
	if !w.Inline() {
		return definitionErrors(p.DefinitionFile(w), found)
	}
	diags := definitionErrors("workflow "+w.Name, found)
	for i := range diags {
		diags[i].Subject = w.DefinitionRange.Ptr()
	}
	return diags
}

// definitionErrors turns findings into diagnostics.
func definitionErrors(file string, found []asl.Diagnostic) diag.List {
	var diags diag.List
	for _, d := range found {
		diags = append(diags, diag.Errorf("Invalid state machine", "%s, at %s: %s (%s).", file, d.Location, d.Message, d.Code)...)
	}
	return diags
}

// workflowInputs gathers the values of a workflow's variables, and of the
// project's: those of the environment, then files, TF_VAR_NAME and -var as
// everywhere.
func workflowInputs(p *projects.Project, d *flow.Definition, environment string, o *project.VariableOptions) (map[string]cty.Value, diag.List) {
	return variableValues(p, fmt.Sprintf("the workflow %q", d.Workflow.Name), d.Variables(), environment, o)
}

// variableValues gathers the values of some variables in an environment. owner is what
// declares them.
func variableValues(p *projects.Project, owner string, declared map[string]*configs.Variable, environment string, o *project.VariableOptions) (map[string]cty.Value, diag.List) {
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
	values, found := configs.CollectVariables(p.Dir, owner, &configs.Module{Variables: declared}, o.Given, os.Environ(), maps.Clone(p.Files)) // others read the project at the same time
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
