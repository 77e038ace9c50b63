package engine

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// evaluator gives the value of everything a configuration declares, lazily and
// once. Resources are the exception: their values are put in by the planner or
// the applier, and the walk order guarantees that they are there when asked for.
//
// It is safe for concurrent use.
type evaluator struct {
	cfg       *configs.Config
	root      *scope
	functions *hcl.EvalContext // the function table; parent of every context
	rootDir   string
	workDir   string
	workspace string
	applying  cty.Value // terraform.applying
	inputs    map[string]configs.InputValue
	// skipped gives the value of a resource that is not walked (by -target or
	// on destroy): what the prior state has, else unknown.
	skipped func(addrs.AbsResource) cty.Value
	// lookup gives the value of an instance for which none was set; nil while
	// planning, where a missing value means that planning it failed.
	lookup func(*resourceScope, repetition) (cty.Value, diag.List)
	// validating says that nothing is known: root variables are unknown and
	// every repeating block stands for one instance with an unknown key.
	validating bool
	// allAbsent says that no resource is walked: every value comes from skipped.
	allAbsent bool
}

// cell is a value computed on first demand.
type cell struct {
	once  sync.Once
	value cty.Value
	diags diag.List
}

func (c *cell) get(compute func() (cty.Value, diag.List)) (cty.Value, diag.List) {
	c.once.Do(func() {
		c.value, c.diags = compute()
		if c.value == cty.NilVal {
			c.value = cty.DynamicVal
		}
	})
	return c.value, c.diags
}

// scope is one instance of a module: what names in its files mean.
type scope struct {
	ev     *evaluator
	addr   addrs.ModuleInstance
	module *configs.Module
	parent *scope
	rep    repetition // of the call, as the caller's arguments see it

	variables map[string]*cell
	locals    map[string]*cell
	outputs   map[string]*cell
	calls     map[string]*callScope
	resources map[addrs.Resource]*resourceScope
}

// callScope is a module call in one module instance.
type callScope struct {
	once     sync.Once
	exp      *expansion
	children []*scope // parallel to exp.keys
	diags    diag.List
	whole    cell
}

// resourceScope is a resource block in one module instance.
type resourceScope struct {
	config *configs.Resource
	scope  *scope
	addr   addrs.AbsResource

	once  sync.Once
	exp   *expansion
	diags diag.List

	contextOnce sync.Once
	context     *hcl.EvalContext // what the body refers to, but for count and each
	contextDiag diag.List

	mu     sync.Mutex
	values map[addrs.InstanceKey]cty.Value
	whole  cty.Value // cached; NilVal when not yet built or outdated
	// absent says that the block is not walked: its value comes from elsewhere.
	absent bool
}

func newEvaluator(cfg *configs.Config, functions *hcl.EvalContext) *evaluator {
	ev := &evaluator{cfg: cfg, functions: functions, applying: cty.False, rootDir: ".", workspace: "default"}
	ev.root = ev.newScope(nil, cfg.Root, addrs.RootModuleInstance, repetition{})
	return ev
}

func (ev *evaluator) newScope(parent *scope, m *configs.Module, addr addrs.ModuleInstance, rep repetition) *scope {
	s := &scope{
		ev: ev, addr: addr, module: m, parent: parent, rep: rep,
		variables: make(map[string]*cell, len(m.Variables)),
		locals:    make(map[string]*cell, len(m.Locals)),
		outputs:   make(map[string]*cell, len(m.Outputs)),
		calls:     make(map[string]*callScope, len(m.ModuleCalls)),
		resources: make(map[addrs.Resource]*resourceScope, len(m.Resources)),
	}
	for name := range m.Variables {
		s.variables[name] = &cell{}
	}
	for name := range m.Locals {
		s.locals[name] = &cell{}
	}
	for name := range m.Outputs {
		s.outputs[name] = &cell{}
	}
	for name := range m.ModuleCalls {
		s.calls[name] = &callScope{}
	}
	for addr2, r := range m.Resources {
		s.resources[addr2] = &resourceScope{config: r, scope: s, addr: addrs.AbsResource{Module: addr, Resource: addr2}}
	}
	return s
}

// scopes returns every instance of a static module, expanding the calls on the
// way. Diagnostics of the expansion are the caller's to report once.
func (ev *evaluator) scopes(m *configs.Module) ([]*scope, diag.List) {
	if m.Parent == nil {
		return []*scope{ev.root}, nil
	}
	parents, diags := ev.scopes(m.Parent)
	var out []*scope
	for _, p := range parents {
		call := p.call(m.Call.Name)
		diags = append(diags, call.diags...)
		out = append(out, call.children...)
	}
	return out, diags
}

// scopeAt returns the scope of a module instance, or nil where the
// configuration has no such instance.
func (ev *evaluator) scopeAt(addr addrs.ModuleInstance) *scope {
	s := ev.root
	if addr == "" {
		return s
	}
	for _, step := range addr.Steps() {
		if _, ok := s.calls[step.Name]; !ok {
			return nil
		}
		call := s.call(step.Name)
		i := call.exp.find(step.Key)
		if i < 0 || i >= len(call.children) {
			return nil
		}
		s = call.children[i]
	}
	return s
}

// call returns a module call with its instances made.
func (s *scope) call(name string) *callScope {
	cs := s.calls[name]
	cs.once.Do(func() {
		call := s.module.ModuleCalls[name]
		child := s.module.Children[name]
		cs.exp, cs.diags = s.expand(call.Count, call.ForEach, call.Enabled)
		if child == nil {
			return
		}
		cs.children = make([]*scope, len(cs.exp.keys))
		for i, key := range cs.exp.keys {
			cs.children[i] = s.ev.newScope(s, child, s.addr.Child(name, key), cs.exp.at(i))
		}
	})
	return cs
}

// variable returns the value of an input variable, converted and validated.
func (s *scope) variable(name string) (cty.Value, diag.List) {
	c := s.variables[name]
	return c.get(func() (cty.Value, diag.List) {
		v := s.module.Variables[name]
		raw, diags := s.variableInput(v)
		if diags.HasErrors() {
			return cty.UnknownVal(v.ConstraintType), diags
		}
		val := v.Default
		if raw.Value != cty.NilVal {
			var d diag.List
			val, d = configs.PrepareVariable(v, raw)
			diags = append(diags, d...)
			if d.HasErrors() {
				return cty.UnknownVal(v.ConstraintType), diags
			}
		} else if v.Required() {
			return cty.UnknownVal(v.ConstraintType), append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable",
				"The input variable %q is not set, and has no default value. Use -var, a .tfvars file or the environment variable TF_VAR_%[1]s to give one.", name)...)
		}
		if v.Sensitive {
			val = val.Mark(marks.Sensitive)
		}
		if v.Ephemeral {
			val = val.Mark(marks.Ephemeral)
		}
		return val, diags
	})
}

// variableInput returns what the caller gave; its value is NilVal for nothing.
func (s *scope) variableInput(v *configs.Variable) (configs.InputValue, diag.List) {
	given := func(val cty.Value) configs.InputValue {
		return configs.InputValue{Value: val, Source: configs.FromCaller}
	}
	if s.parent == nil {
		if s.ev.validating {
			return given(cty.UnknownVal(v.ConstraintType)), nil
		}
		return s.rootInput(v)
	}
	expr := s.module.Call.Arguments[v.Name]
	if expr == nil {
		return configs.InputValue{}, nil
	}
	val, diags := s.parent.eval(expr, s.rep, cty.NilVal)
	in := given(val)
	in.Range = expr.Range().Ptr()
	if v.Ephemeral || !marks.Contains(val, marks.Ephemeral) {
		return in, diags
	}
	in.Value = cty.DynamicVal
	return in, append(diags, diag.ErrorAt(expr.Range(), "Ephemeral value not allowed",
		"The value of module input variable %q is derived from an ephemeral value. Declare the variable with ephemeral = true if it may receive one.", v.Name)...)
}

// rootInput returns what was given for a variable of the root module.
func (s *scope) rootInput(v *configs.Variable) (configs.InputValue, diag.List) {
	in := s.ev.inputs[v.Name]
	if v.Ephemeral || in.Value == cty.NilVal || !marks.Contains(in.Value, marks.Ephemeral) {
		return in, nil
	}
	rng := v.DeclRange
	if in.Range != nil {
		rng = *in.Range
	}
	in.Value = cty.DynamicVal
	return in, diag.ErrorAt(rng, "Ephemeral value not allowed",
		"The value given for variable %q is ephemeral. Declare the variable with ephemeral = true if it may receive one.", v.Name)
}

// local returns the value of a local.
func (s *scope) local(name string) (cty.Value, diag.List) {
	return s.locals[name].get(func() (cty.Value, diag.List) {
		return s.eval(s.module.Locals[name].Expr, repetition{}, cty.NilVal)
	})
}

// output returns the value of an output as the caller of the module sees it.
func (s *scope) output(name string) (cty.Value, diag.List) {
	return s.outputs[name].get(func() (cty.Value, diag.List) {
		out := s.module.Outputs[name]
		val, diags := s.eval(out.Expr, repetition{}, cty.NilVal)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		if !out.Ephemeral && marks.Contains(val, marks.Ephemeral) {
			return cty.DynamicVal, append(diags, diag.ErrorAt(out.Expr.Range(), "Ephemeral value not allowed",
				"The value of output %q is derived from an ephemeral value, so it cannot be stored. Declare the output with ephemeral = true (in a child module), or use ephemeralasnull().", name)...)
		}
		if out.Sensitive {
			val = val.Mark(marks.Sensitive)
		} else if s.parent == nil && marks.Contains(val, marks.Sensitive) {
			diags = append(diags, diag.ErrorAt(out.DeclRange, "Output refers to sensitive values",
				"To reduce the risk of accidentally exporting sensitive data that was intended to be only internal, a root module output whose value contains sensitive data must say so.\n\nIf the value is not sensitive, derive it with nonsensitive(); if it is meant to be exported, add:\n    sensitive = true")...)
		}
		if out.Ephemeral {
			val = val.Mark(marks.Ephemeral)
		}
		return val, diags
	})
}

// moduleValue returns a module call as an expression sees it: an object of
// outputs, or a tuple or object of those where the call repeats.
func (s *scope) moduleValue(name string) (cty.Value, diag.List) {
	cs := s.call(name)
	return cs.whole.get(func() (cty.Value, diag.List) {
		child := s.module.Children[name]
		if child == nil {
			return cty.DynamicVal, nil
		}
		return s.moduleOutputs(cs, sortedKeys(child.Outputs))
	})
}

// moduleOutputs builds the value of a call with only the named outputs in it.
func (s *scope) moduleOutputs(cs *callScope, names []string) (cty.Value, diag.List) {
	if cs.diags.HasErrors() {
		return cty.DynamicVal, cs.diags
	}
	var diags diag.List
	vals := make([]cty.Value, len(cs.children))
	for i, child := range cs.children {
		attrs := make(map[string]cty.Value, len(names))
		for _, n := range names {
			if _, ok := child.outputs[n]; !ok {
				continue // the traversal reports the missing attribute
			}
			v, d := child.output(n)
			diags = append(diags, d...)
			attrs[n] = v
		}
		vals[i] = cty.ObjectVal(attrs)
	}
	return cs.exp.combine(vals), diags
}

// eval evaluates an expression in this scope. self is NilVal where self is not
// available.
func (s *scope) eval(expr hcl.Expression, rep repetition, self cty.Value) (cty.Value, diag.List) {
	refs, diags := lang.ExprReferences(expr)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	ctx, diags := s.contextFor(refs, rep, self)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	val, hclDiags := expr.Value(ctx)
	return val, append(diags, diag.FromHCL(hclDiags)...)
}

// contextFor makes the evaluation context for a set of references.
func (s *scope) contextFor(refs []addrs.Reference, rep repetition, self cty.Value) (*hcl.EvalContext, diag.List) {
	base, diags := s.baseContext(refs)
	return withLocals(base, rep, self), diags
}

// withLocals adds what differs between the instances of one block.
func withLocals(base *hcl.EvalContext, rep repetition, self cty.Value) *hcl.EvalContext {
	if rep.kind == noRepetition && self == cty.NilVal {
		return base
	}
	ctx := base.NewChild()
	ctx.Variables = make(map[string]cty.Value, 2)
	switch rep.kind {
	case countRepetition:
		ctx.Variables["count"] = cty.ObjectVal(map[string]cty.Value{"index": rep.countIndex()})
	case forEachRepetition:
		ctx.Variables["each"] = cty.ObjectVal(map[string]cty.Value{"key": rep.keyValue(), "value": rep.value})
	}
	if self != cty.NilVal {
		ctx.Variables["self"] = self
	}
	return ctx
}

// baseContext holds everything the references name, but for count, each, self.
func (s *scope) baseContext(refs []addrs.Reference) (*hcl.EvalContext, diag.List) {
	if len(refs) == 0 {
		return s.ev.functions, nil
	}
	var diags diag.List
	vars, locals, paths, terraform := objectSet{}, objectSet{}, objectSet{}, objectSet{}
	modules := map[string][]string{} // outputs named; nil: all
	managed, data, ephemeral := map[string]objectSet{}, map[string]objectSet{}, map[string]objectSet{}
	for i := range refs {
		ref := &refs[i]
		switch ref.Kind {
		case addrs.RefVariable:
			diags = append(diags, s.addVariable(vars, ref)...)
		case addrs.RefLocal:
			diags = append(diags, s.addLocal(locals, ref)...)
		case addrs.RefPath:
			diags = append(diags, s.addPath(paths, ref)...)
		case addrs.RefTerraform:
			diags = append(diags, s.addTerraform(terraform, ref)...)
		case addrs.RefModule:
			diags = append(diags, s.addModule(modules, ref)...)
		case addrs.RefResource:
			into := managed
			switch ref.Resource.Mode {
			case addrs.Data:
				into = data
			case addrs.Ephemeral:
				into = ephemeral
			}
			diags = append(diags, s.addResource(into, ref)...)
		}
	}
	ctx := s.ev.functions.NewChild()
	ctx.Variables = make(map[string]cty.Value, 4)
	vars.into(ctx, "var")
	locals.into(ctx, "local")
	paths.into(ctx, "path")
	terraform.into(ctx, "terraform")
	terraform.into(ctx, "tofu")
	if len(modules) > 0 {
		calls := objectSet{}
		for name, outputs := range modules {
			v, d := s.moduleReference(name, outputs)
			diags = append(diags, d...)
			calls[name] = v
		}
		calls.into(ctx, "module")
	}
	for typ, set := range managed {
		set.into(ctx, typ)
	}
	nested(ctx, "resource", managed)
	nested(ctx, "data", data)
	nested(ctx, "ephemeral", ephemeral)
	return ctx, diags
}

// objectSet collects the attributes of one of the language's root objects.
type objectSet map[string]cty.Value

func (o objectSet) into(ctx *hcl.EvalContext, name string) {
	if len(o) > 0 {
		ctx.Variables[name] = cty.ObjectVal(o)
	}
}

func nested(ctx *hcl.EvalContext, name string, types map[string]objectSet) {
	if len(types) == 0 {
		return
	}
	attrs := make(map[string]cty.Value, len(types))
	for typ, set := range types {
		attrs[typ] = cty.ObjectVal(set)
	}
	if _, taken := ctx.Variables[name]; !taken {
		ctx.Variables[name] = cty.ObjectVal(attrs)
	}
}

func (s *scope) addVariable(set objectSet, ref *addrs.Reference) diag.List {
	if _, done := set[ref.Name]; done {
		return nil
	}
	if _, ok := s.variables[ref.Name]; !ok {
		return undeclared(ref, "input variable", fmt.Sprintf("This module does not declare an input variable named %q. Declare it with a variable %q {} block.", ref.Name, ref.Name))
	}
	v, diags := s.variable(ref.Name)
	set[ref.Name] = v
	return diags
}

func (s *scope) addLocal(set objectSet, ref *addrs.Reference) diag.List {
	if _, done := set[ref.Name]; done {
		return nil
	}
	if _, ok := s.locals[ref.Name]; !ok {
		return undeclared(ref, "local value", fmt.Sprintf("A local value with the name %q has not been declared.", ref.Name))
	}
	v, diags := s.local(ref.Name)
	set[ref.Name] = v
	return diags
}

func (s *scope) addPath(set objectSet, ref *addrs.Reference) diag.List {
	switch ref.Name {
	case "module":
		dir := s.module.SourceDir
		if dir == "" {
			dir = "."
		}
		set["module"] = cty.StringVal(filepath.ToSlash(dir))
	case "root":
		set["root"] = cty.StringVal(filepath.ToSlash(s.ev.rootDir))
	case "cwd":
		set["cwd"] = cty.StringVal(filepath.ToSlash(s.ev.workDir))
	default:
		return diag.ErrorAt(ref.Range, `Invalid "path" attribute`, `The "path" object does not have an attribute named %q. It has module, root and cwd.`, ref.Name)
	}
	return nil
}

func (s *scope) addTerraform(set objectSet, ref *addrs.Reference) diag.List {
	switch ref.Name {
	case "workspace":
		set["workspace"] = cty.StringVal(s.ev.workspace)
	case "applying":
		set["applying"] = s.ev.applying.Mark(marks.Ephemeral)
	default:
		return diag.ErrorAt(ref.Range, `Invalid "terraform" attribute`, `The "terraform" object does not have an attribute named %q. It has workspace and applying.`, ref.Name)
	}
	return nil
}

func (s *scope) addModule(into map[string][]string, ref *addrs.Reference) diag.List {
	child := s.module.Children[ref.Name]
	if child == nil {
		return undeclared(ref, "module", fmt.Sprintf("No module call named %q is declared in this module.", ref.Name))
	}
	name := moduleOutputName(ref)
	if name != "" {
		if _, ok := child.Outputs[name]; !ok {
			return diag.ErrorAt(ref.Range, "Unsupported attribute", "This object does not have an attribute named %q: module %q declares no such output.", name, ref.Name)
		}
	}
	have, seen := into[ref.Name]
	switch {
	case name == "":
		into[ref.Name] = nil
	case seen && have == nil:
	default:
		for _, n := range have {
			if n == name {
				return nil
			}
		}
		into[ref.Name] = append(have, name)
	}
	return nil
}

func (s *scope) moduleReference(name string, outputs []string) (cty.Value, diag.List) {
	if outputs == nil {
		return s.moduleValue(name)
	}
	return s.moduleOutputs(s.call(name), outputs)
}

func (s *scope) addResource(into map[string]objectSet, ref *addrs.Reference) diag.List {
	set := into[ref.Resource.Type]
	if set == nil {
		set = objectSet{}
		into[ref.Resource.Type] = set
	}
	if _, done := set[ref.Resource.Name]; done {
		return nil
	}
	rs := s.resources[ref.Resource]
	if rs == nil {
		kind := "managed resource"
		if ref.Resource.Mode == addrs.Data {
			kind = "data source"
		} else if ref.Resource.Mode == addrs.Ephemeral {
			kind = "ephemeral resource"
		}
		where := "the root module"
		if s.addr != "" {
			where = s.module.Path.String()
		}
		return undeclared(ref, "resource", fmt.Sprintf("A %s %q %q has not been declared in %s.", kind, ref.Resource.Type, ref.Resource.Name, where))
	}
	v, diags := rs.value()
	set[ref.Resource.Name] = v
	return diags
}

func undeclared(ref *addrs.Reference, what, detail string) diag.List {
	return diag.ErrorAt(ref.Range, "Reference to undeclared "+what, "%s", detail)
}
