package flow

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// checker finds what can be known to be wrong with a definition before a run.
type checker struct {
	d            *Definition
	stackOutputs func(stack string) (map[string]bool, bool)
	functions    map[string]function.Function
	diags        diag.List
}

func (d *Definition) validate(stackOutputs func(string) (map[string]bool, bool)) diag.List {
	c := &checker{d: d, stackOutputs: stackOutputs, functions: functions.Table(functions.Options{BaseDir: d.Project.Dir, PureOnly: true})}
	for i := range d.nodes {
		c.node(i)
	}
	for _, name := range sortedKeys(d.Workflow.Outputs) {
		o := d.Workflow.Outputs[name]
		if c.references(o.Expr, place{phase: phaseDone, self: -1}) {
			c.evaluate(o.Expr, c.context(place{phase: phaseDone, self: -1}))
		}
	}
	for _, name := range sortedKeys(d.Workflow.Locals) {
		c.references(d.Workflow.Locals[name].Expr, place{phase: phaseDone, self: -1, local: true})
	}
	c.cycles()
	return c.diags
}

// place is where an expression stands: that decides what it may refer to.
type place struct {
	phase phase
	self  int // node; -1 for none
	each  bool
	extra string // one more name: self, error or event
	// secrets is allowed, or why they are not; empty where they never are.
	secrets string
	rotates bool // the action sees both values of a secret that is rotated
	seen    bool // what is given here is seen by others
	local   bool // it counts where the value is used
}

func (c *checker) errorAt(rng hcl.Range, summary, detail string, args ...any) {
	c.diags = append(c.diags, diag.ErrorAt(rng, summary, detail, args...)...)
}

func (c *checker) node(i int) {
	n := &c.d.nodes[i]
	s := n.step
	at := place{phase: n.phase, self: i, each: s.ForEach != nil}
	for _, r := range s.Needs {
		c.step(r.Name, r.Range, at)
	}
	if s.ForEach != nil {
		outer := at
		outer.each = false
		c.repeatable(s.ForEach)
		if c.references(s.ForEach, outer) {
			c.forEach(s.ForEach, outer)
		}
	}
	if s.When != nil {
		c.repeatable(s.When)
		if c.references(s.When, at) {
			c.when(s, at)
		}
	}
	for _, a := range []*projects.Action{s.Action, s.Undo} {
		if a == nil {
			continue
		}
		here := at
		if a == s.Undo {
			here.extra = "self"
		}
		c.action(a, here)
	}
	for _, one := range s.Catch {
		inner := at
		inner.extra = "error"
		if one.Outputs == nil {
			continue
		}
		c.repeatable(one.Outputs)
		if c.references(one.Outputs, inner) {
			c.evaluate(one.Outputs, c.context(inner))
		}
	}
	if s.Cache != nil && s.Cache.Key != nil && c.references(s.Cache.Key, at) {
		c.evaluate(s.Cache.Key, c.context(at))
	}
}

// references checks what an expression refers to, and reports whether all of it
// is there.
func (c *checker) references(expr hcl.Expression, at place) bool {
	before := len(c.diags)
	for _, t := range expr.Variables() {
		c.traversal(t, at)
	}
	for _, t := range c.d.variables(expr, nil)[len(expr.Variables()):] { // of locals
		if t.RootName() == "secret" && len(c.diags) == before {
			c.secret(second(t), expr.Range(), at)
		}
	}
	if at.self < 0 || len(c.diags) > before {
		return len(c.diags) == before
	}
	for _, t := range c.d.variables(expr, nil) { // those of locals as well
		if j, ok := c.d.byName[second(t)]; ok && t.RootName() == "step" && (j == at.self || c.d.nodes[j].phase > at.phase) {
			c.step(second(t), expr.Range(), at)
		}
	}
	return len(c.diags) == before
}

// repeatable checks that an expression gives the same whenever it is evaluated
// again: what a workflow does next must not change because a file did, when its
// journal is followed after a crash.
func (c *checker) repeatable(expr hcl.Expression) {
	list := []hcl.Expression{expr}
	for _, t := range c.d.variables(expr, nil) {
		if l := c.d.local(second(t)); l != nil && t.RootName() == "local" {
			list = append(list, l.Expr)
		}
	}
	for _, one := range list {
		node, ok := one.(hclsyntax.Node)
		if !ok {
			continue
		}
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			call, ok := n.(*hclsyntax.FunctionCallExpr)
			if !ok {
				return nil
			}
			name := strings.TrimPrefix(call.Name, functions.CoreNamespace)
			if strings.HasPrefix(name, "file") || name == "templatefile" || name == "bcrypt" {
				c.errorAt(expr.Range(), "Not the same after a crash", "What decides about steps must not call %s: its result can change while the workflow runs. Let a step find it out, and refer to its outputs.", name)
			}
			return nil
		})
	}
}

func (c *checker) traversal(t hcl.Traversal, at place) {
	rng, name := t.SourceRange(), second(t)
	root := t.RootName()
	switch root {
	case "var", "local", "step", "stack", "secret", "environment", "run", "path":
		if name == "" {
			if root == "var" || root == "local" || root == "step" || root == "stack" || root == "secret" {
				c.errorAt(rng, "Invalid reference", "The %q object cannot be used on its own: write %s.NAME.", root, root)
			}
			return
		}
	}
	switch root {
	case "var":
		if c.d.Variable(name) == nil {
			c.errorAt(rng, "Reference to undeclared input variable", "Neither the workflow %q nor the project declares a variable %q.%s", c.d.Workflow.Name, name, suggest(name, sortedKeys(c.d.Variables())))
		}
	case "local":
		if c.d.local(name) == nil {
			c.errorAt(rng, "Reference to undeclared local value", "Neither the workflow %q nor the project declares a local value %q.", c.d.Workflow.Name, name)
		}
	case "step":
		c.step(name, rng, at)
	case "stack":
		c.stack(t, name, rng)
	case "secret":
		c.secret(name, rng, at)
	case "rotation":
		c.rotation(name, rng, at)
	case "each":
		if !at.each {
			c.errorAt(rng, "Invalid reference", "each.key and each.value are there only in a step with for_each.")
		} else if name != "key" && name != "value" {
			c.errorAt(rng, "Invalid reference", "There are each.key and each.value, nothing else.")
		}
	case "environment", "run", "path":
	default:
		if root == at.extra {
			return
		}
		c.errorAt(rng, "Invalid reference", "There is nothing called %q here. Expressions of workflows see var, local, step, stack, secret, environment, run, path%s.", root, map[bool]string{true: " and each", false: ""}[at.each])
	}
}

func suggest(name string, names []string) string {
	for _, other := range names {
		if strings.EqualFold(name, other) || strings.HasPrefix(other, name) || strings.HasPrefix(name, other) {
			return fmt.Sprintf(" Did you mean %q?", other)
		}
	}
	return ""
}

// step checks a reference to a step: it must be there, another one, and not of
// a later part of the workflow.
func (c *checker) step(name string, rng hcl.Range, at place) {
	j, ok := c.d.byName[name]
	switch {
	case !ok:
		c.errorAt(rng, "Reference to undeclared step", "There is no step %q in the workflow %q.%s", name, c.d.Workflow.Name, suggest(name, sortedKeys(c.d.byName)))
	case j == at.self && at.extra == "self":
		c.errorAt(rng, "Step refers to itself", "What undoes a step sees its outputs as self.outputs.")
	case j == at.self:
		c.errorAt(rng, "Step refers to itself", "The step %q cannot refer to itself.", name)
	case c.d.nodes[j].phase > at.phase:
		c.errorAt(rng, "Reference to a later step", "The step %q comes only after the others have ended: nothing before can refer to it.", name)
	}
}

func (c *checker) stack(t hcl.Traversal, name string, rng hcl.Range) {
	if c.d.Project.Stacks[name] == nil {
		c.errorAt(rng, "Reference to undeclared stack", "There is no stack %q in this project.%s", name, suggest(name, sortedKeys(c.d.Project.Stacks)))
		return
	}
	if c.stackOutputs == nil || len(t) < 3 {
		return
	}
	attr, ok := t[2].(hcl.TraverseAttr)
	outputs, known := c.stackOutputs(name)
	if ok && known && !outputs[attr.Name] {
		c.errorAt(rng, "Reference to undeclared output", "The stack %q has no output %q.%s", name, attr.Name, suggest(attr.Name, sortedKeys(outputs)))
	}
}

// context is where an expression is tried out: what only a run can tell is
// unknown, but of the right type.
func (c *checker) context(at place) *hcl.EvalContext {
	vars := map[string]cty.Value{}
	for name, v := range c.d.Variables() {
		vars[name] = cty.UnknownVal(v.ConstraintType)
	}
	steps := map[string]cty.Value{}
	for _, j := range c.visible(at) {
		n := &c.d.nodes[j]
		if int(j) == at.self || n.phase > at.phase || n.step.Action == nil {
			continue
		}
		attrs := map[string]cty.Value{
			"status": cty.UnknownVal(cty.String), "error": cty.UnknownVal(errorType), "run": cty.UnknownVal(cty.String),
			"outputs": c.outputs(n.step),
		}
		if n.step.ForEach != nil {
			attrs["items"] = cty.DynamicVal
		}
		steps[n.step.Name] = cty.ObjectVal(attrs)
	}
	stacks := map[string]cty.Value{}
	for name := range c.d.Project.Stacks {
		stacks[name] = cty.DynamicVal
	}
	ctx := &hcl.EvalContext{Functions: c.functions, Variables: map[string]cty.Value{
		"var": object(vars), "step": object(steps), "stack": object(stacks), "local": cty.DynamicVal,
		"environment": cty.UnknownVal(cty.Object(map[string]cty.Type{"name": cty.String, "labels": cty.DynamicPseudoType})),
		"path":        cty.UnknownVal(cty.Object(map[string]cty.Type{"root": cty.String})),
		"run": cty.UnknownVal(cty.Object(map[string]cty.Type{
			"id": cty.String, "workflow": cty.String, "actor": cty.String, "started": cty.String, "error": errorType,
		})),
	}}
	secretVariables(ctx, append(sortedKeys(c.d.Project.Secrets), NewValue, OldValue), func(string) cty.Value { return unknownSecret })
	if at.each {
		ctx.Variables["each"] = cty.DynamicVal
	}
	switch at.extra {
	case "self":
		ctx.Variables["self"] = cty.DynamicVal
	case "error":
		ctx.Variables["error"] = cty.UnknownVal(errorType)
	case "event":
		ctx.Variables["event"] = cty.UnknownVal(cty.Object(map[string]cty.Type{"name": cty.String, "by": cty.String, "data": cty.DynamicPseudoType}))
	}
	return ctx
}

// visible are the steps that expressions at a place refer to.
func (c *checker) visible(at place) []int32 {
	if at.self >= 0 {
		return c.d.nodes[at.self].sees
	}
	all := make([]int32, len(c.d.nodes))
	for j := range all {
		all[j] = int32(j)
	}
	return all
}

// outputs is the type of what others see as the outputs of a step.
func (c *checker) outputs(s *projects.Step) cty.Value {
	if s.ForEach != nil || len(s.Catch) > 0 {
		return cty.DynamicVal
	}
	return cty.UnknownVal(projects.Actions[s.Action.Kind].Outputs)
}

func (c *checker) evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		c.diags = append(c.diags, diag.FromHCL(diags)...)
	}
	return v, !diags.HasErrors()
}

func (c *checker) when(s *projects.Step, at place) {
	v, ok := c.evaluate(s.When, c.context(at))
	if !ok {
		return
	}
	b, err := convert.Convert(v, cty.Bool)
	switch {
	case err != nil:
		c.errorAt(s.When.Range(), "Unsuitable condition", "when must be true or false: %s.", err)
	case b.IsKnown() && b.IsNull():
		c.errorAt(s.When.Range(), "Unsuitable condition", "when must not be null.")
	case b.IsKnown() && b.False() && len(s.When.Variables()) == 0:
		c.errorAt(s.When.Range(), "Unreachable step", "The condition of step %q is never true, so it would never be carried out. Remove the step, or the condition.", s.Name)
	}
}

func (c *checker) forEach(expr hcl.Expression, at place) {
	v, ok := c.evaluate(expr, c.context(at))
	if !ok {
		return
	}
	ty := v.Type()
	if ty == cty.DynamicPseudoType || ty.IsMapType() || ty.IsObjectType() || ty.IsListType() || ty.IsTupleType() {
		return
	}
	if ty.IsSetType() && (ty.ElementType() == cty.String || ty.ElementType() == cty.DynamicPseudoType) {
		return
	}
	c.errorAt(expr.Range(), "Unsuitable for_each", "for_each must be a map, an object, a set of strings or a list, not %s.", ty.FriendlyName())
}

func (c *checker) action(a *projects.Action, at place) {
	schema := projects.Actions[a.Kind]
	for _, name := range sortedKeys(a.Arguments) {
		expr, here := a.Arguments[name], at
		here.secrets, here.rotates = secretsIn(a.Kind), a.Versions != nil
		here.seen = a.Kind == "exec" && name == "command" || a.Kind == "script" && (name == "arguments" || name == "source")
		if a.Kind == "wait" && name == "match" {
			here.extra = "event"
		}
		if a.Kind == "wait" || a.Kind == "approval" {
			c.repeatable(expr)
		}
		if !c.references(expr, here) {
			continue
		}
		v, ok := c.evaluate(expr, c.context(here))
		if !ok {
			continue
		}
		if _, err := convert.Convert(v, schema.Arguments[name].Type); err != nil {
			c.errorAt(expr.Range(), "Unsuitable argument", "The argument %q of %s is not suitable: %s.", name, a.Kind, err)
			continue
		}
		c.literal(a, name, v, expr.Range())
	}
	if a.Kind == "workflow" {
		c.child(a)
	}
}

// literal checks values that are known already.
func (c *checker) literal(a *projects.Action, name string, v cty.Value, rng hcl.Range) {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() || v.IsNull() {
		return
	}
	switch a.Kind + "." + name {
	case "wait.duration", "approval.expires":
		if _, err := projects.ParseDuration(v.AsString()); err != nil {
			c.errorAt(rng, "Invalid duration", "The argument %q: %s.", name, err)
		}
	case "wait.until":
		if _, err := time.Parse(time.RFC3339, v.AsString()); err != nil {
			c.errorAt(rng, "Invalid instant", "The argument %q: %q is not an instant such as 2026-01-02T15:04:05Z.", name, v.AsString())
		}
	case "script.interpreter":
		switch v.AsString() {
		case "bash", "sh", "pwsh", "python", "python3":
		default:
			c.errorAt(rng, "Unknown interpreter", "%q is none of bash, sh, pwsh and python.", v.AsString())
		}
	case "exec.command":
		if v.LengthInt() == 0 {
			c.errorAt(rng, "Empty command", "A command is a list of a program and its arguments.")
		}
	case "approval.roles":
		if v.LengthInt() == 0 {
			c.errorAt(rng, "Nobody can approve", "The list of roles is empty: name the roles of which whoever approves must hold one, or leave it out.")
		}
		for _, role := range v.AsValueSlice() {
			if c.d.Project.Guarded && !role.IsNull() && c.d.Project.Roles[role.AsString()] == nil {
				c.errorAt(rng, "Reference to undeclared role", "There is no role %q in this project. Declared are: %s.", role.AsString(), strings.Join(sortedKeys(c.d.Project.Roles), ", "))
			}
		}
	case "approval.count":
		if n, _ := v.AsBigFloat().Float64(); n < 1 || n != float64(int(n)) {
			c.errorAt(rng, "Invalid count", "At least one person must approve.")
		}
	}
}

// child checks what a workflow is given that a step runs.
func (c *checker) child(a *projects.Action) {
	r := a.References["run"]
	w := c.d.Project.Workflows[r.Name]
	if w == nil {
		return // reported already
	}
	if c.runs(w, map[string]bool{}) {
		c.errorAt(r.Range, "Workflow runs itself", "The workflow %q would run itself without end.", c.d.Workflow.Name)
		return
	}
	given := map[string]bool{}
	if expr := a.Arguments["inputs"]; expr != nil {
		pairs, diags := hcl.ExprMap(expr)
		if diags.HasErrors() {
			return // known only in the run
		}
		for _, pair := range pairs {
			name := hcl.ExprAsKeyword(pair.Key)
			given[name] = true
			if w.Definition == "" && w.Variables[name] == nil && name != "" {
				c.errorAt(pair.Key.Range(), "Unknown input", "The workflow %q has no variable %q.%s", w.Name, name, suggest(name, sortedKeys(w.Variables)))
			}
		}
	}
	for _, name := range sortedKeys(w.Variables) {
		if w.Variables[name].Required() && !given[name] {
			c.errorAt(a.DeclRange, "Missing input", "The workflow %q needs a value for its variable %q.", w.Name, name)
		}
	}
}

// runs reports whether a workflow runs the one that is checked, directly or not.
func (c *checker) runs(w *projects.Workflow, seen map[string]bool) bool {
	if w == c.d.Workflow {
		return true
	}
	if w == nil || seen[w.Name] {
		return false
	}
	seen[w.Name] = true
	run := func(a *projects.Action) bool {
		return a != nil && a.Kind == "workflow" && c.runs(c.d.Project.Workflows[a.References["run"].Name], seen)
	}
	for _, list := range [][]*projects.Step{w.Steps, w.OnFailure, w.Finally} {
		for _, s := range list {
			if run(s.Action) || run(s.Undo) {
				return true
			}
		}
	}
	for _, b := range w.Bindings {
		if run(b.Action) {
			return true
		}
	}
	return false
}

// cycles reports steps that wait for each other.
func (c *checker) cycles() {
	const unseen, open, closed = 0, 1, 2
	state := make([]byte, len(c.d.nodes))
	type frame struct{ node, next int }
	for root := range c.d.nodes {
		if state[root] != unseen {
			continue
		}
		stack := []frame{{root, 0}}
		state[root] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			needs := c.d.nodes[top.node].needs
			if top.next == len(needs) {
				state[top.node] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			need := int(needs[top.next])
			top.next++
			switch state[need] {
			case unseen:
				state[need] = open
				stack = append(stack, frame{need, 0})
			case open:
				if need == top.node {
					continue // reported as a reference to itself
				}
				from := len(stack) - 1
				for stack[from].node != need {
					from--
				}
				var names []string
				for _, f := range append(stack[from:len(stack):len(stack)], stack[from]) {
					names = append(names, c.d.nodes[f.node].step.Name)
				}
				c.errorAt(c.d.nodes[need].step.DeclRange, "Cycle of steps", "These steps need each other, so none can begin: %s.", strings.Join(names, " needs "))
			}
		}
	}
}
