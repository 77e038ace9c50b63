package flow

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const sensitive = marks.Sensitive

// EncodeValue writes a value with its type; marks are lost.
func EncodeValue(v cty.Value) []byte {
	if v == cty.NilVal {
		return nil
	}
	v, _ = v.UnmarkDeep()
	data, err := ctyjson.Marshal(v, cty.DynamicPseudoType)
	if err != nil {
		panic(fmt.Sprintf("flow: cannot encode a value of type %s: %s", v.Type().FriendlyName(), err))
	}
	return data
}

// DecodeValue reads what [EncodeValue] wrote.
func DecodeValue(data []byte) (cty.Value, error) {
	v, err := ctyjson.Unmarshal(data, cty.DynamicPseudoType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("cannot read a value: %w", err)
	}
	return v, nil
}

// NewOutcome is the outcome of a step that succeeded. What is marked sensitive
// in its outputs stays so.
func NewOutcome(outputs cty.Value) Outcome {
	out := Outcome{Outputs: EncodeValue(outputs)}
	if outputs == cty.NilVal {
		return out
	}
	bare, own := outputs.Unmark()
	if _, all := own[sensitive]; all || !bare.Type().IsObjectType() && bare.HasMarkDeep(sensitive) {
		out.Hidden = []string{"*"}
		return out
	}
	if bare.Type().IsObjectType() && !bare.IsNull() && bare.IsKnown() {
		for name := range bare.Type().AttributeTypes() {
			if bare.GetAttr(name).HasMarkDeep(sensitive) {
				out.Hidden = append(out.Hidden, name)
			}
		}
		sort.Strings(out.Hidden)
	}
	return out
}

// value are the outputs of an outcome, marked; cty.NilVal for none.
func (o Outcome) value() (cty.Value, error) {
	if len(o.Outputs) == 0 {
		return cty.NilVal, nil
	}
	v, err := DecodeValue(o.Outputs)
	if err != nil || len(o.Hidden) == 0 {
		return v, err
	}
	if o.Hidden[0] == "*" || !v.Type().IsObjectType() || v.IsNull() {
		return v.Mark(sensitive), nil
	}
	attrs := v.AsValueMap()
	for _, name := range o.Hidden {
		if a, ok := attrs[name]; ok {
			attrs[name] = a.Mark(sensitive)
		}
	}
	return cty.ObjectVal(attrs), nil
}

// scope holds what expressions see everywhere in a run.
type scope struct {
	base      map[string]cty.Value
	functions map[string]function.Function
	clock     time.Time // what timestamp() says
	seed      uint64    // what uuid() follows from
}

func (s *scope) open(m *Machine) error {
	p, w := m.d.Project, m.d.Workflow
	given := map[string]cty.Value{}
	if len(m.start.Inputs) > 0 {
		v, err := DecodeValue(m.start.Inputs)
		if err != nil || !v.Type().IsObjectType() || v.IsNull() {
			return fmt.Errorf("the inputs of the run are no object with its type")
		}
		given = v.AsValueMap()
	}
	vars := map[string]cty.Value{}
	for name, v := range m.d.Variables() {
		value, ok := given[name]
		switch {
		case ok:
		case v.Default != cty.NilVal:
			value = v.Default
		default:
			value = cty.NullVal(v.ConstraintType)
		}
		if v.Sensitive || slices.Contains(m.start.Hidden, name) {
			value = value.Mark(sensitive)
		}
		vars[name] = value
	}
	labels := map[string]cty.Value{}
	if e := p.Environments[m.start.Environment]; e != nil {
		for k, v := range e.Labels {
			labels[k] = cty.StringVal(v)
		}
	}
	labelsValue := cty.EmptyObjectVal
	if len(labels) > 0 {
		labelsValue = cty.ObjectVal(labels)
	}
	s.base = map[string]cty.Value{
		"var":         object(vars),
		"environment": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(m.start.Environment), "labels": labelsValue}),
		"path":        cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal(p.Dir)}),
		"run": cty.ObjectVal(map[string]cty.Value{
			"id": cty.StringVal(m.start.Run), "workflow": cty.StringVal(w.Name), "actor": cty.StringVal(m.start.Actor),
			"started": cty.StringVal(m.now.UTC().Format(time.RFC3339)), "error": cty.NullVal(errorType),
		}),
	}
	s.functions = functions.Table(functions.Options{
		BaseDir: p.Dir, PlanTimestamp: m.now, NewUUID: s.uuid, Now: func() time.Time { return s.clock },
	})
	return nil
}

// uuid makes the next random UUID (version 4) of an evaluation. It is the same
// whenever the same thing is evaluated again.
func (s *scope) uuid() string {
	var b [16]byte
	for i := range 2 {
		s.seed = mix(s.seed + 0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(b[i*8:], s.seed)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// fix sets what is random and what changes by itself for the evaluations that
// follow.
func (s *scope) fix(seed string, clock time.Time) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // a hash takes everything
	s.seed, s.clock = h.Sum64(), clock
}

var errorType = cty.Object(map[string]cty.Type{"name": cty.String, "cause": cty.String, "step": cty.String})

func errorValue(e *Error, step string) cty.Value {
	if e == nil {
		return cty.NullVal(errorType)
	}
	return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(e.Name), "cause": cty.StringVal(e.Cause), "step": cty.StringVal(step)})
}

func object(attrs map[string]cty.Value) cty.Value {
	if len(attrs) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(attrs)
}

// of is the scope of a node at a time: what its expressions refer to.
func (s *scope) of(m *Machine, n int32, clock time.Time) *hcl.EvalContext {
	def := &m.d.nodes[n]
	s.fix(m.start.Run+" "+def.step.Name, clock)
	ctx := s.context(m, def.sees)
	if len(def.stacks) > 0 {
		stacks := map[string]cty.Value{}
		for i, name := range def.stacks {
			stacks[name] = m.nodes[n].stacks[i]
		}
		ctx.Variables["stack"] = object(stacks)
	}
	if len(def.secrets) > 0 {
		secretVariables(ctx, def.secrets, func(string) cty.Value { return unknownSecret })
	}
	var used []hcl.Traversal
	for _, expr := range def.expressions() {
		used = append(used, expr.Variables()...)
	}
	s.locals(m, ctx, used)
	m.nodes[n].marked = m.nodes[n].marked || marked(ctx)
	return ctx
}

// marked reports whether anything in a scope is sensitive.
func marked(ctx *hcl.EvalContext) bool {
	for _, v := range ctx.Variables {
		if v.HasMarkDeep(sensitive) {
			return true
		}
	}
	return false
}

// context has the base and some steps.
func (s *scope) context(m *Machine, sees []int32) *hcl.EvalContext {
	ctx := &hcl.EvalContext{Variables: maps.Clone(s.base), Functions: s.functions}
	if m.phase == phaseFailure || m.phase == phaseFinally {
		run := s.base["run"].AsValueMap()
		run["error"] = errorValue(m.result.Error, m.result.Step)
		ctx.Variables["run"] = cty.ObjectVal(run)
	}
	if len(sees) > 0 {
		steps := map[string]cty.Value{}
		for _, j := range sees {
			steps[m.d.nodes[j].step.Name] = m.stepValue(j)
		}
		ctx.Variables["step"] = object(steps)
	}
	return ctx
}

// locals adds the locals that some traversals use, and those that they need. A
// local that cannot be evaluated is left out: who uses it says why.
func (s *scope) locals(m *Machine, ctx *hcl.EvalContext, used []hcl.Traversal) {
	values := map[string]cty.Value{}
	var need func(list []hcl.Traversal)
	under := map[*configs.Local]bool{}
	need = func(list []hcl.Traversal) {
		for _, t := range list {
			if t.RootName() != "local" {
				continue
			}
			name := second(t)
			l := m.d.local(name)
			if _, done := values[name]; done || l == nil || under[l] {
				continue
			}
			under[l] = true
			need(l.Expr.Variables())
			ctx.Variables["local"] = object(values)
			if v, err := evaluate(l.Expr, ctx); err == nil {
				values[name] = v
			}
		}
	}
	need(used)
	if len(values) > 0 {
		ctx.Variables["local"] = object(values)
	}
}

// StepValues are all steps as expressions see them, by name, in a run that goes
// no further: what was never reached counts as skipped, or as cancelled.
func (m *Machine) StepValues() map[string]cty.Value {
	out := map[string]cty.Value{}
	for i := range m.nodes {
		v := m.stepValue(int32(i))
		if m.nodes[i].status == Waiting && m.phase == phaseDone {
			attrs := v.AsValueMap()
			attrs["status"] = cty.StringVal(string(m.unreached(int32(i))))
			v = cty.ObjectVal(attrs)
		}
		out[m.d.nodes[i].step.Name] = v
	}
	return out
}

// stepValue is a step as others see it.
func (m *Machine) stepValue(n int32) cty.Value {
	s := &m.nodes[n]
	if s.value != nil {
		return *s.value
	}
	v := m.buildStepValue(n)
	if s.status != Waiting && s.status != Running {
		s.value = &v
	}
	return v
}

func (m *Machine) buildStepValue(n int32) cty.Value {
	s := &m.nodes[n]
	attrs := map[string]cty.Value{
		"status": cty.StringVal(string(s.status)), "error": errorValue(s.err, m.d.nodes[n].step.Name),
		"outputs": cty.NullVal(cty.DynamicPseudoType), "run": cty.NullVal(cty.String),
	}
	if s.items.kind == single {
		if len(s.items.list) == 1 {
			it := &s.items.list[0]
			attrs["outputs"], attrs["run"] = it.outputs(), it.run()
			if s.status == Caught {
				attrs["error"] = errorValue(it.result.err, m.d.nodes[n].step.Name)
			}
		}
		return cty.ObjectVal(attrs)
	}
	outputs, each := map[string]cty.Value{}, map[string]cty.Value{}
	var list, eachList []cty.Value
	for i := range s.items.list {
		it := &s.items.list[i]
		one := cty.ObjectVal(map[string]cty.Value{
			"status": cty.StringVal(string(it.status())), "outputs": it.outputs(), "run": it.run(), "error": it.failure(m.keyOf(target{n, int32(i)})),
		})
		if s.items.kind == ofList {
			list, eachList = append(list, it.outputs()), append(eachList, one)
			continue
		}
		key := s.items.key(int32(i)).AsString()
		outputs[key], each[key] = it.outputs(), one
	}
	attrs["outputs"], attrs["items"] = object(outputs), object(each)
	if s.items.kind == ofList {
		attrs["outputs"], attrs["items"] = cty.TupleVal(list), cty.TupleVal(eachList)
	}
	return cty.ObjectVal(attrs)
}

func (it *item) outputs() cty.Value {
	if it.result == nil || it.result.outputs == cty.NilVal {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return it.result.outputs
}

func (it *item) run() cty.Value {
	if it.result == nil || it.result.run == "" {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(it.result.run)
}

func (it *item) failure(step string) cty.Value {
	if it.result == nil {
		return cty.NullVal(errorType)
	}
	return errorValue(it.result.err, step)
}

// evaluate gives the value of an expression, marks and all. What it is names it
// in the run: what is random follows from that.
func (m *Machine) evaluate(what string, expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, *Error) {
	m.scope.fix(m.start.Run+" "+what, m.now)
	return evaluate(expr, ctx)
}

func evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, *Error) {
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				return cty.NilVal, &Error{EvaluationError, at(expr) + d.Summary + ": " + d.Detail}
			}
		}
	}
	return v, nil
}

// at says where an expression stands.
func at(expr hcl.Expression) string {
	rng := expr.Range()
	if rng.Filename == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", rng.Filename, rng.Start.Line)
}

// condition decides about a node or an item, which key names.
func (m *Machine) condition(n int32, key string, ctx *hcl.EvalContext) (bool, *Error) {
	expr := m.d.nodes[n].step.When
	v, err := m.evaluate(key+" when", expr, ctx)
	if err != nil {
		return false, err
	}
	v, _ = v.Unmark()
	b, bad := convert.Convert(v, cty.Bool)
	if bad != nil || b.IsNull() || !b.IsKnown() {
		return false, &Error{EvaluationError, at(expr) + "when must be true or false."}
	}
	return b.True(), nil
}

// caught are the outputs of a step whose failure a catch block takes.
func (m *Machine) caught(t target, c *projects.Catch, failure *Error) (cty.Value, *Error) {
	if c.Outputs == nil {
		return cty.NilVal, nil
	}
	ctx := m.itemScope(t).NewChild()
	ctx.Variables = map[string]cty.Value{"error": errorValue(failure, m.keyOf(t))}
	return m.evaluate(m.keyOf(t)+" catch", c.Outputs, ctx)
}

// outputs are those of the workflow.
// With main, those that wait for the finally steps are left out.
func (m *Machine) outputs(main bool) (cty.Value, *Error) {
	values := map[string]cty.Value{}
	for _, name := range sortedKeys(m.d.Workflow.Outputs) {
		o := m.d.Workflow.Outputs[name]
		sees, later := map[int]bool{}, false
		for _, t := range m.d.variables(o.Expr, nil) {
			if j, ok := m.d.byName[second(t)]; ok && t.RootName() == "step" {
				sees[j] = true
				later = later || m.d.nodes[j].phase != phaseMain
			}
		}
		if later && main {
			continue
		}
		ctx := m.scope.context(m, sorted(sees))
		m.scope.fix(m.start.Run+" output "+name, m.now)
		m.scope.locals(m, ctx, o.Expr.Variables())
		v, err := evaluate(o.Expr, ctx)
		if err != nil {
			return cty.NilVal, err
		}
		if o.Sensitive {
			v = v.Mark(sensitive)
		} else if v.HasMarkDeep(sensitive) {
			return cty.NilVal, &Error{EvaluationError, at(o.Expr) + fmt.Sprintf("The output %q is sensitive: declare it with sensitive = true.", name)}
		}
		if infinite(v) {
			return cty.NilVal, &Error{EvaluationError, at(o.Expr) + fmt.Sprintf("The output %q is infinite: such numbers cannot be kept.", name)}
		}
		values[name] = v
	}
	return object(values), nil
}

// arguments evaluates an action's, without marks; those not given are null.
func (m *Machine) arguments(t target, a *projects.Action) (map[string]cty.Value, *Error) {
	m.scope.fix(m.start.Run+" "+m.keyOf(t), m.now)
	v, err := Arguments(a, m.itemScope(t))
	if err != nil {
		return nil, err
	}
	if v, _ = v.UnmarkDeep(); !v.IsWhollyKnown() {
		return nil, &Error{EvaluationError, "Its arguments are not known."}
	}
	return v.AsValueMap(), nil
}

// unfit says what is wrong with the value of an argument. One that is sensitive is not
// quoted.
func (m *Machine) unfit(t target, name, problem string) *Error {
	if v, err := Arguments(m.d.nodes[t.node].step.Action, m.itemScope(t)); err != nil || v.HasMarkDeep(marks.Sensitive) {
		return &Error{EvaluationError, name + ": the value, which is sensitive, is none that can stand here."}
	}
	return &Error{EvaluationError, name + ": " + problem + "."}
}

// infinite reports whether a value holds a number that has no end.
func infinite(v cty.Value) bool {
	found := false
	bare, _ := v.UnmarkDeep()
	_ = cty.Walk(bare, func(_ cty.Path, leaf cty.Value) (bool, error) {
		if leaf.Type() == cty.Number && leaf.IsKnown() && !leaf.IsNull() && leaf.AsBigFloat().IsInf() {
			found = true
		}
		return !found, nil
	})
	return found
}

// Arguments evaluates the arguments of an action as an object of the types that
// its schema says, marks and all.
func Arguments(a *projects.Action, ctx *hcl.EvalContext) (cty.Value, *Error) {
	schema := projects.Actions[a.Kind]
	attrs := map[string]cty.Value{}
	for name, arg := range schema.Arguments {
		if arg.Reference == "" {
			attrs[name] = cty.NullVal(arg.Type)
		}
	}
	for _, name := range sortedKeys(a.Arguments) {
		if a.Kind == "wait" && name == "match" {
			continue // about signals, not about the step
		}
		expr := a.Arguments[name]
		v, err := evaluate(expr, ctx)
		if err != nil {
			return cty.NilVal, err
		}
		converted, bad := convert.Convert(v, schema.Arguments[name].Type)
		if bad != nil {
			return cty.NilVal, &Error{EvaluationError, fmt.Sprintf("%sThe argument %q is not suitable: %s.", at(expr), name, bad)}
		}
		if converted.IsNull() && schema.Arguments[name].Required {
			return cty.NilVal, &Error{EvaluationError, fmt.Sprintf("%sThe argument %q must not be null.", at(expr), name)}
		}
		attrs[name] = converted
	}
	return object(attrs), nil
}
