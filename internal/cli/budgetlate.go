package cli

import (
	"context"
	"slices"
	"sync"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// budgetBoard is what budgets are held against while plans are carried out: all
// that counts for them, as far as it is known by now. Stacks that are applied
// together share one, so that what becomes known in one of them counts for all.
type budgetBoard struct {
	prices      *pricing
	environment string
	single      bool // one plan: its resources are named without their stack
	scope       []string
	reasons     map[string]string  // of overrides, by budget
	open        []*projects.Budget // that may yet be exceeded

	mu        sync.Mutex
	instances map[string][]cost.Instance // by stack
}

// set says what a stack comes to by what is known of its plan.
func (b *budgetBoard) set(stack string, l *loadedPlan, plan *plans.Plan) {
	label := stack
	if b.single {
		label = ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instances[stack] = cost.FromPlan(label, plan, regionsOf(l))
}

// verdict holds what is known against a budget.
func (b *budgetBoard) verdict(budget *projects.Budget) (cost.Verdict, diag.List) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []cost.Instance
	for _, stack := range b.scope {
		if budget.About(stack, b.environment) {
			list = append(list, b.instances[stack]...)
		}
	}
	e, diags := b.prices.estimate(list)
	if diags.HasErrors() {
		return cost.Verdict{}, diags
	}
	return cost.Judge(budget, e, b.reasons[budget.Name]), diags
}

// awaits are the addresses of a stack on which open budgets depend.
func (b *budgetBoard) awaits(stack string) []string {
	if b == nil || !slices.ContainsFunc(b.open, func(budget *projects.Budget) bool { return budget.About(stack, b.environment) }) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, diags := b.prices.estimate(b.instances[stack])
	if diags.HasErrors() {
		return nil
	}
	var out []string
	for _, item := range e.Items {
		if item.Later() {
			out = append(out, item.Address)
		}
	}
	return out
}

// judgeBudgets judges the open budgets again, with what is known of the plan by
// now. A budget that is exceeded is an error, told once; one that is exceeded for
// a reason is told to the feed.
func (g *guard) judgeBudgets(ctx context.Context, plan *plans.Plan) diag.List {
	if g.board == nil {
		return nil
	}
	g.board.set(g.o.stack, g.l, plan)
	var diags diag.List
	for _, budget := range g.board.open {
		if !budget.About(g.o.stack, g.board.environment) || g.exceeded[budget.Name] {
			continue
		}
		v, d := g.board.verdict(budget)
		diags = append(diags, d...)
		if v.Standing != cost.Over {
			continue
		}
		g.exceeded[budget.Name] = true
		if diags = append(diags, v.Diagnostics...); v.Override != "" {
			if err := g.tell(ctx, v); err != nil {
				diags = append(diags, diag.FromError(err)...)
			}
		}
	}
	return diags
}

// tell tells the feed that a budget turned out to be exceeded, as was allowed.
func (g *guard) tell(ctx context.Context, v cost.Verdict) error {
	told := runs.AuditEvent(g.o.key(), "budget.overridden", budgetRule+v.Budget, g.o.by(), nil)
	told.Data = eventData(overrideEvent{v, g.o.subject()})
	return g.o.opened.Record(context.WithoutCancel(ctx), told)
}

// boardOf is what the budgets are held against when plans are gone on with that
// were let pass when their run began.
func (o *operation) boardOf(ctx context.Context, run runs.Run, planned map[string]*loadedPlan) *budgetBoard {
	own := *o
	own.actor, own.overrides = run.Actor, joinOverrides(slices.Clone(run.Overrides), o.overrides...)
	return own.judgePlans(ctx, planned).board
}

// board is what the budgets are held against when a run of the plan is gone on
// with: stacks that it has applied count as they are recorded.
func (s *sharedPlan) board(ctx context.Context, store runs.Store, run runs.Run) (*budgetBoard, error) {
	ended, err := endedStacks(ctx, store, run)
	if err != nil {
		return nil, err
	}
	planned := map[string]*loadedPlan{}
	var o *operation
	for _, part := range s.plan.Stacks {
		if ended[part.Name] {
			continue
		}
		o = &operation{project: s.ensemble.member(part.Name), view: silentView{}}
		l, diags := o.loadPlan(part.Encoded)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		planned[part.Name] = l
	}
	if o == nil {
		return nil, nil
	}
	return o.boardOf(ctx, run, planned), nil
}

// endedStacks names the stacks of a run that were applied already.
func endedStacks(ctx context.Context, store runs.Store, run runs.Run) (map[string]bool, error) {
	list, err := store.Runs(ctx, states.Key{}, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, r := range list {
		if r.Parent == run.ID && r.Status == runs.Succeeded {
			out[r.Key.Stack] = true
		}
	}
	return out, nil
}
