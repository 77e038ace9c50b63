package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// WorkflowKind is the kind of runs of machines.
const WorkflowKind = "workflow"

// Steps does what the steps of a machine are. Its methods are called by the
// goroutine that drives the machine; only jobs run beside it.
type Steps interface {
	// Due is the instant at which a step that only waits ends; zero for steps
	// that do something.
	Due(step int) time.Time
	// Repeatable reports whether a step may simply be done again after a crash.
	// For any other, the intent is on disk before it begins, and a crash during
	// it ends it as lost.
	Repeatable(step int) bool
	// About names a step, for people who read the journal.
	About(step int) StepData
	// Job returns what does a step.
	Job(step int) Job
	// Lost is the data of the outcome of a step that nobody knows.
	Lost(step int) json.RawMessage
	// Verdict says how the run ended, once the machine has finished.
	Verdict() (status Status, problem string)
}

// Job does a step and returns its outcome: [workflow.StepSucceeded] or
// [workflow.StepFailed], with what the machine takes for its data. The key is
// the same whenever the step is done again.
type Job func(ctx context.Context, key string) (kind workflow.Kind, data json.RawMessage)

// Execution is a machine that is run durably.
type Execution struct {
	Run        Run             // Kind, Key, Actor, Program and Summary; ID to resume
	Definition []byte          // what the machine was made from; kept with the run, pinned by its digest
	Start      json.RawMessage // data of the entry that starts it
	Machine    workflow.Machine
	Steps      Steps
	// Parallelism bounds the steps done at once; 0 means 10.
	Parallelism int
	Began       func(Run) // told once the run is on disk; may be nil
}

// Execute runs a machine from its start to its end as a new run. Cancelling ctx
// asks it to end early.
func (r *Runner) Execute(ctx context.Context, e Execution) (Run, diag.List) {
	now := r.now()
	run := e.Run
	newID := r.NewID
	if newID == nil {
		newID = NewID
	}
	run.ID = newID(now)
	run.Status, run.Created, run.Started = Running, now, now
	sum := sha256.Sum256(e.Definition)
	run.PlanHash = hex.EncodeToString(sum[:])
	run.Blob = "definition/" + run.PlanHash
	lease, err := r.Store.Start(context.WithoutCancel(ctx), run, e.Definition, Claim{}, nil)
	if err != nil {
		return run, startProblem(err)
	}
	defer lease.Release()
	x := r.newExecution(e, run, lease)
	x.pending = []workflow.Entry{{Time: now, Kind: workflow.RunStarted, Step: -1, Data: e.Start}}
	x.events = []events.Event{runEvent(run, now, "run.started")}
	return x.carryOut(ctx)
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
	var entries []workflow.Entry
	if err == nil {
		entries, err = r.Store.Read(store, id, 0)
	}
	if err != nil {
		return run, takeProblem(id, err)
	}
	if run.Status.Ended() {
		return run, diag.Errorf("Run has ended", "Run %s has %s already. %s", id, run.Status, afterEnd(run))
	}
	if len(entries) == 0 {
		return run, diag.Errorf("Run never began", "The process of run %s died before it began: nothing was done. Give it up with \"tutti cancel %s\" and start again.", id, id)
	}
	run.Status, run.Cancelling, run.Problem = Running, 0, ""
	x := r.newExecution(e, run, lease)
	if err := x.replay(entries); err != nil {
		return run, diag.Errorf("Journal does not fit the definition", "The journal of run %s cannot be followed: %s.", id, err)
	}
	now := r.now()
	x.pending = []workflow.Entry{{Time: now, Kind: workflow.RunResumed, Step: -1}}
	x.events = []events.Event{runEvent(run, now, "run.resumed")}
	return x.carryOut(ctx)
}

// execution is one process's work on the run of a machine. Like a [drive], one
// goroutine owns all of it, and what happens while a batch is written is
// gathered for the next.
type execution struct {
	r     *Runner
	e     Execution
	run   Run
	lease Lease

	queue   []int // steps that may start
	timers  map[int]time.Time
	active  int // slots taken: intents to be written and steps running
	running int
	done    chan stepDone
	seq     int64
	pending []workflow.Entry
	events  []events.Event
	writing []workflow.Entry
	writes  chan []Commit
	written chan error

	intents  map[int]bool // begun, on disk, without outcome
	stopping bool
	finish   bool
	broken   error
	diags    diag.List
	opCtx    context.Context
}

type stepDone struct {
	step int
	kind workflow.Kind
	data json.RawMessage
}

func (r *Runner) newExecution(e Execution, run Run, lease Lease) *execution {
	if e.Parallelism <= 0 {
		e.Parallelism = defaultParallelism
	}
	return &execution{
		r: r, e: e, run: run, lease: lease, timers: map[int]time.Time{}, intents: map[int]bool{},
		done: make(chan stepDone, e.Parallelism), writes: make(chan []Commit, 1), written: make(chan error, 1),
	}
}

// replay rebuilds the machine. What it wanted is asked for again by the entry
// that follows.
func (x *execution) replay(entries []workflow.Entry) error {
	x.run.Done, x.run.Failed, x.run.Steps = 0, 0, 0
	for _, entry := range entries {
		commands, err := x.e.Machine.Apply(entry)
		if err != nil {
			return err
		}
		x.seq = entry.Sequence
		for _, c := range commands {
			switch c.Kind {
			case workflow.StartStep:
				x.run.Steps = max(x.run.Steps, c.Step+1)
			case workflow.FinishRun:
				x.finish = true
			}
		}
		x.note(entry)
	}
	return nil
}

// note keeps the counters and intents that follow from an entry.
func (x *execution) note(entry workflow.Entry) {
	switch entry.Kind {
	case workflow.StepStarted:
		x.intents[entry.Step] = true
	case workflow.StepWithdrawn:
		delete(x.intents, entry.Step)
	case workflow.StepSucceeded:
		delete(x.intents, entry.Step)
		x.run.Done++
	case workflow.StepFailed, workflow.StepLost:
		delete(x.intents, entry.Step)
		x.run.Done++
		x.run.Failed++
	}
}

// carryOut drives the machine to its end, or as far as it gets.
func (x *execution) carryOut(ctx context.Context) (Run, diag.List) {
	if x.e.Began != nil {
		x.e.Began(x.run)
	}
	store := context.WithoutCancel(ctx)
	opCtx, cancelSteps := context.WithCancel(store)
	defer cancelSteps()
	x.opCtx = opCtx
	for _, step := range x.inDoubt() {
		x.pending = append(x.pending, workflow.Entry{Time: x.r.now(), Kind: workflow.StepLost, Step: step, Data: x.e.Steps.Lost(step)})
	}
	go func() {
		for commits := range x.writes {
			x.written <- x.r.commit(store, commits, func(error) {})
		}
	}()
	polling, stopPolling := context.WithCancel(store)
	levels := make(chan int)
	go x.r.poll(polling, x.lease.Run, 0, levels)
	x.loop(ctx, levels)
	stopPolling()
	cancelSteps()
	for ; x.running > 0; x.running-- {
		<-x.done // nobody waits for what it says any more
	}
	close(x.writes)
	return x.conclude(store)
}

// inDoubt lists the steps that were begun when the process died.
func (x *execution) inDoubt() []int {
	var out []int
	for step := range x.intents {
		out = append(out, step)
	}
	slices.Sort(out)
	return out
}

func (x *execution) loop(ctx context.Context, levels <-chan int) {
	asked := ctx.Done()
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		x.launch()
		x.flush()
		if x.writing == nil && (x.broken != nil || x.finish && len(x.pending) == 0) {
			return
		}
		if until, ok := x.nextTimer(); ok {
			clock.Reset(until.Sub(x.r.now()))
		}
		select {
		case d := <-x.done:
			x.active--
			x.running--
			x.pending = append(x.pending, workflow.Entry{Time: x.r.now(), Kind: d.kind, Step: d.step, Data: d.data})
		case err := <-x.written:
			x.acknowledge(err)
		case <-clock.C:
			x.fire()
		case <-asked:
			asked = nil
			x.stop()
		case level := <-levels:
			if level > 0 {
				x.stop()
			}
		}
	}
}

func (x *execution) nextTimer() (until time.Time, ok bool) {
	for _, t := range x.timers {
		if !ok || t.Before(until) {
			until, ok = t, true
		}
	}
	return until, ok
}

// fire ends the timers that are due, by instant and then by number.
func (x *execution) fire() {
	now := x.r.now()
	var due []int
	for step, until := range x.timers {
		if !until.After(now) {
			due = append(due, step)
		}
	}
	slices.SortFunc(due, func(a, b int) int {
		if c := x.timers[a].Compare(x.timers[b]); c != 0 {
			return c
		}
		return a - b
	})
	for _, step := range due {
		delete(x.timers, step)
		x.pending = append(x.pending, workflow.Entry{Time: now, Kind: workflow.StepSucceeded, Step: step})
	}
}

// stop asks the machine to end.
func (x *execution) stop() {
	if x.stopping {
		return
	}
	x.stopping = true
	x.pending = append(x.pending, workflow.Entry{Time: x.r.now(), Kind: workflow.CancelRequested, Step: -1})
}

// launch starts steps while there is room: timers at once, repeatable steps at
// once, for any other the intent is written first.
func (x *execution) launch() {
	kept := x.queue[:0]
	for _, step := range x.queue {
		if x.stopping || x.finish || x.broken != nil {
			break
		}
		if until := x.e.Steps.Due(step); !until.IsZero() {
			x.timers[step] = until
			continue
		}
		if x.active >= x.e.Parallelism {
			kept = append(kept, step)
			continue
		}
		x.active++
		if x.e.Steps.Repeatable(step) {
			x.begin(step)
			continue
		}
		x.pending = append(x.pending, workflow.Entry{Time: x.r.now(), Kind: workflow.StepStarted, Step: step, Data: encode(x.e.Steps.About(step))})
	}
	x.queue = kept
}

func (x *execution) begin(step int) {
	x.running++
	job := x.e.Steps.Job(step)
	go func() {
		kind, data := job(x.opCtx, fmt.Sprintf("%s-%d", x.run.ID, step))
		x.done <- stepDone{step, kind, data}
	}()
}

// flush hands what is pending to the committer, unless it is at work.
func (x *execution) flush() {
	if x.writing != nil || len(x.pending) == 0 || x.broken != nil {
		return
	}
	x.writing, x.pending = x.pending, nil
	for i := range x.writing {
		x.seq++
		x.writing[i].Sequence = x.seq
	}
	run := x.run
	x.writes <- []Commit{{Lease: x.lease, Entries: x.writing, Events: withIDs(run.ID, x.writing[0].Sequence, x.events...), Run: &run}}
	x.events = nil
}

// acknowledge lets the machine see what is on disk now.
func (x *execution) acknowledge(err error) {
	entries := x.writing
	x.writing = nil
	if err != nil {
		x.broken = err
		return
	}
	for _, entry := range entries {
		x.follow(entry)
	}
}

func (x *execution) follow(entry workflow.Entry) {
	commands, err := x.e.Machine.Apply(entry)
	if err != nil {
		x.broken = err
		return
	}
	x.note(entry)
	switch {
	case entry.Kind != workflow.StepStarted:
	case x.finish || x.stopping:
		x.active--
		x.pending = append(x.pending, workflow.Entry{Time: x.r.now(), Kind: workflow.StepWithdrawn, Step: entry.Step})
	default:
		x.begin(entry.Step)
	}
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			x.run.Steps = max(x.run.Steps, c.Step+1)
			if !x.intents[c.Step] { // else its loss is about to be told
				x.queue = append(x.queue, c.Step)
			}
		case workflow.FinishRun:
			x.finish = true
		}
	}
}

// conclude writes how the run ended, or says why it has to be resumed.
func (x *execution) conclude(ctx context.Context) (Run, diag.List) {
	if x.broken == nil {
		now := x.r.now()
		x.run.Status, x.run.Problem = x.e.Steps.Verdict()
		x.run.Ended = now
		run := x.run
		x.broken = x.r.commit(ctx, []Commit{{
			Lease: x.lease, Run: &run,
			Entries: []workflow.Entry{{Sequence: x.seq + 1, Time: now, Kind: workflow.RunFinished, Step: -1}},
			Events:  withIDs(run.ID, x.seq+1, runEvent(run, now, "run."+string(run.Status))),
		}}, func(error) {})
	}
	if x.broken != nil {
		x.run.Status = Interrupted
		if errors.Is(x.broken, ErrFenced) {
			return x.run, diag.Errorf("Run was taken over", "Another process has taken over run %s, so this one must not go on with it.", x.run.ID)
		}
		return x.run, diag.Errorf("Cannot record run", "Run %s was stopped because its store does not take records any more: %s. Once that is put right, carry on with \"tutti resume %s\".", x.run.ID, x.broken, x.run.ID)
	}
	return x.run, nil
}
