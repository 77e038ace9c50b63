package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Executor carries out operations of one plan; [*engine.Apply] is one. Do and
// Settle are called from several goroutines, for an operation only after all it
// needs has been done or restored. Finish is called once, at the end, unless
// operations that ignored a hard cancel are still running then.
type Executor interface {
	Operations() []plans.Operation
	// Idempotent reports whether an operation may simply run again after a
	// crash, so that no intent need be on disk before it.
	Idempotent(operation int) bool
	Do(ctx context.Context, operation int) engine.Outcome
	// Settle finds out what became of an operation in doubt, and does it where
	// it turns out not to have been done.
	Settle(ctx context.Context, operation int) engine.Outcome
	// Restore puts back what an operation that ended before a crash had written.
	Restore(operation int, rows []states.Change)
	// Stop asks running operations to end early.
	Stop(ctx context.Context)
	Finish(ctx context.Context) engine.Final
}

var _ Executor = (*engine.Apply)(nil)

// Open makes the executor of a run that has been started or taken over.
type Open func(ctx context.Context) (Executor, diag.List)

// Runner carries out plans as durable runs.
type Runner struct {
	Store Store
	// Actor is who asks for what is not part of a run, such as cancelling one.
	Actor string
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// NewID names a run; nil means [NewID].
	NewID func(now time.Time) string
	// Poll is how often it is looked for what other processes ask of runs; 0 means half
	// a second.
	Poll time.Duration
	// Grace is how long operations get to return after a hard cancel before
	// they are left in doubt; 0 means ten seconds.
	Grace time.Duration
	// Egress keeps the requests of steps out of networks that are not public; nil lets
	// them go anywhere.
	Egress *egress.Guard

	bell   bell
	others sync.WaitGroup // runs that nobody waits for
}

// defaultParallelism is how many operations run at once where nothing is said.
const defaultParallelism = 10

// Request is what [Runner.Apply] carries out.
type Request struct {
	// Run has Kind, Key, Actor, Program and Summary filled in. For
	// [Runner.Resume] only ID matters.
	Run     Run
	Plan    *plans.Plan
	Encoded []byte // the plan's bytes, to be kept with the run
	// Late are the encoded values of variables that the plan was made without;
	// see [plans.EncodeValues]. They are kept in the entry that starts the run,
	// where [Late] finds them to resume it. For Resume they matter only if that
	// entry was never written.
	Late []byte
	// Decision is what policy said about the plan, as JSON; nil where there is no
	// policy. It is kept like Late, see [Decision], and told as an event.
	Decision json.RawMessage
	// Closing, where not nil, is asked when all operations have ended whether what
	// they made may stand: an error fails the run.
	Closing func(ctx context.Context, final engine.Final) diag.List
	// Events are written with the one that says that the run has started. ID, Source
	// and, where there is none, Subject and Time are filled in.
	Events      []events.Event
	Parallelism int // operations at once; 0 means 10
	// Watch, where not nil, is told what happens, one call at a time. It must
	// not block for long.
	Watch func(Event)
	// Hard, once closed, cancels running operations instead of waiting for them.
	Hard <-chan struct{}
}

// EventKind says what an [Event] reports.
type EventKind string

// The kinds of events.
const (
	Began       EventKind = "began"       // the run is recorded; Event.Run tells its id
	StepBegan   EventKind = "step_began"  // an operation is handed out
	StepEnded   EventKind = "step_ended"  // its outcome is on disk
	Cancelling  EventKind = "cancelling"  // no more operations are started
	Unrecorded  EventKind = "unrecorded"  // the store does not take outcomes at the moment
	CancelsHard EventKind = "cancel_hard" // running operations are being cut off
)

// Event is something that happened during a run, for people to watch.
type Event struct {
	Kind      EventKind
	Run       string
	Operation int // -1 where it is about the run
	Object    addrs.Object
	Outcome   engine.Outcome // of StepEnded
	Running   int            // operations running now
	Problem   error          // of Unrecorded
}

// Counts is what a run has done so far. A replacement counts twice.
type Counts struct {
	Added, Changed, Destroyed, Imported, Forgotten int
}

// Result is how a run ended.
type Result struct {
	Run   Run
	Final engine.Final
	Done  Counts
	// Unrecorded are rows that could not be written to the store. They are the
	// only knowledge of real objects: the caller must put them somewhere safe.
	Unrecorded []states.Change
}

// Apply carries out a plan as a new run. Cancelling ctx asks politely: running
// operations end and are recorded, no more are started. Apply returns when the
// run has ended or has to be resumed; Result.Run.Status says which. Diagnostics
// are those of the operations and of the run itself.
func (r *Runner) Apply(ctx context.Context, req Request, open Open) (Result, diag.List) {
	if req.Plan.Errored {
		return Result{Run: req.Run}, diag.Errorf("Plan is incomplete", "Making the plan ended with errors, so it cannot be applied. Correct them and plan again.")
	}
	now := r.now()
	run := req.Run
	if run.ID == "" {
		newID := r.NewID
		if newID == nil {
			newID = NewID
		}
		run.ID = newID(now)
	}
	run.Status, run.Created, run.Started = Running, now, now
	run.PlanHash = req.Plan.Digest
	if run.PlanHash == "" {
		sum := sha256.Sum256(req.Encoded)
		run.PlanHash = hex.EncodeToString(sum[:])
	}
	run.Blob = "plan/" + run.PlanHash
	for _, op := range req.Plan.Operations {
		if op.Kind != plans.OpGate {
			run.Steps++
		}
	}
	lease, err := r.Store.Start(context.WithoutCancel(ctx), run, req.Encoded, ClaimOf(req.Plan), req.Plan.Adjust)
	if err != nil {
		return Result{Run: req.Run}, startProblem(err)
	}
	defer lease.Release()
	d := r.newDrive(req, run, lease)
	return d.carryOut(ctx, open, nil)
}

// Resume carries on with a run whose process died or that was cut off. The plan
// must be the run's. Operations in doubt are settled before anything else.
func (r *Runner) Resume(ctx context.Context, req Request, open Open) (Result, diag.List) {
	store := context.WithoutCancel(ctx)
	id := req.Run.ID
	run, err := r.Store.Run(store, id)
	if err != nil {
		return Result{}, takeProblem(id, err)
	}
	if run.Status.Ended() {
		return Result{Run: run}, diag.Errorf("Run has ended", "Run %s %s and cannot be resumed. %s", id, run.Status.Happened(), afterEnd(run))
	}
	if run.PlanHash != req.Plan.Digest {
		return Result{Run: run}, diag.Errorf("Not the run's plan", "Run %s carries out the plan with the digest %s; this one has %s.", id, run.PlanHash, req.Plan.Digest)
	}
	lease, err := r.Store.Acquire(store, id)
	if err != nil {
		return Result{Run: run}, takeProblem(id, err)
	}
	defer lease.Release()
	// Only now nobody else changes it any more.
	recorded, err := r.Store.Recorded(store, id)
	if err == nil {
		run, err = r.Store.Run(store, id)
	}
	if err != nil {
		return Result{Run: run}, takeProblem(id, err)
	}
	if run.Status.Ended() {
		return Result{Run: run}, diag.Errorf("Run has ended", "Run %s %s meanwhile. %s", id, run.Status.Happened(), afterEnd(run))
	}
	baseline := run.Cancelling
	run.Status, run.Cancelling, run.Problem = Running, 0, ""
	d := r.newDrive(req, run, lease)
	d.baseline = baseline
	return d.carryOut(ctx, open, recorded)
}

func afterEnd(run Run) string {
	if run.Status == Succeeded {
		return "There is nothing left to do."
	}
	return "What it did is recorded; plan again to do what is missing."
}

// Cancel asks the process that drives a run to stop it. A run that nobody
// drives any more is ended on the spot; objects whose operation was in doubt
// are then named by warnings.
func (r *Runner) Cancel(ctx context.Context, id string) (Run, diag.List) {
	run, err := r.Store.Run(ctx, id)
	if err != nil {
		return Run{}, takeProblem(id, err)
	}
	if run.Status.Ended() {
		return run, diag.Errorf("Run has ended", "Run %s %s already.", id, run.Status.Happened())
	}
	if run.Status != Interrupted && run.Status != Pending {
		run, err = r.Store.RequestCancel(ctx, id, r.cancelEvent(run, r.now(), false))
		if err != nil {
			return run, diag.Errorf("Cannot cancel run", "Run %s cannot be cancelled: %s.", id, err)
		}
		r.ring(id)
		return run, nil
	}
	entries, err := r.Store.Read(ctx, id, 0)
	if err == nil {
		err = r.Store.Abandon(ctx, id, r.cancelEvent(run, r.now(), true))
	}
	if err == nil {
		run, err = r.Store.Run(ctx, id)
	}
	if err != nil {
		return run, diag.Errorf("Cannot cancel run", "Run %s cannot be cancelled: %s.", id, err)
	}
	return run, append(inDoubt(run, entries), r.cancelSteps(ctx, id)...)
}

// cancelSteps gives up the runs that were steps of one that was given up: nobody
// goes on with them any more.
func (r *Runner) cancelSteps(ctx context.Context, parent string) diag.List {
	list, err := r.Store.Unended(ctx)
	if err != nil {
		return diag.FromError(err)
	}
	var diags diag.List
	for _, run := range list {
		if run.Parent == parent {
			_, d := r.Cancel(ctx, run.ID)
			diags = append(diags, d...)
		}
	}
	return diags
}

// inDoubt names the objects whose operation has an intent and no outcome.
func inDoubt(run Run, entries []workflow.Entry) diag.List {
	advice := "Look whether the object is as the state says before you plan again."
	if run.Machine() {
		advice = "Look what it did before you run the workflow again."
	}
	open := map[int]StepData{}
	var order []int
	for _, e := range entries {
		switch e.Kind {
		case workflow.StepStarted:
			open[e.Step] = ReadStepData(e)
			order = append(order, e.Step)
		case workflow.StepWithdrawn, workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost:
			delete(open, e.Step)
		}
	}
	var out diag.List
	for _, step := range order {
		data, ok := open[step]
		if !ok {
			continue
		}
		delete(open, step)
		out = append(out, diag.Diagnostic{
			Severity: diag.Warning, Summary: "Outcome unknown", Address: data.Address,
			Detail: "The run was interrupted during the " + data.Operation + " of " + data.Address + ", and was given up without finding out what became of it. " + advice,
		})
	}
	return out
}

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
