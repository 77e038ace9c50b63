package operations

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// View shows planning and applying as it happens. Its methods may be
// called from several goroutines, except plan, saved and applied.
type View interface {
	gate.View
	Progress(engine.Progress)
	Event(runs.Event)
	Plan(ctx context.Context, o *Operation, l *gate.Plan)
	Saved(changes bool, file string)
	Applied(p *plans.Plan, r runs.Result)

	// forStack is the view of one stack among several.
	ForStack(name string) View
	// stack begins what is shown of a stack; moves are those between stacks.
	Stack(name string, moves []states.Transfer)
	// total sums up several stacks.
	Total(stacks int, n plans.Counts, operation string)
	// appliedAll tells how the run of several stacks ended, outputs what it left
	// in one of them.
	AppliedAll(mode plans.Mode, r runs.Result)
	Outputs(stack string, values map[string]*states.Output)
}

// Silent shows nothing.
type Silent struct{}

func (Silent) Progress(engine.Progress) {}

func (Silent) Shown() bool { return false }

func (Silent) Event(runs.Event) {}

func (Silent) Settle() {}

func (Silent) Plan(context.Context, *Operation, *gate.Plan) {}

func (Silent) Decision(*policy.Decision) {}

func (Silent) Cost(*gate.Costs) {}

func (Silent) Saved(bool, string) {}

func (Silent) Applied(*plans.Plan, runs.Result) {}

func (v Silent) ForStack(string) View { return v }

func (Silent) Stack(string, []states.Transfer) {}

func (Silent) Total(int, plans.Counts, string) {}

func (Silent) AppliedAll(plans.Mode, runs.Result) {}

func (Silent) Outputs(string, map[string]*states.Output) {}

// ToldOf is what people are told of an event of a run; empty for nothing.
func ToldOf(e runs.Event) string {
	switch e.Kind {
	case runs.Unrecorded:
		return fmt.Sprintf("The store does not take what was done (%s). Trying again...", e.Problem)
	case runs.Cancelling:
		return "Stopping: what is being done is finished and recorded, nothing more is begun."
	}
	return ""
}

func OperationsOf(p *plans.Plan) (n int) {
	for _, op := range p.Operations {
		if op.Kind != plans.OpGate {
			n++
		}
	}
	return n
}
