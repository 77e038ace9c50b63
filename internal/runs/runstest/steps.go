package runstest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// leftovers are what steps leave behind and wait for.
type leftovers struct {
	logs      []runs.LogChunk
	artifacts []runs.Artifact
	tickets   []runs.Ticket // in the order they came
	passages  []passage
	cache     map[string]cached
}

// passage is an entry that a rate counts.
type passage struct {
	pool string
	at   time.Time
}

type cached struct {
	data    json.RawMessage
	expires time.Time
}

func (l *leftovers) leave(run string) {
	l.tickets = slices.DeleteFunc(l.tickets, func(t runs.Ticket) bool { return t.Run == run })
}

func (l *leftovers) leavePool(run string, gone runs.Leaving) {
	l.tickets = slices.DeleteFunc(l.tickets, func(t runs.Ticket) bool {
		return t.Run == run && t.Step == gone.Step && t.Pool == gone.Pool
	})
}

// AppendLogs adds what steps have written.
func (s *Store) AppendLogs(_ context.Context, chunks []runs.LogChunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range chunks {
		c.ID, c.Data = int64(len(s.steps.logs)+1), bytes.Clone(c.Data)
		s.steps.logs = append(s.steps.logs, c)
	}
	return nil
}

// Logs returns chunks of a run.
func (s *Store) Logs(_ context.Context, run string, after int64, limit int) ([]runs.LogChunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runs.LogChunk
	for _, c := range s.steps.logs {
		if c.Run == run && c.ID > after && (limit <= 0 || len(out) < limit) {
			out = append(out, c)
		}
	}
	return out, nil
}

// PutArtifact keeps a file of a step.
func (s *Store) PutArtifact(_ context.Context, a runs.Artifact, data []byte) error {
	sum := sha256.Sum256(data)
	a.Digest, a.Size = hex.EncodeToString(sum[:]), int64(len(data))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs["artifact/"+a.Digest] = append([]byte{}, data...)
	s.steps.artifacts = slices.DeleteFunc(s.steps.artifacts, func(old runs.Artifact) bool {
		return old.Run == a.Run && old.Step == a.Step && old.Path == a.Path
	})
	s.steps.artifacts = append(s.steps.artifacts, a)
	return nil
}

// Artifacts lists the files kept of a run.
func (s *Store) Artifacts(_ context.Context, run string) ([]runs.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runs.Artifact
	for _, a := range s.steps.artifacts {
		if a.Run == run {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b runs.Artifact) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Path, b.Path))
	})
	return out, nil
}

// Signal adds a signal to a run.
func (s *Store) Signal(_ context.Context, run string, signal workflow.Signal, told ...events.Event) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[run]
	switch {
	case r == nil:
		return 0, runs.ErrNotFound
	case r.run.Status.Ended():
		return 0, runs.ErrEnded
	}
	signal.Sequence, signal.Data = int64(len(r.signals)+1), bytes.Clone(signal.Data)
	r.signals = append(r.signals, signal)
	s.tell(told)
	return signal.Sequence, nil
}

// Signals returns the signals of a run.
func (s *Store) Signals(_ context.Context, run string, after int64) ([]workflow.Signal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []workflow.Signal
	if r := s.runs[run]; r != nil {
		for _, signal := range r.signals {
			if signal.Sequence > after {
				out = append(out, signal)
			}
		}
	}
	return out, nil
}

// Calls tells what is asked of runs.
func (s *Store) Calls(context.Context) (map[string]runs.Call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]runs.Call{}
	for id, r := range s.runs {
		if !r.run.Status.Ended() {
			out[id] = runs.Call{Cancelling: r.run.Cancelling, Signal: int64(len(r.signals))}
		}
	}
	return out, nil
}

// Cache keeps data under a key.
func (s *Store) Cache(_ context.Context, key string, data json.RawMessage, _ bool, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps.cache == nil {
		s.steps.cache = map[string]cached{}
	}
	s.steps.cache[key] = cached{bytes.Clone(data), expires}
	return nil
}

// Cached returns what was kept under a key.
func (s *Store) Cached(_ context.Context, key string, now time.Time) (json.RawMessage, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.steps.cache[key]
	if !ok || !c.expires.IsZero() && !now.Before(c.expires) {
		return nil, false, nil
	}
	return c.data, true, nil
}

// EnterPools queues steps for pools.
func (s *Store) EnterPools(_ context.Context, lease runs.Lease, tickets []runs.Ticket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[lease.Run]
	switch {
	case r == nil:
		return runs.ErrNotFound
	case r.token != lease.Token || r.run.Status.Ended():
		return runs.ErrFenced
	}
	for _, t := range tickets {
		t.Run, t.Granted = lease.Run, time.Time{}
		if !slices.ContainsFunc(s.steps.tickets, func(old runs.Ticket) bool { return old.Run == t.Run && old.Step == t.Step }) {
			s.steps.tickets = append(s.steps.tickets, t)
		}
	}
	return nil
}

// GrantPools lets steps into the pools of a run.
func (s *Store) GrantPools(_ context.Context, run string, now time.Time) (out runs.Grant, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pools []string
	for _, t := range s.steps.tickets {
		if t.Run == run && !slices.Contains(pools, t.Pool) {
			pools = append(pools, t.Pool)
		}
	}
	s.steps.tickets = slices.DeleteFunc(s.steps.tickets, func(t runs.Ticket) bool {
		return slices.Contains(pools, t.Pool) && !s.runs[t.Run].held
	})
	waiting := map[string]int{}
	count := func(by int) {
		for _, t := range s.steps.tickets {
			if t.Run != run && !t.Granted.IsZero() {
				waiting[t.Run] += by
			}
		}
	}
	count(-1)
	for _, pool := range pools {
		if at := s.steps.grant(pool, now); !at.IsZero() && (out.Next.IsZero() || at.Before(out.Next)) {
			out.Next = at
		}
	}
	count(1)
	for other, more := range waiting {
		if more > 0 {
			out.Others = append(out.Others, other)
		}
	}
	slices.Sort(out.Others)
	for _, t := range s.steps.tickets {
		if t.Run == run && !t.Granted.IsZero() {
			out.Steps = append(out.Steps, t.Step)
		}
	}
	slices.Sort(out.Steps)
	return out, nil
}

// grant lets in who may enter a pool, and returns when the next may because of
// a rate.
func (l *leftovers) grant(pool string, now time.Time) time.Time {
	for {
		in := 0
		var first *runs.Ticket
		for i := range l.tickets {
			t := &l.tickets[i]
			switch {
			case t.Pool != pool:
			case !t.Granted.IsZero():
				in++
			case first == nil || t.Priority > first.Priority:
				first = t
			}
		}
		if first == nil || first.Limit > 0 && in >= first.Limit {
			return time.Time{}
		}
		if first.Rate > 0 {
			var recent []time.Time
			for _, p := range l.passages {
				if p.pool == pool && now.Sub(p.at) < first.Per {
					recent = append(recent, p.at)
				}
			}
			if len(recent) >= first.Rate {
				slices.SortFunc(recent, time.Time.Compare)
				return recent[len(recent)-first.Rate].Add(first.Per)
			}
			l.passages = append(l.passages, passage{pool, now})
		}
		first.Granted = now
	}
}

// Pools lists who is in a pool and who waits.
func (s *Store) Pools(context.Context) ([]runs.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.steps.tickets)
	out = slices.DeleteFunc(out, func(t runs.Ticket) bool { return !s.runs[t.Run].held })
	slices.SortStableFunc(out, func(a, b runs.Ticket) int {
		if c := cmp.Compare(a.Pool, b.Pool); c != 0 {
			return c
		}
		if a.Granted.IsZero() != b.Granted.IsZero() {
			if a.Granted.IsZero() {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Granted.Compare(b.Granted), cmp.Compare(b.Priority, a.Priority))
	})
	return out, nil
}
