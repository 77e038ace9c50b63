package runs

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// Admission is a run of a workflow or a state machine that is about to be made.
type Admission struct {
	Run      Run // as it is to be; Status means nothing yet
	Workflow string
	// Inputs are the values of the workflow's variables, marked where sensitive;
	// nil for state machines, whose input is sensitive as a whole.
	Inputs  map[string]cty.Value
	Trigger *Triggered // nil where somebody started it
}

// Triggered says what started a run.
type Triggered struct {
	Name string    // trigger.NAME
	Kind string    // schedule, event, or backfill where somebody asked for instants gone by
	At   time.Time // the instant it is for, or the event came
}

// Admit says whether a run may be made: with errors it is not. The events are
// written when it starts.
type Admit func(context.Context, Admission) ([]events.Event, diag.List)

// Admits is what an execution of a workflow asks before it is made.
func (o *WorkflowOptions) Admits(workflow string, inputs map[string]cty.Value) func(context.Context, Run) ([]events.Event, diag.List) {
	if o.Admit == nil {
		return nil
	}
	admit, trigger := o.Admit, o.Trigger
	return func(ctx context.Context, run Run) ([]events.Event, diag.List) {
		return admit(ctx, Admission{Run: run, Workflow: workflow, Inputs: inputs, Trigger: trigger})
	}
}

// hiddenInputs are inputs with those marked that the workflow declares sensitive.
func hiddenInputs(d *flow.Definition, inputs map[string]cty.Value) map[string]cty.Value {
	out := make(map[string]cty.Value, len(inputs))
	for name, v := range inputs {
		if declared := d.Variable(name); declared != nil && declared.Sensitive {
			v = v.Mark(marks.Sensitive)
		}
		out[name] = v
	}
	return out
}
