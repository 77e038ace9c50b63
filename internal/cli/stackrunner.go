package cli

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
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// stackRunner plans and applies stacks for the steps of workflows, the one that
// applies a plan of several stacks included. Plans are kept in the store, under
// the digest of the whole.
type stackRunner struct {
	root *project
	// declared is the project that the workflow belongs to; a plan brings its own.
	declared *projects.Project
	// view, where not nil, shows what happens; else it only goes into the logs.
	view        operationView
	vars        *variableOptions
	parallelism int
	patience    time.Duration
	budgeted    bool // what is applied was held against the budgets as a whole
	board       *budgetBoard

	mu       sync.Mutex
	own      *ensemble
	shared   map[string]*sharedPlan
	outcomes map[string]*stackOutcome // by stack
}

var _ runs.Stacks = (*stackRunner)(nil)

// stackOutcome is what came of a stack, for the person watching.
type stackOutcome struct {
	plan   *plans.Plan
	result runs.Result
	diags  diag.List
}

// sharedPrefix begins the names of blobs with plans of stacks.
const sharedPrefix = "stacks/"

func newStackRunner(root *project, declared *projects.Project) *stackRunner {
	return &stackRunner{
		root: root, declared: declared, vars: &variableOptions{}, parallelism: defaultParallelism,
		shared: map[string]*sharedPlan{}, outcomes: map[string]*stackOutcome{},
	}
}

// Close ends the providers that were started.
func (r *stackRunner) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own != nil {
		r.own.closeMembers()
	}
	for _, s := range r.shared {
		if s.ensemble != nil {
			s.ensemble.closeMembers()
		}
	}
}

// ensemble is the project of the workflow.
func (r *stackRunner) ensemble() (*ensemble, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		e, diags := newEnsemble(r.root, r.declared)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		r.own = e
	}
	return r.own, nil
}

// keep stores a plan under its digest.
func (r *stackRunner) keep(ctx context.Context, store *sqlite.Store, p *stacks.Plan) error {
	data, err := p.Encode(r.root.keyring)
	if err != nil {
		return err
	}
	return store.PutBlob(ctx, sharedPrefix+p.Digest, data)
}

// planned finds a plan that was kept.
func (r *stackRunner) planned(ctx context.Context, digest string) (*sharedPlan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shared[digest]; s != nil {
		return s, s.err
	}
	s := &sharedPlan{}
	s.err = r.load(ctx, s, digest)
	r.shared[digest] = s
	return s, s.err
}

func (r *stackRunner) load(ctx context.Context, s *sharedPlan, digest string) error {
	data, err := r.root.opened.Blob(ctx, sharedPrefix+digest)
	if err != nil {
		return fmt.Errorf("there is no plan with the digest %s: %w", digest, err)
	}
	if s.plan, err = stacks.DecodePlan(data, r.root.keyring); err != nil {
		return err
	}
	return s.open(ctx, r.root, r.vars)
}

// Outputs implements [runs.Stacks].
func (r *stackRunner) Outputs(ctx context.Context, stack string) (cty.Value, error) {
	e, err := r.ensemble()
	if err != nil {
		return cty.DynamicVal, err
	}
	m, diags := e.module(stack)
	if diags.HasErrors() {
		return cty.DynamicVal, diags.Err()
	}
	st, diags := e.member(stack).state(ctx)
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
func (r *stackRunner) Plan(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
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

func (r *stackRunner) plan(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	ctx = readSecretsFor(ctx, req.Parent, req.Secrets)
	if req.Elsewhere() {
		return r.speculate(ctx, req)
	}
	r.root.readRulesAnew()
	if req.Stack == "" {
		return r.planTogether(ctx, req)
	}
	shared, plan, err := r.makePlan(ctx, req, true)
	if err != nil {
		return runs.StackPlan{}, err
	}
	n := plan.Count()
	return runs.StackPlan{
		Digest: shared.plan.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: plan.HasChanges(), Stacks: []string{req.Stack},
	}, nil
}

// options are what a step asks for, as the options of commands would say it.
func (r *stackRunner) options(ctx context.Context, req runs.StackRequest) (*planOptions, error) {
	po := &planOptions{
		refresh: req.Refresh, refreshOnly: req.RefreshOnly, destroy: req.Destroy, targets: req.Targets, excludes: req.Excludes, replaces: req.Replaces,
		parallelism: r.parallelism, variableOptions: *r.vars,
	}
	if req.Given == "" {
		return po, nil
	}
	store, diags := r.root.store(ctx)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	given, err := keptVariables(ctx, store, req.Given)
	po.given = given
	return po, err
}

// makePlan plans one stack and keeps the plan. With judged, what policy says of it is
// shown, too.
func (r *stackRunner) makePlan(ctx context.Context, req runs.StackRequest, judged bool) (*sharedPlan, *plans.Plan, error) {
	e, err := r.ensemble()
	if err != nil {
		return nil, nil, err
	}
	po, err := r.options(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	e.give(&po.variableOptions)
	e.useVariables(req.Variables)
	log := newLogView(req.Log)
	defer log.settle()
	op := &operation{project: e.member(req.Stack), view: log, actor: req.Actor, authority: req.Authority, overrides: req.Overrides}
	var loaded *loadedPlan
	var own []string
	var diags diag.List
	kind := po.kind()
	if req.Rollback != "" {
		if err := r.undoes(ctx, req, op); err != nil {
			return nil, nil, err
		}
		kind = rollbackKind
		loaded, diags = op.planRollback(ctx, po, req.Rollback)
	} else {
		loaded, own, diags = op.planStep(ctx, po, req.Inputs)
	}
	if !diags.HasErrors() {
		log.plan(ctx, op, loaded)
		op.showCost(ctx, loaded)
	}
	if judged && !diags.HasErrors() {
		diags = append(diags, op.foretell(ctx, loaded, runOptions{kind: kind, parent: req.Parent})...)
	}
	if log.show(diags, r.root.app.quoted()); diags.HasErrors() {
		return nil, nil, problem("Tutti.PlanFailed", diags)
	}
	if diags := loaded.encode(r.root.keyring); diags.HasErrors() {
		return nil, nil, diags.Err()
	}
	shared := &sharedPlan{plan: &stacks.Plan{
		Environment: e.environment, Kind: kind, Created: time.Now().UTC(), Program: programVersion(), Outputs: map[string][]string{},
		Stacks: []stacks.StackPlan{{Name: req.Stack, Own: own, Digest: loaded.plan.Digest, Encoded: loaded.encoded}},
	}}
	shared.plan.SetProject(e.declared, e.variables)
	e.mu.Lock()
	for name, m := range e.modules {
		shared.plan.Outputs[name] = sortedKeys(m.Outputs)
	}
	e.mu.Unlock()
	if err := r.keep(ctx, op.opened, shared.plan); err != nil {
		return nil, nil, err
	}
	return shared, loaded.plan, nil
}

// undoes refuses a plan that is to bring back what another stack's run changed, or to
// do something else besides.
func (r *stackRunner) undoes(ctx context.Context, req runs.StackRequest, op *operation) error {
	undone, err := r.root.opened.Run(ctx, req.Rollback)
	switch {
	case err != nil:
		return actions.Errorf("Tutti.PlanFailed", "Run %q cannot be rolled back: %s.", req.Rollback, err)
	case undone.Key != op.key():
		return actions.Errorf("Tutti.PlanFailed", "Run %s changed nothing of stack %q in environment %q itself.", undone.ID, req.Stack, op.environment)
	case req.Destroy || req.RefreshOnly || len(req.Targets)+len(req.Excludes)+len(req.Replaces) > 0 || !req.Inputs.IsNull():
		return actions.Errorf("Tutti.PlanFailed", "What brings back what a run changed takes neither inputs nor targets, nor does it destroy: give rollback alone.")
	}
	return nil
}

// planStep plans a stack with inputs of a step besides those that the project
// gives it; own names them.
func (o *operation) planStep(ctx context.Context, po *planOptions, inputs cty.Value) (l *loadedPlan, own []string, diags diag.List) {
	req, diags := po.request()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	cfg, d := o.config(ctx)
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	scope, d := o.ensemble.scope(ctx, &po.variableOptions)
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	values, d := o.stackInputs(cfg, scope, o.ensemble.fromState(ctx, o.declared, req.mode))
	if diags = append(diags, d...); d.HasErrors() {
		return nil, nil, diags
	}
	if bare, given := inputs.Unmark(); !bare.IsNull() && bare.IsKnown() && (bare.Type().IsObjectType() || bare.Type().IsMapType()) {
		for name, v := range bare.AsValueMap() {
			if cfg.Root.Variables[name] == nil {
				diags = append(diags, diag.Errorf("Unknown input", "The root module of stack %q declares no variable %q.", o.stack, name)...)
				continue
			}
			values[name] = configs.InputValue{Value: v.WithMarks(given), Source: configs.FromCaller}
			own = append(own, name)
		}
		slices.Sort(own)
	}
	prior, d := o.prior(ctx, req.mode)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, nil, diags
	}
	l, d = o.makePlan(ctx, o.inputFrom(cfg, values, prior, req, po))
	return l, own, append(diags, d...)
}

// problem is the error of a step whose diagnostics are told elsewhere.
func problem(name string, diags diag.List) error {
	for _, d := range diags.Sorted() {
		if d.Severity == diag.Error {
			return actions.Errorf(name, "%s: %s", d.Summary, firstLine(d.Detail))
		}
	}
	return actions.Errorf(name, "It did not succeed.")
}

// Apply implements [runs.Stacks].
func (r *stackRunner) Apply(ctx context.Context, req runs.StackRequest) (cty.Value, error) {
	ctx = readSecretsFor(ctx, req.Run, req.Secrets)
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
func (r *stackRunner) find(ctx context.Context, req runs.StackRequest) (runs.Run, error) {
	store, diags := r.root.store(ctx)
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

func (r *stackRunner) applyNew(ctx context.Context, req runs.StackRequest) (cty.Value, error) {
	digest := req.Plan
	if digest == "" {
		shared, _, err := r.makePlan(ctx, req, false) // it passes the gate next
		if err != nil {
			return cty.DynamicVal, err
		}
		digest = shared.plan.Digest
	}
	shared, err := r.planned(ctx, digest)
	if err != nil {
		return cty.DynamicVal, err
	}
	if err := r.begin(ctx, req, shared); err != nil {
		return cty.DynamicVal, err
	}
	op, l, diags := shared.loaded(ctx, r.root.opened, req.Stack)
	if diags.HasErrors() {
		return cty.DynamicVal, r.failed(req, nil, runs.Result{}, diags)
	}
	kind := shared.plan.Kind
	return r.carryOut(ctx, req, op, l, runOptions{kind: kind, id: req.Run, parent: req.Parent}, diags)
}

func (r *stackRunner) resume(ctx context.Context, req runs.StackRequest, run runs.Run) (cty.Value, error) {
	op, err := r.operation(ctx, req, run)
	if err != nil {
		return cty.DynamicVal, err
	}
	l, diags := op.planOf(ctx, run)
	if !diags.HasErrors() {
		diags = append(diags, op.checkLocks(ctx, l.plan)...)
	}
	if !diags.HasErrors() && req.Plan != "" {
		// What has to be given again, and what was not recorded before the crash.
		shared, err := r.planned(ctx, req.Plan)
		if err != nil {
			return cty.DynamicVal, err
		}
		_, anew, d := shared.loaded(ctx, r.root.opened, req.Stack)
		diags = append(diags, d...)
		if !d.HasErrors() {
			l.ephemeral = anew.ephemeral
			if len(l.late) == 0 {
				l.late = anew.late
			}
		}
	}
	if !diags.HasErrors() && req.Plan == "" {
		diags = append(diags, op.ephemeralAgain(ctx, l, req, r.vars)...)
	}
	if diags.HasErrors() {
		return cty.DynamicVal, r.failed(req, nil, runs.Result{}, diags)
	}
	return r.carryOut(ctx, req, op, l, runOptions{kind: run.Kind, resume: run.ID}, diags)
}

// ephemeralAgain evaluates the ephemeral inputs of a plan anew that was made for
// one step: they are kept nowhere.
func (o *operation) ephemeralAgain(ctx context.Context, l *loadedPlan, req runs.StackRequest, vars *variableOptions) diag.List {
	var names []string
	for name, planned := range l.plan.Variables {
		if planned.Ephemeral && planned.Given {
			names = append(names, name)
		}
	}
	if len(names) == 0 || l.plan.Mode != plans.Normal {
		return nil
	}
	o.ensemble.useVariables(req.Variables)
	scope, diags := o.ensemble.scope(ctx, vars)
	if diags.HasErrors() {
		return diags
	}
	inputs, d := o.stackInputs(l.config, scope, o.ensemble.fromState(ctx, o.stack, l.plan.Mode))
	diags = append(diags, d...)
	if l.ephemeral == nil {
		l.ephemeral = map[string]cty.Value{}
	}
	for _, name := range names {
		if in, ok := inputs[name]; ok {
			val, d := configs.PrepareVariable(l.config.Root.Variables[name], in)
			diags = append(diags, d...)
			l.ephemeral[name] = val
		}
	}
	return diags
}

// operation is an operation on the stack of a run, in the project it belongs to.
func (r *stackRunner) operation(ctx context.Context, req runs.StackRequest, run runs.Run) (*operation, error) {
	e, err := r.ensemble()
	if req.Plan != "" {
		var shared *sharedPlan
		if shared, err = r.planned(ctx, req.Plan); err == nil {
			e = shared.ensemble
		}
	}
	if err != nil {
		return nil, err
	}
	p := e.ofState(run.Key)
	if p == nil {
		return nil, fmt.Errorf("run %s is about the stack %q, which this project does not declare", run.ID, run.Key.Stack)
	}
	return &operation{project: p, view: silentView{}, actor: req.Actor, authority: req.Authority, overrides: req.Overrides}, nil
}

// carryOut has a run driven to its end and says what came of it.
func (r *stackRunner) carryOut(ctx context.Context, req runs.StackRequest, op *operation, l *loadedPlan, opts runOptions, before diag.List) (cty.Value, error) {
	if !r.budgeted { // else the stacks were judged together
		r.root.readRulesAnew()
	}
	log := newLogView(req.Log)
	op.actor, op.authority, op.overrides = req.Actor, req.Authority, req.Overrides
	op.view = teeView{log, silentView{}}
	if r.view != nil {
		op.view = teeView{log, r.view.forStack(op.stack)}
	}
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
	opts.parallelism, opts.patience, opts.hard, opts.budgeted, opts.board = r.parallelism, r.patience, ctx.Done(), r.budgeted, r.board
	result, stale, diags := op.carryOut(soft, l, opts)
	log.settle()
	diags = append(before, diags...)
	log.show(diags, r.root.app.quoted())
	if result.Run.Status == runs.Interrupted {
		r.note(req, l.plan, result, diags)
		return cty.DynamicVal, runs.ErrDetached
	}
	if result.Run.Status != runs.Succeeded || diags.HasErrors() {
		err := r.failed(req, l.plan, result, diags)
		switch {
		case stale != nil:
			err = actions.Errorf(runs.StaleError, "%s", stale)
		case l.forbidden:
			err = problem(runs.ForbiddenError, diags)
		case l.refused:
			err = problem(runs.DeniedError, diags)
		}
		if result.Run.Status == "" && l.decided != nil && l.decided.decision.Blocked() {
			err = actions.Errorf(runs.DeniedError, "Denied by policy: %s", deniedBecause(l.decided.decision))
		}
		return cty.DynamicVal, err
	}
	r.note(req, l.plan, result, diags)
	return finalOutputs(result.Final.Outputs)
}

// ended is the result of a run that ended before a crash.
func (r *stackRunner) ended(ctx context.Context, req runs.StackRequest, run runs.Run) (cty.Value, error) {
	if run.Status != runs.Succeeded {
		return cty.DynamicVal, actions.Errorf(failureName(run), "Run %s has %s: %s", run.ID, run.Status, run.Problem)
	}
	st, err := r.root.opened.State(ctx, run.Key)
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

func (r *stackRunner) note(req runs.StackRequest, plan *plans.Plan, result runs.Result, diags diag.List) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[req.Stack] = &stackOutcome{plan, result, inStack(req.Stack, diags)}
}

func (r *stackRunner) failed(req runs.StackRequest, plan *plans.Plan, result runs.Result, diags diag.List) error {
	r.note(req, plan, result, diags)
	return problem(failureName(result.Run), diags)
}

// Rollback implements [runs.Stacks].
func (r *stackRunner) Rollback(ctx context.Context, req runs.StackRequest, of string) error {
	ctx = readSecretsFor(ctx, req.Run, req.Secrets)
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
	undone, err := r.root.opened.Run(ctx, of)
	if err != nil {
		return fmt.Errorf("run %q cannot be rolled back: %w", of, err)
	}
	req.Stack = undone.Key.Stack
	op, err := r.operation(ctx, req, undone)
	if err != nil {
		return err
	}
	l, diags := op.planRollback(ctx, &planOptions{refresh: true, parallelism: r.parallelism, variableOptions: *r.vars}, of)
	if diags.HasErrors() {
		if len(diags) == 1 && diags[0].Summary == nothingToRollBack {
			return nil
		}
		return problem("Tutti.RollbackFailed", diags)
	}
	_, err = r.carryOut(ctx, req, op, l, runOptions{kind: rollbackKind, id: req.Run, parent: req.Parent}, diags)
	return err
}

// Invoke implements [runs.Stacks].
func (r *stackRunner) Invoke(ctx context.Context, req runs.StackRequest, action string, config cty.Value) error {
	ctx = readSecretsFor(ctx, req.Parent, req.Secrets)
	e, err := r.ensemble()
	if err != nil {
		return err
	}
	e.useVariables(req.Variables)
	log := newLogView(req.Log)
	defer log.settle()
	op := &operation{project: e.member(req.Stack), view: log, actor: req.Actor, authority: req.Authority, overrides: req.Overrides}
	in, diags := op.planInput(ctx, &planOptions{parallelism: r.parallelism, variableOptions: *r.vars})
	name := "Tutti.ActionFailed"
	allow := func(a engine.PlannedAction) diag.List {
		told, diags := op.pass(ctx, deed{
			opts: runOptions{kind: "invoke", parent: req.Parent}, config: in.Config,
			document: func() ([]byte, error) {
				called := jsonplan.ActionInvocation{Type: a.Type, Name: req.Step, Provider: a.Provider, Schema: a.Schema, Config: a.Config}
				return jsonplan.Action(called, in.Prior, in.Config, op.jsonOptions(ctx))
			},
		})
		if diags.HasErrors() {
			name = runs.DeniedError
			return diags
		}
		for _, e := range told {
			if err := op.opened.Record(ctx, e); err != nil {
				return append(diags, diag.FromError(err)...)
			}
		}
		return diags
	}
	if !diags.HasErrors() {
		diags = append(diags, engine.InvokeAction(ctx, in, action, config, allow, log.watcher.Tell)...)
	}
	if log.show(diags, r.root.app.quoted()); diags.HasErrors() {
		return problem(name, diags)
	}
	return nil
}
