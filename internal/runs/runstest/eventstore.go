package runstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// inbox is what a [Store] keeps for [runs.EventStore].
type inbox struct {
	accepted map[int64]accepted
	position runs.Position
	windows  map[string]runs.WindowState
	firings  []runs.Firing
}

type accepted struct {
	runs.Inbound
	at time.Time
}

var _ runs.EventStore = (*Store)(nil)

// call asks OnCall, and does something under the lock.
func (s *Store) call(do func() error) error {
	var failure error
	if s.OnCall != nil {
		done, err := s.OnCall()
		if err != nil && !done {
			return err
		}
		failure = err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return failure
}

// Enqueue makes a run that nobody drives.
func (s *Store) Enqueue(_ context.Context, n runs.NewRun) error {
	return s.call(func() error {
		exists := fmt.Errorf("run %s: %w", n.Run.ID, states.ErrExists)
		if s.runs[n.Run.ID] != nil {
			return exists
		}
		if c := n.Run.Cause; c != nil {
			f := s.firing(c.Trigger, c.Event)
			if f == nil || f.Status != runs.FiringDue {
				return exists
			}
			f.Status = runs.FiringStarted
		}
		r := &stored{run: n.Run}
		for _, e := range n.Entries {
			r.journal = append(r.journal, runs.Recorded{Entry: e})
		}
		s.runs[n.Run.ID] = r
		s.order = append(s.order, n.Run.ID)
		s.blobs[n.Run.Blob] = n.Definition
		s.tell(n.Events)
		return nil
	})
}

// Begin makes a run with what it begins with, and leases it. Like a commit, it may be
// the moment in which the process dies.
func (s *Store) Begin(ctx context.Context, n runs.NewRun) (runs.Lease, error) {
	failure, err := s.committing()
	if err == nil {
		err = s.Enqueue(ctx, n)
	}
	if err != nil {
		return runs.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lease := s.lease(n.Run.ID)
	if failure != nil {
		s.runs[n.Run.ID].held = false
	}
	return lease, failure
}

// Accept puts events from outside into the feed.
func (s *Store) Accept(_ context.Context, list []runs.Inbound) (out []runs.Accepted, err error) {
	err = s.call(func() error {
		before := s.chain.Last
		for _, e := range list {
			first := int64(0)
			for n, known := range s.inbox.accepted {
				sameBody := e.Digest != "" && known.Digest == e.Digest && n <= before
				if (sameBody || known.Source == e.Source && known.ID == e.ID) && (first == 0 || n < first) {
					first = n
				}
			}
			if first != 0 {
				out = append(out, runs.Accepted{Sequence: first, Duplicate: true})
				continue
			}
			s.tell([]events.Event{e.Event})
			if s.inbox.accepted == nil {
				s.inbox.accepted = map[int64]accepted{}
			}
			s.inbox.accepted[s.chain.Last] = accepted{e, time.Now()}
			out = append(out, runs.Accepted{Sequence: s.chain.Last})
		}
		return nil
	})
	return out, err
}

// Fed reads the feed behind a number.
func (s *Store) Fed(_ context.Context, after int64, limit int) (out []runs.Fed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.feed {
		if l.Sequence <= after || limit > 0 && len(out) == limit {
			continue
		}
		f := runs.Fed{Sequence: l.Sequence, Event: l.Event, At: l.Time}
		if from, ok := s.inbox.accepted[l.Sequence]; ok {
			f.Outside, f.At, f.Extra = true, from.at, from.Extra
		}
		out = append(out, f)
	}
	return out, nil
}

// Follow makes triggers known.
func (s *Store) Follow(_ context.Context, triggers []runs.WindowState) (at runs.Position, out []runs.WindowState, err error) {
	err = s.call(func() error {
		if s.inbox.position.Version == 0 {
			s.inbox.position = runs.Position{Sequence: s.chain.Last, Version: 1}
		}
		known := map[string]runs.WindowState{}
		for _, w := range triggers {
			before, there := s.inbox.windows[w.Trigger]
			w.Since, w.State = s.chain.Last, nil
			if there {
				w.Since = before.Since
			}
			if there && before.Rule == w.Rule {
				w.State = before.State
			}
			known[w.Trigger] = w
			out = append(out, w)
		}
		at, s.inbox.windows = s.inbox.position, known
		return nil
	})
	return at, out, err
}

// Advance writes what follows from a part of the feed.
func (s *Store) Advance(_ context.Context, p runs.Progress) (at runs.Position, written bool, err error) {
	err = s.call(func() error {
		if s.inbox.position != p.From {
			return nil
		}
		s.inbox.position = runs.Position{Sequence: p.To, Version: p.From.Version + 1}
		for _, w := range p.Windows {
			if before, there := s.inbox.windows[w.Trigger]; there && before.Rule == w.Rule {
				before.State = w.State
				s.inbox.windows[w.Trigger] = before
			}
		}
		for _, f := range p.Firings {
			if s.firing(f.Trigger, f.Event) == nil {
				s.inbox.firings = append(s.inbox.firings, f)
			}
		}
		s.tell(p.Events)
		at, written = s.inbox.position, true
		return nil
	})
	if err != nil {
		return runs.Position{}, false, err
	}
	return at, written, nil
}

func (s *Store) firing(trigger string, event int64) *runs.Firing {
	i := slices.IndexFunc(s.inbox.firings, func(f runs.Firing) bool { return f.Trigger == trigger && f.Event == event })
	if i < 0 {
		return nil
	}
	return &s.inbox.firings[i]
}

// Firings lists firings.
func (s *Store) Firings(_ context.Context, q runs.FiringQuery) (out []runs.Firing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.inbox.firings {
		if (q.Trigger == "" || q.Trigger == f.Trigger) && (q.Event == 0 || q.Event == f.Event) && (q.Status == "" || q.Status == f.Status) && (q.Before == 0 || f.Event < q.Before) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b runs.Firing) int {
		order := cmp.Compare(b.Event, a.Event)
		if q.Status == runs.FiringDue {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.Trigger, b.Trigger))
	})
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

// RecordFiring changes the status of a firing.
func (s *Store) RecordFiring(_ context.Context, f runs.Firing, was runs.FiringStatus, told ...events.Event) (recorded bool, err error) {
	err = s.call(func() error {
		known := s.firing(f.Trigger, f.Event)
		if recorded = known != nil && known.Status == was; recorded {
			*known = f
			s.tell(told)
		}
		return nil
	})
	return recorded && err == nil, err
}
