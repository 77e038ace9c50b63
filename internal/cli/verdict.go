package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// verdict is what is to be said about a plan that somebody decides about: what
// policy says, and what it costs. It is said for the run that waits: for whom that is
// by, and with the overrides it was given.
type verdict struct {
	decisions []*policy.Decision // one for each stack that policies are for
	several   bool               // the plan is of several stacks
	estimate  *cost.Estimate     // nil where there is nothing to say
	budgets   []cost.Verdict
	told      bool // all of it, where nobody was asked
}

// verdictOn judges a plan that was kept, as the run that waits would be judged. What
// cannot be judged is a warning: it is judged again before anything is carried out.
func (p *project) verdictOn(ctx context.Context, digest string, run runs.Run) (*verdict, diag.List) {
	warned := func(diags diag.List) (*verdict, diag.List) {
		for i := range diags {
			diags[i].Severity = diag.Warning
		}
		return &verdict{}, diags
	}
	r := newStackRunner(p, nil)
	r.vars = nil // it is only looked at
	defer r.Close()
	shared, err := r.planned(ctx, digest)
	if err != nil {
		return warned(diag.FromError(err))
	}
	o := &ensembleOperation{
		ensemble: shared.ensemble, app: p.app, view: silentView{}, shared: shared.plan, plans: map[string]*loadedPlan{},
		by: runs.StackRequest{Parent: run.ID, Actor: run.Actor, Authority: run.Authority, Overrides: append([]runs.Override{}, run.Overrides...)},
	}
	o.names = nil
	for _, part := range shared.plan.Stacks {
		l, diags := o.operation(part.Name).loadPlan(part.Encoded)
		if diags.HasErrors() {
			return warned(diags)
		}
		o.names, o.plans[part.Name] = append(o.names, part.Name), l
	}
	return o.verdict(ctx, shared.plan.Kind)
}

// verdict judges the plans.
func (o *ensembleOperation) verdict(ctx context.Context, kind string) (*verdict, diag.List) {
	out := &verdict{several: len(o.names) > 1}
	var diags diag.List
	for _, name := range o.names {
		j, d := o.operation(name).holdToPolicy(ctx, o.plans[name], runOptions{kind: kind, parent: o.by.Parent})
		if diags = append(diags, inStack(name, d)...); j != nil {
			out.decisions = append(out.decisions, j.decision)
		}
	}
	if j := o.judge(ctx); j.worthTelling() {
		out.estimate, out.budgets = j.estimate, j.verdicts
	}
	for i := range diags {
		diags[i].Severity = diag.Warning
	}
	return out, diags
}

// verdictThere reads what a server says about a plan for the run that waits.
func (a *App) verdictThere(ctx context.Context, digest, run string) *verdict {
	out := &verdict{}
	doc, err := persist(ctx, func(ctx context.Context) (*client.PlanDocument, error) {
		return a.remote.GetPlan(ctx, digest, client.GetPlanQuery{Run: run})
	})
	var estimates []*cost.Estimate
	for i := 0; err == nil && i < len(doc.Stacks); i++ {
		part := api.PlanPart{Document: doc.Stacks[i].Plan, Decision: doc.Stacks[i].Decision, Cost: doc.Stacks[i].Cost}
		if err = readPart(&part, modeOf(doc.Kind)); err != nil {
			break
		}
		if part.Judged != nil {
			out.decisions = append(out.decisions, part.Judged)
		}
		if part.Priced != nil {
			estimates = append(estimates, part.Priced)
		}
	}
	if err != nil {
		a.show(diag.Warningf("Cannot tell what is said of the plan", "What policy says of the plan %s, and what it costs, cannot be read from the server: %s.", digest, err))
		return &verdict{}
	}
	out.several = len(doc.Stacks) > 1
	if all := cost.Join(estimates...); all.Touched() {
		out.estimate = all
	}
	return out
}

// show shows all of it.
func (v *verdict) show(t *views.Terminal) {
	for _, d := range v.decisions {
		if v.several {
			t.StackDecision(d.Stack, d)
		} else {
			t.Decision(d)
		}
	}
	if v.estimate != nil {
		t.Cost(v.estimate, v.budgets)
	}
}

// showApart shows it by itself, where nobody is asked.
func (v *verdict) showApart(a *App) {
	if len(v.decisions) > 0 || v.estimate != nil {
		v.show(a.terminals().out)
		fmt.Fprintln(a.Out)
	}
	v.told = true
}

// summary says it in a line each, for who was shown more before.
func (v *verdict) summary() string {
	var b strings.Builder
	if v.told {
		return ""
	}
	for _, d := range v.decisions {
		name := "Policy"
		if v.several {
			name += ", stack " + d.Stack
		}
		fmt.Fprintf(&b, "%s: %s\n", name, views.DecisionText(d))
	}
	if v.estimate != nil {
		fmt.Fprintf(&b, "Monthly cost: %s\n", views.CostText(v.estimate))
	}
	return b.String()
}
