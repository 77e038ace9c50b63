package triggers

import (
	"context"
	"errors"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/schedules"
)

// attend looks after some schedules: what is due is taken, and what is open goes
// on. Where something does not work, it is tried again later: nothing is decided
// by what was tried before.
func (s *Scheduler) attend(ctx context.Context, list []*entry) {
	if len(list) == 0 {
		return
	}
	for _, e := range list {
		e.look = noTime
	}
	err := s.seeTo(ctx, list)
	if err == nil {
		s.trouble = 0
	}
	if err != nil && ctx.Err() == nil {
		again := s.failed(err)
		for _, e := range list {
			// Its instants are late until then; nothing comes of looking earlier.
			e.look, e.next = again, noTime
		}
	}
	for _, e := range list {
		s.push(e)
	}
}

func (s *Scheduler) seeTo(ctx context.Context, list []*entry) error {
	open, err := s.open(ctx, list)
	if err != nil {
		return err
	}
	// The ends of runs come first: what has ended keeps nobody waiting.
	for _, e := range list {
		if open[e.name], err = s.settle(ctx, e, open[e.name]); err != nil {
			return err
		}
	}
	if err := s.take(ctx, list, open); err != nil {
		return err
	}
	for _, e := range list {
		if err := s.proceed(ctx, e, open[e.name]); err != nil {
			return err
		}
		if e.trigger == nil && e.look.IsZero() && len(open[e.name]) == 0 {
			delete(s.entries, e.name)
		}
	}
	return nil
}

// standing is an open instant and how its run stands.
type standing struct {
	runs.Fire
	// elsewhere says that another process carries the run out, absent that there
	// is no run yet.
	elsewhere, absent bool
}

// open reads the open instants of some schedules.
func (s *Scheduler) open(ctx context.Context, list []*entry) (map[string][]standing, error) {
	const few = 8
	names := []string{""} // all
	if len(list) <= few {
		names = names[:0]
		for _, e := range list {
			names = append(names, e.name)
		}
	}
	out := map[string][]standing{}
	for _, name := range names {
		fires, err := s.Store.OpenFires(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, f := range fires {
			if !f.Backfill {
				out[f.Schedule] = append(out[f.Schedule], standing{Fire: f})
			}
		}
	}
	return out, nil
}

// settle finds out how the runs of started instants stand, records those that
// have ended, and returns the others.
func (s *Scheduler) settle(ctx context.Context, e *entry, open []standing) ([]standing, error) {
	kept := open[:0]
	for _, f := range open {
		if f.Status == runs.FireStarted && s.working[f.Run] == nil {
			run, err := s.Runs.Run(ctx, f.Run)
			switch {
			case errors.Is(err, runs.ErrNotFound):
				f.absent = true
			case err != nil:
				return nil, err
			case run.Status.Ended():
				if err := s.close(ctx, f.Fire, run); err != nil {
					return nil, err
				}
				continue
			default:
				f.elsewhere = run.Status == runs.Running
			}
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// close records that a run has ended, where nobody else has.
func (s *Scheduler) close(ctx context.Context, f runs.Fire, run runs.Run) error {
	f.Status = runs.FireEnded
	recorded, err := s.Store.RecordFire(ctx, f, runs.FireStarted)
	if recorded {
		s.tell(Event{Kind: Ended, Schedule: f.Schedule, At: f.At, Run: f.Run, Status: run.Status})
	}
	return err
}

// take takes the instants of some schedules that are due.
func (s *Scheduler) take(ctx context.Context, list []*entry, open map[string][]standing) error {
	now := s.now()
	var fires []runs.Fire
	var passed []runs.Sighting
	wanted := map[string]int{}
	for _, e := range list {
		t := e.trigger
		if t == nil {
			continue
		}
		if at, ok := t.Schedule.Next(e.upTo); !ok || at.After(now) {
			e.plan()
			continue
		}
		due := t.Missed.Due(t.Schedule, e.upTo, now, Grace)
		if len(due) == 0 {
			passed = append(passed, runs.Sighting{Schedule: e.name, Expression: t.expression(), UpTo: now})
		}
		status := runs.FireQueued
		if t.Overlap == schedules.OverlapSkip {
			status = runs.FireSkipped
		}
		wanted[e.name] = len(due)
		for _, at := range due {
			fires = append(fires, runs.Fire{Schedule: e.name, At: at, Run: RunID(e.name, at, 0), Status: status})
		}
	}
	if len(passed) > 0 {
		if err := s.Store.Pass(ctx, passed); err != nil {
			return err
		}
	}
	if len(fires) > 0 {
		taken, err := s.Store.Take(ctx, fires)
		if err != nil {
			return err
		}
		for _, f := range taken {
			wanted[f.Schedule]--
			switch f.Status {
			case runs.FireSkipped:
				s.tell(Event{Kind: Skipped, Schedule: f.Schedule, At: f.At})
				continue
			case runs.FireQueued:
				s.tell(Event{Kind: Queued, Schedule: f.Schedule, At: f.At, Run: f.Run})
			}
			open[f.Schedule] = append(open[f.Schedule], standing{Fire: f, absent: f.Status == runs.FireStarted})
		}
	}
	for _, e := range list {
		if e.trigger == nil {
			continue
		}
		if now.After(e.upTo) {
			e.upTo = now
		}
		e.plan()
		if wanted[e.name] > 0 {
			// Another process was faster: look what became of it, should it die.
			s.lookAgain(e, lookLater)
		}
	}
	return nil
}

// proceed starts, resumes and cancels runs as the overlap policy says.
func (s *Scheduler) proceed(ctx context.Context, e *entry, open []standing) error {
	var started, queued []standing
	for _, f := range open {
		if f.Status == runs.FireQueued {
			queued = append(queued, f)
		} else {
			started = append(started, f)
		}
	}
	var err error
	switch {
	case e.trigger == nil:
		// Nobody wants these any more; what has begun ends.
		if err = s.skipAll(ctx, queued); err == nil {
			queued = nil
			started, err = s.skipAbsent(ctx, started)
		}
	case e.trigger.Overlap == schedules.OverlapReplace && len(queued) > 0:
		last := len(queued) - 1
		if err = s.skipAll(ctx, queued[:last]); err == nil {
			queued = queued[last:]
			if started, err = s.skipAbsent(ctx, started); err == nil {
				err = s.replace(ctx, e, started)
			}
		}
	}
	if err != nil {
		return err
	}
	if len(started) == 0 && len(queued) > 0 {
		first := queued[0]
		queued = queued[1:]
		first.Status = runs.FireStarted
		recorded, err := s.Store.RecordFire(ctx, first.Fire, runs.FireQueued)
		if err != nil {
			return err
		}
		if !recorded {
			s.lookAgain(e, lookSoon) // somebody else did something about it
			return nil
		}
		started = append(started, first)
	}
	for _, f := range started {
		switch {
		case f.elsewhere && len(queued) > 0:
			s.lookAgain(e, lookSoon)
		case f.elsewhere:
			s.lookAgain(e, lookLater)
		case s.working[f.Run] == nil:
			s.launch(ctx, e, f.Fire)
		}
	}
	return nil
}

// skipAll records queued instants as skipped.
func (s *Scheduler) skipAll(ctx context.Context, list []standing) error {
	for _, f := range list {
		if err := s.skip(ctx, f.Fire); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scheduler) skip(ctx context.Context, f runs.Fire) error {
	was := f.Status
	f.Status, f.Run = runs.FireSkipped, ""
	recorded, err := s.Store.RecordFire(ctx, f, was)
	if recorded {
		s.tell(Event{Kind: Skipped, Schedule: f.Schedule, At: f.At})
	}
	return err
}

// skipAbsent records instants as skipped that were started and whose run was
// never begun, and returns the others.
func (s *Scheduler) skipAbsent(ctx context.Context, list []standing) ([]standing, error) {
	kept := list[:0]
	for _, f := range list {
		if !f.absent {
			kept = append(kept, f)
			continue
		}
		if err := s.skip(ctx, f.Fire); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// replace asks runs to end for a newer one, each once.
func (s *Scheduler) replace(ctx context.Context, e *entry, list []standing) error {
	for _, f := range list {
		w := s.working[f.Run]
		if e.asked[f.Run] && (w != nil || f.elsewhere) {
			continue // where its process has died meanwhile, it is given up
		}
		if w != nil {
			w.cancel()
		} else if err := s.Runs.Cancel(ctx, f.Run); err != nil {
			return err
		}
		if e.asked == nil {
			e.asked = map[string]bool{}
		}
		e.asked[f.Run] = true
		s.tell(Event{Kind: Cancelled, Schedule: f.Schedule, At: f.At, Run: f.Run})
	}
	return nil
}
