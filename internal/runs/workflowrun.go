package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// WorkflowAction is what a kind of step does.
type WorkflowAction func(ctx context.Context, c WorkflowCall) (WorkflowResult, error)

// WorkflowCall is one attempt at a step.
type WorkflowCall struct {
	actions.Call
	Effect flow.Effect
	Task   *Task
}

// WorkflowResult is what came of it.
type WorkflowResult struct {
	Outputs  cty.Value // cty.NilVal for none
	Run      string    // the run of its own that it was
	Events   []events.Event
	Detached bool // it is not known yet: the run is to be resumed
}

// WorkflowOptions are what a run of a workflow needs besides its definition.
type WorkflowOptions struct {
	Run         Run // ID (to resume, or to be used), Key, Actor, Program
	Environment string
	Inputs      map[string]cty.Value
	Reuse       map[string]flow.Outcome
	Stacks      Stacks // nil where there are none
	// Authorize says whether whom the run is by may do something to a stack or
	// start a workflow; nil: they may. A run has no more rights than they have.
	Authorize func(by Run, verb access.Verb, environment, resource string) error
	// Admit is asked before a run is made, those of other workflows that steps
	// start included; nil: they are.
	Admit   Admit
	Trigger *Triggered // nil where somebody started the run
	// Secrets reads the project's secrets; nil where they cannot be.
	Secrets Secrets
	// Actions are what steps do by kind, besides and instead of the built-in ones.
	Actions map[string]WorkflowAction
	// Events are written with the one that says that the run has started.
	Events      []events.Event
	Parallelism int
	Began       func(Run)
	Watch       func(*flow.Machine, workflow.Entry)
	Hard, Drain <-chan struct{} // see [Execution]
}

// WorkflowDefinition is what a run of a workflow is pinned to: the project's
// files as they were.
type WorkflowDefinition struct {
	Workflow string            `json:"workflow"`
	Dir      string            `json:"dir"`
	Files    map[string]string `json:"files"`
}

// definedWorkflow is the name of the workflow that a definition is of; empty where it
// is of none.
func definedWorkflow(definition []byte) string {
	var d WorkflowDefinition
	if json.Unmarshal(definition, &d) != nil || d.Files == nil {
		return ""
	}
	return d.Workflow
}

// EncodeDefinition writes what a run of a workflow is pinned to. It does not
// depend on where in the project the program works.
func EncodeDefinition(p *projects.Project, workflow string) []byte {
	d := WorkflowDefinition{Workflow: workflow, Dir: p.Dir, Files: map[string]string{}}
	if !filepath.IsAbs(p.Dir) {
		d.Dir = "."
	}
	for name, src := range p.Files {
		if rel, err := filepath.Rel(p.Dir, name); err == nil && d.Dir == "." {
			name = rel
		}
		d.Files[name] = string(src)
	}
	return encode(d)
}

// DecodeDefinition reads it again, in the directory of the project.
func DecodeDefinition(data []byte) (*flow.Definition, diag.List) {
	return DecodeDefinitionIn("", data)
}

// DecodeDefinitionIn reads it again; dir is where the project is.
func DecodeDefinitionIn(dir string, data []byte) (*flow.Definition, diag.List) {
	var d WorkflowDefinition
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	files := map[string][]byte{}
	if filepath.IsAbs(d.Dir) {
		dir = ""
	}
	d.Dir = filepath.Join(dir, d.Dir)
	for name, src := range d.Files {
		files[filepath.Join(dir, name)] = []byte(src)
	}
	p, diags := projects.Parse(d.Dir, files)
	if diags.HasErrors() {
		return nil, diags
	}
	w := p.Workflows[d.Workflow]
	if w == nil {
		return nil, diag.Errorf("Cannot read the run's definition", "There is no workflow %q in it.", d.Workflow)
	}
	return flow.Compile(p, w), nil
}

// StartWorkflow runs a workflow to its end as a new run.
func (r *Runner) StartWorkflow(ctx context.Context, d *flow.Definition, o WorkflowOptions) (Run, *flow.Machine, diag.List) {
	w, e := r.newWorkflow(d, o)
	run, diags := r.Execute(ctx, e)
	return run, w.machine, diags
}

// EnqueueWorkflow makes a new run of a workflow for somebody else to drive.
func (r *Runner) EnqueueWorkflow(ctx context.Context, d *flow.Definition, o WorkflowOptions) (Run, diag.List) {
	_, e := r.newWorkflow(d, o)
	return r.Enqueue(ctx, e)
}

// PrepareWorkflow is a new run of a workflow as EnqueueWorkflow would make it, for
// whoever makes it in one transaction with something else.
func (r *Runner) PrepareWorkflow(ctx context.Context, d *flow.Definition, o WorkflowOptions) (NewRun, diag.List) {
	_, e := r.newWorkflow(d, o)
	_, n, diags := r.prepare(ctx, e, Pending)
	return n, diags
}

// newWorkflow is the execution of a new run.
func (r *Runner) newWorkflow(d *flow.Definition, o WorkflowOptions) (*workflowSteps, Execution) {
	if o.Run.ID == "" {
		o.Run.ID = r.newID(r.now())
	}
	start := flow.Start{Run: o.Run.ID, Actor: o.Run.Actor, Environment: o.Environment, Reuse: o.Reuse}
	hidden := false
	if len(o.Inputs) > 0 {
		start.Inputs = flow.EncodeValue(cty.ObjectVal(o.Inputs))
		for name, v := range o.Inputs {
			declared := d.Variable(name)
			if v.HasMarkDeep(marks.Sensitive) {
				start.Hidden = append(start.Hidden, name)
			}
			hidden = hidden || declared != nil && declared.Sensitive
		}
		slices.Sort(start.Hidden)
		hidden = hidden || len(start.Hidden) > 0
	}
	for _, out := range o.Reuse {
		hidden = hidden || len(out.Hidden) > 0
	}
	w, e := r.workflow(d, o)
	e.Start, e.Sensitive = encode(start), hidden
	e.Admit = o.Admits(d.Workflow.Name, hiddenInputs(d, o.Inputs))
	if e.Run.Kind == "" {
		e.Run.Kind = WorkflowKind
	}
	if e.Run.Summary == "" {
		e.Run.Summary = "workflow " + d.Workflow.Name
	}
	return w, e
}

// ContinueWorkflow takes over a run of a workflow whose process died.
func (r *Runner) ContinueWorkflow(ctx context.Context, d *flow.Definition, o WorkflowOptions) (Run, *flow.Machine, diag.List) {
	w, e := r.workflow(d, o)
	run, diags := r.Continue(ctx, e)
	return run, w.machine, diags
}

// ReplayWorkflow rebuilds the machine of a run from its journal, to look at it.
func (r *Runner) ReplayWorkflow(ctx context.Context, run Run) (*flow.Machine, diag.List) {
	return r.replayWorkflow(ctx, run, func(workflow.Entry) {})
}

func (r *Runner) replayWorkflow(ctx context.Context, run Run, seen func(workflow.Entry)) (*flow.Machine, diag.List) {
	if err := run.Kept(); err != nil {
		return nil, diag.Errorf("Journal was removed", "%s.", err)
	}
	data, err := r.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	d, diags := DecodeDefinition(data)
	if diags.HasErrors() {
		return nil, diags
	}
	m := flow.NewMachine(d)
	err = r.Store.Each(ctx, run.ID, 0, func(e workflow.Entry) error {
		seen(e)
		_, err := m.Apply(e)
		return err
	})
	if err != nil {
		return nil, diag.Errorf("Cannot follow the journal", "The journal of run %s cannot be followed: %s.", run.ID, err)
	}
	return m, nil
}

// HearWorkflow is [Runner.ReplayWorkflow] with the decisions that were made about
// steps and that nobody who drives the run has taken yet.
func (r *Runner) HearWorkflow(ctx context.Context, run Run) (*flow.Machine, diag.List) {
	var last, heard int64
	m, diags := r.replayWorkflow(ctx, run, func(e workflow.Entry) {
		last, heard = e.Sequence, max(heard, SignalNumber(e))
	})
	if diags.HasErrors() || run.Status.Ended() || last == 0 {
		return m, diags
	}
	signals, err := r.Store.Signals(ctx, run.ID, heard)
	if err != nil {
		return nil, diag.FromError(err)
	}
	for _, s := range signals {
		if s.Kind != workflow.SignalApprove && s.Kind != workflow.SignalReject {
			continue
		}
		last++
		if _, err := m.Apply(workflow.Entry{Sequence: last, Time: s.Time, Kind: workflow.SignalReceived, Step: -1, Data: encode(s)}); err != nil {
			return nil, diag.FromError(err)
		}
	}
	return m, nil
}

// SignalNumber is the number of the signal that an entry says was taken; 0 for entries of
// other kinds.
func SignalNumber(e workflow.Entry) int64 {
	var s workflow.Signal
	if e.Kind != workflow.SignalReceived || json.Unmarshal(e.Data, &s) != nil {
		return 0
	}
	return s.Sequence
}

func (r *Runner) workflow(d *flow.Definition, o WorkflowOptions) (*workflowSteps, Execution) {
	w := &workflowSteps{r: r, d: d, o: o, machine: flow.NewMachine(d), actions: builtinActions(r, d, o)}
	for kind, a := range o.Actions {
		w.actions[kind] = a
	}
	parallelism := o.Parallelism
	if parallelism == 0 {
		parallelism = d.Workflow.Parallelism
	}
	e := Execution{
		Run: o.Run, Definition: EncodeDefinition(d.Project, d.Workflow.Name), Events: o.Events, Machine: w.machine, Steps: w,
		Parallelism: parallelism, Began: o.Began, Hard: o.Hard, Drain: o.Drain,
	}
	if o.Watch != nil {
		w.machine.Follow()
		e.Watch = func(entry workflow.Entry) { o.Watch(w.machine, entry) }
	}
	return w, e
}

// workflowSteps does the steps of a workflow.
type workflowSteps struct {
	r       *Runner
	d       *flow.Definition
	o       WorkflowOptions
	machine *flow.Machine
	actions map[string]WorkflowAction
}

var _ Steps = (*workflowSteps)(nil)

// About implements [Steps].
func (w *workflowSteps) About(step int) About {
	a := w.machine.About(step)
	out := About{Ended: a.Ended, Until: a.Until, Signal: a.Signal}
	switch {
	case a.Approval:
		out.Asks, out.Waits = a.Key, ForApproval
	case a.Signal:
		out.Waits = ForSignal
	}
	if a.Pool != "" {
		out.Pool = Ticket{Pool: a.Pool, Name: a.Key, Priority: a.Priority}
		if p := w.d.Project.Pools[a.Pool]; p != nil {
			out.Pool.Limit, out.Pool.Rate, out.Pool.Per = p.Limit, p.Rate, p.Per
		}
	}
	return out
}

// Step implements [Steps].
func (w *workflowSteps) Step(step int) Step {
	e := w.machine.Effect(step)
	return Step{
		Name: e.Key, Action: e.Action, Run: e.Action == "workflow", Repeatable: e.Repeatable, Timeout: e.Timeout, Heartbeat: e.Heartbeat,
		Job: func(ctx context.Context, t *Task) Ended { return w.do(ctx, t, e) },
	}
}

// do carries out an attempt at a step.
func (w *workflowSteps) do(ctx context.Context, t *Task, e flow.Effect) Ended {
	if e.Problem != nil {
		return failedStep(e, e.Problem.Name, e.Problem.Cause, "")
	}
	if len(e.Needs) > 0 {
		return w.secretly(ctx, t, e)
	}
	return w.attempt(ctx, t, e, nil)
}

// attempt is do where the arguments are known. versions are those of the secrets
// in them.
func (w *workflowSteps) attempt(ctx context.Context, t *Task, e flow.Effect, versions map[string]string) Ended {
	action := w.actions[e.Action]
	if action == nil {
		return failedStep(e, "Tutti.UnknownAction", fmt.Sprintf("Nothing here can carry out the action %q.", e.Action), "")
	}
	key := ""
	if e.Cache != nil {
		key = cacheKey(w.d.Workflow.Name, e)
		if data, ok, err := w.r.Store.Cached(ctx, key, w.r.now()); err == nil && ok {
			var out flow.Outcome
			if json.Unmarshal(data, &out) == nil {
				out.Cached, out.Key = true, e.Key
				return Ended{Kind: workflow.StepSucceeded, Data: encode(out), Sensitive: len(out.Hidden) > 0}
			}
		}
	}
	call := WorkflowCall{Effect: e, Task: t, Call: actions.Call{Key: t.Key, Dir: w.d.Project.Dir, Logs: t.Log, Beat: t.Beat, Asked: t.Asked(), Egress: w.r.Egress}}
	call.Artifact = func(path string, data []byte) error { return t.Artifact(ctx, newArtifact(path, data), data) }
	hidden := false
	if e.Arguments != cty.NilVal {
		call.Arguments, call.Secrets = e.Arguments, e.Secrets
		if e.Marked {
			call.Arguments, _ = e.Arguments.UnmarkDeep()
			hidden = e.Arguments.HasMarkDeep(marks.Sensitive)
		}
		if !call.Arguments.IsWhollyKnown() {
			return failedStep(e, flow.EvaluationError, "Its arguments are not known.", "")
		}
	}
	if e.Keeps {
		makes := action
		action = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) { return w.keep(ctx, c, makes) }
	}
	result, err := action(ctx, call)
	switch {
	case result.Detached:
		return Ended{Detached: true}
	case err != nil:
		name, cause := "Tutti.Failed", err.Error()
		var known *actions.Error
		if asError(err, &known) {
			name, cause = known.Name, known.Cause
		}
		ended := failedStep(e, name, cause, result.Run)
		ended.Events = result.Events
		return ended
	}
	if hidden && result.Outputs != cty.NilVal {
		result.Outputs = result.Outputs.Mark(marks.Sensitive)
	}
	out := flow.NewOutcome(result.Outputs)
	out.Run, out.Key, out.Secrets = result.Run, e.Key, versions
	ended := Ended{Kind: workflow.StepSucceeded, Data: encode(out), Sensitive: len(out.Hidden) > 0, Events: result.Events}
	if key != "" {
		var expires time.Time
		if e.CacheTTL > 0 {
			expires = w.r.now().Add(e.CacheTTL)
		}
		_ = w.r.Store.Cache(ctx, key, ended.Data, ended.Sensitive, expires) // what is not cached is done again
	}
	return ended
}

func failedStep(e flow.Effect, name, cause, run string) Ended {
	return Ended{Kind: workflow.StepFailed, Data: encode(flow.Outcome{Error: name, Cause: cause, Run: run, Key: e.Key})}
}

func cacheKey(name string, e flow.Effect) string {
	key, _ := e.Cache.UnmarkDeep()
	return name + "/" + e.Key + "/" + digestOf(flow.EncodeValue(key))
}

// Failure implements [Steps].
func (w *workflowSteps) Failure(step int, name, cause string) json.RawMessage {
	switch name {
	case LostError:
		name = flow.UnknownOutcome
		cause = "The process that carried out this step died, and what became of it is not known. Set idempotent = true if it may be done again."
	case TimeoutError:
		name = flow.TimeoutError
	case HeartbeatError:
		name = "Tutti.HeartbeatTimeout"
	}
	return encode(flow.Outcome{Error: name, Cause: cause, Key: w.machine.Key(step)})
}

// Success implements [Steps].
func (w *workflowSteps) Success(step int, data json.RawMessage) json.RawMessage {
	return encode(flow.Outcome{Key: w.machine.Key(step)})
}

// Verdict implements [Steps].
func (w *workflowSteps) Verdict() (Status, string) {
	result := w.machine.Result()
	problem := ""
	if result.Error != nil {
		problem = result.Error.Name
		if result.Step != "" {
			problem = "step " + result.Step + ": " + result.Error.Name
		}
	}
	switch result.Status {
	case flow.Succeeded:
		return Succeeded, ""
	case flow.Cancelled:
		return Cancelled, problem
	}
	return Failed, problem
}

// childRun names the run that a step of a run is.
func childRun(t *Task) string { return ChildRun(t.Run().ID, t.Number()) }

// ChildRun is the id of the run that a step of a run is, by number of the step in
// the journal.
func ChildRun(run string, step int) string { return run + "." + strconv.Itoa(step) }

// IsWorkflow reports whether the definition of a run is that of a project's
// workflow, and not a bare state machine.
func IsWorkflow(definition []byte) bool {
	return definedWorkflow(definition) != ""
}

// Inputs reads what a run of a workflow was started with, and in which
// environment.
func (r *Runner) Inputs(ctx context.Context, run Run) (map[string]cty.Value, string, diag.List) {
	start, diags := r.startOf(ctx, run)
	if diags.HasErrors() || len(start.Inputs) == 0 {
		return nil, start.Environment, diags
	}
	v, err := flow.DecodeValue(start.Inputs)
	if err != nil {
		return nil, "", diag.FromError(err)
	}
	inputs := v.AsValueMap()
	for _, name := range start.Hidden {
		inputs[name] = inputs[name].Mark(marks.Sensitive)
	}
	return inputs, start.Environment, nil
}

func (r *Runner) startOf(ctx context.Context, run Run) (flow.Start, diag.List) {
	var start flow.Start
	if err := run.Kept(); err != nil {
		return start, diag.Errorf("Journal was removed", "%s.", err)
	}
	first := errors.New("only the first")
	found := false
	err := r.Store.Each(ctx, run.ID, 0, func(e workflow.Entry) error {
		found = true
		if err := decode(e.Data, &start); err != nil {
			return fmt.Errorf("its first entry has no start of a workflow: %w", err)
		}
		return first
	})
	switch {
	case err != nil && !errors.Is(err, first):
		return start, diag.Errorf("Cannot read the run", "%s.", err)
	case !found:
		return start, diag.Errorf("Run never began", "The process of run %s died before it began: nothing was done.", run.ID)
	}
	return start, nil
}
