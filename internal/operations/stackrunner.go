package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// StackRunner plans and applies stacks for the steps of workflows, the one that
// applies a plan of several stacks included. Plans are kept in the store, under
// the digest of the whole.
type StackRunner struct {
	Root *project.Directory
	// declared is the project that the workflow belongs to; a plan brings its own.
	declared *projects.Project
	// View, where not nil, shows what happens; else it only goes into the logs.
	View        View
	Vars        *project.VariableOptions
	Parallelism int
	Patience    time.Duration
	Budgeted    bool // what is applied was held against the budgets as a whole
	Board       *gate.Board

	mu       sync.Mutex
	Own      *project.Ensemble
	Shared   map[string]*SharedPlan
	Outcomes map[string]*stackOutcome // by stack
}

var _ runs.Stacks = (*StackRunner)(nil)

// stackOutcome is what came of a stack, for the person watching.
type stackOutcome struct {
	plan   *plans.Plan
	Result runs.Result
	Diags  diag.List
}

// SharedPrefix begins the names of blobs with plans of stacks.
const SharedPrefix = "stacks/"

// NewStackRunner works in a project of stacks as it is declared, with the store and the
// session of a directory.
func NewStackRunner(root *project.Directory, declared *projects.Project) *StackRunner {
	return &StackRunner{
		Root: root, declared: declared, Vars: &project.VariableOptions{}, Parallelism: DefaultParallelism,
		Shared: map[string]*SharedPlan{}, Outcomes: map[string]*stackOutcome{},
	}
}

// Close ends the providers that were started.
func (r *StackRunner) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Own != nil {
		r.Own.CloseMembers()
	}
	for _, s := range r.Shared {
		if s.Ensemble != nil {
			s.Ensemble.CloseMembers()
		}
	}
}

// ensemble is the project of the workflow.
func (r *StackRunner) ensemble() (*project.Ensemble, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Own == nil {
		e, diags := project.NewEnsemble(r.Root, r.declared)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		r.Own = e
	}
	return r.Own, nil
}

// Keep stores a plan under its digest.
func (r *StackRunner) Keep(ctx context.Context, store *sqlite.Store, p *stacks.Plan) error {
	data, err := p.Encode(r.Root.Keyring)
	if err != nil {
		return err
	}
	return store.PutBlob(ctx, SharedPrefix+p.Digest, data)
}

// Planned finds a plan that was kept.
func (r *StackRunner) Planned(ctx context.Context, digest string) (*SharedPlan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.Shared[digest]; s != nil {
		return s, s.err
	}
	s := &SharedPlan{}
	s.err = r.load(ctx, s, digest)
	r.Shared[digest] = s
	return s, s.err
}

func (r *StackRunner) load(ctx context.Context, s *SharedPlan, digest string) error {
	data, err := r.Root.Opened.Blob(ctx, SharedPrefix+digest)
	if err != nil {
		return fmt.Errorf("there is no plan with the digest %s: %w", digest, err)
	}
	if s.Plan, err = stacks.DecodePlan(data, r.Root.Keyring); err != nil {
		return err
	}
	return s.Open(ctx, r.Root, r.Vars)
}

// Outputs implements [runs.Stacks].
func (r *StackRunner) Outputs(ctx context.Context, stack string) (cty.Value, error) {
	e, err := r.ensemble()
	if err != nil {
		return cty.DynamicVal, err
	}
	m, diags := e.Module(stack)
	if diags.HasErrors() {
		return cty.DynamicVal, diags.Err()
	}
	st, diags := e.Member(stack).State(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags.Err()
	}
	values, err := plans.StateOutputs(st)
	if err != nil {
		return cty.DynamicVal, err
	}
	return plans.OutputsObject(values, sortedKeys(m.Outputs)), nil
}

// Plan implements [runs.Stacks]. A plan that is to end early is given up: it has changed
// nothing.
func (r *StackRunner) Plan(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	wanted, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go func() {
		select {
		case <-req.Asked:
			giveUp()
		case <-wanted.Done():
		}
	}()
	made, err := r.plan(wanted, req)
	if err != nil && wanted.Err() != nil && ctx.Err() == nil {
		err = actions.Errorf("Tutti.Cancelled", "The plan was given up.")
	}
	return made, err
}

func (r *StackRunner) plan(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	ctx = project.ReadSecretsFor(ctx, req.Parent, req.Secrets)
	if req.Elsewhere() {
		return r.speculate(ctx, req)
	}
	gate.ReadRulesAnew(r.Root)
	if req.Stack == "" {
		return r.planTogether(ctx, req)
	}
	shared, plan, err := r.makePlan(ctx, req, true)
	if err != nil {
		return runs.StackPlan{}, err
	}
	n := plan.Count()
	return runs.StackPlan{
		Digest: shared.Plan.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: plan.HasChanges(), Stacks: []string{req.Stack},
	}, nil
}

// options are what a step asks for, as the options of commands would say it.
func (r *StackRunner) options(ctx context.Context, req runs.StackRequest) (*PlanOptions, error) {
	po := &PlanOptions{
		Refresh: req.Refresh, RefreshOnly: req.RefreshOnly, Destroy: req.Destroy, Targets: req.Targets, Excludes: req.Excludes, Replaces: req.Replaces,
		Parallelism: r.Parallelism, VariableOptions: *r.Vars,
	}
	if req.Given == "" {
		return po, nil
	}
	store, diags := r.Root.Store(ctx)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	given, err := keptVariables(ctx, store, req.Given)
	po.Given = given
	return po, err
}

// makePlan plans one stack and keeps the plan. With judged, what policy says of it is
// shown, too.
func (r *StackRunner) makePlan(ctx context.Context, req runs.StackRequest, judged bool) (*SharedPlan, *plans.Plan, error) {
	e, err := r.ensemble()
	if err != nil {
		return nil, nil, err
	}
	po, err := r.options(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	e.Give(&po.VariableOptions)
	e.UseVariables(req.Variables)
	log := newLogView(req.Log)
	defer log.Settle()
	op := newBy(e.Member(req.Stack), log, req.Actor, req.Authority, req.Overrides)
	var loaded *gate.Plan
	var own []string
	var diags diag.List
	kind := po.Kind()
	if req.Rollback != "" {
		if err := r.undoes(ctx, req, op); err != nil {
			return nil, nil, err
		}
		kind = RollbackKind
		loaded, diags = op.PlanRollback(ctx, po, req.Rollback)
	} else {
		loaded, own, diags = op.planStep(ctx, po, req.Inputs)
	}
	if !diags.HasErrors() {
		log.Plan(ctx, op, loaded)
		op.ShowCost(ctx, loaded)
	}
	if judged && !diags.HasErrors() {
		diags = append(diags, op.Foretell(ctx, loaded, gate.Request{Kind: kind, Parent: req.Parent})...)
	}
	if log.show(diags, r.Root.Session.Quoted()); diags.HasErrors() {
		return nil, nil, problem("Tutti.PlanFailed", diags)
	}
	if diags := loaded.Encode(r.Root.Keyring); diags.HasErrors() {
		return nil, nil, diags.Err()
	}
	shared := &SharedPlan{Plan: &stacks.Plan{
		Environment: e.Environment, Kind: kind, Created: time.Now().UTC(), Program: project.ProgramVersion(), Outputs: e.OutputNames(),
		Stacks: []stacks.StackPlan{{Name: req.Stack, Own: own, Digest: loaded.Plan.Digest, Encoded: loaded.Encoded}},
	}}
	shared.Plan.SetProject(e.Declared, e.Variables)
	if err := r.Keep(ctx, op.Opened, shared.Plan); err != nil {
		return nil, nil, err
	}
	return shared, loaded.Plan, nil
}

// undoes refuses a plan that is to bring back what another stack's run changed, or to
// do something else besides.
func (r *StackRunner) undoes(ctx context.Context, req runs.StackRequest, op *Operation) error {
	undone, err := r.Root.Opened.Run(ctx, req.Rollback)
	switch {
	case err != nil:
		return actions.Errorf("Tutti.PlanFailed", "Run %q cannot be rolled back: %s.", req.Rollback, err)
	case undone.Key != op.Key():
		return actions.Errorf("Tutti.PlanFailed", "Run %s changed nothing of stack %q in environment %q itself.", undone.ID, req.Stack, op.Environment)
	case req.Destroy || req.RefreshOnly || len(req.Targets)+len(req.Excludes)+len(req.Replaces) > 0 || !req.Inputs.IsNull():
		return actions.Errorf("Tutti.PlanFailed", "What brings back what a run changed takes neither inputs nor targets, nor does it destroy: give rollback alone.")
	}
	return nil
}

// planStep plans a stack with inputs of a step besides those that the project
// gives it; own names them.
func (o *Operation) planStep(ctx context.Context, po *PlanOptions, inputs cty.Value) (l *gate.Plan, own []string, diags diag.List) {
	req, diags := po.Request()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	cfg, d := o.Config(ctx)
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	scope, d := o.Ensemble.Scope(ctx, &po.VariableOptions)
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	values, d := o.StackInputs(cfg, scope, o.Ensemble.FromState(ctx, o.Declared, req.mode))
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	if bare, given := inputs.Unmark(); !bare.IsNull() && bare.IsKnown() && (bare.Type().IsObjectType() || bare.Type().IsMapType()) {
		for name, v := range bare.AsValueMap() {
			if cfg.Root.Variables[name] == nil {
				diags = append(diags, diag.Errorf("Unknown input", "The root module of stack %q declares no variable %q.", o.Stack, name)...)
				continue
			}
			values[name] = configs.InputValue{Value: v.WithMarks(given), Source: configs.FromCaller}
			own = append(own, name)
		}
		slices.Sort(own)
	}
	prior, d := o.Prior(ctx, req.mode)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, nil, diags
	}
	l, d = o.MakePlan(ctx, o.inputFrom(cfg, values, prior, req, po))
	return l, own, append(diags, d...)
}

// problem is the error of a step whose diagnostics are told elsewhere.
func problem(name string, diags diag.List) error {
	for _, d := range diags.Sorted() {
		if d.Severity == diag.Error {
			return actions.Errorf(name, "%s: %s", d.Summary, diag.FirstLine(d.Detail))
		}
	}
	return actions.Errorf(name, "It did not succeed.")
}

// Apply implements [runs.Stacks].
func (r *StackRunner) Apply(ctx context.Context, req runs.StackRequest) (cty.Value, error) {
	ctx = project.ReadSecretsFor(ctx, req.Run, req.Secrets)
	run, err := r.find(ctx, req)
	switch {
	case errors.Is(err, runs.ErrNotFound):
		return r.applyNew(ctx, req)
	case err != nil:
		return cty.DynamicVal, err
	case run.Status.Ended():
		return r.ended(ctx, req, run)
	}
	return r.resume(ctx, req, run)
}

// find looks for the run that a crash left. One that somebody else drives is
// waited for.
func (r *StackRunner) find(ctx context.Context, req runs.StackRequest) (runs.Run, error) {
	store, diags := r.Root.Store(ctx)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	for {
		run, err := store.Run(ctx, req.Run)
		if err != nil || run.Status != runs.Running {
			return run, err
		}
		select {
		case <-ctx.Done():
			return run, runs.ErrDetached
		case <-req.Asked:
			return run, runs.ErrDetached
		case <-time.After(time.Second):
		}
	}
}

func (r *StackRunner) applyNew(ctx context.Context, req runs.StackRequest) (cty.Value, error) {
	digest := req.Plan
	if digest == "" {
		shared, _, err := r.makePlan(ctx, req, false) // it passes the gate next
		if err != nil {
			return cty.DynamicVal, err
		}
		digest = shared.Plan.Digest
	}
	shared, err := r.Planned(ctx, digest)
	if err != nil {
		return cty.DynamicVal, err
	}
	if err := r.begin(ctx, req, shared); err != nil {
		return cty.DynamicVal, err
	}
	op, l, diags := shared.loaded(ctx, r.Root.Opened, req.Stack)
	if diags.HasErrors() {
		return cty.DynamicVal, r.failed(req, nil, runs.Result{}, diags)
	}
	kind := shared.Plan.Kind
	return r.carryOut(ctx, req, op, l, RunOptions{Request: gate.Request{Kind: kind, Parent: req.Parent}, id: req.Run}, diags)
}

func (r *StackRunner) resume(ctx context.Context, req runs.StackRequest, run runs.Run) (cty.Value, error) {
	op, err := r.operation(ctx, req, run)
	if err != nil {
		return cty.DynamicVal, err
	}
	l, diags := op.PlanOf(ctx, run)
	if !diags.HasErrors() {
		diags = append(diags, op.CheckLocks(ctx, l.Plan)...)
	}
	if !diags.HasErrors() && req.Plan != "" {
		// What has to be given again, and what was not recorded before the crash.
		shared, err := r.Planned(ctx, req.Plan)
		if err != nil {
			return cty.DynamicVal, err
		}
		_, anew, d := shared.loaded(ctx, r.Root.Opened, req.Stack)
		diags = append(diags, d...)
		if !d.HasErrors() {
			l.Ephemeral = anew.Ephemeral
			if len(l.Late) == 0 {
				l.Late = anew.Late
			}
		}
	}
	if !diags.HasErrors() && req.Plan == "" {
		diags = append(diags, op.ephemeralAgain(ctx, l, req, r.Vars)...)
	}
	if diags.HasErrors() {
		return cty.DynamicVal, r.failed(req, nil, runs.Result{}, diags)
	}
	return r.carryOut(ctx, req, op, l, RunOptions{Request: gate.Request{Kind: run.Kind, Resume: run.ID}}, diags)
}

// ephemeralAgain evaluates the ephemeral inputs of a plan anew that was made for
// one step: they are kept nowhere.
func (o *Operation) ephemeralAgain(ctx context.Context, l *gate.Plan, req runs.StackRequest, vars *project.VariableOptions) diag.List {
	var names []string
	for name, planned := range l.Plan.Variables {
		if planned.Ephemeral && planned.Given {
			names = append(names, name)
		}
	}
	if len(names) == 0 || l.Plan.Mode != plans.Normal {
		return nil
	}
	o.Ensemble.UseVariables(req.Variables)
	scope, diags := o.Ensemble.Scope(ctx, vars)
	if diags.HasErrors() {
		return diags
	}
	inputs, d := o.StackInputs(l.Config, scope, o.Ensemble.FromState(ctx, o.Stack, l.Plan.Mode))
	diags = append(diags, d...)
	if l.Ephemeral == nil {
		l.Ephemeral = map[string]cty.Value{}
	}
	for _, name := range names {
		if in, ok := inputs[name]; ok {
			val, d := configs.PrepareVariable(l.Config.Root.Variables[name], in)
			diags = append(diags, d...)
			l.Ephemeral[name] = val
		}
	}
	return diags
}

// operation is an operation on the stack of a run, in the project it belongs to.
func (r *StackRunner) operation(ctx context.Context, req runs.StackRequest, run runs.Run) (*Operation, error) {
	e, err := r.ensemble()
	if req.Plan != "" {
		var shared *SharedPlan
		if shared, err = r.Planned(ctx, req.Plan); err == nil {
			e = shared.Ensemble
		}
	}
	if err != nil {
		return nil, err
	}
	p := e.OfState(run.Key)
	if p == nil {
		return nil, fmt.Errorf("run %s is about the stack %q, which this project does not declare", run.ID, run.Key.Stack)
	}
	return newBy(p, Silent{}, req.Actor, req.Authority, req.Overrides), nil
}

// carryOut has a run driven to its end and says what came of it.
func (r *StackRunner) carryOut(ctx context.Context, req runs.StackRequest, op *Operation, l *gate.Plan, opts RunOptions, before diag.List) (cty.Value, error) {
	if !r.Budgeted { // else the stacks were judged together
		gate.ReadRulesAnew(r.Root)
	}
	log := newLogView(req.Log)
	view := teeView{log, Silent{}}
	if r.View != nil {
		view = teeView{log, r.View.ForStack(op.Stack)}
	}
	op = newBy(op.Directory, view, req.Actor, req.Authority, req.Overrides)
	// The end of ctx cuts the run off and leaves it to be resumed: it must not be
	// taken for the wish to end it.
	soft, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-req.Asked:
			cancel()
		case <-soft.Done():
		}
	}()
	opts.Parallelism, opts.Patience, opts.hard, opts.budgeted, opts.board = r.Parallelism, r.Patience, ctx.Done(), r.Budgeted, r.Board
	result, stale, diags := op.CarryOut(soft, l, opts)
	log.Settle()
	diags = append(before, diags...)
	log.show(diags, r.Root.Session.Quoted())
	if result.Run.Status == runs.Interrupted {
		r.note(req, l.Plan, result, diags)
		return cty.DynamicVal, runs.ErrDetached
	}
	if result.Run.Status != runs.Succeeded || diags.HasErrors() {
		err := r.failed(req, l.Plan, result, diags)
		switch {
		case stale != nil:
			err = actions.Errorf(runs.StaleError, "%s", stale)
		case l.Forbidden:
			err = problem(runs.ForbiddenError, diags)
		case l.Refused:
			err = problem(runs.DeniedError, diags)
		}
		if result.Run.Status == "" && l.Decided != nil && l.Decided.Decision.Blocked() {
			err = actions.Errorf(runs.DeniedError, "Denied by policy: %s", gate.DeniedBecause(l.Decided.Decision))
		}
		return cty.DynamicVal, err
	}
	r.note(req, l.Plan, result, diags)
	return finalOutputs(result.Final.Outputs)
}

// ended is the result of a run that ended before a crash.
func (r *StackRunner) ended(ctx context.Context, req runs.StackRequest, run runs.Run) (cty.Value, error) {
	if run.Status != runs.Succeeded {
		return cty.DynamicVal, actions.Errorf(failureName(run), "Run %s has %s: %s", run.ID, run.Status, run.Problem)
	}
	st, err := r.Root.Opened.State(ctx, run.Key)
	if err != nil {
		return cty.DynamicVal, err
	}
	return finalOutputs(st.Outputs)
}

func failureName(run runs.Run) string {
	if run.Status == runs.Cancelled {
		return "Tutti.Cancelled"
	}
	return "Tutti.ApplyFailed"
}

func finalOutputs(outputs map[string]*states.Output) (cty.Value, error) {
	values, err := plans.StateOutputs(&states.State{Outputs: outputs})
	if err != nil {
		return cty.DynamicVal, err
	}
	return plans.OutputsObject(values, sortedKeys(values)), nil
}

func (r *StackRunner) note(req runs.StackRequest, plan *plans.Plan, result runs.Result, diags diag.List) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Outcomes[req.Stack] = &stackOutcome{plan, result, project.InStack(req.Stack, diags)}
}

func (r *StackRunner) failed(req runs.StackRequest, plan *plans.Plan, result runs.Result, diags diag.List) error {
	r.note(req, plan, result, diags)
	return problem(failureName(result.Run), diags)
}

// Rollback implements [runs.Stacks].
func (r *StackRunner) Rollback(ctx context.Context, req runs.StackRequest, of string) error {
	ctx = project.ReadSecretsFor(ctx, req.Run, req.Secrets)
	run, err := r.find(ctx, req)
	if err == nil && run.Status.Ended() {
		_, err = r.ended(ctx, req, run)
		return err
	}
	if err == nil {
		req.Stack = run.Key.Stack
		_, err = r.resume(ctx, req, run)
		return err
	}
	if !errors.Is(err, runs.ErrNotFound) {
		return err
	}
	undone, err := r.Root.Opened.Run(ctx, of)
	if err != nil {
		return fmt.Errorf("run %q cannot be rolled back: %w", of, err)
	}
	req.Stack = undone.Key.Stack
	op, err := r.operation(ctx, req, undone)
	if err != nil {
		return err
	}
	l, diags := op.PlanRollback(ctx, &PlanOptions{Refresh: true, Parallelism: r.Parallelism, VariableOptions: *r.Vars}, of)
	if diags.HasErrors() {
		if len(diags) == 1 && diags[0].Summary == NothingToRollBack {
			return nil
		}
		return problem("Tutti.RollbackFailed", diags)
	}
	_, err = r.carryOut(ctx, req, op, l, RunOptions{Request: gate.Request{Kind: RollbackKind, Parent: req.Parent}, id: req.Run}, diags)
	return err
}

// Invoke implements [runs.Stacks].
func (r *StackRunner) Invoke(ctx context.Context, req runs.StackRequest, action string, config cty.Value) error {
	ctx = project.ReadSecretsFor(ctx, req.Parent, req.Secrets)
	e, err := r.ensemble()
	if err != nil {
		return err
	}
	e.UseVariables(req.Variables)
	log := newLogView(req.Log)
	defer log.Settle()
	op := newBy(e.Member(req.Stack), log, req.Actor, req.Authority, req.Overrides)
	in, diags := op.PlanInput(ctx, &PlanOptions{Parallelism: r.Parallelism, VariableOptions: *r.Vars})
	name := "Tutti.ActionFailed"
	allow := func(a engine.PlannedAction) diag.List {
		told, diags := op.Pass(ctx, gate.Deed{
			Request: gate.Request{Kind: "invoke", Parent: req.Parent}, Config: in.Config,
			Document: func() ([]byte, error) {
				called := jsonplan.ActionInvocation{Type: a.Type, Name: req.Step, Provider: a.Provider, Schema: a.Schema, Config: a.Config}
				return jsonplan.Action(called, in.Prior, in.Config, op.JSONOptions(ctx))
			},
		})
		if diags.HasErrors() {
			name = runs.DeniedError
			return diags
		}
		for _, e := range told {
			if err := op.Opened.Record(ctx, e); err != nil {
				return append(diags, diag.FromError(err)...)
			}
		}
		return diags
	}
	if !diags.HasErrors() {
		diags = append(diags, engine.InvokeAction(ctx, in, action, config, allow, log.watcher.Tell)...)
	}
	if log.show(diags, r.Root.Session.Quoted()); diags.HasErrors() {
		return problem(name, diags)
	}
	return nil
}
