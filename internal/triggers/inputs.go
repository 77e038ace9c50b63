package triggers

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Check tells what can be known to be wrong with the triggers of a project
// before an instant comes.
func Check(p *projects.Project) diag.List {
	list, diags := Read(p)
	for _, t := range list {
		at := cty.ObjectVal(map[string]cty.Value{"time": cty.UnknownVal(cty.String), "schedule": cty.StringVal(t.Name)})
		diags = append(diags, checkInputs(p, t.Declared, t.references, map[string]cty.Value{"event": at})...)
	}
	set, found := ReadEvents(p)
	diags = append(diags, found...)
	for _, t := range set.list {
		diags = append(diags, checkInputs(p, t.Declared, t.references, map[string]cty.Value{"event": cty.DynamicVal, "events": cty.DynamicVal, "window": cty.DynamicVal})...)
	}
	diags = append(diags, CheckHooks(p)...)
	return append(diags, CheckSources(p)...)
}

// unknownVariables are the variables of a project before they have values.
func unknownVariables(p *projects.Project) map[string]cty.Value {
	vars := map[string]cty.Value{}
	for name, v := range p.Variables {
		vars[name] = cty.UnknownVal(v.ConstraintType)
		if v.Sensitive {
			vars[name] = vars[name].Mark(marks.Sensitive)
		}
	}
	return vars
}

// checkInputs tells what is wrong with the environment and the inputs of a trigger.
// about is what they see besides.
func checkInputs(p *projects.Project, declared *projects.Trigger, references func(hcl.Expression) diag.List, about map[string]cty.Value) diag.List {
	var diags diag.List
	if name := declared.Environment; name != "" && len(p.Environments) > 0 && p.Environments[name] == nil {
		diags = append(diags, diag.ErrorAt(declared.Ranges["environment"], "No such environment", "This project has no environment %q, but %s.", name, strings.Join(sortedKeys(p.Environments), ", "))...)
	}
	w := p.Workflows[declared.Workflow.Name]
	if w == nil {
		return diags // reported where the reference was read
	}
	environment := cty.ObjectVal(map[string]cty.Value{"name": cty.UnknownVal(cty.String), "labels": cty.DynamicVal})
	if declared.Environment != "" {
		environment = environmentValue(p, declared.Environment)
	}
	table := functions.Table(functions.Options{BaseDir: p.Dir, PureOnly: true})
	_, found := evaluateInputs(declared, w, references, scope(unknownVariables(p), environment, about, table))
	return append(diags, found...)
}

// inputs are the values of an instant's run: of the workflow's variables and the
// project's, whose values are given.
func (t *Trigger) inputs(at time.Time, environment string, vars map[string]cty.Value) (map[string]cty.Value, diag.List) {
	// Where the schedule is, a day is a day: dates cut out of it are right.
	instant := cty.StringVal(at.In(t.Schedule.Location()).Format(time.RFC3339))
	event := cty.ObjectVal(map[string]cty.Value{"time": instant, "schedule": cty.StringVal(t.Name)})
	return inputs(t.Project, t.Declared, t.references, environment, vars, map[string]cty.Value{"event": event})
}

// inputs are the values of the run of a trigger. about is what its expressions see
// besides.
func inputs(p *projects.Project, declared *projects.Trigger, references func(hcl.Expression) diag.List, environment string, vars, about map[string]cty.Value) (map[string]cty.Value, diag.List) {
	w := p.Workflows[declared.Workflow.Name]
	if w == nil {
		return nil, diag.ErrorAt(declared.DeclRange, "No such workflow", "There is no workflow %q in this project.", declared.Workflow.Name)
	}
	table := functions.Table(functions.Options{BaseDir: p.Dir})
	out, diags := evaluateInputs(declared, w, references, scope(markVariables(p, vars), environmentValue(p, environment), about, table))
	for name, v := range vars {
		if w.Variables[name] == nil && w.Definition == "" {
			out[name] = v
		}
	}
	return out, diags
}

// markVariables marks the values of variables that are sensitive.
func markVariables(p *projects.Project, vars map[string]cty.Value) map[string]cty.Value {
	marked := map[string]cty.Value{}
	for name, v := range vars {
		if declared := p.Variables[name]; declared != nil && declared.Sensitive {
			v = v.Mark(marks.Sensitive)
		}
		marked[name] = v
	}
	return marked
}

func environmentValue(p *projects.Project, name string) cty.Value {
	labels := cty.EmptyObjectVal
	if e := p.Environments[name]; e != nil && len(e.Labels) > 0 {
		values := map[string]cty.Value{}
		for k, v := range e.Labels {
			values[k] = cty.StringVal(v)
		}
		labels = cty.ObjectVal(values)
	}
	return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name), "labels": labels})
}

// scope is what expressions of a trigger see.
func scope(vars map[string]cty.Value, environment cty.Value, about map[string]cty.Value, table map[string]function.Function) *hcl.EvalContext {
	object := cty.EmptyObjectVal
	if len(vars) > 0 {
		object = cty.ObjectVal(vars)
	}
	out := &hcl.EvalContext{Functions: table, Variables: map[string]cty.Value{"var": object, "environment": environment}}
	for name, v := range about {
		out.Variables[name] = v
	}
	return out
}

// evaluateInputs gives the inputs of a trigger their values, of the types that the
// workflow wants. A state machine takes them as they are.
func evaluateInputs(declared *projects.Trigger, w *projects.Workflow, references func(hcl.Expression) diag.List, scope *hcl.EvalContext) (map[string]cty.Value, diag.List) {
	var diags diag.List
	out := map[string]cty.Value{}
	for _, name := range sortedKeys(declared.Inputs) {
		expr := declared.Inputs[name]
		rng := expr.Range()
		v := w.Variables[name]
		if v == nil && w.Definition == "" {
			diags = append(diags, diag.ErrorAt(rng, "Unknown input", "The workflow %q has no variable %q; its variables are: %s.", w.Name, name, cmp.Or(strings.Join(sortedKeys(w.Variables), ", "), "none"))...)
			continue
		}
		found := references(expr)
		if !found.HasErrors() {
			var value cty.Value
			var wrong hcl.Diagnostics
			value, wrong = expr.Value(scope)
			found = append(found, diag.FromHCL(wrong)...)
			if v == nil {
				v = &configs.Variable{Name: name, Type: cty.DynamicPseudoType, ConstraintType: cty.DynamicPseudoType, Nullable: true}
			}
			if !found.HasErrors() {
				out[name], found = prepare(v, value, rng)
			}
		}
		diags = append(diags, found...)
	}
	for _, name := range sortedKeys(w.Variables) {
		v := w.Variables[name]
		if _, given := declared.Inputs[name]; given || w.Definition != "" {
			continue
		}
		if v.Required() {
			diags = append(diags, diag.ErrorAt(declared.DeclRange, "Missing input", "The workflow %q needs a value for its variable %q: give one in the inputs of the trigger %q.", w.Name, name, declared.Name)...)
			continue
		}
		out[name] = v.Default
	}
	return out, diags
}

// prepare brings a value to the type of its variable.
func prepare(v *configs.Variable, value cty.Value, rng hcl.Range) (cty.Value, diag.List) {
	prepared, diags := configs.PrepareVariable(v, configs.InputValue{Value: value, Source: configs.FromCaller, Range: &rng})
	if !diags.HasErrors() && prepared.HasMarkDeep(marks.Sensitive) && !v.Sensitive {
		diags = diag.ErrorAt(rng, "Sensitive input", "The value is sensitive, and the variable %q of the workflow is not: declare it with sensitive = true.", v.Name)
	}
	return prepared, diags
}

// references reports what an expression of a trigger cannot refer to.
func (t *Trigger) references(expr hcl.Expression) diag.List {
	return references(t.Project, expr, func(name string, rng hcl.Range) diag.List {
		if name == "time" || name == "schedule" {
			return nil
		}
		return diag.ErrorAt(rng, "Invalid reference", "Of a schedule there are event.time, the instant, and event.schedule, the trigger's name.")
	})
}

// references reports what an expression cannot refer to: what event says of the names
// in an event, and whatever is none of var, environment, event and some others.
func references(p *projects.Project, expr hcl.Expression, event func(name string, rng hcl.Range) diag.List, more ...string) diag.List {
	var diags diag.List
	for _, ref := range expr.Variables() {
		rng, root := ref.SourceRange(), ref.RootName()
		name := ""
		if len(ref) > 1 {
			if attr, ok := ref[1].(hcl.TraverseAttr); ok {
				name = attr.Name
			}
		}
		switch root {
		case "environment":
		case "var":
			if p.Variables[name] == nil {
				diags = append(diags, diag.ErrorAt(rng, "Reference to undeclared input variable", "The project declares no variable %q.", name)...)
			}
		case "event":
			diags = append(diags, event(name, rng)...)
		default:
			if !slices.Contains(more, root) {
				diags = append(diags, diag.ErrorAt(rng, "Invalid reference", "There is nothing called %q here. Triggers see var (of the project), %s.", root, join(append([]string{"environment", "event"}, more...)))...)
			}
		}
	}
	return diags
}

// join lists words as a sentence does.
func join(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
