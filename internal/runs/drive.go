package runs

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/telemetry"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// drive is one process's work on one run. A single goroutine, the loop, owns
// all of it; workers carry out operations and the committer writes, both
// reached by channels only. While the committer writes one batch, everything
// that happens is gathered for the next: that is the group commit.
type drive struct {
	r       *Runner
	req     Request
	run     Run
	lease   Lease
	exec    Executor
	ops     []plans.Operation
	machine *workflow.Graph

	queue    []task // may start; from head on
	head     int
	active   int // slots taken: intents to be written and operations running
	baseline int // Cancelling when this process took the run
	doubts   int // operations in doubt not settled yet
	workers  int
	work     chan task
	ended    chan ended
	opCtx    context.Context
	opCancel context.CancelFunc

	pending []note
	writing []note // with the committer
	writes  chan []Commit
	written chan error
	trouble chan error

	seq      int64 // of the last entry handed to the committer
	stalled  bool  // the committer is trying again: nothing is started
	broken   error // it gave up
	finish   bool  // the machine says that nothing more can happen
	stopping bool  // politely
	hard     bool
	left     bool // operations were left behind after the grace

	diags diag.List
	done  Counts
}

// task is an operation to carry out.
type task struct {
	op     int
	settle bool
}

// ended is an operation that returned.
type ended struct {
	task
	outcome engine.Outcome
}

// note is a journal entry with what is written along with it.
type note struct {
	entry   workflow.Entry
	cause   string
	outcome engine.Outcome
	settled bool // of an operation that was in doubt
	events  []events.Event
}

func (r *Runner) newDrive(req Request, run Run, lease Lease) *drive {
	if req.Parallelism <= 0 {
		req.Parallelism = defaultParallelism
	}
	return &drive{
		r: r, req: req, run: run, lease: lease,
		work: make(chan task, req.Parallelism), ended: make(chan ended, req.Parallelism),
		writes: make(chan []Commit, 1), written: make(chan error, 1), trouble: make(chan error, 1),
	}
}

// loop drives the machine until nothing more happens.
func (d *drive) loop(ctx context.Context) {
	go d.committer(context.WithoutCancel(ctx))
	defer close(d.writes)
	defer close(d.work)
	polling, stopPolling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPolling()
	levels := make(chan int)
	rung, unhang := d.r.rung(d.lease.Run) // not by who heeds it: a run that is over must not take the bell of the next
	defer unhang()
	go d.r.heed(polling, d.lease.Run, d.baseline, rung, levels)

	asked, hard := ctx.Done(), d.req.Hard
	var grace <-chan time.Time
	if ctx.Err() != nil {
		asked = nil
		d.stop(ctx)
	}
	for {
		d.launch()
		d.flush()
		if d.idle() {
			return
		}
		select {
		case e := <-d.ended:
			d.take(e)
		case err := <-d.written:
			d.acknowledge(err)
		case err := <-d.trouble:
			d.stalled = true
			d.tell(Event{Kind: Unrecorded, Operation: -1, Problem: err})
		case <-asked:
			asked = nil
			d.stop(ctx)
		case level := <-levels:
			if level > 0 {
				d.stop(ctx)
			}
			if level > 1 && !d.hard {
				grace = d.cutOff()
			}
		case <-hard:
			hard = nil
			d.stop(ctx)
			if !d.hard {
				grace = d.cutOff()
			}
		case <-grace:
			d.left = true
		}
	}
}

// idle reports whether the loop has nothing to wait for.
func (d *drive) idle() bool {
	if d.writing != nil || (len(d.pending) > 0 && d.broken == nil) {
		return false
	}
	if d.active > 0 {
		return d.left
	}
	return d.finish || d.stopping || d.broken != nil
}

// launch fills free slots: an operation without effect outside goes straight
// to a worker, for any other the intent is written first.
func (d *drive) launch() {
	for !d.stopping && !d.stalled && d.broken == nil && d.active < d.req.Parallelism && d.head < len(d.queue) {
		t := d.queue[d.head]
		if d.doubts > 0 && !t.settle {
			return
		}
		d.head++
		d.active++
		if t.settle || d.exec.Idempotent(t.op) {
			d.hand(t)
			continue
		}
		d.pending = append(d.pending, note{entry: workflow.Entry{
			Time: d.r.now(), Kind: workflow.StepStarted, Step: t.op, Data: encode(d.about(t.op)),
		}})
	}
	if d.head == len(d.queue) {
		d.queue, d.head = d.queue[:0], 0
	}
}

// hand gives an operation to a worker; there are never more than were needed.
func (d *drive) hand(t task) {
	if d.workers < d.active {
		d.workers++
		go d.worker()
	}
	d.work <- t // has room for every slot
	d.tell(Event{Kind: StepBegan, Operation: t.op})
}

func (d *drive) worker() {
	for t := range d.work {
		d.ended <- ended{t, d.do(t)} // has room for every slot
	}
}

func (d *drive) do(t task) (out engine.Outcome) {
	about := d.about(t.op)
	ctx, span := telemetry.BeginStep(d.opCtx, d.run.ID, about.Address, about.Operation)
	defer func() { span.End(outcomeOf(kindOf(out)), out.Failed()) }()
	if t.settle {
		return d.exec.Settle(ctx, t.op)
	}
	return d.exec.Do(ctx, t.op)
}

// kindOf is the entry that tells of an outcome.
func kindOf(out engine.Outcome) workflow.Kind {
	switch {
	case out.Lost:
		return workflow.StepLost
	case out.Failed():
		return workflow.StepFailed
	}
	return workflow.StepSucceeded
}

// take notes the outcome of an operation.
func (d *drive) take(e ended) {
	d.active--
	out := e.outcome
	if d.hard && len(out.Rows) == 0 && (out.Lost || (out.Failed() && d.exec.Idempotent(e.op))) {
		// It was cut off, so this says nothing: resuming finds out.
		return
	}
	kind := kindOf(out)
	data := d.about(e.op)
	data.Problems = problemsOf(out.Diags)
	d.report(out.Diags)
	now := d.r.now()
	d.run.Done++
	if out.Failed() {
		d.run.Failed++
	}
	d.pending = append(d.pending, note{
		entry:   workflow.Entry{Time: now, Kind: kind, Step: e.op, Data: encode(data)},
		cause:   causeOf(d.req.Plan, d.ops[e.op]),
		outcome: out, settled: e.settle,
		events: stepEvent(d.run, now, data.Address, data.Operation, out),
	})
}

// report collects diagnostics; the first error names the run's problem.
func (d *drive) report(list diag.List) {
	d.diags = append(d.diags, list...)
	for _, one := range list {
		if d.run.Problem == "" && one.Severity != diag.Warning {
			d.run.Problem = one.Summary
			if one.Address != "" {
				d.run.Problem = one.Address + ": " + one.Summary
			}
		}
	}
}

func (d *drive) about(op int) StepData {
	data := StepData{Operation: d.ops[op].Kind.String()}
	if o := about(d.req.Plan, d.ops[op]); o != (addrs.Object{}) {
		data.Address = o.String()
	}
	return data
}

// flush hands what is pending to the committer, unless it is at work.
func (d *drive) flush() {
	if d.writing != nil || len(d.pending) == 0 || d.broken != nil {
		return
	}
	d.writing, d.pending = d.pending, nil
	d.writes <- d.commits(d.writing)
}

// commits numbers notes and packs them: rows belong to the last entry of a
// commit, so each note with rows ends one.
func (d *drive) commits(notes []note) []Commit {
	var out []Commit
	open := Commit{Lease: d.lease}
	for i := range notes {
		n := &notes[i]
		d.seq++
		n.entry.Sequence = d.seq
		open.Entries = append(open.Entries, n.entry)
		for j := range n.events {
			n.events[j].ID = eventID(d.run.ID, d.seq)
			if j > 0 {
				n.events[j].ID += "." + strconv.Itoa(j)
			}
		}
		open.Events = append(open.Events, n.events...)
		if len(n.outcome.Rows) > 0 {
			open.Rows, open.Cause = n.outcome.Rows, n.cause
			out = append(out, open)
			open = Commit{Lease: d.lease}
		}
	}
	if len(open.Entries) > 0 {
		out = append(out, open)
	}
	run := d.run
	out[len(out)-1].Run = &run
	return out
}

// acknowledge goes on with what is on disk now.
func (d *drive) acknowledge(err error) {
	notes := d.writing
	d.writing = nil
	if err != nil {
		d.broken = err
		d.pending = append(notes, d.pending...)
		d.dropIntents()
		return
	}
	d.stalled = false
	select {
	case <-d.trouble: // told before it was overcome
	default:
	}
	for i := range notes {
		d.follow(&notes[i])
	}
}

// follow lets the machine see an entry and does what it wants.
func (d *drive) follow(n *note) {
	commands, err := d.machine.Apply(n.entry)
	if err != nil {
		// The loop writes only what the machine takes: this is a bug.
		d.report(diag.Errorf("Run out of step", "Run %s: %s. This is a bug in Tutti; please report it.", d.run.ID, err))
		d.broken = err
		return
	}
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			d.queue = append(d.queue, task{op: c.Step})
		case workflow.FinishRun:
			d.finish = true
		}
	}
	switch n.entry.Kind {
	case workflow.StepStarted:
		if d.stopping || d.broken != nil {
			d.active--
			d.pending = append(d.pending, note{entry: workflow.Entry{Time: d.r.now(), Kind: workflow.StepWithdrawn, Step: n.entry.Step}})
			return
		}
		d.hand(task{op: n.entry.Step})
	case workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost:
		if n.settled {
			d.doubts--
		}
		if n.entry.Kind == workflow.StepSucceeded {
			d.count(n.entry.Step)
		}
		d.tell(Event{Kind: StepEnded, Operation: n.entry.Step, Outcome: n.outcome})
	}
}

// count adds a successful operation to what is done.
func (d *drive) count(step int) {
	op := d.ops[step]
	if op.Change >= 0 && d.req.Plan.Changes[op.Change].Object.Instance.Resource.Mode != addrs.Managed {
		return
	}
	switch op.Kind {
	case plans.OpCreate:
		d.done.Added++
	case plans.OpUpdate:
		d.done.Changed++
	case plans.OpDelete:
		d.done.Destroyed++
	case plans.OpForget:
		d.done.Forgotten++
	}
}

// stop starts nothing more and asks running operations to end early.
func (d *drive) stop(ctx context.Context) {
	if d.stopping {
		return
	}
	d.stopping = true
	d.dropIntents()
	d.pending = append(d.pending, note{entry: workflow.Entry{Time: d.r.now(), Kind: workflow.CancelRequested, Step: -1}})
	d.tell(Event{Kind: Cancelling, Operation: -1})
	go d.exec.Stop(context.WithoutCancel(ctx))
}

// cutOff cancels running operations and gives them a while to return.
func (d *drive) cutOff() <-chan time.Time {
	d.hard = true
	d.opCancel()
	d.tell(Event{Kind: CancelsHard, Operation: -1})
	grace := d.r.Grace
	if grace <= 0 {
		grace = 10 * time.Second
	}
	return time.After(grace)
}

// dropIntents takes back intents that were not written.
func (d *drive) dropIntents() {
	kept := d.pending[:0]
	for _, n := range d.pending {
		if n.entry.Kind == workflow.StepStarted {
			d.active--
			continue
		}
		kept = append(kept, n)
	}
	d.pending = kept
}

func (d *drive) tell(e Event) {
	if d.req.Watch == nil {
		return
	}
	e.Run, e.Running = d.run.ID, d.active
	if e.Operation >= 0 {
		e.Object = about(d.req.Plan, d.ops[e.Operation])
	}
	d.req.Watch(e)
}

// committer writes batches, each again for a while if the store refuses.
func (d *drive) committer(ctx context.Context) {
	for commits := range d.writes {
		d.written <- d.r.commit(ctx, commits, func(err error) {
			select {
			case d.trouble <- err:
			default:
			}
		})
	}
}

// commit writes to the store; a full disk may have room again a little later.
func (r *Runner) commit(ctx context.Context, commits []Commit, failed func(error)) error {
	return patiently(func() error { return r.Store.Commit(ctx, commits) }, failed)
}

// patiently does something with the store until it works, for some seconds.
func patiently(do func() error, failed func(error)) error {
	const tries = 7
	wait := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || errors.Is(err, ErrFenced) || try == tries {
			return err
		}
		failed(err)
		time.Sleep(wait)
		wait *= 2
	}
}

// heed hears that a cancel of a run is asked for, and tells how far it goes beyond what
// was asked before.
func (r *Runner) heed(ctx context.Context, id string, baseline int, rung <-chan struct{}, levels chan<- int) {
	var again <-chan time.Time
	seen := baseline
	for {
		select {
		case <-ctx.Done():
			return
		case <-rung:
		case <-again:
		}
		again = nil
		run, err := r.Store.Run(ctx, id)
		if err != nil {
			again = time.After(r.poll())
		}
		if err != nil || run.Cancelling <= seen {
			continue
		}
		seen = run.Cancelling
		select {
		case levels <- seen - baseline:
		case <-ctx.Done():
			return
		}
	}
}

// unrecorded are the rows of outcomes that never reached the store.
func (d *drive) unrecorded() []states.Change {
	var out []states.Change
	for _, n := range d.pending {
		out = append(out, n.outcome.Rows...)
	}
	return out
}
