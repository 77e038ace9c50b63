package triggers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/runs"
)

// MostInstants is how many instants one backfill may have.
const MostInstants = 100_000

// Backfill runs the workflow of a trigger for instants of the past, oldest first.
// Each becomes an instant of the schedule like those that were due, so that none is
// run twice, and that a backfill whose process died goes on where it was.
type Backfill struct {
	Trigger  *Trigger
	From, To time.Time // From is included, To is not
	// Again runs those as well that have a run already.
	Again       bool
	Parallelism int // runs at once; 0 means one
	Actor       string
	Authority   *access.Authority // of the actor, as runs keep it
	Store       runs.ScheduleStore
	Runs        Runs
	// Watch, where not nil, is told what happens, one call at a time.
	Watch func(Event)

	mu     sync.Mutex
	number int // of this backfill, to run instants again; 0 for none
	result BackfillResult
}

// BackfillResult counts instants.
type BackfillResult struct {
	Succeeded int
	Failed    int // the run ended otherwise, or could not be started
	Left      int // interrupted, or carried out by another process
	Had       int // there was a run already
}

// Intention is what a backfill does about an instant.
type Intention string

// The intentions.
const (
	ToRun    Intention = "run"
	ToResume Intention = "resume"
	ToLeave  Intention = "leave" // somebody else has its run to carry out
	IsDone   Intention = "done"
)

// Instant is an instant of a backfill.
type Instant struct {
	At  time.Time
	Run string // the run there is or will be
	Do  Intention

	fire runs.Fire // as it is kept; without a schedule where it is not
}

// Plan tells what Run would do, oldest first.
func (b *Backfill) Plan(ctx context.Context) ([]Instant, error) {
	instants := b.Trigger.Schedule.Between(b.From.Add(-1), b.To.Add(-1), MostInstants+1)
	if len(instants) > MostInstants {
		return nil, fmt.Errorf("the schedule has more than %d instants in this time: choose a shorter one", MostInstants)
	}
	fires, err := b.Store.Fires(ctx, b.Trigger.Name, 0)
	if err != nil {
		return nil, err
	}
	kept := make(map[int64]runs.Fire, len(fires))
	for _, f := range fires {
		kept[f.At.UnixNano()] = f
	}
	out := make([]Instant, len(instants))
	for i, at := range instants {
		if out[i], err = b.intend(ctx, at, kept[at.UnixNano()]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// intend decides about an instant. fire is how it is kept.
func (b *Backfill) intend(ctx context.Context, at time.Time, fire runs.Fire) (Instant, error) {
	own := Instant{At: at, Run: RunID(b.Trigger.Name, at, b.number), Do: ToRun, fire: fire}
	if fire.Status == runs.FireQueued {
		own.Run, own.Do = fire.Run, ToLeave
		return own, nil
	}
	if fire.Status == runs.FireEnded && (!b.Again || fire.Run == own.Run) {
		own.Run, own.Do = fire.Run, IsDone
		return own, nil
	}
	if fire.Status == runs.FireStarted && fire.Run != own.Run {
		// Its run is the one to ask about: another one of the same instant.
		run, err := b.Runs.Run(ctx, fire.Run)
		switch {
		case err != nil && !errors.Is(err, runs.ErrNotFound):
			return own, err
		case err != nil || !run.Status.Ended():
			own.Run, own.Do = fire.Run, ToLeave
			if run.Status != runs.Running && !b.Again {
				own.Do = ToResume
			}
			return own, nil
		case !b.Again:
			own.Run, own.Do = fire.Run, IsDone
			return own, nil
		}
	}
	// What is kept may be dropped; runs stay.
	run, err := b.Runs.Run(ctx, own.Run)
	switch {
	case errors.Is(err, runs.ErrNotFound):
		return own, nil
	case err != nil:
		return own, err
	case run.Status.Ended():
		own.Do = IsDone
		if b.Again && b.number == 0 {
			own.Do = ToRun
		}
	case run.Status == runs.Running:
		own.Do = ToLeave
	default:
		own.Do = ToResume
	}
	return own, nil
}

// Run carries the backfill out. When ctx ends, nothing more is begun; the runs
// at work are let go of as [Runs] does, and the same backfill goes on with them.
func (b *Backfill) Run(ctx context.Context) (BackfillResult, error) {
	if b.Again {
		var err error
		if b.number, err = b.Store.BeginBackfill(ctx, b.Trigger.Name, b.From, b.To); err != nil {
			return b.result, err
		}
	}
	list, err := b.Plan(ctx)
	if err != nil {
		return b.result, err
	}
	if err := b.carryOutAll(ctx, list); err != nil {
		return b.result, err
	}
	if b.Again && b.result.Left == 0 {
		return b.result, b.Store.EndBackfill(context.WithoutCancel(ctx), b.Trigger.Name, b.number)
	}
	return b.result, nil
}

// carryOutAll carries out what a plan says, some at once.
func (b *Backfill) carryOutAll(ctx context.Context, list []Instant) error {
	work := make(chan Instant)
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var workers sync.WaitGroup
	for range max(b.Parallelism, 1) {
		workers.Go(func() {
			for one := range work {
				if err := b.carryOut(context.WithoutCancel(ctx), one); err != nil {
					fail(err)
				}
			}
		})
	}
	for i, one := range list {
		if one.Do == IsDone || one.Do == ToLeave {
			if err := b.pass(ctx, one); err != nil {
				fail(err)
			}
			continue
		}
		select {
		case work <- one:
			continue
		case <-failed.Done():
		}
		b.count(func(r *BackfillResult) { r.Left += len(list) - i })
		break
	}
	close(work)
	workers.Wait()
	if err := context.Cause(failed); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// pass goes past an instant that there is nothing to do about.
func (b *Backfill) pass(ctx context.Context, one Instant) error {
	if one.Do == ToLeave {
		b.count(func(r *BackfillResult) { r.Left++ })
		b.tell(Event{Kind: Left, Schedule: b.Trigger.Name, At: one.At, Run: one.Run})
		return nil
	}
	b.count(func(r *BackfillResult) { r.Had++ })
	f := one.fire
	if f.Status != runs.FireStarted {
		return nil
	}
	// Who carried it out did not get to say so.
	f.Status = runs.FireEnded
	_, err := b.Store.RecordFire(ctx, f, runs.FireStarted)
	return err
}

func (b *Backfill) count(add func(*BackfillResult)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	add(&b.result)
}

func (b *Backfill) tell(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Watch != nil {
		b.Watch(e)
	}
}

// carryOut takes an instant and carries its run out.
func (b *Backfill) carryOut(ctx context.Context, one Instant) error {
	about := Event{Schedule: b.Trigger.Name, At: one.At, Run: one.Run}
	f := runs.Fire{Schedule: b.Trigger.Name, At: one.At, Run: one.Run, Status: runs.FireStarted, Backfill: true}
	mine, err := b.claim(ctx, one, f)
	if err != nil {
		return err
	}
	if !mine {
		b.count(func(r *BackfillResult) { r.Left++ })
		about.Kind = Left
		b.tell(about)
		return nil
	}
	about.Kind = Started
	b.tell(about)
	run, err := b.Runs.Do(ctx, Start{Trigger: b.Trigger, At: one.At, Run: one.Run, Actor: b.Actor, Authority: b.Authority})
	var invalid *InvalidError
	switch {
	case errors.As(err, &invalid):
		f.Status = runs.FireFailed
		about.Kind, about.Problem = Failed, invalid.Err
	case err != nil:
		return err
	case run.Status.Ended():
		f.Status = runs.FireEnded
		about.Kind, about.Status = Ended, run.Status
	default:
		about.Kind, about.Status = Left, run.Status
		b.count(func(r *BackfillResult) { r.Left++ })
		b.tell(about)
		return nil
	}
	if _, err := b.Store.RecordFire(ctx, f, runs.FireStarted); err != nil {
		return err
	}
	b.count(func(r *BackfillResult) {
		if run.Status == runs.Succeeded {
			r.Succeeded++
		} else {
			r.Failed++
		}
	})
	b.tell(about)
	return nil
}

// claim takes the instant for the run, unless it is the run's already. It
// reports whether nobody else was faster.
func (b *Backfill) claim(ctx context.Context, one Instant, f runs.Fire) (bool, error) {
	switch {
	case one.fire.Schedule == "":
		taken, err := b.Store.Take(ctx, []runs.Fire{f})
		return len(taken) > 0, err
	case one.fire.Status == runs.FireStarted && one.fire.Run == one.Run:
		return true, nil
	}
	return b.Store.RecordFire(ctx, f, one.fire.Status)
}
