package cli

import (
	"context"
	"slices"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// judged is what plans that are applied together cost, and what the budgets say
// to that.
type judged struct {
	estimate *cost.Estimate // nil where it could not be made
	verdicts []cost.Verdict
	diags    diag.List // not told yet
	denied   bool
	// board is what is judged again when more is known; nil where nothing is to be.
	board *budgetBoard
}

// worthTelling reports whether the estimate is of interest: something that has a
// price is touched, or there is a budget.
func (j *judged) worthTelling() bool {
	return j.estimate != nil && (j.estimate.Touched() || len(j.verdicts) > 0)
}

// take returns the diagnostics that were not told yet.
func (j *judged) take() diag.List {
	out := j.diags
	j.diags = nil
	return out
}

// advice is take for commands that apply nothing: what would be refused is a
// warning.
func (j *judged) advice() diag.List {
	out := slices.Clone(j.take())
	for i := range out {
		out[i].Severity = diag.Warning
	}
	return out
}

// judge prices a plan and holds it against the budgets, once.
func (c *Case) judge(ctx context.Context, l *loadedPlan) *judged {
	if l.costs == nil {
		l.costs = c.judgePlans(ctx, map[string]*loadedPlan{c.Stack: l})
	}
	return l.costs
}

// judgePlans prices plans, by stack, and holds what their stacks come to against
// the budgets. It is the one place where budgets are judged: everything that is
// applied passes it, in operation.carryOut or ensembleOperation.execute.
func (c *Case) judgePlans(ctx context.Context, planned map[string]*loadedPlan) *judged {
	j := &judged{}
	prices, diags := pricingOf(c.Directory)
	j.diags = diags
	if diags.HasErrors() {
		// Without budgets nothing depends on it, so it stops nobody.
		j.denied = prices == nil && hasBudgets(c.Directory)
		if !j.denied {
			j.diags = j.advice()
		}
		return j
	}
	names := sortedKeys(planned)
	budgets := prices.budgets(names, c.Environment)
	concerned := func(name string) bool { return prices.concerns(planned[name].plan) }
	if len(budgets) == 0 && len(c.Session.Overrides)+len(c.overrides) == 0 && !prices.all && !slices.ContainsFunc(names, concerned) {
		return j // nobody wants to know
	}
	board := &budgetBoard{prices: prices, environment: c.Environment, single: len(planned) == 1, scope: names, instances: map[string][]cost.Instance{}}
	var all []cost.Instance
	for _, name := range names {
		board.set(name, planned[name], planned[name].plan)
		all = append(all, board.instances[name]...)
	}
	if j.estimate, diags = prices.estimate(all); diags.HasErrors() {
		j.diags = append(j.diags, diags...)
		j.denied = true
		return j
	}
	board.reasons, diags = c.budgetsOverridden(prices.declared, names)
	j.diags = append(j.diags, diags...)
	j.denied = diags.HasErrors()
	if len(budgets) > 0 && len(prices.declared.Stacks) > 0 && c.Ensemble != nil {
		board.scope = sortedKeys(prices.declared.Stacks)
		for _, name := range board.scope {
			if planned[name] != nil || !slices.ContainsFunc(budgets, func(b *projects.Budget) bool { return b.About(name, c.Environment) }) {
				continue
			}
			var d diag.List
			if board.instances[name], d = recorded(ctx, c.Directory, name); d.HasErrors() {
				j.diags, j.denied = append(j.diags, d...), true
			}
		}
	}
	for _, b := range budgets {
		v, d := board.verdict(b)
		if d.HasErrors() {
			j.diags, j.denied = append(j.diags, d...), true
			continue
		}
		j.verdicts = append(j.verdicts, v)
		j.diags = append(j.diags, v.Diagnostics...)
		j.denied = j.denied || v.Denied
		if v.Standing == cost.Open {
			board.open = append(board.open, b)
		}
	}
	j.board = board
	return j
}

// hasBudgets reports whether any budgets are declared, as far as can be told.
func hasBudgets(p *project.Directory) bool {
	declared, _ := governingIn(p.CostRoot(), p.Ensemble)
	return declared != nil && len(declared.Budgets) > 0
}

// recorded are the resources of a stack that is not planned along.
func recorded(ctx context.Context, p *project.Directory, stack string) ([]cost.Instance, diag.List) {
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	st, err := store.State(ctx, states.Key{Stack: stack, Environment: p.Environment})
	if err != nil {
		return nil, diag.FromError(err)
	}
	return cost.FromState(stack, st, nil), nil
}

// showCost shows what a plan costs, where that is of interest.
func (c *Case) showCost(ctx context.Context, l *loadedPlan) {
	if l.plan.Errored {
		return
	}
	if j := c.judge(ctx, l); j.worthTelling() {
		c.view.cost(j)
	}
}

// costEvent is the data of the event cost.estimated.
type costEvent struct {
	Totals  []cost.Total   `json:"totals"`
	Unknown int            `json:"unknown"`
	Budgets []cost.Verdict `json:"budgets,omitempty"`
}

// overrideEvent is the data of the event budget.overridden.
type overrideEvent struct {
	cost.Verdict
	Actor string `json:"actor"`
}

// record is what a run keeps of the judgement: events, and what was overridden,
// by whom.
func (j *judged) record(by string) ([]events.Event, []runs.Override) {
	if !j.worthTelling() {
		return nil, nil
	}
	list := []events.Event{{Type: "cost.estimated", Data: eventData(costEvent{j.estimate.Totals, j.estimate.Unknown, j.verdicts})}}
	var overrides []runs.Override
	for _, v := range j.verdicts {
		if v.Override == "" {
			continue
		}
		list = append(list, events.Event{Type: "budget.overridden", Subject: budgetRule + v.Budget, Data: eventData(overrideEvent{v, by})})
		overrides = append(overrides, runs.Override{Rule: budgetRule + v.Budget, Reason: v.Override})
	}
	return list, overrides
}

// refused judges a plan before anybody is asked whether to carry it out. It
// reports whether it must not be.
func (c *Case) refused(ctx context.Context, l *loadedPlan) bool {
	j := c.judge(ctx, l)
	c.Session.Show(j.take())
	return j.denied
}
