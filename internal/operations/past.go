package operations

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// PastRun is a run of a workflow that is looked at to make another one of it.
type PastRun struct {
	Run         runs.Run
	Machine     *flow.Machine
	Definition  *flow.Definition
	Inputs      map[string]cty.Value
	Environment string
}

// Past reads a run of a workflow of the project.
func (o *Operation) Past(ctx context.Context, id string) (*PastRun, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return nil, NoRun(id, err)
	}
	source, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	if run.Kind != runs.WorkflowKind || !runs.IsWorkflow(source) {
		return nil, diag.Errorf("Not a workflow of the project", "Run %s is no run of a workflow with steps.", id)
	}
	p := &PastRun{Run: run}
	if p.Definition, diags = DefinitionOf(o.Directory, source); diags.HasErrors() {
		return nil, diags
	}
	if p.Definition.Workflow.Definition != "" {
		return nil, diag.Errorf("Not a workflow of the project", "Run %s is one of a state machine: it has no steps that could be taken over.", id)
	}
	r := &runs.Runner{Store: store}
	if p.Machine, diags = r.ReplayWorkflow(ctx, run); diags.HasErrors() {
		return nil, diags
	}
	p.Inputs, p.Environment, diags = r.Inputs(ctx, run)
	return p, diags
}

// Reusable is what a new run takes over of a past one if it begins with a step;
// with what did not succeed where none is named.
func (p *PastRun) Reusable(from string) (map[string]flow.Outcome, diag.List) {
	without := p.Definition.Closing()
	if from != "" {
		again, ok := p.Definition.Behind(from)
		if !ok {
			var names []string
			for _, s := range p.Definition.Workflow.Steps {
				names = append(names, s.Name)
			}
			return nil, diag.Errorf("No such step", "The workflow %q had no step %q.%s It had: %s.", p.Definition.Workflow.Name, from, diag.DidYouMean(from, names), strings.Join(names, ", "))
		}
		maps.Copy(without, again)
	}
	return p.Machine.Outcomes(without), nil
}

// NoRun says that a run could not be read, in most cases because there is none.
func NoRun(id string, err error) diag.List {
	if errors.Is(err, runs.ErrNotFound) {
		return diag.Errorf("No such run", "There is no run %q. \"tutti runs\" lists them.", id)
	}
	return diag.Errorf("Cannot read the run", "Run %s: %s.", id, err)
}
