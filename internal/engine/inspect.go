package engine

import (
	"context"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
)

// View is the root module as a plan or an apply leaves it, for evaluating
// expressions about it.
type View struct {
	root  *scope
	close func()
}

// PlanView plans, and keeps what was evaluated. The view is nil where planning
// did not come that far; it must be closed otherwise.
func PlanView(ctx context.Context, in PlanInput) (*plans.Plan, *View, diag.List) {
	p := newPlanner(ctx, in)
	p.keepOpen = true
	plan, diags := p.run()
	if p.ev == nil {
		p.provs.close()
		return plan, nil, diags
	}
	return plan, &View{root: p.ev.root, close: p.provs.close}, diags
}

// View is the root module with what has been carried out so far.
func (a *Apply) View() *View { return &View{root: a.ev.root, close: func() {}} }

// Close gives started providers back.
func (v *View) Close() { v.close() }

// Output returns the value of an output of the root module.
func (v *View) Output(name string) (cty.Value, diag.List) { return v.root.output(name) }

// Context makes an evaluation context for expressions, which may refer to
// whatever the root module's own may, to its outputs (output.NAME), and to extra
// by its names.
func (v *View) Context(extra map[string]cty.Value, exprs ...hcl.Expression) (*hcl.EvalContext, diag.List) {
	var diags diag.List
	var own []hcl.Traversal
	outputs := map[string]cty.Value{}
	for _, expr := range exprs {
		for _, t := range expr.Variables() {
			root := t.RootName()
			if _, given := extra[root]; given {
				continue
			}
			if root != "output" || len(t) < 2 {
				own = append(own, t)
				continue
			}
			step, ok := t[1].(hcl.TraverseAttr)
			if !ok || v.root.module.Outputs[step.Name] == nil {
				diags = append(diags, diag.ErrorAt(t.SourceRange(), "Reference to undeclared output value", "The module under test has no output of that name.")...)
				continue
			}
			val, d := v.root.output(step.Name)
			diags = append(diags, d...)
			outputs[step.Name] = val
		}
	}
	refs, d := lang.References(own)
	diags = append(diags, d...)
	if diags.HasErrors() {
		return nil, diags
	}
	ctx, d := v.root.contextFor(refs, repetition{}, cty.NilVal)
	diags = append(diags, d...)
	ctx = ctx.NewChild()
	ctx.Variables = maps.Clone(extra)
	if ctx.Variables == nil {
		ctx.Variables = map[string]cty.Value{}
	}
	if len(outputs) > 0 {
		ctx.Variables["output"] = cty.ObjectVal(outputs)
	}
	return ctx, diags
}

// Assert evaluates a condition about the module. Unknown says that it cannot be
// told before apply.
func (v *View) Assert(rule *configs.CheckRule, extra map[string]cty.Value) (plans.CheckStatus, diag.List) {
	ctx, diags := v.Context(extra, rule.Condition, rule.ErrorMessage)
	if diags.HasErrors() {
		return plans.CheckError, diags
	}
	status, d := Judge(ctx, rule, "Test assertion failed")
	return status, append(diags, d...)
}

// Judge evaluates a condition; where it does not hold, the diagnostic has its
// message.
func Judge(ctx *hcl.EvalContext, rule *configs.CheckRule, summary string) (plans.CheckStatus, diag.List) {
	status, _, diags := judge(ctx, rule, summary, diag.Error)
	return status, diags
}

// Standalone is a context of functions only, for expressions outside of modules.
func Standalone(workDir string) *hcl.EvalContext {
	return &hcl.EvalContext{Functions: functions.Table(functions.Options{BaseDir: workDir})}
}

// Conditions are those of a checkable object, by which diagnostics about it are
// known (diag.Diagnostic.Expression). The address is as in expect_failures.
func Conditions(m *configs.Module, address hcl.Traversal) ([]hcl.Expression, diag.List) {
	name := ""
	if len(address) > 1 {
		if step, ok := address[1].(hcl.TraverseAttr); ok {
			name = step.Name
		}
	}
	var rules []*configs.CheckRule
	switch address.RootName() {
	case "var":
		if v := m.Variables[name]; v != nil {
			rules = v.Validations
		}
	case "output":
		if o := m.Outputs[name]; o != nil {
			rules = o.Preconditions
		}
	case "check":
		if c := m.Checks[name]; c != nil {
			rules = c.Asserts
		}
	default:
		ref, hclDiags := addrs.ParseReference(address)
		if !hclDiags.HasErrors() && ref.Kind == addrs.RefResource && m.Resources[ref.Resource] != nil {
			r := m.Resources[ref.Resource]
			rules = append(append(rules, r.Preconditions...), r.Postconditions...)
		}
	}
	if len(rules) == 0 {
		return nil, diag.ErrorAt(address.SourceRange(), "Nothing that can fail", "expect_failures names input variables (var.x), outputs (output.x), check blocks (check.x) and resources that have conditions of their own; this is none of the module under test.")
	}
	out := make([]hcl.Expression, len(rules))
	for i, rule := range rules {
		out[i] = rule.Condition
	}
	return out, nil
}
