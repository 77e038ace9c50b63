package operations

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/states"
)

// PlanRollback plans to bring back what a run changed. There is no plan where that
// cannot even be tried.
func (o *Operation) PlanRollback(ctx context.Context, po *PlanOptions, run string) (*gate.Plan, diag.List) {
	goals, diags := o.beforeRun(ctx, run)
	if diags.HasErrors() {
		return nil, diags
	}
	in, diags := o.PlanInput(ctx, po)
	if diags.HasErrors() {
		return nil, diags
	}
	in.Now = time.Now().UTC()
	plan, d := engine.Rollback(ctx, in, goals)
	o.view.Settle()
	l := &gate.Plan{Plan: plan, Config: in.Config}
	o.completePlan(ctx, l, in)
	return l, append(diags, d...)
}

// RollbackKind is the kind of runs that bring back what another changed.
const RollbackKind = "rollback"

// NothingToRollBack is the summary of the problem that a run has changed nothing.
const NothingToRollBack = "Nothing to roll back"

// beforeRun finds, for every object a run changed, how it was before.
func (o *Operation) beforeRun(ctx context.Context, id string) (map[addrs.Object]*states.Instance, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, NoRun(id, err)
	}
	if !run.Status.Ended() {
		return nil, diag.Errorf("Run has not ended", "Run %s is %s. Resume it with \"tutti resume %[1]s\", or give it up with \"tutti cancel %[1]s\", before rolling it back.", run.ID, run.Status)
	}
	o.UseKey(run.Key)
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
		return nil, diag.Errorf(NothingToRollBack, "Run %s changed no objects.", run.ID)
	}
	return goals, nil
}
