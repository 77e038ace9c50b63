package operations

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/zclconf/go-cty/cty"
)

// MachineSuffix is how files with state machines end.
const MachineSuffix = ".asl.json"

// MachineDefinition finds another state machine by name: a file beside the
// project's.
func MachineDefinition(name string) ([]byte, error) {
	if strings.ContainsAny(name, `/\`) {
		return nil, fmt.Errorf("%q is not a name", name)
	}
	return os.ReadFile(name + MachineSuffix)
}

// StackOutputNames tells which outputs a stack declares, for checking workflows.
func StackOutputNames(p *projects.Project) func(string) (map[string]bool, bool) {
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

// CheckWorkflows checks those named, or all.
func CheckWorkflows(p *projects.Project, names []string) diag.List {
	if len(names) == 0 {
		names = sortedKeys(p.Workflows)
	}
	var diags diag.List
	for _, name := range names {
		w := p.Workflows[name]
		if w == nil {
			diags = append(diags, NoWorkflow(p, name)...)
			continue
		}
		if w.Definition == "" {
			_, found := flow.New(p, name, StackOutputNames(p))
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
		return DefinitionErrors(p.DefinitionFile(w), found)
	}
	diags := DefinitionErrors("workflow "+w.Name, found)
	for i := range diags {
		diags[i].Subject = w.DefinitionRange.Ptr()
	}
	return diags
}

// DefinitionErrors turns findings into diagnostics.
func DefinitionErrors(file string, found []asl.Diagnostic) diag.List {
	var diags diag.List
	for _, d := range found {
		diags = append(diags, diag.Errorf("Invalid state machine", "%s, at %s: %s (%s).", file, d.Location, d.Message, d.Code)...)
	}
	return diags
}

// WorkflowInputs gathers the values of a workflow's variables, and of the
// project's: those of the environment, then files, TF_VAR_NAME and -var as
// everywhere.
func WorkflowInputs(p *projects.Project, d *flow.Definition, environment string, o *project.VariableOptions) (map[string]cty.Value, diag.List) {
	return VariableValues(p, fmt.Sprintf("the workflow %q", d.Workflow.Name), d.Variables(), environment, o)
}

// VariableValues gathers the values of some variables in an environment. owner is what
// declares them.
func VariableValues(p *projects.Project, owner string, declared map[string]*configs.Variable, environment string, o *project.VariableOptions) (map[string]cty.Value, diag.List) {
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

// LoadedProject reads a project. A plain directory is one without declarations.
func LoadedProject(dir string) (*projects.Project, error) {
	if !projects.Exists(dir) {
		return &projects.Project{Dir: dir}, nil
	}
	p, diags := projects.Load(dir)
	return p, diags.Err()
}

// EnvironmentsOf are those that a project declares or else those that have a state,
// and the one that is selected.
func EnvironmentsOf(ctx context.Context, p *projects.Project, store *sqlite.Store, selected string) ([]string, error) {
	if declared := sortedKeys(p.Environments); len(declared) > 0 {
		return declared, nil
	}
	var list []string
	for _, stack := range append(sortedKeys(p.Stacks), "") {
		names, err := store.Environments(ctx, stack)
		if err != nil {
			return nil, err
		}
		list = append(list, names...)
	}
	list = append(list, selected)
	slices.Sort(list)
	return slices.Compact(list), nil
}

// NoWorkflow says that a project has no workflow of that name.
func NoWorkflow(p *projects.Project, name string) diag.List {
	names := sortedKeys(p.Workflows)
	if len(names) == 0 {
		return diag.Errorf("No such workflow", "This project declares no workflows. Declare it in a *%s file: workflow %q { … }.", projects.Suffix, name)
	}
	return diag.Errorf("No such workflow", "This project declares no workflow %q.%s Declared are: %s.", name, diag.DidYouMean(name, names), strings.Join(names, ", "))
}
