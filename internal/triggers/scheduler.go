package triggers

import (
	"container/heap"
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events/windows"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Start is an instant whose run is to be carried out.
type Start struct {
	Trigger *Trigger // nil where the files do not have it any more
	At      time.Time
	Run     string
	Actor   string // who asked for it; empty for the schedule
	// Authority is that of the actor, as runs keep it.
	Authority *access.Authority
}

// Runs carries out the runs of instants.
type Runs interface {
	// Do carries out the run of that id: begins it where there is none, goes on
	// with it where it was interrupted. It returns the run as it is when it has
	// ended, when another process works on it, or when this process is to let go
	// of it. Cancelling ctx asks the run to end early. An [*InvalidError] says that
	// trying again makes no sense; the error of ctx that the run was not begun. It
	// is called by several goroutines.
	Do(ctx context.Context, s Start) (runs.Run, error)
	// Run tells how a run stands; [runs.ErrNotFound] where there is none.
	Run(ctx context.Context, id string) (runs.Run, error)
	// Cancel asks a run to end that this process does not carry out.
	Cancel(ctx context.Context, id string) error
}

// InvalidError says that a run cannot be started because of what the files say.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// EventKind says what an [Event] reports.
type EventKind string

// The kinds of events.
const (
	Started   EventKind = "started"   // a run is begun, or gone on with
	Queued    EventKind = "queued"    // it waits for an earlier one
	Skipped   EventKind = "skipped"   // there is no run, because of another one
	Cancelled EventKind = "cancelled" // a run is asked to end for a newer one
	Ended     EventKind = "ended"     // a run has ended: Event.Status
	Left      EventKind = "left"      // a run was left for somebody else to go on with
	Failed    EventKind = "failed"    // a run cannot be started: Event.Problem
	Problem   EventKind = "problem"   // something does not work and is tried again
)

// Event is something that a scheduler did or found, for people to watch.
type Event struct {
	Kind     EventKind
	Schedule string // empty for a problem with all
	At       time.Time
	Run      string
	Status   runs.Status
	Problem  error
}

const (
	// Grace is how late an instant may be started without being missed.
	Grace = time.Minute
	// longestSleep is after how long the clock is looked at again: timers stand
	// still while the machine sleeps.
	longestSleep = time.Minute
	// lookSoon and lookLater are when to look again at runs that other processes
	// work on, with and without somebody waiting.
	lookSoon, lookLater = 5 * time.Second, time.Minute
	// firstRetry and longestRetry bound the wait after what did not work.
	firstRetry, longestRetry = time.Second, time.Minute
	// defaultParallelism is how many runs are carried out at once: each has a
	// file open.
	defaultParallelism = 1000
)

// Scheduler starts what schedules make due. One Run may be active at a time.
type Scheduler struct {
	Store runs.ScheduleStore
	Runs  Runs
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Parallelism is how many runs are carried out at once; 0 means 1000.
	Parallelism int
	// Watch, where not nil, is told what happens, one call at a time.
	Watch func(Event)

	entries map[string]*entry
	queue   entryHeap
	working map[string]*work // by run
	done    chan result
	slots   chan struct{}
	trouble time.Duration // how long to wait after what did not work; 0 while all does
}

// entry is a schedule that is looked after.
type entry struct {
	name    string
	trigger *Trigger // nil where the files do not have it any more
	upTo    time.Time
	next    time.Time       // the next instant; zero for none
	look    time.Time       // when to look again for other reasons; zero for never
	index   int             // in the heap; -1 outside
	asked   map[string]bool // runs that were asked to end, by their ids
}

// work is a run that this process carries out.
type work struct {
	entry  string
	fire   runs.Fire
	cancel context.CancelFunc
}

type result struct {
	run string
	now runs.Run
	err error
}

// due is when the entry wants to be looked at; false for never.
func (e *entry) due() (time.Time, bool) {
	switch {
	case e.look.IsZero():
		return e.next, !e.next.IsZero()
	case e.next.IsZero() || e.look.Before(e.next):
		return e.look, true
	}
	return e.next, true
}

// Run drives the triggers that the channel brings, each list in place of the one
// before, until ctx is cancelled. Then nothing more is started, and Run returns
// when Runs has let go of what it carries out.
func (s *Scheduler) Run(ctx context.Context, lists <-chan []*Trigger) {
	if s.Parallelism <= 0 {
		s.Parallelism = defaultParallelism
	}
	s.entries, s.queue, s.working = map[string]*entry{}, nil, map[string]*work{}
	s.done, s.slots = make(chan result), make(chan struct{}, s.Parallelism)
	clock := time.NewTimer(0)
	defer clock.Stop()
	var fresh []*Trigger // not yet known to the store
	isFresh := false
	var retry time.Time
	last := s.now()
	for ctx.Err() == nil {
		now := s.now()
		if last.Sub(now) > windows.Skew && fresh != nil {
			isFresh, retry = true, time.Time{} // the clock was ahead
		}
		last = now
		if isFresh && !s.now().Before(retry) {
			if err := s.set(ctx, fresh); err != nil {
				retry = s.failed(err)
			} else {
				isFresh = false
			}
		}
		s.takeResults(ctx)
		s.attend(ctx, s.popDue())
		clock.Reset(s.sleep(isFresh, retry))
		select {
		case <-ctx.Done():
		case <-clock.C:
		case fresh = <-lists:
			isFresh, retry = true, time.Time{}
		case r := <-s.done:
			s.ended(ctx, r)
		}
	}
	for len(s.working) > 0 {
		s.ended(ctx, <-s.done)
	}
}

// takeResults takes the runs that have ended: an instant that comes in the same
// moment is not to find them at work.
func (s *Scheduler) takeResults(ctx context.Context) {
	for {
		select {
		case r := <-s.done:
			s.ended(ctx, r)
		default:
			return
		}
	}
}

func (s *Scheduler) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	// Without the monotonic reading: it stands still while the machine sleeps.
	return time.Now().Round(0)
}

func (s *Scheduler) tell(e Event) {
	if s.Watch != nil {
		s.Watch(e)
	}
}

// failed tells of what does not work and says when to try again.
func (s *Scheduler) failed(err error) time.Time {
	s.tell(Event{Kind: Problem, Problem: err})
	s.trouble = min(max(2*s.trouble, firstRetry), longestRetry)
	return s.now().Add(s.trouble)
}

// sleep is how long nothing has to be done.
func (s *Scheduler) sleep(isFresh bool, retry time.Time) time.Duration {
	now := s.now()
	wait := longestSleep
	if isFresh {
		wait = min(wait, retry.Sub(now))
	}
	if len(s.queue) > 0 {
		at, _ := s.queue[0].due()
		wait = min(wait, at.Sub(now))
	}
	return max(wait, 0)
}

// set takes triggers over in place of those before: makes new ones known, forgets
// those that are gone, and looks at what is open.
func (s *Scheduler) set(ctx context.Context, list []*Trigger) error {
	now := s.now()
	sightings := make([]runs.Sighting, len(list))
	for i, t := range list {
		sightings[i] = runs.Sighting{Schedule: t.Name, Expression: t.expression(), UpTo: now}
	}
	known, err := s.see(ctx, sightings)
	if err != nil {
		return err
	}
	upTo := map[string]time.Time{}
	for _, one := range known {
		upTo[one.Schedule] = one.UpTo
	}
	entries := make(map[string]*entry, len(list))
	for _, t := range list {
		e := &entry{name: t.Name, trigger: t, upTo: upTo[t.Name]}
		e.plan()
		entries[t.Name] = e
	}
	var gone []string
	for _, one := range known {
		if entries[one.Schedule] == nil {
			gone = append(gone, one.Schedule)
		}
	}
	if len(gone) > 0 {
		if err := s.Store.Forget(ctx, gone); err != nil {
			return err
		}
	}
	open, err := s.Store.OpenFires(ctx, "")
	if err != nil {
		return err
	}
	for _, f := range open {
		if f.Backfill {
			// Whoever asked for it goes on with it; maybe only its end is missing.
			if run, err := s.Runs.Run(ctx, f.Run); err == nil && run.Status.Ended() {
				if err := s.close(ctx, f, run); err != nil {
					return err
				}
			}
			continue
		}
		if entries[f.Schedule] == nil {
			entries[f.Schedule] = &entry{name: f.Schedule}
		}
		entries[f.Schedule].look = now
		if before := s.entries[f.Schedule]; before != nil {
			entries[f.Schedule].asked = before.asked
		}
	}
	s.entries, s.queue, s.trouble = entries, nil, 0
	for _, e := range entries {
		e.index = -1
		s.push(e)
	}
	return nil
}

// see makes schedules known and returns all that are. Those that are done with instants
// that are far from having come begin anew: the clock was ahead. What was taken then is
// not taken again.
func (s *Scheduler) see(ctx context.Context, list []runs.Sighting) ([]runs.Sighting, error) {
	for {
		if len(list) > 0 {
			if err := s.Store.See(ctx, list); err != nil {
				return nil, err
			}
		}
		known, err := s.Store.Sightings(ctx)
		if err != nil {
			return nil, err
		}
		var ahead []string
		for _, one := range known {
			if one.UpTo.Sub(s.now()) > windows.Skew {
				ahead = append(ahead, one.Schedule)
			}
		}
		if len(ahead) == 0 {
			return known, nil
		}
		if err := s.Store.Forget(ctx, ahead); err != nil {
			return nil, err
		}
	}
}

// plan finds the next instant.
func (e *entry) plan() {
	e.next = time.Time{}
	if e.trigger == nil {
		return
	}
	if at, ok := e.trigger.Schedule.Next(e.upTo); ok {
		e.next = at
	}
}

// lookAt has an entry looked at no later than an instant.
func (s *Scheduler) lookAt(e *entry, at time.Time) {
	if e.look.IsZero() || at.Before(e.look) {
		e.look = at
	}
	s.push(e)
}

// push puts an entry where it belongs in the heap.
func (s *Scheduler) push(e *entry) {
	_, ever := e.due()
	switch {
	case e.index < 0 && ever:
		heap.Push(&s.queue, e)
	case e.index >= 0 && ever:
		heap.Fix(&s.queue, e.index)
	case e.index >= 0:
		heap.Remove(&s.queue, e.index)
	}
}

// popDue takes the entries out of the heap that want to be looked at now.
func (s *Scheduler) popDue() []*entry {
	now := s.now()
	var out []*entry
	for len(s.queue) > 0 {
		if at, _ := s.queue[0].due(); at.After(now) {
			break
		}
		out = append(out, heap.Pop(&s.queue).(*entry))
	}
	return out
}

// entryHeap has the entry that is due first on top; those of one instant are in
// the order of their names.
type entryHeap []*entry

func (h entryHeap) Len() int { return len(h) }
func (h entryHeap) Less(i, j int) bool {
	a, _ := h[i].due()
	b, _ := h[j].due()
	if !a.Equal(b) {
		return a.Before(b)
	}
	return h[i].name < h[j].name
}
func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements [heap.Interface].
func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	e.index = -1
	return e
}
