package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/runs"
)

func rollbackCommand() *command {
	return &command{
		name: "rollback", args: "RUN", summary: "Plan to undo what a run did, and carry it out", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "Makes a plan that brings every object a run changed back to how it was before: what it created is destroyed, what it destroyed is created anew, what it changed is changed back. The plan is shown and asked about like any other. Objects that a later run changed are brought back as well: look at the plan.\n\nThe configuration stays as it is; the next plan will want to do again what it says.",
		setup: func(f *flagSet) action {
			var o applyOptions
			o.Refresh, o.Parallelism = true, operations.DefaultParallelism
			var out string
			registerVariables(f, &o.VariableOptions)
			o.policyOptions.register(f)
			f.toggle(&o.autoApprove, "auto-approve", "Do not ask before carrying out the plan.")
			registerOverride(f, &o.overrides)
			f.text(&out, "out", "FILE", "Only save the plan, for \"tutti apply FILE\".")
			f.toggle(&o.Refresh, "refresh", "Whether to read every object before planning.")
			f.number(&o.Parallelism, "parallelism", "N", "Bound on concurrent operations; 10 unless given.")
			o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line. Needs -auto-approve or -out.")
			cancelOnInterrupt(f, &o.cancel)
			return func(ctx context.Context, app *App, args []string) int { return o.rollback(ctx, app, args[0], out) }
		},
	}
}

func (o *applyOptions) rollback(ctx context.Context, app *App, run, out string) int {
	if o.json && !o.autoApprove && out == "" {
		return app.failf("Auto-approve required", "With -json nobody can be asked: give -auto-approve or -out.")
	}
	if app.remote != nil {
		return o.rollbackThere(ctx, app, run)
	}
	app.Overrides, app.MorePolicies = o.overrides, o.policyOptions.dirs
	root, diags := app.openRootOperation(o.json)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer root.Close()
	op, diags := root.ofRun(ctx, run)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if diags := gate.CheckOverrides(&op.Case); diags.HasErrors() {
		return app.fail(diags)
	}
	loaded, diags := op.PlanRollback(ctx, &o.PlanOptions, run)
	if loaded == nil {
		return app.fail(diags)
	}
	op.showPlan(ctx, loaded, diags)
	app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	plan := loaded.Plan
	opts := operations.RunOptions{Request: gate.Request{Kind: operations.RollbackKind}, Parallelism: o.Parallelism, Patience: o.lockTimeout}
	_, denied := op.Decide(ctx, loaded, opts.Request)
	if out != "" {
		if diags := op.savePlan(loaded, out); diags.HasErrors() {
			return app.fail(diags)
		}
		op.View().Saved(plan.HasChanges(), out)
		if app.Show(denied); denied.HasErrors() {
			return exitFailed
		}
		return exitOK
	}
	if denied.HasErrors() {
		return app.fail(denied)
	}
	if !plan.HasChanges() {
		return exitOK
	}
	if diags := op.MayCarryOut(loaded, opts.Kind); diags.HasErrors() {
		return app.fail(diags) // rather than after asking
	}
	if op.Refused(ctx, loaded) || !o.confirm(ctx, op, plan) {
		return exitFailed
	}
	return op.execute(ctx, loaded, opts, nil)
}

// ofRun is the operation on the state that a run changed.
func (o *operation) ofRun(ctx context.Context, id string) (*operation, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, operations.NoRun(id, err)
	}
	if !run.Machine() {
		return o.app.operation(o.On(run.Key)), diags
	}
	all, err := store.Runs(ctx, runs.RunQuery{Parent: id})
	if err != nil {
		return nil, diag.FromError(err)
	}
	return nil, ofSeveralStacks(id, all)
}

// ofSeveralStacks refuses to roll back a run that is made of others.
func ofSeveralStacks(id string, children []runs.Run) diag.List {
	var steps []string
	for _, step := range children {
		if step.Kind != runs.WorkflowKind {
			steps = append(steps, fmt.Sprintf("%s (stack %s)", step.ID, step.Key.Stack))
		}
	}
	if len(steps) == 0 {
		return diag.Errorf(operations.NothingToRollBack, "Run %s changed no stack.", id)
	}
	return diag.Errorf("Run of several stacks", "Run %s is made of runs of its own. Roll those back that are to be undone, in this order: %s.", id, strings.Join(steps, ", "))
}

// savePlan writes a plan to a file.
func (o *operation) savePlan(l *gate.Plan, name string) diag.List {
	diags := l.Encode(o.Keyring)
	if !diags.HasErrors() {
		diags = append(diags, written(name, files.Replace(name, l.Encoded, 0o600))...)
	}
	return diags
}
