package runstest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
)

// ScheduleStore is a [runs.ScheduleStore] in memory. The zero one is empty.
type ScheduleStore struct {
	mu        sync.Mutex
	sightings map[string]runs.Sighting
	fires     map[string][]runs.Fire // by schedule, newest first
	backfills []backfill

	// OnCall, where set, is asked before every call takes effect. Its error is
	// returned; where done is true the call takes effect all the same, as if
	// only the answer had been lost.
	OnCall func() (done bool, err error)
}

type backfill struct {
	schedule string
	number   int
	from, to time.Time
	ended    bool
}

var _ runs.ScheduleStore = (*ScheduleStore)(nil)

// begin locks the store. Where it returns an error, the caller returns it; where
// done is false it does so at once.
func (s *ScheduleStore) begin() (done bool, err error) {
	if s.OnCall != nil {
		if done, err = s.OnCall(); err != nil && !done {
			return false, err
		}
	}
	s.mu.Lock()
	if s.sightings == nil {
		s.sightings, s.fires = map[string]runs.Sighting{}, map[string][]runs.Fire{}
	}
	return true, err
}

// change does something under the lock.
func (s *ScheduleStore) change(do func() error) error {
	done, failure := s.begin()
	if !done {
		return failure
	}
	defer s.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return failure
}

// Sightings lists the schedules that are known.
func (s *ScheduleStore) Sightings(context.Context) (out []runs.Sighting, err error) {
	err = s.change(func() error {
		for _, one := range s.sightings {
			out = append(out, one)
		}
		slices.SortFunc(out, func(a, b runs.Sighting) int { return strings.Compare(a.Schedule, b.Schedule) })
		return nil
	})
	return out, err
}

// See makes schedules known.
func (s *ScheduleStore) See(_ context.Context, sightings []runs.Sighting) error {
	return s.change(func() error {
		for _, one := range sightings {
			if known, ok := s.sightings[one.Schedule]; !ok || known.Expression != one.Expression {
				one.UpTo = one.UpTo.UTC().Round(0)
				s.sightings[one.Schedule] = one
			}
		}
		return nil
	})
}

// Pass says that instants are done with.
func (s *ScheduleStore) Pass(_ context.Context, sightings []runs.Sighting) error {
	return s.change(func() error {
		for _, one := range sightings {
			if s.sightings[one.Schedule].Expression == one.Expression {
				s.pass(one.Schedule, one.UpTo)
			}
		}
		return nil
	})
}

func (s *ScheduleStore) pass(schedule string, upTo time.Time) {
	if known, ok := s.sightings[schedule]; ok && known.UpTo.Before(upTo) {
		known.UpTo = upTo.UTC().Round(0)
		s.sightings[schedule] = known
	}
}

// Forget makes schedules unknown.
func (s *ScheduleStore) Forget(_ context.Context, schedules []string) error {
	return s.change(func() error {
		for _, name := range schedules {
			delete(s.sightings, name)
		}
		return nil
	})
}

// Take takes instants for runs.
func (s *ScheduleStore) Take(_ context.Context, fires []runs.Fire) (taken []runs.Fire, err error) {
	err = s.change(func() error {
		for _, f := range fires {
			f.At = f.At.UTC().Round(0)
			if !f.Backfill {
				s.pass(f.Schedule, f.At)
			}
			if s.find(f.Schedule, f.At) != nil {
				continue
			}
			if f.Backfill || !slices.ContainsFunc(s.fires[f.Schedule], func(other runs.Fire) bool { return other.Status.Open() && !other.Backfill }) {
				f.Status = runs.FireStarted
			}
			if f.Status == runs.FireSkipped {
				f.Run = ""
			}
			list := s.fires[f.Schedule]
			i, _ := slices.BinarySearchFunc(list, f.At, func(other runs.Fire, at time.Time) int { return at.Compare(other.At) })
			s.fires[f.Schedule] = slices.Insert(list, i, f)
			taken = append(taken, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

func (s *ScheduleStore) find(schedule string, at time.Time) *runs.Fire {
	list := s.fires[schedule]
	i, found := slices.BinarySearchFunc(list, at, func(f runs.Fire, at time.Time) int { return at.Compare(f.At) })
	if !found {
		return nil
	}
	return &list[i]
}

// Fires lists the instants of a schedule, newest first.
func (s *ScheduleStore) Fires(_ context.Context, schedule string, limit int) (out []runs.Fire, err error) {
	err = s.change(func() error {
		out = slices.Clone(s.fires[schedule])
		if limit > 0 && len(out) > limit {
			out = out[:limit]
		}
		return nil
	})
	return out, err
}

// OpenFires lists the instants that are open.
func (s *ScheduleStore) OpenFires(_ context.Context, schedule string) (out []runs.Fire, err error) {
	err = s.change(func() error {
		for name, list := range s.fires {
			if schedule != "" && name != schedule {
				continue
			}
			for _, f := range list {
				if f.Status.Open() {
					out = append(out, f)
				}
			}
		}
		slices.SortFunc(out, func(a, b runs.Fire) int {
			return cmp.Or(strings.Compare(a.Schedule, b.Schedule), a.At.Compare(b.At))
		})
		return nil
	})
	return out, err
}

// RecordFire sets what became of an instant.
func (s *ScheduleStore) RecordFire(_ context.Context, fire runs.Fire, was runs.FireStatus) (recorded bool, err error) {
	err = s.change(func() error {
		f := s.find(fire.Schedule, fire.At)
		if f == nil {
			return runs.ErrNoFire
		}
		if recorded = f.Status == was; recorded {
			f.Run, f.Status, f.Backfill = fire.Run, fire.Status, fire.Backfill
		}
		return nil
	})
	return recorded && err == nil, err
}

// BeginBackfill returns the number of the backfill of a window.
func (s *ScheduleStore) BeginBackfill(_ context.Context, schedule string, from, to time.Time) (number int, err error) {
	err = s.change(func() error {
		for _, b := range s.backfills {
			if b.schedule != schedule {
				continue
			}
			if !b.ended && b.from.Equal(from) && b.to.Equal(to) {
				number = b.number
				return nil
			}
			number = max(number, b.number)
		}
		number++
		s.backfills = append(s.backfills, backfill{schedule, number, from, to, false})
		return nil
	})
	return number, err
}

// EndBackfill says that a backfill is finished.
func (s *ScheduleStore) EndBackfill(_ context.Context, schedule string, number int) error {
	return s.change(func() error {
		for i, b := range s.backfills {
			if b.schedule == schedule && b.number == number {
				s.backfills[i].ended = true
			}
		}
		return nil
	})
}
