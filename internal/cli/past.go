package cli

import (
	"context"
	"maps"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// pastRun is a run of a workflow that is looked at to make another one of it.
type pastRun struct {
	run         runs.Run
	machine     *flow.Machine
	definition  *flow.Definition
	inputs      map[string]cty.Value
	environment string
}

// past reads a run of a workflow of the project.
func (o *Operation) past(ctx context.Context, id string) (*pastRun, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, noRun(id, err)
	}
	source, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	if run.Kind != runs.WorkflowKind || !runs.IsWorkflow(source) {
		return nil, diag.Errorf("Not a workflow of the project", "Run %s is no run of a workflow with steps.", id)
	}
	p := &pastRun{run: run}
	if p.definition, diags = definitionOf(o.Directory, source); diags.HasErrors() {
		return nil, diags
	}
	if p.definition.Workflow.Definition != "" {
		return nil, diag.Errorf("Not a workflow of the project", "Run %s is one of a state machine: it has no steps that could be taken over.", id)
	}
	r := &runs.Runner{Store: store}
	if p.machine, diags = r.ReplayWorkflow(ctx, run); diags.HasErrors() {
		return nil, diags
	}
	p.inputs, p.environment, diags = r.Inputs(ctx, run)
	return p, diags
}

// reusable is what a new run takes over of a past one if it begins with a step;
// with what did not succeed where none is named.
func (p *pastRun) reusable(from string) (map[string]flow.Outcome, diag.List) {
	without := p.definition.Closing()
	if from != "" {
		again, ok := p.definition.Behind(from)
		if !ok {
			return nil, diag.Errorf("No such step", "The workflow %q had no step %q.", p.definition.Workflow.Name, from)
		}
		maps.Copy(without, again)
	}
	return p.machine.Outcomes(without), nil
}
