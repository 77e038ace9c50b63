package operations

import (
	"context"
	"slices"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// Steps of workflows that are about several stacks: one plans them together, as
// "tutti plan" does, and each of those behind it applies one of them.

// planTogether plans several stacks, each from what is planned for those before it,
// and keeps their plans as one.
func (r *StackRunner) planTogether(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	log := newLogView(req.Log)
	defer log.Settle()
	o, diags := r.together(req, log)
	if diags.HasErrors() {
		log.show(diags, r.Root.Session.Quoted())
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	defer o.CloseMembers()
	po, err := r.options(ctx, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	diags = o.Plan(ctx, po, po.Kind())
	if o.Shared != nil {
		o.Show(ctx, po.Mode(), diags)
	}
	if !diags.HasErrors() {
		diags = append(diags, o.foretell(ctx, po.Kind())...)
		diags = append(diags, o.Finish(po.Mode())...)
	}
	if log.show(diags, r.Root.Session.Quoted()); diags.HasErrors() {
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	store, diags := r.Root.Store(ctx)
	if diags.HasErrors() {
		return runs.StackPlan{}, diags.Err()
	}
	if err := r.Keep(ctx, store, o.Shared); err != nil {
		return runs.StackPlan{}, err
	}
	n := o.Totals()
	out := runs.StackPlan{Digest: o.Shared.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: o.Changes()}
	for _, part := range o.Shared.Stacks {
		out.Stacks = append(out.Stacks, part.Name)
	}
	return out, nil
}

// together opens the stacks that a step names, beside whatever else is done with
// them.
func (r *StackRunner) together(req runs.StackRequest, log *logView) (*EnsembleOperation, diag.List) {
	shared, err := r.ensemble()
	if err != nil {
		return nil, diag.FromError(err)
	}
	e := project.OpenedEnsemble(shared.Root, shared.Declared, shared.Graph)
	names, diags := e.Graph.Select(req.Stacks)
	if diags.HasErrors() {
		return nil, diags
	}
	e.Names = names
	e.UseVariables(req.Variables)
	return &EnsembleOperation{Ensemble: e, Session: r.Root.Session, View: log, Plans: map[string]*gate.Plan{}, Named: len(req.Stacks) < len(e.Graph.Order), by: req}, diags
}

// begin does what comes before the first of several stacks is applied: the plans of
// all of them pass the gate and the budgets, so that nothing is done of a whole that
// may not be done, and objects move between them. It is done once in a process, and
// again after a crash: objects that have moved are found where they are.
func (r *StackRunner) begin(ctx context.Context, req runs.StackRequest, shared *SharedPlan) error {
	if len(shared.Plan.Stacks) < 2 || shared.Made != nil {
		return nil // whoever made these plans here has done so
	}
	shared.beginning.Lock()
	defer shared.beginning.Unlock()
	if shared.begun {
		return nil
	}
	log := newLogView(req.Log)
	defer log.Settle()
	o := &EnsembleOperation{Ensemble: shared.Ensemble, Session: r.Root.Session, View: log, Shared: shared.Plan, Plans: map[string]*gate.Plan{}, by: req}
	o.Names = nil
	var diags diag.List
	for _, part := range shared.Plan.Stacks {
		l, d := LoadPlan(o.Member(part.Name), part.Encoded)
		diags = append(diags, project.InStack(part.Name, d)...)
		if !d.HasErrors() && l.Plan.Digest != part.Digest {
			diags = append(diags, diag.FromError(plans.ErrTampered)...)
		}
		o.Names, o.Plans[part.Name] = append(o.Names, part.Name), l
	}
	if !diags.HasErrors() {
		diags = append(diags, o.mayMove(project.VerbOf(shared.Plan.Kind), shared.Plan.Moves)...)
	}
	name := "Tutti.ApplyFailed"
	if !diags.HasErrors() && !r.Budgeted {
		gate.ReadRulesAnew(r.Root)
		diags = append(diags, o.Decide(ctx, plans.Normal, shared.Plan.Kind)...)
		j := o.Judge(ctx)
		diags = append(diags, j.Take()...)
		if diags.HasErrors() || j.Denied {
			name = runs.DeniedError
		}
	}
	if log.show(diags, r.Root.Session.Quoted()); diags.HasErrors() {
		return problem(name, diags)
	}
	store, diags := r.Root.Store(ctx)
	if diags.HasErrors() {
		return diags.Err()
	}
	if err := o.MoveObjects(ctx, store); err != nil {
		return err
	}
	shared.begun = true
	return nil
}

// mayMove refuses to move objects out of stacks, or into them, that whoever it is
// done for may not change.
func (o *EnsembleOperation) mayMove(verb access.Verb, moves []states.Transfer) diag.List {
	var names []string
	for _, t := range moves {
		names = append(names, t.From.Stack, t.To.Stack)
	}
	slices.Sort(names)
	var diags diag.List
	for _, name := range slices.Compact(names) {
		who, _ := o.Operation(name).Who()
		diags = append(diags, o.Session.MayBe(who, verb, o.Environment, name, "")...)
	}
	return diags
}
