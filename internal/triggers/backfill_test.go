package triggers

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
)

// backfill has a process run hours of a day again; calls are those after which
// it dies.
func (w *world) backfill(t *testing.T, from, to, parallelism, calls int, again bool) (BackfillResult, error) {
	t.Helper()
	p := &process{w: w, gone: make(chan struct{})}
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	b := &Backfill{
		Trigger: triggerOf(t, "@hourly")[0], From: day.Add(time.Duration(from) * time.Hour), To: day.Add(time.Duration(to) * time.Hour),
		Again: again, Parallelism: parallelism, Store: &mortal{ScheduleStore: &w.store, p: p, calls: calls}, Runs: p,
	}
	return b.Run(context.Background())
}

func (m *mortal) Fires(ctx context.Context, schedule string, limit int) ([]runs.Fire, error) {
	return call(m, func() ([]runs.Fire, error) { return m.ScheduleStore.Fires(ctx, schedule, limit) })
}

func (m *mortal) BeginBackfill(ctx context.Context, schedule string, from, to time.Time) (int, error) {
	return call(m, func() (int, error) { return m.ScheduleStore.BeginBackfill(ctx, schedule, from, to) })
}

func (m *mortal) EndBackfill(ctx context.Context, schedule string, number int) error {
	_, err := call(m, func() (bool, error) { return true, m.ScheduleStore.EndBackfill(ctx, schedule, number) })
	return err
}

func TestBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T07:30:00Z")
		w.takes = 10 * time.Minute
		p := w.boot(0, false, triggerOf(t, "@hourly"))
		pass(time.Hour) // 08:00 is due
		p.kill()
		result, err := w.backfill(t, 5, 9, 2, 0, false)
		if d := cmp.Diff(BackfillResult{Succeeded: 3, Had: 1}, result); d != "" || err != nil {
			t.Error(err, d)
		}
		// There is nothing left to do, but again all of it.
		result, err = w.backfill(t, 5, 9, 2, 0, false)
		if d := cmp.Diff(BackfillResult{Had: 4}, result); d != "" || err != nil {
			t.Error(err, d)
		}
		result, err = w.backfill(t, 7, 9, 1, 0, true)
		if d := cmp.Diff(BackfillResult{Succeeded: 2}, result); d != "" || err != nil {
			t.Error(err, d)
		}
		slices.Sort(w.log)
		w.story(t, `
			08:00:00 begin s-20260501T080000Z
			08:30:00 begin s-20260501T050000Z
			08:30:00 begin s-20260501T060000Z
			08:40:00 begin s-20260501T070000Z
			08:50:00 begin s-20260501T070000Z-1
			09:00:00 begin s-20260501T080000Z-1`)
		if w.most != 2 || len(w.begun) != 6 || w.begun["s-20260501T070000Z-1"] != 1 {
			t.Errorf("%d at once, %v", w.most, w.begun)
		}
		sightings, _ := w.store.Sightings(context.Background())
		if len(sightings) != 1 || sightings[0].UpTo.Hour() != 8 {
			t.Errorf("the schedule is at %+v", sightings)
		}
	})
}

// TestBackfillGoesOn has the process die at every call of the store; the same
// backfill goes on, and is new once it was finished.
func TestBackfillGoesOn(t *testing.T) {
	for _, again := range []bool{false, true} {
		for calls, died := 1, true; died; calls++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("2026-05-01T12:00:00Z")
				w.takes = 10 * time.Minute
				first, err := w.backfill(t, 0, 5, 2, calls, again)
				died = err != nil
				second, err := w.backfill(t, 0, 5, 2, 0, again)
				want := 5
				if again && !died {
					want = 10 // the first was finished
				}
				if second.Left+second.Failed > 0 || len(w.begun) != want || err != nil {
					t.Errorf("call %d: %+v, then %+v (%v): %v", calls, first, second, err, w.begun)
				}
				for id, n := range w.begun {
					if n != 1 || w.runs[id].Status != runs.Succeeded {
						t.Errorf("call %d: %s was begun %d times: %s", calls, id, n, w.runs[id].Status)
					}
				}
				if open, _ := w.store.OpenFires(context.Background(), ""); len(open) > 0 {
					t.Errorf("call %d: open are %+v", calls, open)
				}
			})
		}
	}
}

// TestBackfillBesideTheSchedule has a backfill of instants that are just due, two
// of them even.
func TestBackfillBesideTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:30:00Z")
		w.takes = 150 * time.Minute
		p := w.boot(0, false, triggerOf(t, "@hourly", "overlap = \"queue\""))
		pass(2 * time.Hour) // 01:00 is at work, 02:00 is queued
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				result, err := w.backfill(t, 0, 3, 2, 0, false)
				if err != nil || result.Left < 2 {
					t.Errorf("%+v, %v", result, err)
				}
			})
		}
		both.Wait()
		p.stop()
		<-p.ended
		for id, n := range w.begun {
			if n != 1 {
				t.Errorf("%s was begun %d times", id, n)
			}
		}
		if w.begun["s-20260501T000000Z"] != 1 || w.begun["s-20260501T010000Z"] != 1 {
			t.Errorf("%v", w.begun)
		}
	})
}
