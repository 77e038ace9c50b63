package workflowtests

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// world is where a test happens: a clock that jumps from one happening to the
// next, and all runs that go on by it.
type world struct {
	ctx   context.Context
	start time.Time
	now   time.Time

	happenings happenings
	order      int64 // numbers happenings
	entries    int   // made in all journals
	pools      map[string]*pool
	runs       map[string]*run // by prefix of their keys; the newest of each
	stirred    []*run          // those that may have something to launch

	seen  record
	wrong error // the test itself cannot go on
}

// What happens at the same instant happens in this order: what ends in time
// ends, decisions are taken, only then does time run out, and when all is done
// that lets something begin, pools let somebody in.
const (
	endings byte = iota
	acts
	clocks
	limits
	places
)

// happening is something that is going to happen.
type happening struct {
	at    time.Time
	class byte
	order int64
	do    func()
}

// happenings is a heap.
type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(a, b int) bool {
	if c := h[a].at.Compare(h[b].at); c != 0 {
		return c < 0
	}
	if h[a].class != h[b].class {
		return h[a].class < h[b].class
	}
	return h[a].order < h[b].order
}
func (h happenings) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *happenings) Push(v any)   { *h = append(*h, v.(happening)) }
func (h *happenings) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = happening{}
	*h = old[:len(old)-1]
	return last
}

func newWorld(ctx context.Context, start time.Time) *world {
	return &world{ctx: ctx, start: start, now: start, pools: map[string]*pool{}, runs: map[string]*run{}}
}

// at lets something happen; not before now.
func (w *world) at(when time.Time, class byte, do func()) {
	if when.Before(w.now) {
		when = w.now
	}
	w.order++
	heap.Push(&w.happenings, happening{when, class, w.order, do})
}

// maxEntries bounds a test: what makes more entries goes round in circles.
const maxEntries = 2_000_000

// until lets things happen until a run has ended, or nothing happens any more.
func (w *world) until(r *run) {
	for w.wrong == nil && !r.finished {
		w.settle()
		if len(w.happenings) == 0 || w.wrong != nil || r.finished {
			return
		}
		if w.ctx.Err() != nil {
			w.wrong = errors.New("the test was interrupted")
			return
		}
		h := heap.Pop(&w.happenings).(happening)
		w.now = h.at
		h.do()
	}
}

// settle launches what may begin at this instant.
func (w *world) settle() {
	for len(w.stirred) > 0 && w.wrong == nil {
		r := w.stirred[0]
		w.stirred = w.stirred[1:]
		r.stirred = false
		r.launch()
	}
}

// performer knows what the steps of a machine are, and how to play them.
type performer interface {
	// enters is told a step that may start.
	enters(step int) entrance
	// perform begins a step: it says how it is going to end.
	perform(step int) performance
	// failure is the data of an outcome that is not the step's own, and its name.
	failure(step int, f failure) (data json.RawMessage, name string)
	// applied is told that the machine has taken an entry.
	applied()
	// finished reports how the run ended, once it has.
	finished()
}

// entrance is what has to be known of a step before it may begin.
type entrance struct {
	until  time.Time // a timer
	signal bool      // it ends by a signal
	gone   bool      // nobody waits for it any more
	token  bool      // somebody else does it: it takes no room
	pool   *ticket   // what it has to get into
}

// performance is how a step is going to end.
type performance struct {
	after time.Duration
	kind  workflow.Kind
	data  json.RawMessage
	line  int    // in the record; -1 for none
	text  string // how it ends, for people
	// child, where not nil, makes a run whose end is that of the step.
	child func(end func(performance)) *run

	timeout, heartbeat time.Duration // of the step, where it has some
	silent             bool
	since              time.Time // the timeout counts from then; from now where zero
	before             func()    // to do at its end, where it gets that far
}

// failure is why a step ends that does not end by itself.
type failure struct {
	kind  failureKind
	cause string
}

type failureKind byte

const (
	timedOut failureKind = iota
	unheard
	interrupted
)

// run drives a machine as package runs drives it: steps at work are bounded,
// limits are kept, a cancel lets go of what has not begun.
type run struct {
	w         *world
	prefix    string // of the keys of its steps
	machine   workflow.Machine
	performer performer

	seq         int64
	parallelism int
	queue       []int
	head        int
	active      int
	timers      map[int]bool
	tasks       map[int]*task
	pooled      map[int]*ticket
	places      map[int]*pool // the pools that queued steps are in
	stirred     bool
	stopping    bool
	finished    bool
	began       time.Time
	ended       time.Time
}

// task is a step at work.
type task struct {
	step    int
	p       performance
	pool    *pool
	free    bool // it takes no room
	child   *run
	failing *failure // the limit that was reached
}

// defaultParallelism is that of package runs.
const defaultParallelism = 10

func (w *world) newRun(prefix string, m workflow.Machine, p performer, parallelism int) *run {
	if parallelism <= 0 {
		parallelism = defaultParallelism
	}
	r := &run{
		w: w, prefix: prefix, machine: m, performer: p, parallelism: parallelism, began: w.now,
		timers: map[int]bool{}, tasks: map[int]*task{}, pooled: map[int]*ticket{}, places: map[int]*pool{},
	}
	w.runs[prefix] = r
	return r
}

// enter makes an entry and takes what the machine wants because of it.
func (r *run) enter(kind workflow.Kind, step int, data json.RawMessage) {
	if r.w.wrong != nil || r.finished {
		return
	}
	if r.w.entries++; r.w.entries > maxEntries {
		r.w.wrong = fmt.Errorf("the workflow does not end: %d things have happened by %s", maxEntries, r.w.now.Format(time.RFC3339))
		return
	}
	r.seq++
	commands, err := r.machine.Apply(workflow.Entry{Sequence: r.seq, Time: r.w.now, Kind: kind, Step: step, Data: data})
	if err != nil {
		r.w.wrong = err
		return
	}
	r.performer.applied()
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			r.enqueue(c.Step)
		case workflow.StopStep:
			r.forget(c.Step)
		case workflow.FinishRun:
			r.finish()
			return
		}
	}
	r.stir()
}

func (r *run) stir() {
	if !r.stirred {
		r.stirred = true
		r.w.stirred = append(r.w.stirred, r)
	}
}

func (r *run) finish() {
	r.finished, r.ended = true, r.w.now
	for step := range r.tasks {
		r.forget(step)
	}
	r.leavePools()
	r.performer.finished()
}

// enqueue takes a step that may start: one that only waits begins to.
func (r *run) enqueue(step int) {
	e := r.performer.enters(step)
	switch {
	case e.signal, e.gone:
	case !e.until.IsZero():
		r.timers[step] = true
		r.w.at(e.until, clocks, func() {
			if r.timers[step] {
				delete(r.timers, step)
				r.enter(workflow.StepSucceeded, step, nil)
			}
		})
	case e.token:
		r.begin(step, nil, true)
	case e.pool != nil:
		e.pool.run, e.pool.step = r, step
		r.pooled[step] = e.pool
		r.w.enterPool(e.pool)
	default:
		r.queue = append(r.queue, step)
	}
}

// launch starts steps while there is room.
func (r *run) launch() {
	for r.head < len(r.queue) && r.active < r.parallelism && !r.finished && r.w.wrong == nil {
		step := r.queue[r.head]
		r.head++
		in := r.places[step]
		delete(r.places, step)
		r.begin(step, in, false)
	}
	if r.head == len(r.queue) {
		r.queue, r.head = r.queue[:0], 0
	}
}

// begin lets a step work.
func (r *run) begin(step int, in *pool, free bool) {
	t := &task{step: step, pool: in, free: free, p: r.performer.perform(step)}
	r.tasks[step] = t
	if !free {
		r.active++
	}
	if t.p.child != nil {
		t.child = t.p.child(func(p performance) { t.p.kind, t.p.data, t.p.text = p.kind, p.data, p.text; r.ends(t) })
		r.limit(t, r.w.now)
		return
	}
	since := r.w.now
	if !t.p.since.IsZero() {
		since = t.p.since
	}
	r.limit(t, since)
	r.w.at(r.w.now.Add(t.p.after), endings, func() { r.ends(t) })
}

// limit starts the clocks of a step that would take too long.
func (r *run) limit(t *task, since time.Time) {
	fails := func(f failure) func() {
		return func() {
			if r.tasks[t.step] != t || t.failing != nil {
				return
			}
			t.failing = &f
			if t.child != nil {
				t.child.cancel() // the outcome follows when it has let go
				return
			}
			r.ends(t)
		}
	}
	if l := t.p.timeout; l > 0 && (t.child != nil || !since.Add(l).After(r.w.now.Add(t.p.after))) {
		r.w.at(since.Add(l), limits, fails(failure{timedOut, fmt.Sprintf("It did not end within %s.", l)}))
	}
	if l := t.p.heartbeat; l > 0 && t.p.silent && l <= t.p.after {
		r.w.at(r.w.now.Add(l), limits, fails(failure{unheard, fmt.Sprintf("Nothing was heard of it for %s.", l)}))
	}
}

// ends gives a step its outcome.
func (r *run) ends(t *task) {
	if r.tasks[t.step] != t {
		return
	}
	r.release(t)
	if t.failing != nil && (t.child == nil || t.p.kind != workflow.StepSucceeded) {
		t.p.data, t.p.text = r.performer.failure(t.step, *t.failing)
		t.p.kind, t.p.text, t.p.before = workflow.StepFailed, "failed: "+t.p.text, nil
	}
	if t.p.before != nil {
		t.p.before()
	}
	r.w.seen.end(t.p.line, r.w.now, t.p.text)
	r.enter(t.p.kind, t.step, t.p.data)
}

// release forgets a step, and gives its place back.
func (r *run) release(t *task) {
	delete(r.tasks, t.step)
	if !t.free {
		r.active--
	}
	if t.pool != nil {
		t.pool.in--
		r.w.grant(t.pool)
	}
	r.stir()
}

// forget gives a step up that nobody waits for any more.
func (r *run) forget(step int) {
	delete(r.timers, step)
	r.leavePool(step)
	if t := r.tasks[step]; t != nil {
		r.release(t)
		r.w.seen.end(t.p.line, r.w.now, "given up")
	}
}

// leavePools gives up waiting for pools, and places that nobody uses yet.
func (r *run) leavePools() {
	for step := range r.pooled {
		r.leavePool(step)
	}
	for step := range r.places {
		r.leavePool(step)
	}
}

func (r *run) leavePool(step int) {
	if t := r.pooled[step]; t != nil {
		t.gone = true
		delete(r.pooled, step)
	}
	if p := r.places[step]; p != nil {
		delete(r.places, step)
		p.in--
		r.w.grant(p)
		if i := slices.Index(r.queue[r.head:], step); i >= 0 {
			r.queue = slices.Delete(r.queue, r.head+i, r.head+i+1)
		}
	}
}

// cancel asks the run to end: what has not begun never will, what is at work is
// asked to end, and does at once.
func (r *run) cancel() {
	if r.stopping || r.finished {
		return
	}
	r.stopping = true
	r.queue, r.head = r.queue[:0], 0
	clear(r.timers)
	r.leavePools()
	var working []*task
	in := workflow.Interruption{}
	for _, step := range slices.Sorted(maps.Keys(r.tasks)) {
		working = append(working, r.tasks[step])
		in.Running = append(in.Running, step)
	}
	r.enter(workflow.CancelRequested, -1, encode(in))
	for _, t := range working {
		switch {
		case r.tasks[t.step] != t:
		case t.child != nil:
			t.child.cancel()
		default:
			t.failing = &failure{interrupted, "It was asked to end because the run was cancelled."}
			r.ends(t)
		}
	}
}

func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("workflowtests: cannot encode %T: %s", v, err))
	}
	return data
}
