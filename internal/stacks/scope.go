package stacks

import (
	"fmt"
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

// Context is what the expressions of a project depend on besides each other.
type Context struct {
	Environment string
	Variables   map[string]cty.Value // of the project, as [Variables] returns them
	BaseDir     string               // file functions resolve against it
	// Now is what plantimestamp() returns.
	Now time.Time
	// Planning says that what differs from call to call, such as timestamp(), is
	// not known yet.
	Planning bool
	// Secret reads a secret of the project when an expression refers to it, and tells
	// its version. Where it is nil secrets are not read, and not known.
	Secret func(s *projects.Secret) (text, version string, err error)
}

// Variables prepares the values of a project's variables: what was given, else
// the default. Those of sensitive and ephemeral variables are marked.
func Variables(p *projects.Project, environment string, given map[string]configs.InputValue) (map[string]cty.Value, diag.List) {
	out := map[string]cty.Value{}
	var diags diag.List
	for _, name := range sortedKeys(p.Variables) {
		v := p.Variables[name]
		val := v.Default
		if raw, ok := given[name]; ok {
			var d diag.List
			val, d = configs.PrepareVariable(v, raw)
			diags = append(diags, d...)
		} else if v.Required() {
			diags = append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable",
				"The project's variable %q is not set, and has no default value. Set it in the environment block of %q, or use -var, a .tfvars file or the environment variable TF_VAR_%[1]s.", name, environment)...)
			continue
		}
		if v.Sensitive {
			val = val.Mark(marks.Sensitive)
		}
		if v.Ephemeral {
			val = val.Mark(marks.Ephemeral)
		}
		out[name] = val
	}
	return out, diags
}

// EnvironmentVariables are the values that an environment block gives to the
// project's variables.
func EnvironmentVariables(p *projects.Project, environment string) (map[string]configs.InputValue, diag.List) {
	e := p.Environments[environment]
	if e == nil {
		return nil, nil
	}
	out := map[string]configs.InputValue{}
	var diags diag.List
	for _, name := range sortedKeys(e.Variables) {
		expr := e.Variables[name]
		if p.Variables[name] == nil {
			diags = append(diags, diag.ErrorAt(expr.Range(), "Value for undeclared variable", "The environment %q sets a variable %q, which this project does not declare.%s", environment, name, suggestion(name, sortedKeys(p.Variables)))...)
			continue
		}
		val, d := expr.Value(&hcl.EvalContext{Functions: functions.Table(functions.Options{BaseDir: p.Dir, PureOnly: true})})
		diags = append(diags, diag.FromHCL(d)...)
		if !d.HasErrors() {
			out[name] = configs.InputValue{Value: val, Source: configs.FromCaller, Range: expr.Range().Ptr()}
		}
	}
	return out, diags
}

// CheckEnvironment reports an environment that is not among those declared.
func CheckEnvironment(p *projects.Project, name string) diag.List {
	if len(p.Environments) == 0 || p.Environments[name] != nil {
		return nil
	}
	declared := strings.Join(sortedKeys(p.Environments), ", ")
	if name == "default" {
		return diag.Errorf("No environment selected", "This project declares environments: select one with -env=NAME or \"tutti workspace select NAME\". Declared are: %s.", declared)
	}
	return diag.Errorf("No such environment", "This project declares no environment %q.%s Declared are: %s.", name, suggestion(name, sortedKeys(p.Environments)), declared)
}

// Scope evaluates the expressions of a project.
type Scope struct {
	project   *projects.Project
	ctx       Context
	anywhere  bool // in no environment in particular
	functions map[string]function.Function
}

// NewScope returns a scope. The function table is made once, and shared.
func NewScope(p *projects.Project, ctx Context) *Scope {
	return &Scope{
		project: p, ctx: ctx,
		functions: functions.Table(functions.Options{BaseDir: ctx.BaseDir, PureOnly: ctx.Planning, PlanTimestamp: ctx.Now}),
	}
}

// Inputs evaluates what a stack is given. outputs returns the object that stands
// for another stack; it is asked for those that are referred to only.
func (s *Scope) Inputs(stack string, outputs func(stack string) (cty.Value, diag.List)) (map[string]configs.InputValue, diag.List) {
	e := &evaluation{s: s, outputs: outputs, stacks: map[string]cty.Value{}, locals: map[string]cty.Value{}, open: map[string]bool{}}
	declared := s.project.Stacks[stack]
	out := map[string]configs.InputValue{}
	for _, name := range sortedKeys(declared.Inputs) {
		expr := declared.Inputs[name]
		if val, ok := e.value(expr); ok {
			out[name] = configs.InputValue{Value: val, Source: configs.FromCaller, Range: expr.Range().Ptr()}
		}
	}
	return out, e.diags
}

// evaluation is one evaluation of several expressions, which share locals and
// the outputs of stacks.
type evaluation struct {
	s       *Scope
	outputs func(stack string) (cty.Value, diag.List)
	stacks  map[string]cty.Value
	locals  map[string]cty.Value
	open    map[string]bool // locals being evaluated
	diags   diag.List
}

// value evaluates an expression; what it refers to is found first.
func (e *evaluation) value(expr hcl.Expression) (cty.Value, bool) {
	vars, ok := e.variables(expr)
	if !ok {
		return cty.DynamicVal, false
	}
	val, diags := expr.Value(&hcl.EvalContext{Variables: vars, Functions: e.s.functions})
	found := diag.FromHCL(diags)
	for _, t := range traversals(e.s.project, expr, nil) {
		if t.RootName() == "secret" {
			withhold(found)
		}
	}
	e.diags = append(e.diags, found...)
	return val, !diags.HasErrors()
}

// withhold takes out of diagnostics what functions say about their arguments: it
// may quote them, or what was made of them.
func withhold(diags diag.List) {
	for i := range diags {
		diags[i].Detail = "What is wrong is not said in detail, because the expression depends on a secret."
	}
}

func (e *evaluation) variables(expr hcl.Expression) (map[string]cty.Value, bool) {
	sets := map[string]map[string]cty.Value{}
	put := func(root, name string, v cty.Value) {
		if sets[root] == nil {
			sets[root] = map[string]cty.Value{}
		}
		sets[root][name] = v
	}
	good := true
	for _, t := range expr.Variables() {
		name := second(t)
		switch t.RootName() {
		case "var":
			v, ok := e.s.ctx.Variables[name]
			good = good && ok // what is missing was reported when variables were prepared
			put("var", name, v)
		case "local":
			v, ok := e.local(name, t)
			good = good && ok
			put("local", name, v)
		case "stack":
			v, ok := e.stack(name)
			good = good && ok
			put("stack", name, v)
		case "secret", "secret_version":
			v, ok := e.secret(t.RootName(), name, t)
			good = good && ok
			put(t.RootName(), name, v)
		case "environment":
			if e.s.anywhere {
				put("environment", "name", cty.UnknownVal(cty.String))
				put("environment", "labels", cty.DynamicVal)
				continue
			}
			put("environment", "name", cty.StringVal(e.s.ctx.Environment))
			put("environment", "labels", e.s.labels())
		case "path":
			put("path", "root", cty.StringVal("."))
		}
	}
	out := map[string]cty.Value{}
	for root, set := range sets {
		out[root] = cty.ObjectVal(set)
	}
	return out, good
}

func (s *Scope) labels() cty.Value {
	labels := map[string]cty.Value{}
	if e := s.project.Environments[s.ctx.Environment]; e != nil {
		for k, v := range e.Labels {
			labels[k] = cty.StringVal(v)
		}
	}
	return cty.ObjectVal(labels)
}

func (e *evaluation) local(name string, t hcl.Traversal) (cty.Value, bool) {
	if v, ok := e.locals[name]; ok {
		return v, v != cty.NilVal
	}
	if e.open[name] {
		e.diags = append(e.diags, diag.ErrorAt(t.SourceRange(), "Cycle of local values", "The local value %q needs itself.", name)...)
		return cty.NilVal, false
	}
	e.open[name] = true
	v, ok := e.value(e.s.project.Locals[name].Expr)
	if !ok {
		v = cty.NilVal // reported; not to be reported again
	}
	e.locals[name] = v
	return v, ok
}

func (e *evaluation) stack(name string) (cty.Value, bool) {
	if v, ok := e.stacks[name]; ok {
		return v, v != cty.NilVal
	}
	v, diags := e.outputs(name)
	e.diags = append(e.diags, diags...)
	if diags.HasErrors() {
		v = cty.NilVal
	}
	e.stacks[name] = v
	return v, v != cty.NilVal
}

// secret reads a secret, which is sensitive from here on, or tells its version.
func (e *evaluation) secret(root, name string, t hcl.Traversal) (cty.Value, bool) {
	unknown := cty.UnknownVal(cty.String)
	if root == "secret" {
		unknown = unknown.Mark(marks.Sensitive)
	}
	declared := e.s.project.Secrets[name]
	if declared == nil || e.s.ctx.Secret == nil {
		return unknown, declared != nil
	}
	text, version, err := e.s.ctx.Secret(declared)
	if err != nil {
		e.diags = append(e.diags, diag.ErrorAt(t.SourceRange(), "Cannot read secret", "The secret %q cannot be read: %s.", name, err)...)
		return unknown, false
	}
	if root == "secret_version" {
		return cty.StringVal(version), true
	}
	return cty.StringVal(text).Mark(marks.Sensitive), true
}

// References are the outputs of another stack that the inputs of a stack refer
// to: names, and the first place where each is written.
func (g *Graph) References(stack, upstream string) map[string]hcl.Range {
	out := map[string]hcl.Range{}
	for _, input := range sortedKeys(g.Project.Stacks[stack].Inputs) {
		for _, t := range traversals(g.Project, g.Project.Stacks[stack].Inputs[input], nil) {
			if t.RootName() != "stack" || second(t) != upstream {
				continue
			}
			if name := nameAt(t, 2); name != "" {
				if _, ok := out[name]; !ok {
					out[name] = t.SourceRange()
				}
			}
		}
	}
	return out
}

// Module is what a stack's root module declares, as far as others have to do
// with it.
type Module struct {
	Variables map[string]*configs.Variable
	Outputs   map[string]*configs.Output
	// Given are variables that have a value from elsewhere, such as a file of
	// values beside the module.
	Given map[string]bool
}

// Check holds what the stacks selected are given against what their root
// modules declare, as far as that can be known before anything is planned.
func (g *Graph) Check(selected []string, scope *Scope, modules map[string]Module) diag.List {
	var diags diag.List
	unknown := func(string) (cty.Value, diag.List) { return cty.DynamicVal, nil }
	for _, name := range selected {
		m, ok := modules[name]
		if !ok {
			continue
		}
		for _, upstream := range g.Needs[name] {
			other, ok := modules[upstream]
			if !ok {
				continue
			}
			refs := g.References(name, upstream)
			for _, output := range sortedKeys(refs) {
				if other.Outputs[output] == nil {
					diags = append(diags, diag.ErrorAt(refs[output], "Reference to undeclared output", "The stack %q has no output %q.%s", upstream, output, suggestion(output, sortedKeys(other.Outputs)))...)
				}
			}
		}
		inputs, d := scope.Inputs(name, unknown)
		diags = append(diags, d...)
		diags = append(diags, checkInputs(g.Project.Stacks[name], m, inputs)...)
	}
	return diags
}

func checkInputs(s *projects.Stack, m Module, inputs map[string]configs.InputValue) diag.List {
	var diags diag.List
	for _, name := range sortedKeys(s.Inputs) {
		v := m.Variables[name]
		if v == nil {
			declared := "It declares none."
			if len(m.Variables) > 0 {
				declared = fmt.Sprintf("Declared are: %s.", strings.Join(sortedKeys(m.Variables), ", "))
			}
			diags = append(diags, diag.ErrorAt(s.Inputs[name].Range(), "Unknown input", "The root module of stack %q declares no variable %q.%s %s", s.Name, name, suggestion(name, sortedKeys(m.Variables)), declared)...)
			continue
		}
		if given, ok := inputs[name]; ok {
			_, d := configs.PrepareVariable(v, given)
			diags = append(diags, d...)
		}
	}
	rng := s.DeclRange
	if s.InputsRange.Filename != "" {
		rng = s.InputsRange
	}
	for _, name := range sortedKeys(m.Variables) {
		if s.Inputs[name] == nil && !m.Given[name] && m.Variables[name].Required() {
			diags = append(diags, diag.ErrorAt(rng, "Missing input", "The root module of stack %q needs a value for its variable %q, which has no default.", s.Name, name)...)
		}
	}
	return diags
}

// UnknownScope evaluates the expressions of a project without knowing the values
// of its variables, nor the environment.
func UnknownScope(p *projects.Project, baseDir string) *Scope {
	vars := map[string]cty.Value{}
	for name, v := range p.Variables {
		vars[name] = cty.UnknownVal(v.ConstraintType)
		if v.Sensitive {
			vars[name] = vars[name].Mark(marks.Sensitive)
		}
	}
	s := NewScope(p, Context{Variables: vars, BaseDir: baseDir, Planning: true})
	s.anywhere = true
	return s
}

// Validate checks what the environments of a project say of its variables.
func Validate(p *projects.Project) diag.List {
	var diags diag.List
	for _, name := range sortedKeys(p.Environments) {
		values, d := EnvironmentVariables(p, name)
		diags = append(diags, d...)
		for _, variable := range sortedKeys(values) {
			_, d := configs.PrepareVariable(p.Variables[variable], values[variable])
			diags = append(diags, d...)
		}
	}
	return diags
}
