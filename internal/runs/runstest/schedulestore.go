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

// ScheduleStore is a [runs.ScheduleStore] in memory. The zero one is empty.
type ScheduleStore struct {
	mu    sync.Mutex
	fires []runs.Fire // newest first within each schedule
}

var _ runs.ScheduleStore = (*ScheduleStore)(nil)

// LastFire returns the latest instant of a schedule.
func (s *ScheduleStore) LastFire(ctx context.Context, schedule string) (time.Time, bool, error) {
	list, err := s.Fires(ctx, schedule, 1)
	if err != nil || len(list) == 0 {
		return time.Time{}, false, err
	}
	return list[0].At, true, nil
}

// Fire takes an instant for a run.
func (s *ScheduleStore) Fire(_ context.Context, schedule string, at time.Time, run string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(schedule, at) != nil {
		return false, nil
	}
	s.fires = append(s.fires, runs.Fire{Schedule: schedule, At: at.UTC().Round(0), Run: run, Status: runs.FireStarted})
	slices.SortStableFunc(s.fires, func(a, b runs.Fire) int { return b.At.Compare(a.At) })
	return true, nil
}

func (s *ScheduleStore) find(schedule string, at time.Time) *runs.Fire {
	for i := range s.fires {
		if f := &s.fires[i]; f.Schedule == schedule && f.At.Equal(at) {
			return f
		}
	}
	return nil
}

// Fires lists the instants of a schedule, newest first.
func (s *ScheduleStore) Fires(_ context.Context, schedule string, limit int) ([]runs.Fire, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runs.Fire
	for _, f := range s.fires {
		if f.Schedule == schedule && (limit <= 0 || len(out) < limit) {
			out = append(out, f)
		}
	}
	return out, nil
}

// RecordFire sets run and status of an instant.
func (s *ScheduleStore) RecordFire(_ context.Context, fire runs.Fire) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.find(fire.Schedule, fire.At)
	if f == nil {
		return runs.ErrNoFire
	}
	f.Run, f.Status = fire.Run, fire.Status
	return nil
}

// CheckScheduleStore holds an empty store to the contract of
// [runs.ScheduleStore].
func CheckScheduleStore(t *testing.T, s runs.ScheduleStore) {
	ctx := context.Background()
	epoch := time.Unix(0, 0).UTC() // an instant like any other
	minute := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	take := func(schedule string, at time.Time, run string, want bool) {
		t.Helper()
		if fresh, err := s.Fire(ctx, schedule, at, run); err != nil || fresh != want {
			t.Errorf("taking %v of %s for %s: fresh %v, %v", at, schedule, run, fresh, err)
		}
	}
	list := func(schedule string, limit int, want ...runs.Fire) {
		t.Helper()
		got, err := s.Fires(ctx, schedule, limit)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("instants of %s (-want +got): %v\n%s", schedule, err, d)
		}
		last, ok, err := s.LastFire(ctx, schedule)
		if err != nil || ok != (len(want) > 0) || ok && !last.Equal(want[0].At) {
			t.Errorf("the last instant of %s is %v, %v, %v", schedule, last, ok, err)
		}
	}
	list("a", 0)
	take("a", minute(0), "r0", true)
	list("a", 0, runs.Fire{Schedule: "a", At: minute(0), Run: "r0", Status: runs.FireStarted})
	take("a", minute(2), "r2", true)
	take("a", minute(1), "r1", true) // older ones may come later
	take("b", minute(2), "other", true)
	take("a", minute(-1), "early", true)
	// An instant is the same in every time zone, and the first run stays.
	take("a", minute(2).In(time.FixedZone("", 3600)), "late", false)
	take("a", minute(2).Add(1), "r3", true) // a nanosecond later is another one
	if err := s.RecordFire(ctx, runs.Fire{Schedule: "a", At: minute(1).In(time.FixedZone("", -60)), Status: runs.FireSkipped}); err != nil {
		t.Error(err)
	}
	if err := s.RecordFire(ctx, runs.Fire{Schedule: "a", At: minute(2), Run: "r4", Status: runs.FireQueued}); err != nil {
		t.Error(err)
	}
	take("a", minute(1), "again", false) // skipped is seen to
	want := []runs.Fire{
		{Schedule: "a", At: minute(2).Add(1), Run: "r3", Status: runs.FireStarted},
		{Schedule: "a", At: minute(2), Run: "r4", Status: runs.FireQueued},
		{Schedule: "a", At: minute(1), Status: runs.FireSkipped},
		{Schedule: "a", At: minute(0), Run: "r0", Status: runs.FireStarted},
		{Schedule: "a", At: minute(-1), Run: "early", Status: runs.FireStarted},
	}
	list("a", 0, want...)
	list("a", 2, want[:2]...)
	list("a", 9, want...)
	list("b", 0, runs.Fire{Schedule: "b", At: minute(2), Run: "other", Status: runs.FireStarted})
	for _, absent := range []runs.Fire{{Schedule: "a", At: minute(7)}, {Schedule: "c", At: minute(0)}} {
		if err := s.RecordFire(ctx, absent); !errors.Is(err, runs.ErrNoFire) {
			t.Errorf("recording what was not taken: %v", err)
		}
	}
	list("c", 0)
	checkRace(t, s)
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
				fresh, err := s.Fire(context.Background(), "race", time.Unix(int64(i), 0), run)
				if err != nil {
					t.Error(err)
				}
				if fresh {
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
