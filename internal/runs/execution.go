package runs

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/telemetry"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// execution is one process's work on the run of a machine. One goroutine, the
// loop, owns all of it; jobs and the committer are reached by channels only.
//
// The machine sees an entry when the entry is made, but nothing follows from it
// outside before it is on disk: what is to begin because of a batch of entries
// waits with the batch. So the end of a step and the intent of the next are
// written together, and while one batch is written all that happens is gathered
// for the next.
type execution struct {
	r     *Runner
	e     Execution
	run   Run
	lease Lease

	queue    []int // steps that may start; from head on
	head     int
	timers   timers
	waits    map[int]bool  // steps that are timers
	tasks    map[int]*Task // steps that were launched and have not ended
	working  map[*Task]bool
	tokens   map[string]int
	said     map[string]workflow.Signal // what was signalled, by token
	pooled   map[int]Ticket             // waiting to get into a pool
	waiting  map[string]int             // how many of them, by pool
	entering []Ticket                   // of them, those the store does not know
	places   map[int]string             // the pools that queued steps are in
	active   int                        // slots taken
	done     chan finished
	early    []earlySignal   // steps whose signal came before them
	wants    map[Waits][]int // steps that want something of somebody outside; some may have ended

	seq     int64
	heard   int64 // number of the last signal in the journal
	asked   int   // people know of the steps below that they are to decide about
	pending batch
	first   *batch // what the run was made with, until it goes on from there
	writing *batch
	events  []events.Event
	writes  chan []Commit
	written chan error
	logs    *logger

	doubts   map[int]bool // begun, on disk, without outcome
	stopping bool
	draining bool          // nothing more begins
	hard     bool          // running steps were cut off
	left     bool          // and left behind after the grace
	over     chan struct{} // closed when nobody listens to jobs any more
	leaving  chan struct{} // closed with that: see Task.Left
	finish   bool
	told     bool // that it began
	broken   error
	opCtx    context.Context
	wake     chan struct{} // a place in a pool became free
	poolTime time.Time     // when to look at pools again
	looking  bool          // somebody looks at pools
	looked   chan grants
}

// batch is what is written together, and what begins once it is.
type batch struct {
	entries []workflow.Entry
	leaves  []Leaving
	begins  []*Task
}

type earlySignal struct {
	task   *Task
	signal workflow.Signal
}

type finished struct {
	task  *Task
	ended Ended
}

type grants struct {
	Grant
	err error
}

func (r *Runner) newExecution(e Execution, run Run, lease Lease) *execution {
	if e.Parallelism <= 0 {
		e.Parallelism = defaultParallelism
	}
	return &execution{
		r: r, e: e, run: run, lease: lease, tasks: map[int]*Task{}, doubts: map[int]bool{},
		waits: map[int]bool{}, working: map[*Task]bool{}, tokens: map[string]int{}, said: map[string]workflow.Signal{}, pooled: map[int]Ticket{}, waiting: map[string]int{}, places: map[int]string{}, wants: map[Waits][]int{},
		done: make(chan finished, e.Parallelism), writes: make(chan []Commit, 1), written: make(chan error, 1),
		looked: make(chan grants, 1), leaving: make(chan struct{}), over: make(chan struct{}),
	}
}

// append makes an entry and does what the machine wants because of it.
func (x *execution) append(entry workflow.Entry) {
	if x.broken != nil {
		return
	}
	x.seq++
	entry.Sequence, entry.Time = x.seq, x.r.now()
	commands, err := x.e.Machine.Apply(entry)
	if err != nil {
		// The loop writes only what the machine takes: this is a bug.
		x.broken = err
		return
	}
	x.pending.entries = append(x.pending.entries, entry)
	x.note(entry)
	var withdrawn []int
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			x.run.Steps = max(x.run.Steps, c.Step+1)
			x.enqueue(c.Step)
		case workflow.StopStep:
			if x.forget(c.Step) {
				withdrawn = append(withdrawn, c.Step)
			}
		case workflow.FinishRun:
			x.finish = true
		}
	}
	for _, step := range withdrawn {
		x.append(workflow.Entry{Kind: workflow.StepWithdrawn, Step: step})
	}
}

// enqueue takes a step that may start: one that only waits begins to.
func (x *execution) enqueue(step int) {
	about := x.e.Steps.About(step)
	if about.Asks != "" && !about.Ended && step >= x.asked {
		x.events = append(x.events, events.Event{
			Source: sourceOf(x.run.Key), Type: "approval.needed", Subject: x.run.ID, Actor: access.Subject(x.run.Actor), Time: x.r.now(), Data: encode(decisionData{Step: about.Asks}),
		})
	}
	if about.Waits != "" && !about.Ended {
		x.wants[about.Waits] = append(x.wants[about.Waits], step)
	}
	switch {
	case x.doubts[step] && !about.Token: // its loss is about to be told
	case about.Signal, about.Ended:
	case !about.Until.IsZero():
		x.waits[step] = true
		x.addTimer(timer{until: about.Until, step: step})
	case about.Token:
		x.launchStep(step, "")
	case about.Pool.Pool != "":
		if _, twice := x.pooled[step]; twice || x.places[step] != "" {
			return
		}
		t := about.Pool
		t.Run, t.Step, t.Asked = x.run.ID, step, x.r.now()
		x.pooled[step] = t
		x.waitFor(t.Pool, 1)
		x.entering = append(x.entering, t)
		x.poolTime = t.Asked
	default:
		x.queue = append(x.queue, step)
	}
}

// waitsFor is what the run wants of somebody outside. Steps are looked at until one is found
// that has not ended, and those that have, never again.
func (x *execution) waitsFor() Waits {
	for _, what := range []Waits{ForApproval, ForSignal} {
		list := x.wants[what]
		for len(list) > 0 && x.e.Steps.About(list[0]).Ended {
			list = list[1:]
		}
		if x.wants[what] = list; len(list) > 0 {
			return what
		}
	}
	return ""
}

// carryOut drives the machine to its end, or as far as it gets.
func (x *execution) carryOut(ctx context.Context) (run Run, diags diag.List) {
	ctx, span := beginRun(ctx, x.run)
	defer func() { endRun(span, run) }()
	store := context.WithoutCancel(ctx)
	opCtx, cancelSteps := context.WithCancel(store)
	defer cancelSteps()
	x.opCtx = opCtx
	x.settle()
	x.logs = newLogger(store, x.r.Store)
	go func() {
		for commits := range x.writes {
			x.written <- x.r.commit(store, commits, func(error) {})
		}
	}()
	polling, stopPolling := context.WithCancel(store)
	heard := make(chan news)
	// Not in the goroutine: one that comes late would take the place of whoever goes on
	// with the run in this process.
	rung, unhang := x.r.rung(x.run.ID)
	go x.r.listen(polling, x.run.ID, rung, x.heard, heard)
	x.loop(ctx, heard)
	stopPolling()
	unhang()
	if x.broken != nil && !x.hard {
		close(x.leaving)
	}
	cancelSteps()
	for len(x.working) > 0 && !x.left {
		d := <-x.done // nobody waits for what it says any more
		delete(x.working, d.task)
	}
	close(x.over)
	close(x.writes)
	x.logs.close()
	return x.conclude(store)
}

// settle ends what was begun when the process died as lost.
func (x *execution) settle() {
	for _, step := range sortedSteps(x.doubts) {
		if x.e.Steps.About(step).Token {
			continue // a worker has it
		}
		x.append(workflow.Entry{Kind: workflow.StepLost, Step: step, Data: x.e.Steps.Failure(step, LostError, "")})
	}
}

func sortedSteps(set map[int]bool) []int {
	out := make([]int, 0, len(set))
	for step := range set {
		out = append(out, step)
	}
	slices.Sort(out)
	return out
}

func (x *execution) loop(ctx context.Context, heard <-chan news) {
	asked, hard, drain := ctx.Done(), x.e.Hard, x.e.Drain
	var grace <-chan time.Time
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	x.wake = x.r.wakeUps(x.run.ID)
	defer x.r.noWakeUps(x.run.ID)
	for pool, n := range x.waiting { // since the first entry
		x.r.hungers(x.run.ID, pool, n > 0)
	}
	if x.first != nil {
		x.writing, x.first = x.first, nil
		x.acknowledge(nil)
	}
	for {
		x.launch()
		x.flush()
		if x.idle() {
			return
		}
		if until, ok := x.nextInstant(); ok {
			clock.Reset(max(0, until.Sub(x.r.now())))
		}
		select {
		case d := <-x.done:
			x.take(d)
			x.takeMore()
		case err := <-x.written:
			x.acknowledge(err)
		case <-clock.C:
			x.fire()
		case g := <-x.looked:
			x.granted(g)
		case <-x.wake:
			x.poolTime = x.r.now()
		case <-asked:
			asked = nil
			x.stop()
		case <-hard:
			hard = nil
			if left := x.cutOff(); left != nil {
				grace = left
			}
		case <-drain:
			drain = nil
			x.drain()
		case <-grace:
			x.left = true
		case n := <-heard:
			for _, s := range n.signals {
				x.hear(s)
			}
			if n.cancel > 0 {
				x.run.Cancelling = n.cancel
				x.stop()
			}
			if n.cancel > 1 {
				if left := x.cutOff(); left != nil {
					grace = left
				}
			}
		}
	}
}

// takeMore takes all that has ended meanwhile: they are written together.
func (x *execution) takeMore() {
	for {
		select {
		case d := <-x.done:
			x.take(d)
		default:
			return
		}
	}
}

// idle reports whether the loop has nothing to wait for.
func (x *execution) idle() bool {
	if x.writing != nil {
		return false
	}
	if x.broken != nil {
		return true
	}
	if len(x.pending.entries) > 0 {
		return false
	}
	if x.finish {
		return true
	}
	return (x.hard || x.draining) && (x.left || len(x.working) == 0)
}

// nextInstant is when the loop has to look again by itself.
func (x *execution) nextInstant() (until time.Time, ok bool) {
	if len(x.timers) > 0 {
		until, ok = x.timers[0].until, true
	}
	if x.mayLookAtPools() && (!ok || x.poolTime.Before(until)) {
		until, ok = x.poolTime, true
	}
	return until, ok
}

// fire ends the timers that are due, by instant and then by number, and looks
// at the pools.
func (x *execution) fire() {
	now := x.r.now()
	for len(x.timers) > 0 && !x.timers[0].until.After(now) {
		t := heap.Pop(&x.timers).(timer)
		if task := t.task; task != nil {
			x.limitReached(task, t)
			continue
		}
		if x.waits[t.step] {
			delete(x.waits, t.step)
			x.append(workflow.Entry{Kind: workflow.StepSucceeded, Step: t.step})
		}
	}
	x.lookAtPools()
}

// limitReached lets a step fail whose time is up.
func (x *execution) limitReached(t *Task, at timer) {
	if x.tasks[t.step] != t || t.failing != "" {
		return
	}
	name, cause := TimeoutError, fmt.Sprintf("It did not end within %s.", t.what.Timeout)
	if at.heartbeat {
		if last := t.lastBeat(); last.Add(t.what.Heartbeat).After(x.r.now()) {
			x.addTimer(timer{until: last.Add(t.what.Heartbeat), step: t.step, task: t, heartbeat: true})
			return
		}
		name, cause = HeartbeatError, fmt.Sprintf("Nothing was heard of it for %s.", t.what.Heartbeat)
	}
	if x.working[t] {
		// The outcome follows when it has let go of what it holds.
		t.failing, t.cause = name, cause
		t.cancel()
		return
	}
	x.ends(t, Ended{Kind: workflow.StepFailed, Data: x.e.Steps.Failure(t.step, name, cause)})
}

// stop asks the machine to end: what has not begun never will, what has ends by
// itself and is asked to hurry.
func (x *execution) stop() {
	if x.stopping || x.finish {
		return
	}
	x.stopping = true
	at := map[int]bool{}
	for t := range x.working {
		if x.tasks[t.step] == t {
			at[t.step] = true
			close(t.asked)
		}
	}
	// What is queued after this is what the machine still wants.
	x.queue, x.head = x.queue[:0], 0
	clear(x.waits)
	x.leavePools()
	withdrawn := map[int]bool{}
	for step := range x.tasks {
		if !at[step] && x.forget(step) {
			withdrawn[step] = true
		}
	}
	x.append(workflow.Entry{Kind: workflow.CancelRequested, Step: -1, Data: encode(workflow.Interruption{Running: sortedSteps(at)})})
	for _, step := range sortedSteps(withdrawn) {
		x.append(workflow.Entry{Kind: workflow.StepWithdrawn, Step: step})
	}
}

// drain lets nothing more begin: the run is left once what works has ended. What
// waits for a pool does not keep others from it.
func (x *execution) drain() {
	x.draining = true
	x.leavePools()
}

// cutOff cancels running jobs and gives them a while to return; nil where they are
// being given it already. Where nobody has asked the machine to end, the run is only
// left alone: it can be resumed.
func (x *execution) cutOff() <-chan time.Time {
	if x.hard {
		return nil
	}
	x.hard = true
	close(x.leaving)
	for t := range x.working {
		t.cancel()
	}
	grace := x.r.Grace
	if grace <= 0 {
		grace = 10 * time.Second
	}
	return time.After(grace)
}

// launch starts steps while there is room.
func (x *execution) launch() {
	if x.broken != nil || x.hard || x.draining || x.finish {
		return
	}
	for len(x.early) > 0 {
		e := x.early[0]
		x.early = x.early[1:]
		if x.tasks[e.task.step] == e.task {
			x.endsBy(e.task, e.signal)
		}
	}
	for x.head < len(x.queue) && (x.active < x.e.Parallelism || x.mustBegin(x.queue[x.head])) {
		step := x.queue[x.head]
		x.head++
		if x.tasks[step] == nil && !x.e.Steps.About(step).Ended {
			pool := x.places[step]
			delete(x.places, step)
			x.launchStep(step, pool)
		}
	}
	if x.head == len(x.queue) {
		x.queue, x.head = x.queue[:0], 0
	} else if x.head > 1024 && x.head > len(x.queue)/2 {
		x.queue = append(x.queue[:0], x.queue[x.head:]...)
		x.head = 0
	}
}

// mustBegin reports whether a step has to begin though there is no room for it:
// it is in a pool that a run may wait for which takes up the room.
func (x *execution) mustBegin(step int) bool {
	if x.places[step] == "" {
		return false
	}
	for _, t := range x.tasks {
		if t.what.Run {
			return true
		}
	}
	return false
}

// launchStep starts a step. The intent of its job is written first, unless it
// is repeatable.
func (x *execution) launchStep(step int, pool string) {
	what := x.e.Steps.Step(step)
	t := &Task{x: x, run: x.run, step: step, what: what, pool: pool, Key: fmt.Sprintf("%s-%d", x.run.ID, step)}
	x.tasks[step] = t
	if what.Job == nil {
		x.tokens[what.Token] = step
		if s, ok := x.said[what.Token]; ok {
			x.early = append(x.early, earlySignal{t, s})
			return
		}
		x.limits(t)
		return
	}
	x.active++
	t.asked = make(chan struct{})
	if !what.Repeatable {
		x.append(workflow.Entry{Kind: workflow.StepStarted, Step: step, Data: encode(StepData{Operation: what.Action, Address: what.Name})})
	}
	switch {
	case len(x.pending.entries) > 0:
		x.pending.begins = append(x.pending.begins, t)
	case x.writing != nil:
		x.writing.begins = append(x.writing.begins, t)
	default:
		x.begin(t)
	}
}

// limits starts the clocks of a step.
func (x *execution) limits(t *Task) {
	now := x.r.now()
	if t.what.Timeout > 0 {
		since := t.what.Since
		if since.IsZero() {
			since = now
		}
		x.addTimer(timer{until: since.Add(t.what.Timeout), step: t.step, task: t})
	}
	if t.what.Heartbeat > 0 {
		t.beat(now)
		x.addTimer(timer{until: now.Add(t.what.Heartbeat), step: t.step, task: t, heartbeat: true})
	}
}

// begin lets a job work. Everything that it follows from is on disk.
func (x *execution) begin(t *Task) {
	ctx, cancel := context.WithCancel(x.opCtx)
	t.cancel = cancel
	x.working[t] = true
	x.limits(t)
	go func() {
		ctx, span := telemetry.BeginStep(ctx, x.run.ID, t.what.Name, t.what.Action)
		ended := t.what.Job(ctx, t)
		span.End(outcomeOf(ended.Kind), ended.Kind != workflow.StepSucceeded)
		t.flush()
		select {
		case x.done <- finished{t, ended}:
		case <-x.over: // it was left behind
		}
	}()
}

// take takes the end of a job.
func (x *execution) take(d finished) {
	t := d.task
	delete(x.working, t)
	t.cancel()
	x.active--
	switch {
	case x.tasks[t.step] != t: // given up: what it says is recorded and changes nothing
		x.leave(t)
		if !x.finish && !t.what.Repeatable {
			x.append(workflow.Entry{Kind: d.ended.Kind, Step: t.step, Data: d.ended.Data, Sensitive: d.ended.Sensitive})
		}
	case d.ended.Detached, x.hard && d.ended.Kind != workflow.StepSucceeded:
		// It was left or cut off, so this says nothing: resuming finds out.
		x.drain()
	case t.failing != "" && d.ended.Kind != workflow.StepSucceeded:
		x.ends(t, Ended{Kind: workflow.StepFailed, Data: x.e.Steps.Failure(t.step, t.failing, t.cause)})
	default:
		x.ends(t, d.ended)
	}
}

// ends gives a step its outcome.
func (x *execution) ends(t *Task, ended Ended) {
	x.release(t)
	x.leave(t)
	for _, e := range ended.Events {
		e.Source, e.Actor, e.Time = sourceOf(x.run.Key), access.Subject(x.run.Actor), x.r.now()
		x.events = append(x.events, e)
	}
	x.append(workflow.Entry{Kind: ended.Kind, Step: t.step, Data: ended.Data, Sensitive: ended.Sensitive})
}

// endsBy gives a step the outcome that somebody signalled.
func (x *execution) endsBy(t *Task, s workflow.Signal) {
	ended := Ended{Kind: workflow.StepSucceeded, Data: x.e.Steps.Success(t.step, s.Data)}
	if s.Kind == workflow.SignalFail {
		var failure SignalFailure
		_ = decode(s.Data, &failure) // what is missing stays empty
		ended = Ended{Kind: workflow.StepFailed, Data: x.e.Steps.Failure(t.step, failure.Error, failure.Cause)}
	}
	x.ends(t, ended)
}

// release forgets a step that has ended.
func (x *execution) release(t *Task) {
	delete(x.tasks, t.step)
	if t.what.Token != "" {
		delete(x.tokens, t.what.Token)
		delete(x.said, t.what.Token)
	}
}

// leave gives its place in a pool back.
func (x *execution) leave(t *Task) {
	if t.pool != "" {
		x.pending.leaves = append(x.pending.leaves, Leaving{Pool: t.pool, Step: t.step})
		t.pool = ""
	}
}

// forget gives a step up that nobody waits for any more. What its job says then
// changes nothing. It reports whether the step has an intent that nothing came
// of.
func (x *execution) forget(step int) (withdrawn bool) {
	delete(x.waits, step)
	x.leavePool(step)
	t := x.tasks[step]
	if t == nil {
		return false
	}
	x.release(t)
	switch {
	case x.working[t]:
		t.cancel()
		return false
	case t.asked != nil: // it waited for the disk
		x.active--
		x.leave(t)
		return !t.what.Repeatable
	}
	x.leave(t)
	return false
}

// flush hands what is pending to the committer, unless it is at work.
func (x *execution) flush() {
	if x.writing != nil || x.broken != nil {
		return
	}
	b := x.pending
	var later []Leaving
	if x.looking {
		// Who leaves may be entering just now: the store hears of it afterwards.
		b.leaves, later = nil, b.leaves
	}
	if len(b.entries) == 0 && len(b.leaves) == 0 {
		return
	}
	x.pending, x.writing = batch{leaves: later}, &b
	x.run.Waits = x.waitsFor()
	run := x.run
	list := x.events
	if len(list) > 0 {
		list = withBatchIDs(run.ID, b.entries[0].Sequence, list)
	}
	x.writes <- []Commit{{Lease: x.lease, Entries: b.entries, Events: list, Run: &run, Leaves: b.leaves}}
	x.events = nil
}

// acknowledge begins what waited for the disk.
func (x *execution) acknowledge(err error) {
	b := x.writing
	x.writing = nil
	if err != nil {
		x.broken = err
		return
	}
	if x.e.Began != nil && !x.told {
		x.told = true
		x.e.Began(x.run)
	}
	if x.e.Watch != nil {
		for _, entry := range b.entries {
			x.e.Watch(entry)
		}
	}
	if len(b.leaves) > 0 {
		x.r.wakeUp(b.leaves)
	}
	for _, t := range b.begins {
		switch {
		case x.tasks[t.step] != t: // it was given up meanwhile
		case !x.hard && !x.draining:
			x.begin(t)
		case x.forget(t.step):
			x.append(workflow.Entry{Kind: workflow.StepWithdrawn, Step: t.step})
		}
	}
}
