package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

func rollbackCommand() *command {
	return &command{
		name: "rollback", args: "RUN", summary: "Plan to undo what a run did, and carry it out", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "Makes a plan that brings every object a run changed back to how it was before: what it created is destroyed, what it destroyed is created anew, what it changed is changed back. The plan is shown and asked about like any other. Objects that a later run changed are brought back as well: look at the plan.\n\nThe configuration stays as it is; the next plan will want to do again what it says.",
		setup: func(f *flagSet) action {
			var o applyOptions
			o.refresh, o.parallelism = true, defaultParallelism
			var out string
			o.variableOptions.register(f)
			o.policyOptions.register(f)
			f.toggle(&o.autoApprove, "auto-approve", "Do not ask before carrying out the plan.")
			registerOverride(f, &o.overrides)
			f.text(&out, "out", "FILE", "Only save the plan, for \"tutti apply FILE\".")
			f.toggle(&o.refresh, "refresh", "Whether to read every object before planning.")
			f.number(&o.parallelism, "parallelism", "N", "Bound on concurrent operations; 10 unless given.")
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
	app.overrides, app.policyOptions = o.overrides, &o.policyOptions
	root, diags := app.openRootOperation(o.json)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer root.Close()
	op, diags := root.ofRun(ctx, run)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if diags := checkOverrides(op); diags.HasErrors() {
		return app.fail(diags)
	}
	loaded, diags := op.planRollback(ctx, &o.planOptions, run)
	if loaded == nil {
		return app.fail(diags)
	}
	op.showPlan(ctx, loaded, diags)
	app.show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	plan := loaded.plan
	opts := runOptions{kind: rollbackKind, parallelism: o.parallelism, patience: o.lockTimeout}
	_, denied := op.decide(ctx, loaded, opts)
	if out != "" {
		if diags := op.savePlan(loaded, out); diags.HasErrors() {
			return app.fail(diags)
		}
		op.view.saved(plan.HasChanges(), out)
		if app.show(denied); denied.HasErrors() {
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
	if diags := op.mayCarryOut(loaded, opts.kind); diags.HasErrors() {
		return app.fail(diags) // rather than after asking
	}
	if op.refused(ctx, loaded) || !o.confirm(ctx, op, plan) {
		return exitFailed
	}
	return op.execute(ctx, loaded, opts)
}

// planRollback plans to bring back what a run changed. There is no plan where that
// cannot even be tried.
func (o *operation) planRollback(ctx context.Context, po *planOptions, run string) (*loadedPlan, diag.List) {
	goals, diags := o.beforeRun(ctx, run)
	if diags.HasErrors() {
		return nil, diags
	}
	in, diags := o.planInput(ctx, po)
	if diags.HasErrors() {
		return nil, diags
	}
	in.Now = time.Now().UTC()
	plan, d := engine.Rollback(ctx, in, goals)
	o.view.settle()
	l := &loadedPlan{plan: plan, config: in.Config}
	o.completePlan(ctx, l, in)
	return l, append(diags, d...)
}

// ofRun is the operation on the state that a run changed.
func (o *operation) ofRun(ctx context.Context, id string) (*operation, diag.List) {
	store, diags := o.store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, diag.Errorf("No such run", "%q: %s. \"tutti runs\" lists them.", id, err)
	}
	if !run.Machine() {
		return o.on(run.Key), diags
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
		return diag.Errorf(nothingToRollBack, "Run %s changed no stack.", id)
	}
	return diag.Errorf("Run of several stacks", "Run %s is made of runs of its own. Roll those back that are to be undone, in this order: %s.", id, strings.Join(steps, ", "))
}

// rollbackKind is the kind of runs that bring back what another changed.
const rollbackKind = "rollback"

const nothingToRollBack = "Nothing to roll back"

// beforeRun finds, for every object a run changed, how it was before.
func (o *operation) beforeRun(ctx context.Context, id string) (map[addrs.Object]*states.Instance, diag.List) {
	store, diags := o.store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, diag.Errorf("No such run", "%q: %s. \"tutti runs\" lists them.", id, err)
	}
	if !run.Status.Ended() {
		return nil, diag.Errorf("Run has not ended", "Run %s is %s. Resume it with \"tutti resume %[1]s\", or give it up with \"tutti cancel %[1]s\", before rolling it back.", run.ID, run.Status)
	}
	o.useKey(run.Key)
	revisions, err := store.History(ctx, run.Key, nil)
	if err != nil {
		return nil, diag.FromError(err)
	}
	goals := map[addrs.Object]*states.Instance{}
	for _, r := range revisions {
		if r.Run == run.ID && r.Cause != "refresh" {
			goals[r.Object] = r.Before // newest first: the oldest form remains
		}
	}
	if len(goals) == 0 {
		return nil, diag.Errorf(nothingToRollBack, "Run %s changed no objects.", run.ID)
	}
	return goals, nil
}

// savePlan writes a plan to a file.
func (o *operation) savePlan(l *loadedPlan, name string) diag.List {
	diags := l.encode(o.keyring)
	if !diags.HasErrors() {
		diags = append(diags, diag.FromError(replaceFile(name, l.encoded, 0o600))...)
	}
	return diags
}
