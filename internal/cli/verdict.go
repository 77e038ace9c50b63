package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
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
func verdictOn(ctx context.Context, p *project.Directory, digest string, run runs.Run) (*verdict, diag.List) {
	out := &verdict{}
	o, diags := operations.Kept(ctx, p, digest, run)
	if o != nil {
		defer o.CloseMembers()
		out.several = len(o.Names) > 1
		out.decisions, diags = o.Decisions(ctx)
		if j := o.Judge(ctx); j.WorthTelling() {
			out.estimate, out.budgets = j.Estimate, j.Verdicts
		}
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
		warned := notJudged(doc.Stacks[i].Stack, doc.Stacks[i].Problem)
		for i := range warned {
			warned[i].Severity = diag.Warning
		}
		a.Show(warned)
		if part := doc.Stacks[i]; len(part.Decision) > 0 {
			d := &policy.Decision{}
			err = json.Unmarshal(part.Decision, d)
			out.decisions = append(out.decisions, d)
		}
		if part := doc.Stacks[i]; len(part.Cost) > 0 && err == nil {
			e := &cost.Estimate{}
			err = json.Unmarshal(part.Cost, e)
			estimates = append(estimates, e)
		}
	}
	if err != nil {
		a.Show(diag.Warningf("Cannot tell what is said of the plan", "What policy says of the plan %s, and what it costs, cannot be read from the server: %s.", digest, err))
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
