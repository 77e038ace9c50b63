package tests

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// runRunner does one run block.
type runRunner struct {
	*fileRunner
	run    *configs.TestRun
	result *RunResult

	expected []expectation
}

// expectation is an object whose conditions are to fail.
type expectation struct {
	address    hcl.Traversal
	conditions []hcl.Expression
	seen       bool
}

func (r *runRunner) do(ctx context.Context) {
	in, diags := r.input()
	r.report(Error, diags)
	if diags.HasErrors() {
		return
	}
	key := r.stateKey()
	k := r.states[key]
	if k == nil {
		k = &kept{state: states.New()}
		r.states[key] = k
	}
	r.order = append(slices.DeleteFunc(r.order, func(other string) bool { return other == key }), key)
	in.Prior, k.input = k.state, in

	plan, view, diags := engine.PlanView(ctx, in)
	if view != nil {
		defer view.Close()
	}
	r.result.Plan = plan
	diags, failures := r.withoutExpected(diags)
	r.report(Error, diags)
	if diags.HasErrors() || view == nil {
		return
	}
	if failures > 0 && !r.run.PlanOnly {
		r.report(Fail, diag.ErrorAt(r.run.DeclRange, "Expected failure while planning",
			"A condition that is expected to fail did so while planning, which kept the run from being applied. Such a run needs command = plan."))
		return
	}
	if !r.run.PlanOnly {
		var d diag.List
		k.state, view, _, d = apply(ctx, plan, in)
		d, _ = r.withoutExpected(d)
		r.report(Error, d)
		if view == nil {
			return
		}
	}
	r.keepOutputs(in.Config.Root, view, failures > 0)
	if r.result.Status == Error {
		return
	}
	if failures == 0 {
		r.assert(view)
	}
	for _, e := range r.expected {
		if !e.seen {
			r.report(Fail, diag.ErrorAt(e.address.SourceRange(), "Missing expected failure", "This was expected to report a failing condition, but none of its conditions failed."))
		}
	}
	r.result.Status = worse(r.result.Status, Pass)
	if r.result.Status == Skip {
		r.result.Status = Pass
	}
}

// report adds diagnostics; errors among them make the run end so.
func (r *runRunner) report(status Status, diags diag.List) {
	r.result.Diags = append(r.result.Diags, diags...)
	if diags.HasErrors() {
		r.result.Status = worse(r.result.Status, status)
	}
}

// input gathers what is planned.
func (r *runRunner) input() (engine.PlanInput, diag.List) {
	dir := "."
	if r.run.Module != "" {
		dir = r.run.Module
	}
	cfg, diags := r.opts.Load(dir)
	if diags.HasErrors() {
		return engine.PlanInput{}, diags
	}
	ctx := r.context()
	variables, d := r.variables(cfg.Root, ctx)
	diags = append(diags, d...)
	factory, d := r.provide(cfg, ctx)
	diags = append(diags, d...)
	for _, address := range r.run.Expected {
		conditions, d := engine.Conditions(cfg.Root, address)
		diags = append(diags, d...)
		r.expected = append(r.expected, expectation{address: address, conditions: conditions})
	}
	in := engine.PlanInput{
		Config: cfg, Variables: variables, Providers: factory, Targets: r.run.Targets, SkipRefresh: r.run.NoRefresh,
		RootDir: dir, WorkDir: r.opts.WorkDir, Parallelism: r.opts.Parallelism, Now: time.Now().UTC(), Program: r.opts.Program,
	}
	if r.run.Mode == "refresh-only" {
		in.Mode = plans.RefreshOnly
	}
	for _, t := range r.run.Replace {
		inst, err := addrs.ParseResourceInstance(traversalText(t))
		if err != nil {
			diags = append(diags, diag.ErrorAt(t.SourceRange(), "Invalid resource instance", "%s.", err)...)
			continue
		}
		in.ForceReplace = append(in.ForceReplace, inst)
	}
	return in, diags
}

// traversalText writes a traversal as an address.
func traversalText(t hcl.Traversal) string {
	text := t.RootName()
	for _, step := range t[1:] {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			text += "." + step.Name
		case hcl.TraverseIndex:
			if step.Key.Type() == cty.Number {
				text += "[" + step.Key.AsBigFloat().Text('f', -1) + "]"
			} else {
				text += fmt.Sprintf("[%q]", step.Key.AsString())
			}
		}
	}
	return text
}

// variables are the module's: those of the run, else of the file, else from
// outside.
func (r *runRunner) variables(m *configs.Module, ctx *hcl.EvalContext) (map[string]configs.InputValue, diag.List) {
	out := map[string]configs.InputValue{}
	var diags diag.List
	for name := range m.Variables {
		if in, ok := r.opts.Variables[name]; ok {
			out[name] = in
		}
		if expr, ok := r.file.Variables[name]; ok {
			out[name] = configs.InputValue{Value: r.globals[name], Source: configs.FromCaller, Range: expr.Range().Ptr()}
		}
	}
	for name, expr := range r.run.Variables {
		if m.Variables[name] == nil {
			diags = append(diags, diag.WarningAt(expr.Range(), "Value for undeclared variable", "The module under test does not declare a variable named %q, so this value has no effect.", name)...)
			continue
		}
		val, d := expr.Value(ctx)
		diags = append(diags, diag.FromHCL(d)...)
		if !d.HasErrors() {
			out[name] = configs.InputValue{Value: val, Source: configs.FromCaller, Range: expr.Range().Ptr()}
		}
	}
	return out, diags
}

// stateKey tells which state a run works on: that of its module, unless it says
// otherwise.
func (r *runRunner) stateKey() string {
	if r.run.StateKey != "" {
		return "key:" + r.run.StateKey
	}
	return "module:" + r.run.Module
}

// withoutExpected leaves out the failures that are expected, and counts those
// that are errors.
func (r *runRunner) withoutExpected(diags diag.List) (rest diag.List, failures int) {
	for _, d := range diags {
		hit := false
		for i := range r.expected {
			if d.Expression != nil && slices.Contains(r.expected[i].conditions, d.Expression) {
				r.expected[i].seen, hit = true, true
			}
		}
		switch {
		case !hit:
			rest = append(rest, d)
		case d.Severity == diag.Error:
			failures++
		}
	}
	return rest, failures
}

// keepOutputs lets later runs refer to this one's outputs.
func (r *runRunner) keepOutputs(m *configs.Module, view *engine.View, failed bool) {
	attrs := map[string]cty.Value{}
	for name := range m.Outputs {
		val, diags := view.Output(name)
		if diags.HasErrors() {
			val = cty.DynamicVal
			if !failed {
				r.report(Error, diags)
			}
		}
		attrs[name] = val
	}
	r.outputs[r.run.Name] = cty.ObjectVal(attrs)
}

// assert evaluates the assertions.
func (r *runRunner) assert(view *engine.View) {
	extra := map[string]cty.Value{"run": cty.ObjectVal(r.outputs)}
	for _, rule := range r.run.Asserts {
		status, diags := view.Assert(rule, extra)
		switch status {
		case plans.CheckUnknown:
			r.report(Error, diag.ErrorAt(rule.Condition.Range(), "Unknown condition value",
				"The condition rests on values that are known after apply only. Let the run apply (command = apply), or give the values with a mock or an override and override_during = plan."))
		case plans.CheckFail:
			r.report(Fail, diags)
		default:
			r.report(Error, diags)
		}
	}
}
