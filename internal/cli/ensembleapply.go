package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
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
	if diags := e.May(project.VerbOf(o.PlanOptions.Kind())); diags.HasErrors() {
		return e.app.fail(diags) // rather than after planning and asking
	}
	if diags := gate.CheckOverrides(e.Cases()...); diags.HasErrors() {
		return e.app.fail(diags)
	}
	mode := o.Mode()
	diags := e.Plan(ctx, &o.PlanOptions, o.PlanOptions.Kind())
	if e.Shared != nil {
		e.Show(ctx, mode, diags)
	}
	e.app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	if diags := e.Decide(ctx, mode, o.PlanOptions.Kind()); diags.HasErrors() {
		return e.app.fail(diags)
	}
	j := e.Judge(ctx)
	if e.app.Show(j.Take()); j.Denied {
		return exitFailed
	}
	if e.Changes() && !o.approved(ctx, e.app, mode) {
		return exitFailed
	}
	if diags := e.Finish(mode); diags.HasErrors() {
		return e.app.fail(diags)
	}
	return e.execute(ctx, o)
}

// applyStacks carries out a saved plan of several stacks.
func (o *applyOptions) applyStacks(ctx context.Context, app *App, name string) int {
	if len(o.Targets)+len(o.Excludes)+len(o.Replaces)+len(app.Stacks) > 0 || o.Destroy || o.RefreshOnly {
		return app.failf("Options cannot change a saved plan", "A saved plan is carried out exactly as it is: options such as -stack, -target, -replace or -destroy belong to \"tutti plan\".")
	}
	e, diags := app.openPlanOfStacks(ctx, name, o.json, &o.VariableOptions)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer e.Close()
	app.Show(diags)
	if diags := gate.CheckOverrides(e.Cases()...); diags.HasErrors() {
		return app.fail(diags)
	}
	if o.json {
		for _, s := range e.Shared.Stacks {
			e.View.ForStack(s.Name).Plan(ctx, e.Operation(s.Name), e.Plans[s.Name])
		}
		if j := e.Judge(ctx); j.WorthTelling() {
			e.View.Cost(j)
		}
	}
	if diags := e.Decide(ctx, plans.Normal, e.Shared.Kind); diags.HasErrors() {
		return app.fail(diags)
	}
	return e.execute(ctx, o)
}

// openPlanOfStacks opens the project that a saved plan of several stacks was
// made in, as it was then, here.
// Without vars it is only looked at: what has to be given again is not asked for.
func (a *App) openPlanOfStacks(ctx context.Context, name string, asJSON bool, vars *project.VariableOptions) (*ensembleOperation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read plan file", "%s.", files.Reason(err))
	}
	root, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	shared := &operations.SharedPlan{}
	if shared.Plan, err = stacks.DecodePlan(operations.SealedNow(root, data), root.Keyring); err != nil {
		root.Close()
		again := ""
		if errors.Is(err, plans.ErrSealed) {
			again = " Or plan again: that needs no former key."
		}
		return nil, diag.Errorf("Cannot read plan", "%s: %s.%s", name, err, again)
	}
	if err := shared.Open(ctx, root, vars); err != nil {
		root.Close()
		return nil, diag.FromError(err)
	}
	if vars != nil && shared.Plan.Environment != root.Environment {
		root.Close()
		return nil, otherEnvironment(shared.Plan.Environment, root.Environment)
	}
	e := &ensembleOperation{&operations.EnsembleOperation{Ensemble: shared.Ensemble, Session: a.Session, View: a.operationView(asJSON), Shared: shared.Plan, Plans: map[string]*gate.Plan{}}, a}
	e.Names = nil
	for _, s := range shared.Plan.Stacks {
		e.Names = append(e.Names, s.Name)
		op := e.Operation(s.Name)
		l, d := operations.LoadPlan(op.Directory, s.Encoded)
		if d.HasErrors() {
			return nil, diag.InFile(name, d)
		}
		l.File = name
		if l.Plan.Digest != s.Digest {
			return nil, diag.InFile(name, diag.FromError(plans.ErrTampered))
		}
		e.Plans[s.Name] = l
		if vars != nil {
			diags = append(diags, op.CheckLocks(ctx, l.Plan)...)
		}
	}
	return e, diags
}

// execute applies the plan as a run.
func (o *ensembleOperation) execute(ctx context.Context, opts *applyOptions) int {
	if diags := o.May(project.VerbOf(o.Shared.Kind)); diags.HasErrors() {
		return o.app.fail(diags)
	}
	store, diags := o.Root.Store(ctx)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	j := o.Judge(ctx)
	if o.app.Show(j.Take()); j.Denied {
		return exitFailed
	}
	r := operations.NewStackRunner(o.Root, o.Declared)
	r.Budgeted, r.Board = true, j.Board
	r.Own, r.View, r.Vars, r.Parallelism, r.Patience = o.Ensemble, o.View, &opts.VariableOptions, opts.Parallelism, opts.lockTimeout
	defer r.Close()
	err := r.Keep(ctx, store, o.Shared)
	made := &operations.SharedPlan{Plan: o.Shared, Ensemble: o.Ensemble, Made: o.Plans}
	id := project.TakeNewRun(ctx)
	made.Evaluate(project.ReadSecretsFor(ctx, id, nil))
	r.Shared[o.Shared.Digest] = made
	if err == nil {
		err = o.MoveObjects(ctx, store)
	}
	if err != nil {
		return o.app.fail(diag.FromError(err))
	}
	definition, diags := o.Shared.Workflow(o.Root.RootDir())
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	d := flow.Compile(definition, definition.Workflows[stacks.WorkflowName])
	return o.app.drive(ctx, r, o.Shared, func(runner *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = runs.Run{
			ID: id, Kind: o.Shared.Kind, Key: states.Key{Environment: o.Shared.Environment}, Actor: o.app.Actor(), Authority: o.app.Authority(), Program: project.ProgramVersion(), Summary: o.Summary(),
			Source: o.app.Source(),
		}
		w.Events, w.Run.Overrides = j.Record(access.Subject(w.Run.Actor))
		for _, name := range o.Names {
			if l := o.Plans[name]; l.Decided != nil {
				w.Run.Overrides = gate.JoinOverrides(w.Run.Overrides, gate.RuleOverrides(l.Decided.Decision)...)
			}
		}
		return runner.StartWorkflow(ctx, d, w)
	})
}

// drive has the run of a plan carried out, shows it and reports.
func (a *App) drive(ctx context.Context, r *operations.StackRunner, plan *stacks.Plan, do func(*runs.Runner, runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List)) int {
	runner := &runs.Runner{Store: r.Root.Opened}
	atOnce := operations.DefaultParallelism
	if shared := r.Shared[plan.Digest]; shared != nil {
		atOnce, r.Parallelism = operations.Share(shared.Ensemble, r.Parallelism)
	}
	run, machine, diags := do(runner, runs.WorkflowOptions{
		Environment: plan.Environment, Stacks: r, Parallelism: atOnce, Hard: operations.Hard(ctx).Done(), Authorize: a.Authorizer(r.Root.Opened),
	})
	runner.Wait()
	r.View.Settle()
	if machine == nil {
		return a.fail(diags)
	}
	for _, s := range plan.Stacks {
		if outcome := r.Outcomes[s.Name]; outcome != nil {
			a.Show(outcome.Diags)
		}
	}
	for _, s := range machine.Steps() {
		if s.Status == flow.Failed && r.Outcomes[s.Name] == nil && s.Error != nil {
			diags = append(diags, diag.Errorf("Stack could not be applied", "%s: %s", s.Name, s.Error.Cause)...)
		}
		if s.Status == flow.Halted {
			diags = append(diags, diag.Warningf("Stack was not applied", "The stack %q was left as it is, because a stack before it failed.", s.Name)...)
		}
	}
	a.Show(diags)
	reportStacks(r, plan, run)
	if run.Status != runs.Succeeded || diags.HasErrors() {
		return exitFailed
	}
	return exitOK
}

// reportStacks tells how the run ended: the totals, and the outputs of the stacks.
func reportStacks(r *operations.StackRunner, plan *stacks.Plan, run runs.Run) {
	var all runs.Counts
	for _, outcome := range r.Outcomes {
		n := outcome.Result.Done
		all.Added, all.Changed, all.Destroyed, all.Imported, all.Forgotten = all.Added+n.Added, all.Changed+n.Changed, all.Destroyed+n.Destroyed, all.Imported+n.Imported, all.Forgotten+n.Forgotten
	}
	mode := operations.ModeOf(plan.Kind)
	r.View.AppliedAll(mode, runs.Result{Run: run, Done: all})
	if mode == plans.Destroy {
		return
	}
	for _, s := range plan.Stacks {
		if outcome := r.Outcomes[s.Name]; outcome != nil && outcome.Result.Run.Status == runs.Succeeded {
			r.View.Outputs(s.Name, outcome.Result.Final.Outputs)
		}
	}
}

// continueStacks resumes the run of a plan of several stacks.
func (o *operation) continueStacks(ctx context.Context, run runs.Run, vars *project.VariableOptions, parallelism int) int {
	source, err := o.Opened.Blob(ctx, run.Blob)
	if err != nil {
		return o.app.failf("Cannot read the run's definition", "%s.", err)
	}
	d, diags := operations.DefinitionOf(o.Directory, source)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	r := operations.NewStackRunner(o.Directory, d.Project)
	r.Budgeted = true // when it was started
	r.View, r.Vars, r.Parallelism = o.View(), vars, parallelism
	defer r.Close()
	shared, err := r.Planned(project.ReadSecretsFor(ctx, run.ID, nil), stacks.PlanOf(d.Workflow))
	if err != nil {
		return o.app.fail(diag.FromError(err))
	}
	if r.Board, err = shared.Board(ctx, o.Opened, run); err != nil {
		return o.app.fail(diag.FromError(err))
	}
	return o.app.drive(ctx, r, shared.Plan, func(runner *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = run
		return runner.ContinueWorkflow(ctx, d, w)
	})
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
