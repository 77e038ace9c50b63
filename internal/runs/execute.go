package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// WorkflowKind is the kind of runs of machines.
const WorkflowKind = "workflow"

// About is what an execution has to know of a step before it may begin. It is
// asked of every step, so it must be cheap.
type About struct {
	// Ended says that nobody waits for the step any more: it must not begin.
	Ended bool
	// Until is the instant at which a step that only waits ends; zero for others.
	Until time.Time
	// Signal says that the step ends by a signal that the machine understands:
	// there is nothing to do.
	Signal bool
	// Waits is what the step wants of somebody outside; empty for nothing.
	Waits Waits
	// Asks, where it names the step, says that people are to decide about it: that is
	// told once.
	Asks string
	// Token says that the step has no job, but ends by a signal with its token.
	Token bool
	// Pool, where it names one, is what the step has to get into before it begins.
	// Only the pool's name, its limits and the priority are given.
	Pool Ticket
}

// Step is what a step of a machine does outside of it. It has a job, and ends
// with it, or a token, and ends by a signal that names it.
type Step struct {
	Name   string // for people
	Action string // for people
	Job    Job
	Token  string
	// Run says that the job is a run of its own, whose steps wait for what others
	// hold, like places in pools.
	Run bool

	// Repeatable says that it may simply be done again after a crash. For any
	// other, the intent is on disk before it begins, and a crash during it ends it
	// as lost.
	Repeatable bool
	// Timeout and Heartbeat bound how long it takes all together, and how long it
	// may be silent; 0 for no bound. The timeout counts from Since, or from when it
	// begins where that is zero.
	Timeout, Heartbeat time.Duration
	Since              time.Time
}

// Steps says what the steps of a machine are. Its methods are called by the
// goroutine that drives the machine; only jobs run beside it.
type Steps interface {
	About(step int) About
	// Step is asked when a step may begin, and again after a crash; never of one
	// that only waits.
	Step(step int) Step
	// Failure is the data of an outcome that the execution itself gives: a limit
	// was reached, a signal said so, or the process died (LostError).
	Failure(step int, name, cause string) json.RawMessage
	// Success is the data of the outcome of a step that a signal ended.
	Success(step int, data json.RawMessage) json.RawMessage
	// Verdict says how the run ended, once the machine has finished.
	Verdict() (status Status, problem string)
}

// The names of failures that an execution gives.
const (
	LostError      = "lost"
	TimeoutError   = "timeout"
	HeartbeatError = "heartbeat"
)

// Job does a step.
type Job func(ctx context.Context, t *Task) Ended

// Ended is the outcome of a job: [workflow.StepSucceeded], [workflow.StepFailed]
// or [workflow.StepLost], with what the machine takes for its data.
type Ended struct {
	Kind      workflow.Kind
	Data      json.RawMessage
	Sensitive bool
	Events    []events.Event // written with the outcome; ID and Source are filled in
	Detached  bool           // the process must not end it: it is to be resumed
}

// Execution is a machine that is run durably.
type Execution struct {
	Run        Run             // Kind, Key, Actor, Program and Summary; ID to resume
	Definition []byte          // what the machine was made from; kept with the run, pinned by its digest
	Start      json.RawMessage // data of the entry that starts it
	Sensitive  bool            // that data is
	Events     []events.Event  // written with the one that says that the run has started
	Machine    workflow.Machine
	Steps      Steps
	// Admit, where not nil, says whether the run may be made. Where it may not, what
	// is returned is a run without a status.
	Admit func(context.Context, Run) ([]events.Event, diag.List)
	// Parallelism bounds the steps done at once; 0 means 10.
	Parallelism int
	Began       func(Run) // told once the run is on disk; may be nil
	// Watch, where not nil, is told every entry once it is on disk.
	Watch func(workflow.Entry)
	// Hard, once closed, cuts running steps off instead of waiting for them.
	Hard <-chan struct{}
	// Drain, once closed, lets the run be left: running steps end and are
	// recorded, nothing more begins, and whoever resumes it goes on.
	Drain <-chan struct{}
}

// Execute runs a machine from its start to its end as a new run. Cancelling ctx
// asks it to end early. Run.ID may be given; a start that needs to know the id
// uses it.
func (r *Runner) Execute(ctx context.Context, e Execution) (Run, diag.List) {
	x, n, diags := r.prepare(ctx, e, Running)
	if diags.HasErrors() {
		return n.Run, diags
	}
	lease, err := r.Store.Begin(context.WithoutCancel(ctx), n)
	if err != nil {
		return n.Run, startProblem(err)
	}
	defer lease.Release()
	x.lease, x.events = lease, nil
	first := x.pending
	x.first, x.pending = &first, batch{}
	return x.carryOut(ctx)
}

// newRun is what is known of a run that may be made; one that may not has no status.
func (r *Runner) newRun(ctx context.Context, e *Execution) (Run, diag.List) {
	now := r.now()
	run := e.Run
	if run.ID == "" {
		run.ID = r.newID(now)
	}
	run.Status, run.Created = Pending, now
	sum := sha256.Sum256(e.Definition)
	run.PlanHash = hex.EncodeToString(sum[:])
	run.Blob = definitionPrefix + run.PlanHash
	run.Workflow = definedWorkflow(e.Definition)
	if e.Admit != nil {
		told, diags := e.Admit(ctx, run)
		if diags.HasErrors() {
			run.Status = ""
			return run, diags
		}
		e.Events = slices.Concat(e.Events, told)
	}
	return run, nil
}

// begun makes the first entry of the journal.
func (x *execution) begun() {
	x.events = startEvents(x.run, x.r.now(), x.e.Events)
	x.append(workflow.Entry{Kind: workflow.RunStarted, Step: -1, Data: x.e.Start, Sensitive: x.e.Sensitive})
}

// Enqueue makes a new run of a machine for somebody else to drive: whoever
// continues it. It is there with all that it begins with, or not at all.
func (r *Runner) Enqueue(ctx context.Context, e Execution) (Run, diag.List) {
	_, n, diags := r.prepare(ctx, e, Pending)
	if diags.HasErrors() {
		return n.Run, diags
	}
	if err := r.Store.Enqueue(context.WithoutCancel(ctx), n); err != nil {
		return n.Run, startProblem(err)
	}
	return n.Run, nil
}

// prepare makes an execution that has begun, and the run that is to be stored with that.
func (r *Runner) prepare(ctx context.Context, e Execution, status Status) (*execution, NewRun, diag.List) {
	run, diags := r.newRun(ctx, &e)
	if diags.HasErrors() {
		return nil, NewRun{Run: run}, diags
	}
	if run.Status = status; status == Running {
		run.Started = run.Created
	}
	x := r.newExecution(e, run, Lease{Run: run.ID})
	x.begun()
	if x.broken != nil {
		run.Status = ""
		return nil, NewRun{Run: run}, diag.Errorf("Cannot start run", "Run %s cannot be started: %s.", run.ID, x.broken)
	}
	x.run.Waits = x.waitsFor()
	return x, NewRun{Run: x.run, Definition: e.Definition, Entries: x.pending.entries, Events: withBatchIDs(run.ID, 1, x.events)}, nil
}

func (r *Runner) newID(now time.Time) string {
	if r.NewID != nil {
		return r.NewID(now)
	}
	return NewID(now)
}

// executeOnce carries out a machine as a run of a given id, whether it is new,
// was interrupted or has ended already; the machine then tells how.
func (r *Runner) executeOnce(ctx context.Context, e Execution) (Run, diag.List) {
	store, asked := context.WithoutCancel(ctx), ctx.Done()
	run, err := r.Store.Run(store, e.Run.ID)
	for err == nil && run.Status == Running {
		// Somebody else has resumed it by hand: wait for them.
		select {
		case <-asked:
			asked = nil
			_, err = r.Store.RequestCancel(store, e.Run.ID, (&Runner{Actor: e.Run.Actor}).cancelEvent(run, r.now(), false))
		case <-e.Hard:
			run.Status = Interrupted
			return run, nil
		case <-e.Drain:
			run.Status = Interrupted
			return run, nil
		case <-time.After(time.Second):
		}
		if err == nil {
			run, err = r.Store.Run(store, e.Run.ID)
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return r.Execute(ctx, e)
	case err != nil:
		return e.Run, diag.FromError(err)
	case !run.Status.Ended():
		return r.Continue(ctx, e)
	}
	err = r.Store.Each(store, run.ID, 0, func(entry workflow.Entry) error {
		_, err := e.Machine.Apply(entry)
		return err
	})
	return run, diag.FromError(err)
}

// Continue takes over a run of a machine whose process died. The definition
// must be the run's.
func (r *Runner) Continue(ctx context.Context, e Execution) (Run, diag.List) {
	store := context.WithoutCancel(ctx)
	id := e.Run.ID
	lease, err := r.Store.Acquire(store, id)
	if err != nil {
		return e.Run, takeProblem(id, err)
	}
	defer lease.Release()
	run, err := r.Store.Run(store, id)
	if err != nil {
		return run, takeProblem(id, err)
	}
	if run.Status.Ended() {
		return run, diag.Errorf("Run has ended", "Run %s %s already. %s", id, run.Status.Happened(), afterEnd(run))
	}
	run.Status, run.Cancelling, run.Problem = Running, 0, ""
	waited := run.Started.IsZero() // to be driven for the first time
	if waited {
		run.Started = r.now()
	}
	x := r.newExecution(e, run, lease)
	var unfit error
	err = r.Store.Each(store, id, 0, func(entry workflow.Entry) error {
		unfit = x.replay(entry)
		return unfit
	})
	switch {
	case unfit != nil:
		return run, diag.Errorf("Journal does not fit the definition", "The journal of run %s cannot be followed: %s.", id, unfit)
	case err != nil:
		return run, takeProblem(id, err)
	case x.seq == 0: // made by an older version of the program
		return run, diag.Errorf("Run never began", "The process of run %s died before it began: nothing was done. Give it up with \"tutti cancel %s\" and start again.", id, id)
	}
	x.asked = x.run.Steps
	if !waited {
		x.events = []events.Event{runEvent(run, r.now(), "run.resumed")}
	}
	x.append(workflow.Entry{Kind: workflow.RunResumed, Step: -1})
	return x.carryOut(ctx)
}

// replay lets the machine see an entry of the journal. What it wants because of
// it is asked for again by the entry that follows the last.
func (x *execution) replay(entry workflow.Entry) error {
	if entry.Kind == workflow.RunStarted {
		x.run.Done, x.run.Failed, x.run.Steps = 0, 0, 0
	}
	commands, err := x.e.Machine.Apply(entry)
	if err != nil {
		return err
	}
	x.seq = entry.Sequence
	x.note(entry)
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			x.run.Steps = max(x.run.Steps, c.Step+1)
		case workflow.FinishRun:
			x.finish = true
		case workflow.StopStep:
			delete(x.doubts, c.Step)
		}
	}
	return nil
}

// note keeps what follows from an entry, live or replayed.
func (x *execution) note(entry workflow.Entry) {
	switch entry.Kind {
	case workflow.StepStarted:
		x.doubts[entry.Step] = true
	case workflow.StepWithdrawn:
		delete(x.doubts, entry.Step)
	case workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost:
		delete(x.doubts, entry.Step)
		x.run.Done++
		if entry.Kind != workflow.StepSucceeded {
			x.run.Failed++
		}
	case workflow.SignalReceived:
		var s workflow.Signal
		if json.Unmarshal(entry.Data, &s) != nil {
			return
		}
		x.heard = max(x.heard, s.Sequence)
		if s.Kind == workflow.SignalSucceed || s.Kind == workflow.SignalFail {
			x.said[s.Name] = s // maybe before the step is there
		}
	}
}

// conclude writes how the run ended, or says why it has to be resumed.
func (x *execution) conclude(ctx context.Context) (Run, diag.List) {
	id := x.run.ID
	if x.broken == nil && !x.finish {
		x.run.Status = Interrupted
		return x.run, diag.Errorf("Run interrupted", "Run %s was cut off before its steps had ended. Carry on with \"tutti resume %s\", or give it up with \"tutti cancel %s\".", id, id, id)
	}
	if x.broken == nil {
		now := x.r.now()
		x.run.Status, x.run.Problem = x.e.Steps.Verdict()
		x.run.Ended, x.run.Waits = now, ""
		x.run.Steps = x.run.Done // the rest were limits of time, and what people decided
		run := x.run
		last := workflow.Entry{Sequence: x.seq + 1, Time: now, Kind: workflow.RunFinished, Step: -1}
		x.broken = x.r.commit(ctx, []Commit{{
			Lease: x.lease, Run: &run, Entries: []workflow.Entry{last},
			Events: withIDs(run.ID, x.seq+1, runEvent(run, now, "run."+string(run.Status))),
		}}, func(error) {})
		if x.broken == nil && x.e.Watch != nil {
			x.e.Watch(last)
		}
	}
	if x.broken != nil {
		x.run.Status = Interrupted
		if errors.Is(x.broken, ErrFenced) {
			return x.run, diag.Errorf("Run was taken over", "Another process has taken over run %s, so this one must not go on with it.", id)
		}
		return x.run, diag.Errorf("Cannot record run", "Run %s was stopped because its store does not take records any more: %s. Once that is put right, carry on with \"tutti resume %s\".", id, x.broken, id)
	}
	return x.run, nil
}
