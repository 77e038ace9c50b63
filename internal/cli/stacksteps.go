package cli

import (
	"context"
	"slices"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// Steps of workflows that are about several stacks: one plans them together, as
// "tutti plan" does, and each of those behind it applies one of them.

// planTogether plans several stacks, each from what is planned for those before it,
// and keeps their plans as one.
func (r *stackRunner) planTogether(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	log := newLogView(req.Log)
	defer log.settle()
	o, diags := r.together(req, log)
	if diags.HasErrors() {
		log.show(diags, r.root.app.quoted())
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	defer o.closeMembers()
	po, err := r.options(ctx, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	diags = o.plan(ctx, po, po.kind())
	if o.shared != nil {
		o.show(ctx, po.mode(), diags)
	}
	if !diags.HasErrors() {
		diags = append(diags, o.foretell(ctx, po.kind())...)
		diags = append(diags, o.finish(po.mode())...)
	}
	if log.show(diags, r.root.app.quoted()); diags.HasErrors() {
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	store, diags := r.root.store(ctx)
	if diags.HasErrors() {
		return runs.StackPlan{}, diags.Err()
	}
	if err := r.keep(ctx, store, o.shared); err != nil {
		return runs.StackPlan{}, err
	}
	n := o.totals()
	out := runs.StackPlan{Digest: o.shared.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: o.changes()}
	for _, part := range o.shared.Stacks {
		out.Stacks = append(out.Stacks, part.Name)
	}
	return out, nil
}

// together opens the stacks that a step names, beside whatever else is done with
// them.
func (r *stackRunner) together(req runs.StackRequest, log *logView) (*ensembleOperation, diag.List) {
	shared, err := r.ensemble()
	if err != nil {
		return nil, diag.FromError(err)
	}
	e := openedEnsemble(shared.root, shared.declared, shared.graph)
	names, diags := e.graph.Select(req.Stacks)
	if diags.HasErrors() {
		return nil, diags
	}
	e.names = names
	e.useVariables(req.Variables)
	return &ensembleOperation{ensemble: e, app: r.root.app, view: log, plans: map[string]*loadedPlan{}, named: len(req.Stacks) < len(e.graph.Order), by: req}, diags
}

// begin does what comes before the first of several stacks is applied: the plans of
// all of them pass the gate and the budgets, so that nothing is done of a whole that
// may not be done, and objects move between them. It is done once in a process, and
// again after a crash: objects that have moved are found where they are.
func (r *stackRunner) begin(ctx context.Context, req runs.StackRequest, shared *sharedPlan) error {
	if len(shared.plan.Stacks) < 2 || shared.made != nil {
		return nil // whoever made these plans here has done so
	}
	shared.beginning.Lock()
	defer shared.beginning.Unlock()
	if shared.begun {
		return nil
	}
	log := newLogView(req.Log)
	defer log.settle()
	o := &ensembleOperation{ensemble: shared.ensemble, app: r.root.app, view: log, shared: shared.plan, plans: map[string]*loadedPlan{}, by: req}
	o.names = nil
	var diags diag.List
	for _, part := range shared.plan.Stacks {
		l, d := o.operation(part.Name).loadPlan(part.Encoded)
		diags = append(diags, inStack(part.Name, d)...)
		if !d.HasErrors() && l.plan.Digest != part.Digest {
			diags = append(diags, diag.FromError(plans.ErrTampered)...)
		}
		o.names, o.plans[part.Name] = append(o.names, part.Name), l
	}
	if !diags.HasErrors() {
		diags = append(diags, o.mayMove(verbOf(shared.plan.Kind), shared.plan.Moves)...)
	}
	name := "Tutti.ApplyFailed"
	if !diags.HasErrors() && !r.budgeted {
		r.root.readRulesAnew()
		diags = append(diags, o.decide(ctx, plans.Normal, shared.plan.Kind)...)
		j := o.judge(ctx)
		diags = append(diags, j.take()...)
		if diags.HasErrors() || j.denied {
			name = runs.DeniedError
		}
	}
	if log.show(diags, r.root.app.quoted()); diags.HasErrors() {
		return problem(name, diags)
	}
	store, diags := r.root.store(ctx)
	if diags.HasErrors() {
		return diags.Err()
	}
	if err := o.moveObjects(ctx, store); err != nil {
		return err
	}
	shared.begun = true
	return nil
}

// mayMove refuses to move objects out of stacks, or into them, that whoever it is
// done for may not change.
func (o *ensembleOperation) mayMove(verb access.Verb, moves []states.Transfer) diag.List {
	var names []string
	for _, t := range moves {
		names = append(names, t.From.Stack, t.To.Stack)
	}
	slices.Sort(names)
	var diags diag.List
	for _, name := range slices.Compact(names) {
		who, _ := o.operation(name).who()
		diags = append(diags, o.app.mayBe(who, verb, o.environment, name, "")...)
	}
	return diags
}
