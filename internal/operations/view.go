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

	// ForStack is the view of one stack among several.
	ForStack(name string) View
	// Stack begins what is shown of a stack; moves are those between stacks.
	Stack(name string, moves []states.Transfer)
	// Total sums up several stacks.
	Total(stacks int, n plans.Counts, operation string)
	// AppliedAll tells how the run of several stacks ended, outputs what it left
	// in one of them.
	AppliedAll(mode plans.Mode, r runs.Result)
	Outputs(stack string, values map[string]*states.Output)
}

// Silent shows nothing.
type Silent struct{}

// Progress implements [View].
func (Silent) Progress(engine.Progress) {}

// Shown implements [gate.View].
func (Silent) Shown() bool { return false }

// Event implements [View].
func (Silent) Event(runs.Event) {}

// Settle implements [gate.View].
func (Silent) Settle() {}

// Plan implements [View].
func (Silent) Plan(context.Context, *Operation, *gate.Plan) {}

// Decision implements [gate.View].
func (Silent) Decision(*policy.Decision) {}

// Cost implements [gate.View].
func (Silent) Cost(*gate.Costs) {}

// Saved implements [View].
func (Silent) Saved(bool, string) {}

// Applied implements [View].
func (Silent) Applied(*plans.Plan, runs.Result) {}

// ForStack implements [View].
func (v Silent) ForStack(string) View { return v }

// Stack implements [View].
func (Silent) Stack(string, []states.Transfer) {}

// Total implements [View].
func (Silent) Total(int, plans.Counts, string) {}

// AppliedAll implements [View].
func (Silent) AppliedAll(plans.Mode, runs.Result) {}

// Outputs implements [View].
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

// Number is how many operations carrying out a plan takes, as people count them.
func Number(p *plans.Plan) (n int) {
	for _, op := range p.Operations {
		if op.Kind != plans.OpGate {
			n++
		}
	}
	return n
}
