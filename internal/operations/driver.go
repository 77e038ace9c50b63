package operations

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
)

const (
	// LookAgain is how often a runner looks for runs.
	LookAgain = 200 * time.Millisecond
	// leaveAlone is how long it leaves one alone that it could not drive.
	leaveAlone = time.Minute
)

// Driver drives the runs of a project side by side.
type Driver struct {
	op          *Operation
	r           *runs.Runner
	drain, hard <-chan struct{}
	most        int                              // how many are driven at once
	say         func(format string, args ...any) // tells what happens

	mu      sync.Mutex
	driving map[string]bool
	alone   map[string]time.Time // until when a run is left alone
	All     sync.WaitGroup
}

// NewDriver drives at most so many runs at once, until drain is closed; hard ends
// what is running.
func NewDriver(op *Operation, r *runs.Runner, most int, say func(format string, args ...any), drain, hard <-chan struct{}) *Driver {
	return &Driver{op: op, r: r, drain: drain, hard: hard, most: most, say: say, driving: map[string]bool{}, alone: map[string]time.Time{}}
}

// Look takes over what nobody drives. It returns how many runs have not ended
// yet, those left alone not counted.
func (d *Driver) Look(ctx context.Context) (int, error) {
	list, err := d.r.Store.Unended(ctx)
	if err != nil {
		return 0, err
	}
	open := map[string]bool{}
	for _, run := range list {
		open[run.ID] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := 0
	for _, run := range list {
		if run.Kind != runs.WorkflowKind || open[run.Parent] || time.Now().Before(d.alone[run.ID]) {
			continue // a step's own run goes on with that step
		}
		waiting++
		if d.driving[run.ID] || len(d.driving) >= d.most || run.Status != runs.Pending && run.Status != runs.Interrupted {
			continue
		}
		d.driving[run.ID] = true
		d.All.Go(func() { d.drive(ctx, run) })
	}
	return waiting, nil
}

// Busy reports whether a run is being driven.
func (d *Driver) Busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.driving) > 0
}

// drive carries a run to its end.
func (d *Driver) drive(ctx context.Context, run runs.Run) {
	d.say("Run %s: %s", run.ID, run.Summary)
	run.Cancelling = 0 // what was asked of whoever drove it before
	ended, diags := d.op.driveRun(ctx, d.r, run, d.drain, d.hard)
	for ended.Status == runs.Interrupted && ended.Cancelling > 1 && !isClosed(d.drain) && !isClosed(d.hard) {
		// It was to be cut off, and was: what is left to do, its last steps and its
		// end, does not wait for anybody.
		run.Status = runs.Interrupted
		ended, diags = d.op.driveRun(ctx, d.r, run, d.drain, d.hard)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.driving, run.ID)
	switch {
	case ended.Status.Ended():
		d.say("Run %s %s", run.ID, ended.Status.Happened())
	case isClosed(d.drain):
		d.say("Run %s is left for the next runner", run.ID)
	case diags.HasErrors():
		maps.DeleteFunc(d.alone, func(_ string, until time.Time) bool { return time.Now().After(until) })
		d.alone[run.ID] = time.Now().Add(leaveAlone)
		d.op.Session.Tell(fmt.Sprintf("Run %s: %s\n", run.ID, diags.Err()))
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// driveRun takes over a run of a workflow or a state machine and carries it to
// its end, or as far as it may.
func (o *Operation) driveRun(ctx context.Context, r *runs.Runner, run runs.Run, drain, hard <-chan struct{}) (runs.Run, diag.List) {
	source, err := r.Store.Blob(ctx, run.Blob)
	if err != nil {
		return run, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	op := New(o.Aside(run.Key), o.view)
	op.Session = o.Session.Fresh() // policies and files are those of now
	d, diags := DefinitionOf(op.Directory, source)
	switch {
	case diags.HasErrors():
		return run, diags
	case d == nil || d.Workflow.Definition != "":
		steps, e, done, diags := op.MachineExecution(r, source)
		if diags.HasErrors() {
			return run, diags
		}
		defer done()
		steps.Machine.Forget() // nobody asks for the history
		e.Run, e.Drain, e.Hard, steps.Hard = run, drain, hard, hard
		ActsFor(e, run)
		return r.Continue(ctx, e)
	}
	inputs, environment, diags := r.Inputs(ctx, run)
	if diags.HasErrors() {
		return run, diags
	}
	options := runs.WorkflowOptions{Run: run, Inputs: inputs, Environment: environment, Drain: drain, Hard: hard, Authorize: op.Session.Authorizer(r.Store), Admit: op.Admit, Secrets: op.SecretReader(run.Key.Environment)}
	if s := op.StackRunner(d.Project); s != nil {
		defer s.Close()
		options.Stacks = s
	}
	ended, _, diags := r.ContinueWorkflow(ctx, d, options)
	return ended, diags
}

// DefinitionOf reads the definition of a run of a project's workflow; nil for
// one of a bare state machine.
func DefinitionOf(p *project.Directory, source []byte) (*flow.Definition, diag.List) {
	if !runs.IsWorkflow(source) {
		return nil, nil
	}
	if p.Ensemble != nil {
		p = p.Ensemble.Root
	}
	return runs.DecodeDefinitionIn(p.Dir, source)
}

// MachineExecution makes the execution of a state machine from what its run is
// pinned to. done is to be called when it has ended.
func (o *Operation) MachineExecution(r *runs.Runner, pinned []byte) (steps *runs.StateMachine, e runs.Execution, done func(), diags diag.List) {
	definition, steps, diags := runs.StateMachineOf(pinned)
	if diags.HasErrors() {
		return nil, e, nil, diags
	}
	done = func() {}
	steps.Dir, steps.Definition, steps.Runner = o.WorkDir, MachineDefinition, r
	steps.Run = runs.Run{Key: o.Key(), Actor: o.Session.Actor(), Authority: o.Session.Authority(), Program: project.ProgramVersion()}
	steps.Options.Authorize, steps.Options.Admit = o.Session.Authorizer(r.Store), o.Admit
	if d, _ := DefinitionOf(o.Directory, pinned); d != nil {
		steps.Project, steps.Options.Run, steps.Options.Environment = d, steps.Run, o.Key().Environment
		steps.Options.Secrets = o.SecretReader(o.Key().Environment)
		if s := o.StackRunner(d.Project); s != nil {
			steps.Options.Stacks, done = s, s.Close
		}
	}
	steps.Machine = asl.NewMachine(definition)
	return steps, runs.Execution{Definition: pinned, Machine: steps.Machine, Steps: steps}, done, nil
}

// ActsFor has the steps of a state machine act for whom its run is by, whoever
// goes on with it.
func ActsFor(e runs.Execution, run runs.Run) {
	if steps, ok := e.Steps.(*runs.StateMachine); ok {
		steps.Run.Actor, steps.Options.Run.Actor = run.Actor, run.Actor
		steps.Run.Authority, steps.Options.Run.Authority = run.Authority, run.Authority
		steps.Run.Overrides, steps.Options.Run.Overrides = run.Overrides, run.Overrides
	}
}

// StackRunner plans and changes the stacks of a project for steps of workflows.
func (o *Operation) StackRunner(p *projects.Project) *StackRunner {
	if len(p.Stacks) == 0 {
		return nil
	}
	return NewStackRunner(o.Directory, p)
}

// breath is how long follow waits at least between two looks, and breaths how many times
// as long as it took to look: what changes in between is seen with the next, and many
// open runs do not take up the process.
const (
	breath        = 20 * time.Millisecond
	breaths       = 10
	longestBreath = time.Second
)

// Follow looks for runs to drive whenever something has changed, and from time to
// time: the death of a process changes nothing.
func (d *Driver) Follow(ctx context.Context, changed func() <-chan struct{}) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		next, began := changed(), time.Now()
		if _, err := d.Look(context.WithoutCancel(ctx)); err != nil {
			d.op.Session.Show(diag.Warningf("Cannot look for runs", "%s.", err))
		}
		took := time.Since(began)
		select {
		case <-ctx.Done():
			d.All.Wait()
			d.r.Wait()
			return
		case <-next:
			select {
			case <-ctx.Done():
			case <-time.After(min(max(breath, breaths*took), longestBreath)):
			}
		case <-ticker.C:
		}
	}
}
