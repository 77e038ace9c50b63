package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// operationView shows planning and applying as it happens. Its methods may be
// called from several goroutines, except plan, saved and applied.
type operationView interface {
	View
	progress(engine.Progress)
	event(runs.Event)
	plan(ctx context.Context, o *Operation, l *loadedPlan)
	saved(changes bool, file string)
	applied(p *plans.Plan, r runs.Result)

	// forStack is the view of one stack among several.
	forStack(name string) operationView
	// stack begins what is shown of a stack; moves are those between stacks.
	stack(name string, moves []states.Transfer)
	// total sums up several stacks.
	total(stacks int, n plans.Counts, Operation string)
	// appliedAll tells how the run of several stacks ended, outputs what it left
	// in one of them.
	appliedAll(mode plans.Mode, r runs.Result)
	outputs(stack string, values map[string]*states.Output)
}

// silentView shows nothing.
type silentView struct{}

func (silentView) progress(engine.Progress) {}

func (silentView) shown() bool { return false }

func (silentView) event(runs.Event) {}

func (silentView) settle() {}

func (silentView) plan(context.Context, *Operation, *loadedPlan) {}

func (silentView) decision(*policy.Decision) {}

func (silentView) cost(*judged) {}

func (silentView) saved(bool, string) {}

func (silentView) applied(*plans.Plan, runs.Result) {}

func (v silentView) forStack(string) operationView { return v }

func (silentView) stack(string, []states.Transfer) {}

func (silentView) total(int, plans.Counts, string) {}

func (silentView) appliedAll(plans.Mode, runs.Result) {}

func (silentView) outputs(string, map[string]*states.Output) {}

// toldOf is what people are told of an event of a run; empty for nothing.
func toldOf(e runs.Event) string {
	switch e.Kind {
	case runs.Unrecorded:
		return fmt.Sprintf("The store does not take what was done (%s). Trying again...", e.Problem)
	case runs.Cancelling:
		return "Stopping: what is being done is finished and recorded, nothing more is begun."
	}
	return ""
}

func operationsOf(p *plans.Plan) (n int) {
	for _, op := range p.Operations {
		if op.Kind != plans.OpGate {
			n++
		}
	}
	return n
}
