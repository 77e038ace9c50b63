package runstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
)

// minute is an instant n minutes from the epoch: that is one like any other.
func minute(n int) time.Time { return time.Unix(int64(n)*60, 0).UTC() }

// CheckScheduleStore holds an empty store to the contract of
// [runs.ScheduleStore].
func CheckScheduleStore(t *testing.T, s runs.ScheduleStore) {
	t.Helper()
	checkSightings(t, s)
	checkFires(t, s)
	checkBackfills(t, s)
	checkRace(t, s)
}

func checkSightings(t *testing.T, s runs.ScheduleStore) {
	ctx := context.Background()
	known := func(want ...runs.Sighting) {
		t.Helper()
		got, err := s.Sightings(ctx)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("schedules known (-want +got): %v\n%s", err, d)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	sighting := func(name, expression string, upTo int) runs.Sighting {
		return runs.Sighting{Schedule: name, Expression: expression, UpTo: minute(upTo)}
	}
	known()
	do(s.See(ctx, []runs.Sighting{sighting("y", "1", 0), sighting("x", "1", 0)}))
	do(s.See(ctx, []runs.Sighting{sighting("x", "1", 5)})) // no news
	known(sighting("x", "1", 0), sighting("y", "1", 0))
	do(s.See(ctx, []runs.Sighting{sighting("x", "2", -5)}))
	do(s.Pass(ctx, []runs.Sighting{sighting("y", "1", 7), sighting("x", "1", 7), sighting("z", "1", 7)}))
	do(s.Pass(ctx, []runs.Sighting{sighting("y", "1", 6)}))
	known(sighting("x", "2", -5), sighting("y", "1", 7))
	if _, err := s.Take(ctx, []runs.Fire{
		{Schedule: "x", At: minute(1), Run: "r", Status: runs.FireQueued}, {Schedule: "y", At: minute(9), Run: "r", Backfill: true},
	}); err != nil {
		t.Error(err)
	}
	known(sighting("x", "2", 1), sighting("y", "1", 7)) // backfills are of the past
	do(s.Forget(ctx, []string{"x", "none"}))
	known(sighting("y", "1", 7))
	do(s.Forget(ctx, []string{"y"}))
	for name, at := range map[string]int{"x": 1, "y": 9} {
		if _, err := s.RecordFire(ctx, runs.Fire{Schedule: name, At: minute(at), Run: "r", Status: runs.FireEnded}, runs.FireStarted); err != nil {
			t.Error(err)
		}
	}
}

func checkFires(t *testing.T, s runs.ScheduleStore) {
	ctx := context.Background()
	fire := func(schedule string, at int, run string, status runs.FireStatus) runs.Fire {
		return runs.Fire{Schedule: schedule, At: minute(at), Run: run, Status: status}
	}
	take := func(fires []runs.Fire, want ...runs.Fire) {
		t.Helper()
		got, err := s.Take(ctx, fires)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("taken (-want +got): %v\n%s", err, d)
		}
	}
	record := func(f runs.Fire, was runs.FireStatus, want bool) {
		t.Helper()
		if got, err := s.RecordFire(ctx, f, was); got != want || err != nil {
			t.Errorf("recording %+v: %v, %v", f, got, err)
		}
	}
	list := func(schedule string, limit int, want ...runs.Fire) {
		t.Helper()
		got, err := s.Fires(ctx, schedule, limit)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("instants of %s (-want +got): %v\n%s", schedule, err, d)
		}
	}
	open := func(schedule string, want ...runs.Fire) {
		t.Helper()
		got, err := s.OpenFires(ctx, schedule)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("open instants (-want +got): %v\n%s", err, d)
		}
	}
	list("a", 0)
	open("")
	// The first is started, what comes while it is open is as was said.
	take([]runs.Fire{fire("a", 0, "r0", runs.FireQueued), fire("a", 2, "r2", runs.FireQueued), fire("b", 2, "other", runs.FireSkipped)},
		fire("a", 0, "r0", runs.FireStarted), fire("a", 2, "r2", runs.FireQueued), fire("b", 2, "other", runs.FireStarted))
	take([]runs.Fire{fire("a", 1, "r1", runs.FireSkipped)}, fire("a", 1, "", runs.FireSkipped)) // older ones may come later
	// An instant is the same in every time zone; skipped is seen to.
	zoned := fire("a", 2, "late", runs.FireQueued)
	zoned.At = zoned.At.In(time.FixedZone("", 3600))
	take([]runs.Fire{zoned, fire("a", 1, "again", runs.FireQueued)})
	// A nanosecond later is another one. Backfills hold nobody up.
	odd := runs.Fire{Schedule: "c", At: minute(2).Add(1), Run: "r3", Status: runs.FireStarted, Backfill: true}
	take([]runs.Fire{odd, fire("c", 2, "r4", runs.FireSkipped)}, odd, fire("c", 2, "r4", runs.FireStarted))
	open("", fire("a", 0, "r0", runs.FireStarted), fire("a", 2, "r2", runs.FireQueued), fire("b", 2, "other", runs.FireStarted), fire("c", 2, "r4", runs.FireStarted), odd)
	open("a", fire("a", 0, "r0", runs.FireStarted), fire("a", 2, "r2", runs.FireQueued))

	zoned = fire("a", 2, "r2", runs.FireStarted)
	zoned.At = zoned.At.In(time.FixedZone("", -60))
	record(zoned, runs.FireStarted, false)
	record(zoned, runs.FireQueued, true)
	record(fire("a", 0, "r0", runs.FireEnded), runs.FireStarted, true)
	redone := fire("a", 1, "b1", runs.FireEnded)
	redone.Backfill = true
	record(redone, runs.FireSkipped, true)
	want := []runs.Fire{fire("a", 2, "r2", runs.FireStarted), redone, fire("a", 0, "r0", runs.FireEnded)}
	list("a", 0, want...)
	list("a", 2, want[:2]...)
	list("a", 9, want...)
	open("a", want[0])
	record(fire("a", 2, "r2", runs.FireFailed), runs.FireStarted, true)
	open("a")
	take([]runs.Fire{fire("a", 3, "r3", runs.FireSkipped)}, fire("a", 3, "r3", runs.FireStarted))
	for _, absent := range []runs.Fire{fire("a", 7, "", runs.FireEnded), fire("none", 0, "", runs.FireEnded)} {
		if _, err := s.RecordFire(ctx, absent, runs.FireStarted); !errors.Is(err, runs.ErrNoFire) {
			t.Errorf("recording what was not taken: %v", err)
		}
	}
}

func checkBackfills(t *testing.T, s runs.ScheduleStore) {
	ctx := context.Background()
	begin := func(schedule string, from, to, want int) {
		t.Helper()
		if got, err := s.BeginBackfill(ctx, schedule, minute(from), minute(to)); got != want || err != nil {
			t.Errorf("the backfill of %s has number %d, not %d (%v)", schedule, got, want, err)
		}
	}
	begin("a", 0, 5, 1)
	begin("a", 0, 6, 2)
	begin("b", 0, 5, 1)
	begin("a", 0, 5, 1)
	if err := s.EndBackfill(ctx, "a", 1); err != nil {
		t.Error(err)
	}
	begin("a", 0, 5, 3)
	begin("a", 0, 6, 2)
}

// checkRace has several ask for the same instants at once: one of them gets each.
func checkRace(t *testing.T, s runs.ScheduleStore) {
	const runners, instants = 4, 25
	taken := make([][]string, runners)
	var group sync.WaitGroup
	for r := range runners {
		group.Go(func() {
			for i := range instants {
				run := fmt.Sprintf("%d-%d", r, i)
				fresh, err := s.Take(context.Background(), []runs.Fire{{Schedule: "race", At: time.Unix(int64(i), 0), Run: run, Status: runs.FireQueued}})
				if err != nil {
					t.Error(err)
				}
				if len(fresh) > 0 {
					taken[r] = append(taken[r], run)
				}
			}
		})
	}
	group.Wait()
	var want, got []string
	for _, list := range taken {
		want = append(want, list...)
	}
	list, err := s.Fires(context.Background(), "race", 0)
	if err != nil {
		t.Error(err)
	}
	for _, f := range list {
		got = append(got, f.Run)
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" || len(got) != instants {
		t.Errorf("%d instants were taken, by (-told +stored):\n%s", len(got), d)
	}
}
