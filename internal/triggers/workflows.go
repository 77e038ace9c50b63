package triggers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Workflows carries out the workflows of projects for triggers.
type Workflows struct {
	Runner  *runs.Runner
	Program string
	// Environment is where the runs of triggers work that name none.
	Environment string
	// Key says which state belongs to an environment.
	Key func(environment string) states.Key
	// Values are those of the project's variables in an environment.
	Values func(p *projects.Project, environment string) (map[string]cty.Value, diag.List)
	// Stacks makes what plans and changes the stacks of a project for a run, and
	// what is to be called after the run. It is nil where nothing does.
	Stacks func(p *projects.Project, environment string) (runs.Stacks, func())
	// Secrets reads the project's secrets in an environment.
	Secrets func(environment string) runs.Secrets
	// Machine finds the definition of another state machine by its name.
	Machine func(name string) ([]byte, error)
	// Authorize says whether somebody may start a workflow, or do something to a
	// stack; nil: they may.
	Authorize func(by runs.Run, verb access.Verb, environment, resource string) error
	// Admit is asked before a run is made; nil: it is.
	Admit runs.Admit
	// Hard and Drain are those of [runs.Execution].
	Hard, Drain <-chan struct{}
}

var _ Runs = (*Workflows)(nil)

// Run implements [Runs].
func (w *Workflows) Run(ctx context.Context, id string) (runs.Run, error) {
	return w.Runner.Store.Run(ctx, id)
}

// Cancel implements [Runs].
func (w *Workflows) Cancel(ctx context.Context, id string) error {
	run, diags := w.Runner.Cancel(ctx, id)
	if run.Status.Ended() {
		return nil
	}
	return diags.Err()
}

// Do implements [Runs].
func (w *Workflows) Do(ctx context.Context, s Start) (runs.Run, error) {
	if err := ctx.Err(); err != nil {
		return runs.Run{}, err
	}
	run, err := w.Runner.Store.Run(ctx, s.Run)
	var diags diag.List
	switch {
	case errors.Is(err, runs.ErrNotFound):
		diags, err = w.begin(ctx, s)
	case err != nil || run.Status.Ended() || run.Status == runs.Running:
		return run, err
	default:
		diags, err = w.resume(ctx, s, run)
	}
	if err != nil {
		return run, err
	}
	return w.outcome(context.WithoutCancel(ctx), s.Run, diags)
}

// outcome tells how a run stands after this process has let go of it. Where
// another process was faster to begin it, it may take a moment to be there.
func (w *Workflows) outcome(ctx context.Context, id string, diags diag.List) (runs.Run, error) {
	const tries, pause = 20, 50 * time.Millisecond
	for i := 1; ; i++ {
		run, err := w.Runner.Store.Run(ctx, id)
		switch {
		case err == nil && diags.HasErrors() && run.Status == runs.Interrupted && !w.draining():
			return run, diags.Err() // somebody should read why
		case !errors.Is(err, runs.ErrNotFound):
			return run, err
		case i == tries:
			return run, diags.Err()
		}
		time.Sleep(pause)
	}
}

// draining reports whether this process is to let go of its runs.
func (w *Workflows) draining() bool {
	select {
	case <-w.Drain:
		return true
	case <-w.Hard:
		return true
	default:
		return false
	}
}

// begin starts a new run.
func (w *Workflows) begin(ctx context.Context, s Start) (diag.List, error) {
	environment, inputs, err := w.start(s)
	if err != nil {
		return nil, err
	}
	t := s.Trigger
	run := runs.Run{
		ID: s.Run, Key: w.Key(environment), Actor: s.Actor, Authority: s.Authority,
		Summary: fmt.Sprintf("workflow %s for %s of %s", t.Declared.Workflow.Name, t.Name, s.At.In(t.Schedule.Location()).Format(time.RFC3339)),
	}
	trigger := runs.Triggered{Name: t.Name, Kind: "schedule", At: s.At}
	if s.Actor != "" {
		trigger.Kind = "backfill"
	}
	d, o, done, err := w.prepare(t.Project, t.Declared, run, environment, inputs, trigger)
	if err != nil {
		return nil, err
	}
	defer done()
	if d.Workflow.Definition != "" {
		e, err := w.newMachine(d, o)
		if err != nil {
			return nil, err
		}
		made, diags := w.Runner.Execute(ctx, e)
		return admitted(made, diags)
	}
	made, _, diags := w.Runner.StartWorkflow(ctx, d, o)
	return admitted(made, diags)
}

// prepare makes what a run of a trigger's workflow is started with. done is to be
// called after it.
func (w *Workflows) prepare(p *projects.Project, declared *projects.Trigger, run runs.Run, environment string, inputs map[string]cty.Value, trigger runs.Triggered) (d *flow.Definition, o runs.WorkflowOptions, done func(), err error) {
	workflow := p.Workflows[declared.Workflow.Name]
	if run.Kind, run.Program = runs.WorkflowKind, w.Program; run.Actor == "" {
		run.Actor = declared.Actor()
	}
	if w.Authorize != nil {
		if err := w.Authorize(run, access.Run, environment, workflow.Name); err != nil {
			return nil, o, nil, &InvalidError{err}
		}
	}
	d = flow.Compile(p, workflow)
	o, done = w.options(d.Project, run, environment, inputs)
	o.Trigger = &trigger
	return d, o, done, nil
}

// newMachine is the execution of a new run of a workflow that is a state machine.
func (w *Workflows) newMachine(d *flow.Definition, o runs.WorkflowOptions) (runs.Execution, error) {
	e, err := w.machine(d, runs.EncodeDefinition(d.Project, d.Workflow.Name), o)
	if err != nil {
		return e, &InvalidError{err}
	}
	e.Admit = o.Admits(d.Workflow.Name, nil)
	return e, nil
}

// Enqueue makes the run of a firing for somebody else to drive.
func (w *Workflows) Enqueue(ctx context.Context, t *EventTrigger, f runs.Firing, list []runs.Fed) error {
	environment := t.Declared.Environment
	if environment == "" {
		environment = w.Environment
	}
	values, diags := w.Values(t.Project, environment)
	var inputs map[string]cty.Value
	if !diags.HasErrors() {
		inputs, diags = t.inputs(f, list, environment, values)
	}
	workflow := t.Project.Workflows[t.Declared.Workflow.Name]
	if !diags.HasErrors() && workflow.Definition == "" {
		diags = append(diags, flow.CheckInputs(flow.Compile(t.Project, workflow).Variables(), inputs)...)
	}
	if diags.HasErrors() {
		return &InvalidError{diags.Err()}
	}
	run := runs.Run{
		ID: f.Run, Key: w.Key(environment), Cause: &runs.Cause{Trigger: t.Name, Event: f.Event, Depth: f.Depth},
		Summary: fmt.Sprintf("workflow %s for %s of event %d", workflow.Name, t.Name, f.Event),
	}
	for i := range list { // the last one that says so: the others came before
		about, err := w.about(ctx, t.Project, &list[i])
		if err != nil {
			return err
		}
		if about != nil {
			run.Source = about
		}
	}
	d, o, done, err := w.prepare(t.Project, t.Declared, run, environment, inputs, runs.Triggered{Name: t.Name, Kind: "event", At: f.At})
	if err != nil {
		return err
	}
	defer done()
	var made runs.Run
	if d.Workflow.Definition != "" {
		e, err := w.newMachine(d, o)
		if err != nil {
			return err
		}
		made, diags = w.Runner.Enqueue(ctx, e)
	} else {
		made, diags = w.Runner.EnqueueWorkflow(ctx, d, o)
	}
	if diags, err = admitted(made, diags); err != nil {
		return err
	}
	return diags.Err()
}

// about is the code that an event is about: what a host of code says, or that of the
// run whose step emitted it; nil for none.
func (w *Workflows) about(ctx context.Context, p *projects.Project, e *runs.Fed) (*runs.Source, error) {
	if e.Outside {
		return sourceOf(p, &e.Event), nil
	}
	if runs.Reserved(e.Type) {
		return nil, nil
	}
	run, err := runs.RootOf(ctx, w.Runner.Store, runs.RunOf(&e.Event))
	if errors.Is(err, runs.ErrNotFound) {
		return nil, nil
	}
	return run.Source, err
}

// admitted turns a refusal into an error: nothing is gained by trying again.
func admitted(run runs.Run, diags diag.List) (diag.List, error) {
	if run.Status == "" && diags.HasErrors() {
		return nil, &InvalidError{diags.Err()}
	}
	return diags, nil
}

// start is what the run of an instant begins with.
func (w *Workflows) start(s Start) (environment string, inputs map[string]cty.Value, err error) {
	t := s.Trigger
	if t == nil {
		return "", nil, &InvalidError{errors.New("the project does not have this trigger any more")}
	}
	if environment = t.Declared.Environment; environment == "" {
		environment = w.Environment
	}
	values, diags := w.Values(t.Project, environment)
	if !diags.HasErrors() {
		var found diag.List
		inputs, found = t.inputs(s.At, environment, values)
		diags = append(diags, found...)
	}
	if workflow := t.Project.Workflows[t.Declared.Workflow.Name]; !diags.HasErrors() && workflow.Definition == "" {
		diags = append(diags, flow.CheckInputs(flow.Compile(t.Project, workflow).Variables(), inputs)...)
	}
	if diags.HasErrors() {
		return "", nil, &InvalidError{diags.Err()}
	}
	return environment, inputs, nil
}

// options are those of a run. done is to be called after it.
func (w *Workflows) options(p *projects.Project, run runs.Run, environment string, inputs map[string]cty.Value) (o runs.WorkflowOptions, done func()) {
	o = runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs, Hard: w.Hard, Drain: w.Drain, Authorize: w.Authorize, Admit: w.Admit}
	if w.Secrets != nil {
		o.Secrets = w.Secrets(environment)
	}
	if w.Stacks == nil {
		return o, func() {}
	}
	o.Stacks, done = w.Stacks(p, environment)
	return o, done
}

// resume goes on with a run whose process let go of it, as it was defined when
// it began.
func (w *Workflows) resume(ctx context.Context, s Start, run runs.Run) (diag.List, error) {
	source, err := w.Runner.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	d, diags := runs.DecodeDefinition(source)
	if diags.HasErrors() {
		return nil, &InvalidError{diags.Err()}
	}
	environment := run.Key.Environment
	var inputs map[string]cty.Value
	machine := d.Workflow.Definition != ""
	if !machine {
		if inputs, environment, diags = w.Runner.Inputs(ctx, run); diags.HasErrors() {
			return nil, &InvalidError{diags.Err()}
		}
	}
	o, done := w.options(d.Project, run, environment, inputs)
	defer done()
	if machine {
		e, err := w.machine(d, source, o)
		if err != nil {
			return nil, &InvalidError{err}
		}
		_, diags := w.Runner.Continue(ctx, e)
		return diags, nil
	}
	_, _, diags = w.Runner.ContinueWorkflow(ctx, d, o)
	return diags, nil
}

// machine is the execution of a workflow that is a state machine. Its input is
// the object of the inputs.
func (w *Workflows) machine(d *flow.Definition, pinned []byte, o runs.WorkflowOptions) (runs.Execution, error) {
	definition, steps, diags := runs.StateMachineOf(pinned)
	if diags.HasErrors() {
		return runs.Execution{}, diags.Err()
	}
	input := map[string]json.RawMessage{}
	for name, v := range o.Inputs {
		bare, _ := v.UnmarkDeep()
		data, err := ctyjson.Marshal(bare, bare.Type())
		if err != nil {
			return runs.Execution{}, fmt.Errorf("the input %q cannot be written as JSON: %w", name, err)
		}
		input[name] = data
	}
	data, err := json.Marshal(input)
	if err != nil {
		return runs.Execution{}, err
	}
	steps.Dir, steps.Definition, steps.Runner, steps.Hard = d.Project.Dir, w.Machine, w.Runner, o.Hard
	steps.Run = runs.Run{Key: o.Run.Key, Actor: o.Run.Actor, Authority: o.Run.Authority, Program: o.Run.Program}
	steps.Project, steps.Options = d, o
	steps.Options.Run, steps.Options.Inputs = steps.Run, nil
	steps.Machine = asl.NewMachine(definition)
	return runs.Execution{
		Run: o.Run, Definition: pinned, Machine: steps.Machine, Steps: steps, Hard: o.Hard, Drain: o.Drain,
		Start: runs.MachineStart(o.Run.ID, data, uuid.NewString()), Sensitive: true,
	}, nil
}
