package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
)

// An apply of several stacks is a run of its own: a workflow, made from the plan,
// whose steps each apply one stack. It is as durable as its steps are.

// runStacks plans and applies several stacks.
func (o *applyOptions) runStacks(ctx context.Context, e *ensembleOperation) int {
	if diags := o.ofOneStack(); diags.HasErrors() {
		return e.app.fail(diags)
	}
	if diags := e.may(verbOf(o.planOptions.kind())); diags.HasErrors() {
		return e.app.fail(diags) // rather than after planning and asking
	}
	if diags := checkOverrides(e.operations()...); diags.HasErrors() {
		return e.app.fail(diags)
	}
	mode := o.mode()
	diags := e.plan(ctx, &o.planOptions, o.planOptions.kind())
	if e.shared != nil {
		e.show(ctx, mode, diags)
	}
	e.app.show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	if diags := e.decide(ctx, mode, o.planOptions.kind()); diags.HasErrors() {
		return e.app.fail(diags)
	}
	j := e.judge(ctx)
	if e.app.show(j.take()); j.denied {
		return exitFailed
	}
	if e.changes() && !o.approved(ctx, e.app, mode) {
		return exitFailed
	}
	if diags := e.finish(mode); diags.HasErrors() {
		return e.app.fail(diags)
	}
	return e.execute(ctx, o)
}

// applyStacks carries out a saved plan of several stacks.
func (o *applyOptions) applyStacks(ctx context.Context, app *App, name string) int {
	if len(o.targets)+len(o.excludes)+len(o.replaces)+len(app.stacks) > 0 || o.destroy || o.refreshOnly {
		return app.failf("Options cannot change a saved plan", "A saved plan is carried out exactly as it is: options such as -stack, -target, -replace or -destroy belong to \"tutti plan\".")
	}
	e, diags := app.openPlanOfStacks(ctx, name, o.json, &o.variableOptions)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer e.Close()
	app.show(diags)
	if diags := checkOverrides(e.operations()...); diags.HasErrors() {
		return app.fail(diags)
	}
	if o.json {
		for _, s := range e.shared.Stacks {
			e.view.forStack(s.Name).plan(ctx, e.operation(s.Name), e.plans[s.Name])
		}
		if j := e.judge(ctx); j.worthTelling() {
			e.view.cost(j)
		}
	}
	if diags := e.decide(ctx, plans.Normal, e.shared.Kind); diags.HasErrors() {
		return app.fail(diags)
	}
	return e.execute(ctx, o)
}

// decide judges the plans of all stacks, before any of them is carried out.
func (o *ensembleOperation) decide(ctx context.Context, mode plans.Mode, kind string) diag.List {
	order := slices.Clone(o.names)
	if mode == plans.Destroy {
		slices.Reverse(order)
	}
	var diags diag.List
	for _, name := range order {
		if l := o.plans[name]; l != nil {
			_, d := o.operation(name).decide(ctx, l, runOptions{kind: kind, parent: o.by.Parent})
			diags = append(diags, inStack(name, d)...)
		}
	}
	return diags
}

// openPlanOfStacks opens the project that a saved plan of several stacks was
// made in, as it was then, here.
// Without vars it is only looked at: what has to be given again is not asked for.
func (a *App) openPlanOfStacks(ctx context.Context, name string, asJSON bool, vars *variableOptions) (*ensembleOperation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read plan file", "%s.", err)
	}
	root, diags := a.openRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	shared := &sharedPlan{}
	if shared.plan, err = stacks.DecodePlan(root.sealedNow(data), root.keyring); err != nil {
		root.Close()
		again := ""
		if errors.Is(err, plans.ErrSealed) {
			again = " Or plan again: that needs no former key."
		}
		return nil, diag.Errorf("Cannot read plan", "%s: %s.%s", name, err, again)
	}
	if err := shared.open(ctx, root, vars); err != nil {
		root.Close()
		return nil, diag.FromError(err)
	}
	if vars != nil && shared.plan.Environment != root.environment {
		root.Close()
		return nil, diag.Errorf("Plan is for another environment", "The plan was made for the environment %q, but %q is selected.", shared.plan.Environment, root.environment)
	}
	e := &ensembleOperation{ensemble: shared.ensemble, app: a, view: a.operationView(asJSON), shared: shared.plan, plans: map[string]*loadedPlan{}}
	e.names = nil
	for _, s := range shared.plan.Stacks {
		e.names = append(e.names, s.Name)
		op := e.operation(s.Name)
		l, d := op.loadPlan(s.Encoded)
		if d.HasErrors() {
			return nil, inFile(name, d)
		}
		l.file = name
		if l.plan.Digest != s.Digest {
			return nil, inFile(name, diag.FromError(plans.ErrTampered))
		}
		e.plans[s.Name] = l
		if vars != nil {
			diags = append(diags, op.checkLocks(ctx, l.plan)...)
		}
	}
	return e, diags
}

// execute applies the plan as a run.
func (o *ensembleOperation) execute(ctx context.Context, opts *applyOptions) int {
	if diags := o.may(verbOf(o.shared.Kind)); diags.HasErrors() {
		return o.app.fail(diags)
	}
	store, diags := o.root.store(ctx)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	j := o.judge(ctx)
	if o.app.show(j.take()); j.denied {
		return exitFailed
	}
	r := newStackRunner(o.root, o.declared)
	r.budgeted, r.board = true, j.board
	r.own, r.view, r.vars, r.parallelism, r.patience = o.ensemble, o.view, &opts.variableOptions, opts.parallelism, opts.lockTimeout
	defer r.Close()
	err := r.keep(ctx, store, o.shared)
	made := &sharedPlan{plan: o.shared, ensemble: o.ensemble, made: o.plans}
	id := takeNewRun(ctx)
	made.evaluate(readSecretsFor(ctx, id, nil))
	r.shared[o.shared.Digest] = made
	if err == nil {
		err = o.moveObjects(ctx, store)
	}
	if err != nil {
		return o.app.fail(diag.FromError(err))
	}
	definition, diags := o.shared.Workflow(o.root.rootDir())
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	d := flow.Compile(definition, definition.Workflows[stacks.WorkflowName])
	return r.drive(ctx, o.shared, func(runner *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = runs.Run{
			ID: id, Kind: o.shared.Kind, Key: states.Key{Environment: o.shared.Environment}, Actor: o.app.actor(), Authority: o.app.authority(), Program: programVersion(), Summary: o.summary(),
			Source: o.app.source(),
		}
		w.Events, w.Run.Overrides = j.record(access.Subject(w.Run.Actor))
		for _, name := range o.names {
			if l := o.plans[name]; l.decided != nil {
				w.Run.Overrides = joinOverrides(w.Run.Overrides, ruleOverrides(l.decided.decision)...)
			}
		}
		return runner.StartWorkflow(ctx, d, w)
	})
}

// moveObjects carries out the moves between stacks, all of them or none, unless
// they were made before.
func (o *ensembleOperation) moveObjects(ctx context.Context, store runs.Store) error {
	pending, err := stacks.Pending(o.shared.Moves, func(key states.Key) (*states.State, error) { return store.State(ctx, key) })
	if err != nil || len(pending) == 0 {
		return err
	}
	if err := store.Transfer(ctx, pending, transferEvents(o.operation(o.names[0]).by(), pending)...); err != nil {
		return diag.Errorf("Cannot move objects between stacks", "%s. Nothing was done; plan again.", err).Err()
	}
	return nil
}

// drive has the run of a plan carried out, shows it and reports.
func (r *stackRunner) drive(ctx context.Context, plan *stacks.Plan, do func(*runs.Runner, runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List)) int {
	app := r.root.app
	runner := &runs.Runner{Store: r.root.opened}
	atOnce := defaultParallelism
	if shared := r.shared[plan.Digest]; shared != nil {
		atOnce, r.parallelism = shared.ensemble.share(r.parallelism)
	}
	run, machine, diags := do(runner, runs.WorkflowOptions{
		Environment: plan.Environment, Stacks: r, Parallelism: atOnce, Hard: hardContext(ctx).Done(), Authorize: app.authorizer(r.root.opened),
	})
	runner.Wait()
	r.view.settle()
	if machine == nil {
		return app.fail(diags)
	}
	for _, s := range plan.Stacks {
		if outcome := r.outcomes[s.Name]; outcome != nil {
			app.show(outcome.diags)
		}
	}
	for _, s := range machine.Steps() {
		if s.Status == flow.Failed && r.outcomes[s.Name] == nil && s.Error != nil {
			diags = append(diags, diag.Errorf("Stack could not be applied", "%s: %s", s.Name, s.Error.Cause)...)
		}
		if s.Status == flow.Halted {
			diags = append(diags, diag.Warningf("Stack was not applied", "The stack %q was left as it is, because a stack before it failed.", s.Name)...)
		}
	}
	app.show(diags)
	r.report(plan, run)
	if run.Status != runs.Succeeded || diags.HasErrors() {
		return exitFailed
	}
	return exitOK
}

// report tells how the run ended: the totals, and the outputs of the stacks.
func (r *stackRunner) report(plan *stacks.Plan, run runs.Run) {
	var all runs.Counts
	for _, outcome := range r.outcomes {
		n := outcome.result.Done
		all.Added, all.Changed, all.Destroyed, all.Imported, all.Forgotten = all.Added+n.Added, all.Changed+n.Changed, all.Destroyed+n.Destroyed, all.Imported+n.Imported, all.Forgotten+n.Forgotten
	}
	mode := modeOf(plan.Kind)
	r.view.appliedAll(mode, runs.Result{Run: run, Done: all})
	if mode == plans.Destroy {
		return
	}
	for _, s := range plan.Stacks {
		if outcome := r.outcomes[s.Name]; outcome != nil && outcome.result.Run.Status == runs.Succeeded {
			r.view.outputs(s.Name, outcome.result.Final.Outputs)
		}
	}
}

// continueStacks resumes the run of a plan of several stacks.
func (o *operation) continueStacks(ctx context.Context, run runs.Run, vars *variableOptions, parallelism int) int {
	source, err := o.opened.Blob(ctx, run.Blob)
	if err != nil {
		return o.app.failf("Cannot read the run's definition", "%s.", err)
	}
	d, diags := o.definitionOf(source)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	r := newStackRunner(o.project, d.Project)
	r.budgeted = true // when it was started
	r.view, r.vars, r.parallelism = o.view, vars, parallelism
	defer r.Close()
	shared, err := r.planned(readSecretsFor(ctx, run.ID, nil), stacks.PlanOf(d.Workflow))
	if err != nil {
		return o.app.fail(diag.FromError(err))
	}
	if r.board, err = shared.board(ctx, o.opened, run); err != nil {
		return o.app.fail(diag.FromError(err))
	}
	return r.drive(ctx, shared.plan, func(runner *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = run
		return runner.ContinueWorkflow(ctx, d, w)
	})
}

// isStacksRun reports whether a run applies a plan of several stacks.
func isStacksRun(run runs.Run) bool {
	return run.Machine() && slices.Contains([]string{"apply", "destroy", "refresh"}, run.Kind)
}

// approved asks whether to carry out what was shown.
func (o *applyOptions) approved(ctx context.Context, app *App, mode plans.Mode) bool {
	if o.autoApprove {
		return true
	}
	question, explanation := "Do you want to perform these actions?", "Tutti will perform the actions described above."
	switch mode {
	case plans.Destroy:
		question, explanation = "Do you really want to destroy all resources?", "Tutti will destroy all your managed infrastructure, as shown above.\n  There is no undo."
	case plans.RefreshOnly:
		question, explanation = "Would you like to update the state to reflect these detected changes?", "Tutti will record these changes without modifying any real objects."
	}
	yes, err := app.prompter().confirm(ctx, question, explanation)
	if yes && err == nil {
		fmt.Fprintln(app.Out)
		return true
	}
	fmt.Fprintf(app.Out, "\n%s cancelled.\n", map[bool]string{true: "Destroy", false: "Apply"}[mode == plans.Destroy])
	return false
}
