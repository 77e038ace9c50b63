package gate

import (
	"context"
	"slices"
	"sync"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// Board is what budgets are held against while plans are carried out: all
// that counts for them, as far as it is known by now. Stacks that are applied
// together share one, so that what becomes known in one of them counts for all.
type Board struct {
	prices      *Prices
	environment string
	single      bool // one plan: its resources are named without their stack
	scope       []string
	reasons     map[string]string  // of overrides, by budget
	open        []*projects.Budget // that may yet be exceeded

	mu        sync.Mutex
	instances map[string][]cost.Instance // by stack
}

// set says what a stack comes to by what is known of its plan.
func (b *Board) set(stack string, l *Plan, plan *plans.Plan) {
	label := stack
	if b.single {
		label = ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instances[stack] = cost.FromPlan(label, plan, regionsOf(l))
}

// verdict holds what is known against a budget.
func (b *Board) verdict(budget *projects.Budget) (cost.Verdict, diag.List) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []cost.Instance
	for _, stack := range b.scope {
		if budget.About(stack, b.environment) {
			list = append(list, b.instances[stack]...)
		}
	}
	e, diags := b.prices.Estimate(list)
	if diags.HasErrors() {
		return cost.Verdict{}, diags
	}
	return cost.Judge(budget, e, b.reasons[budget.Name]), diags
}

// awaits are the addresses of a stack on which open budgets depend.
func (b *Board) awaits(stack string) []string {
	if b == nil || !slices.ContainsFunc(b.open, func(budget *projects.Budget) bool { return budget.About(stack, b.environment) }) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, diags := b.prices.Estimate(b.instances[stack])
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

// BudgetGuard judges open budgets again, during a run, each time the cost of an
// object becomes known.
type BudgetGuard struct {
	o     *Case
	l     *Plan
	board *Board
	await map[string]bool // addresses

	mu       sync.Mutex
	known    map[addrs.Object]cty.Value
	stale    bool            // something became known that was not judged yet
	exceeded map[string]bool // budgets, as was told
}

// NewBudgetGuard returns nil where no budget may yet be exceeded.
func NewBudgetGuard(o *Case, l *Plan, board *Board) *BudgetGuard {
	waiting := board.awaits(o.Stack)
	if len(waiting) == 0 {
		return nil
	}
	g := &BudgetGuard{o: o, l: l, board: board, await: map[string]bool{}, known: map[addrs.Object]cty.Value{}, exceeded: map[string]bool{}}
	for _, address := range waiting {
		g.await[address] = true
	}
	return g
}

// Before implements [engine.Guard].
func (g *BudgetGuard) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.await[c.Object.String()] || c.ConfigKnown {
		return nil
	}
	g.known[c.Object] = planned
	return g.again(ctx)
}

// After implements [engine.Guard].
func (g *BudgetGuard) After(c *plans.Change, value cty.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.await[c.Object.String()] {
		g.known[c.Object], g.stale = value, true
	}
}

// Closing judges by what only the provider could say.
func (g *BudgetGuard) Closing(ctx context.Context, _ engine.Final) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stale {
		return nil
	}
	return g.again(ctx)
}

// again judges with what is known by now. A budget that is exceeded is told once:
// as an error or, where there is a reason, to the feed.
func (g *BudgetGuard) again(ctx context.Context) diag.List {
	g.stale = false
	plan := *g.l.Plan
	plan.Changes = slices.Clone(g.l.Plan.Changes)
	for i, c := range plan.Changes {
		if v, ok := g.known[c.Object]; ok {
			filled := *c
			filled.After = v
			plan.Changes[i] = &filled
		}
	}
	g.board.set(g.o.Stack, g.l, &plan)
	var diags diag.List
	for _, budget := range g.board.open {
		if !budget.About(g.o.Stack, g.board.environment) {
			continue
		}
		v, d := g.board.verdict(budget)
		diags = append(diags, d...)
		// What is refused stays so, for whatever comes next.
		if v.Standing != cost.Over || g.exceeded[budget.Name] && !v.Denied {
			continue
		}
		first := !g.exceeded[budget.Name]
		g.exceeded[budget.Name] = true
		diags = append(diags, v.Diagnostics...)
		if first && v.Override != "" {
			if err := g.tell(ctx, v); err != nil {
				diags = append(diags, diag.FromError(err)...)
			}
		}
	}
	return diags
}

// tell tells the feed that a budget turned out to be exceeded, as was allowed.
func (g *BudgetGuard) tell(ctx context.Context, v cost.Verdict) error {
	told := runs.AuditEvent(g.o.Key(), "budget.overridden", budgetRule+v.Budget, g.o.By(), nil)
	told.Data = EventData(overrideEvent{v, g.o.Subject()})
	return g.o.Opened.Record(context.WithoutCancel(ctx), told)
}

// BoardOf is what the budgets are held against when plans are gone on with that
// were let pass when their run began.
func (c *Case) BoardOf(ctx context.Context, run runs.Run, planned map[string]*Plan) *Board {
	own := *c
	own.actor, own.overrides = run.Actor, JoinOverrides(slices.Clone(run.Overrides), c.overrides...)
	return own.JudgePlans(ctx, planned).Board
}

// Guards are those that look at one run.
type Guards []interface {
	engine.Guard
	Closing(context.Context, engine.Final) diag.List
}

var _ engine.Guard = Guards{}

// GuardsOf joins what guards a run; either may be nil.
func GuardsOf(rules *Guard, budgets *BudgetGuard) Guards {
	var out Guards
	if rules != nil {
		out = append(out, rules)
	}
	if budgets != nil {
		out = append(out, budgets)
	}
	return out
}

// Before implements [engine.Guard].
func (g Guards) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	var diags diag.List
	for _, one := range g {
		diags = append(diags, one.Before(ctx, c, planned)...)
	}
	return diags
}

// After implements [engine.Guard].
func (g Guards) After(c *plans.Change, value cty.Value) {
	for _, one := range g {
		one.After(c, value)
	}
}

// Closing is what is left to be judged at the end of a run.
func (g Guards) Closing(ctx context.Context, final engine.Final) diag.List {
	var diags diag.List
	for _, one := range g {
		diags = append(diags, one.Closing(ctx, final)...)
	}
	return diags
}
