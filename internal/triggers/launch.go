package triggers

import (
	"context"
	"errors"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
)

var noTime time.Time

// lookAgain has an entry looked at after a while.
func (s *Scheduler) lookAgain(e *entry, after time.Duration) {
	if at := s.now().Add(after); e.look.IsZero() || at.Before(e.look) {
		e.look = at
	}
}

// launch carries out the run of an instant beside the loop.
func (s *Scheduler) launch(ctx context.Context, e *entry, f runs.Fire) {
	// The end of the scheduler does not cancel runs.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.working[f.Run] = &work{entry: e.name, fire: f, cancel: cancel}
	start := Start{Trigger: e.trigger, At: f.At, Run: f.Run}
	s.tell(Event{Kind: Started, Schedule: f.Schedule, At: f.At, Run: f.Run})
	go func() {
		r := result{run: f.Run}
		select {
		case s.slots <- struct{}{}:
			if r.err = ctx.Err(); r.err == nil {
				r.now, r.err = s.Runs.Do(own, start)
			}
			<-s.slots
		case <-own.Done():
			r.err = own.Err()
		case <-ctx.Done():
			r.err = ctx.Err()
		}
		cancel()
		s.done <- r
	}()
}

// ended takes a run that this process does not carry out any more. The store is
// asked even where the scheduler is at its end: then the next one has less to do.
func (s *Scheduler) ended(ctx context.Context, r result) {
	w := s.working[r.run]
	delete(s.working, r.run)
	e := s.entries[w.entry]
	if e == nil { // the trigger is gone: this is the last anybody looks at it
		e = &entry{name: w.entry, index: -1}
		s.entries[w.entry] = e
	}
	f := w.fire
	about := Event{Schedule: f.Schedule, At: f.At, Run: f.Run}
	store := context.WithoutCancel(ctx)
	var invalid *InvalidError
	var err error
	switch {
	case errors.As(r.err, &invalid):
		f.Status = runs.FireFailed
		var recorded bool
		if recorded, err = s.Store.RecordFire(store, f, runs.FireStarted); recorded {
			about.Kind, about.Problem = Failed, invalid.Err
			s.tell(about)
		}
	case errors.Is(r.err, context.Canceled) && ctx.Err() == nil:
		// It was to make room for a newer one before it had begun.
		err = s.skip(store, f)
	case r.err != nil && ctx.Err() == nil:
		err = r.err
	case r.err != nil:
		// It was not begun; whoever is next begins it.
	case r.now.Status.Ended():
		err = s.close(store, f, r.now)
	case r.now.Status == runs.Running:
		s.lookAt(e, s.now().Add(lookSoon))
		return
	default:
		about.Kind, about.Status = Left, r.now.Status
		s.tell(about)
		s.lookAt(e, s.now().Add(firstRetry))
		return
	}
	delete(e.asked, f.Run)
	if err != nil {
		s.lookAt(e, s.failed(err))
		return
	}
	s.lookAt(e, s.now())
}
