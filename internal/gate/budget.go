package gate

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

// Costs is what plans that are applied together cost, and what the budgets say
// to that.
type Costs struct {
	Estimate *cost.Estimate // nil where it could not be made
	Verdicts []cost.Verdict
	diags    diag.List // not told yet
	Denied   bool
	// Board is what is judged again when more is known; nil where nothing is to be.
	Board *Board
}

// WorthTelling reports whether the estimate is of interest: something that has a
// price is touched, or there is a budget.
func (j *Costs) WorthTelling() bool {
	return j.Estimate != nil && (j.Estimate.Touched() || len(j.Verdicts) > 0)
}

// Take returns the diagnostics that were not told yet.
func (j *Costs) Take() diag.List {
	out := j.diags
	j.diags = nil
	return out
}

// Advice is take for commands that apply nothing: what would be refused is a
// warning.
func (j *Costs) Advice() diag.List {
	out := slices.Clone(j.Take())
	for i := range out {
		out[i].Severity = diag.Warning
	}
	return out
}

// Judge prices a plan and holds it against the budgets, once.
func (c *Case) Judge(ctx context.Context, l *Plan) *Costs {
	if l.Costs == nil {
		l.Costs = c.JudgePlans(ctx, map[string]*Plan{c.Stack: l})
	}
	return l.Costs
}

// JudgePlans prices plans, by stack, and holds what their stacks come to against
// the budgets. It is the one place where budgets are judged: everything that is
// applied passes it, in operations.Operation.CarryOut, or before several stacks are applied.
func (c *Case) JudgePlans(ctx context.Context, planned map[string]*Plan) *Costs {
	j := &Costs{}
	prices, diags := PricingOf(c.Directory)
	j.diags = diags
	if diags.HasErrors() {
		// Without budgets nothing depends on it, so it stops nobody.
		j.Denied = prices == nil && hasBudgets(c.Directory)
		if !j.Denied {
			j.diags = j.Advice()
		}
		return j
	}
	names := sortedKeys(planned)
	budgets := prices.budgets(names, c.Environment)
	concerned := func(name string) bool { return prices.concerns(planned[name].Plan) }
	if len(budgets) == 0 && len(c.Session.Overrides)+len(c.overrides) == 0 && !prices.All && !slices.ContainsFunc(names, concerned) {
		return j // nobody wants to know
	}
	board := &Board{prices: prices, environment: c.Environment, single: len(planned) == 1, scope: names, instances: map[string][]cost.Instance{}}
	var all []cost.Instance
	for _, name := range names {
		board.set(name, planned[name], planned[name].Plan)
		all = append(all, board.instances[name]...)
	}
	if j.Estimate, diags = prices.Estimate(all); diags.HasErrors() {
		j.diags = append(j.diags, diags...)
		j.Denied = true
		return j
	}
	board.reasons, diags = c.budgetsOverridden(prices.declared, names)
	j.diags = append(j.diags, diags...)
	j.Denied = diags.HasErrors()
	if len(budgets) > 0 && len(prices.declared.Stacks) > 0 && c.Ensemble != nil {
		board.scope = sortedKeys(prices.declared.Stacks)
		for _, name := range board.scope {
			if planned[name] != nil || !slices.ContainsFunc(budgets, func(b *projects.Budget) bool { return b.About(name, c.Environment) }) {
				continue
			}
			var d diag.List
			if board.instances[name], d = Recorded(ctx, c.Directory, name); d.HasErrors() {
				j.diags, j.Denied = append(j.diags, d...), true
			}
		}
	}
	for _, b := range budgets {
		v, d := board.verdict(b)
		if d.HasErrors() {
			j.diags, j.Denied = append(j.diags, d...), true
			continue
		}
		j.Verdicts = append(j.Verdicts, v)
		j.diags = append(j.diags, v.Diagnostics...)
		j.Denied = j.Denied || v.Denied
		if v.Standing == cost.Open {
			board.open = append(board.open, b)
		}
	}
	j.Board = board
	return j
}

// hasBudgets reports whether any budgets are declared, as far as can be told.
func hasBudgets(p *project.Directory) bool {
	declared, _ := governingIn(p.CostRoot(), p.Ensemble)
	return declared != nil && len(declared.Budgets) > 0
}

// Recorded are the resources of a stack that is not planned along.
func Recorded(ctx context.Context, p *project.Directory, stack string) ([]cost.Instance, diag.List) {
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

// ShowCost shows what a plan costs, where that is of interest.
func (c *Case) ShowCost(ctx context.Context, l *Plan) {
	if l.Plan.Errored {
		return
	}
	if j := c.Judge(ctx, l); j.WorthTelling() {
		c.view.Cost(j)
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

// Record is what a run keeps of the judgement: events, and what was overridden,
// by whom.
func (j *Costs) Record(by string) ([]events.Event, []runs.Override) {
	if !j.WorthTelling() {
		return nil, nil
	}
	list := []events.Event{{Type: "cost.estimated", Data: EventData(costEvent{j.Estimate.Totals, j.Estimate.Unknown, j.Verdicts})}}
	var overrides []runs.Override
	for _, v := range j.Verdicts {
		if v.Override == "" {
			continue
		}
		list = append(list, events.Event{Type: "budget.overridden", Subject: budgetRule + v.Budget, Data: EventData(overrideEvent{v, by})})
		overrides = append(overrides, runs.Override{Rule: budgetRule + v.Budget, Reason: v.Override})
	}
	return list, overrides
}

// Refused judges a plan before anybody is asked whether to carry it out. It
// reports whether it must not be.
func (c *Case) Refused(ctx context.Context, l *Plan) bool {
	j := c.Judge(ctx, l)
	c.Session.Show(j.Take())
	return j.Denied
}
