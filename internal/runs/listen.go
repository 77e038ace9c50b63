package runs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// news is what was heard from outside.
type news struct {
	signals []workflow.Signal
	cancel  int // level asked for
}

// listen hears what is asked of a run, whenever it is rung for.
func (r *Runner) listen(ctx context.Context, id string, rung <-chan struct{}, heard int64, out chan<- news) {
	cancelling := 0
	for {
		var n news
		run, bad := r.Store.Run(ctx, id)
		if bad == nil && run.Cancelling > cancelling {
			cancelling = run.Cancelling
			n.cancel = cancelling
		}
		signals, err := r.Store.Signals(ctx, id, heard)
		if err == nil && len(signals) > 0 {
			n.signals = signals
			heard = signals[len(signals)-1].Sequence
		}
		var again <-chan time.Time
		if err != nil || bad != nil {
			again = time.After(r.poll())
		}
		if n.cancel > 0 || len(n.signals) > 0 {
			select {
			case out <- n:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-rung:
		case <-again:
		}
	}
}

// poll is how often it is looked for what other processes ask.
func (r *Runner) poll() time.Duration {
	if r.Poll > 0 {
		return r.Poll
	}
	return 500 * time.Millisecond
}

// bell lets runs of this process hear what is asked of them, and of places in pools.
type bell struct {
	mu    sync.Mutex
	pools map[string]*hunger // by run
	runs  map[string]*listener
	stop  func() // looking for what other processes ask; nil while nobody listens
}

// listener is a run that listens.
type listener struct {
	ring chan struct{}
	told Call // what it was rung for last by whoever looks
}

// hunger is an execution that may wait for pools.
type hunger struct {
	waits map[string]bool // for which
	wake  chan struct{}
}

// wakeUps returns a channel that tells a run when to look at pools.
func (r *Runner) wakeUps(run string) chan struct{} {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	if r.bell.pools == nil {
		r.bell.pools = map[string]*hunger{}
	}
	h := &hunger{waits: map[string]bool{}, wake: make(chan struct{}, 1)}
	r.bell.pools[run] = h
	return h.wake
}

func (r *Runner) noWakeUps(run string) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	delete(r.bell.pools, run)
}

// hungers says whether a run waits for a pool.
func (r *Runner) hungers(run, pool string, waits bool) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	if h := r.bell.pools[run]; h != nil {
		h.waits[pool] = waits
	}
}

// wakeUp has somebody look at pools because places became free: one run of this
// process is enough for each, it lets in whoever is first. Those of other
// processes look from time to time.
func (r *Runner) wakeUp(leaves []Leaving) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	done := map[string]bool{}
	for _, l := range leaves {
		if done[l.Pool] {
			continue
		}
		done[l.Pool] = true
		for _, h := range r.bell.pools {
			if h.waits[l.Pool] {
				ring(h.wake)
				break
			}
		}
	}
}

// wakeOthers tells runs that they were let into pools.
func (r *Runner) wakeOthers(ids []string) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	for _, id := range ids {
		if h := r.bell.pools[id]; h != nil {
			ring(h.wake)
		}
	}
}

// ring wakes whoever waits at a channel with room for one; who is being woken already
// needs no more.
func ring(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// rung returns a channel that tells when something may be asked of a run, by this process
// or another, until unhang is called. One look is for all runs, so that many may wait.
func (r *Runner) rung(id string) (rung <-chan struct{}, unhang func()) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	if r.bell.runs == nil {
		r.bell.runs = map[string]*listener{}
	}
	if r.bell.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		r.bell.stop = stop
		go r.lookForCalls(ctx)
	}
	l := &listener{ring: make(chan struct{}, 1)}
	r.bell.runs[id] = l
	return l.ring, func() {
		r.bell.mu.Lock()
		defer r.bell.mu.Unlock()
		if r.bell.runs[id] != l {
			return // the run was taken over again meanwhile
		}
		if delete(r.bell.runs, id); len(r.bell.runs) == 0 {
			r.bell.stop()
			r.bell.stop = nil
		}
	}
}

// lookForCalls rings for what is asked of runs by other processes.
func (r *Runner) lookForCalls(ctx context.Context) {
	ticker := time.NewTicker(r.poll())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		calls, err := r.Store.Calls(ctx)
		if err != nil {
			continue // whoever writes tells of a store that is broken
		}
		r.bell.mu.Lock()
		for id, l := range r.bell.runs {
			if call := calls[id]; call != l.told {
				l.told = call
				ring(l.ring)
			}
		}
		r.bell.mu.Unlock()
	}
}

// ring tells a run, where this process drives it, that something is asked of it.
func (r *Runner) ring(id string) {
	r.bell.mu.Lock()
	defer r.bell.mu.Unlock()
	if l := r.bell.runs[id]; l != nil {
		ring(l.ring)
	}
}

// Signal says something to a run, whoever drives it.
func (r *Runner) Signal(ctx context.Context, id string, s workflow.Signal) diag.List {
	s.Time = r.now()
	run, err := r.Store.Run(ctx, id)
	if err == nil {
		_, err = r.Store.Signal(ctx, id, s, r.signalEvents(run, s)...)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return takeProblem(id, err)
	case err != nil:
		return diag.Errorf("Cannot signal the run", "Run %s cannot be signalled: %s.", id, err)
	}
	r.ring(id)
	return nil
}

// hear takes a signal.
func (x *execution) hear(s workflow.Signal) {
	t := x.tasks[x.tokenStep(s.Name)]
	switch {
	case s.Kind == workflow.SignalBeat:
		if t != nil {
			t.beat(x.r.now())
		}
		return
	case s.Kind == workflow.SignalTake && t != nil && !x.doubts[t.step]:
		x.append(workflow.Entry{Kind: workflow.StepStarted, Step: t.step, Data: encode(takenData{
			StepData{Operation: t.what.Action, Address: t.what.Name}, s.By,
		})})
	}
	x.append(workflow.Entry{Kind: workflow.SignalReceived, Step: -1, Data: encode(s)})
	if t != nil && (s.Kind == workflow.SignalSucceed || s.Kind == workflow.SignalFail) {
		x.endsBy(t, s)
	}
}

// takenData is the data of the intent of a step that a worker has taken.
type takenData struct {
	StepData
	Worker string `json:"worker,omitempty"`
}

func (x *execution) tokenStep(token string) int {
	if step, ok := x.tokens[token]; ok {
		return step
	}
	return -1
}

// SignalFailure is the data of a signal of the kind [workflow.SignalFail].
type SignalFailure struct {
	Error string `json:"error"`
	Cause string `json:"cause"`
}
