// Package runstest has doubles for testing what uses runs: a store in memory
// that can be told to fail or to die, and an executor over a pretended world.
package runstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Store is a [runs.Store] in memory. It holds to the whole contract, and checks
// more strictly than it must: journals without gaps, rows only of claimed
// objects.
type Store struct {
	mu      sync.Mutex
	states  map[states.Key]*states.State
	history map[states.Key][]states.Revision
	runs    map[string]*stored
	order   []string
	blobs   map[string][]byte
	feed    []events.Link
	chain   events.Chain
	token   int64
	commits int
	steps   leftovers
	inbox   inbox

	// OnCommit, where set, is asked before the n-th commit (from 1) takes effect.
	// Its error is returned; where written is true the commit takes effect all
	// the same, as if only the answer had been lost.
	OnCommit func(n int) (written bool, err error)
	// OnCall, where set, is asked before every writing call of [runs.EventStore], and
	// Enqueue, takes effect; what it returns means the same.
	OnCall func() (done bool, err error)
}

type stored struct {
	run     runs.Run
	claimed map[addrs.Object]bool
	journal []runs.Recorded
	signals []workflow.Signal
	token   int64
	held    bool
}

var _ runs.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		states: map[states.Key]*states.State{}, history: map[states.Key][]states.Revision{},
		runs: map[string]*stored{}, blobs: map[string][]byte{},
	}
}

// Commits counts the commits so far.
func (s *Store) Commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

func (s *Store) state(key states.Key) *states.State {
	st := s.states[key]
	if st == nil {
		st = states.New()
		st.Lineage = "memory"
		s.states[key] = st
	}
	return st
}

// State returns a snapshot.
func (s *Store) State(_ context.Context, key states.Key) (*states.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(key).Clone(), nil
}

// Environments lists the environments of a stack.
func (s *Store) Environments(_ context.Context, stack string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{"default"}
	for key := range s.states {
		if key.Stack == stack && key.Environment != "default" {
			out = append(out, key.Environment)
		}
	}
	slices.Sort(out)
	return out, nil
}

// CreateEnvironment makes an empty environment.
func (s *Store) CreateEnvironment(_ context.Context, key states.Key, told ...events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[key] != nil || key.Environment == "default" {
		return states.ErrExists
	}
	s.state(key)
	s.tell(told)
	return nil
}

// DeleteEnvironment removes an environment.
func (s *Store) DeleteEnvironment(_ context.Context, key states.Key, told ...events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, key)
	s.tell(told)
	return nil
}

// Write applies changes outside a run.
func (s *Store) Write(_ context.Context, key states.Key, w states.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var objects []addrs.Object
	expect := map[addrs.Object]int64{}
	for _, c := range w.Changes {
		objects = append(objects, c.Object)
		if expect[c.Object] = 0; c.Before != nil {
			expect[c.Object] = c.Before.Version
		}
	}
	if err := s.check(key, runs.Claim{Objects: objects, Expect: expect}); err != nil {
		return err
	}
	st := s.state(key)
	s.rows(key, "", w.Cause, w.Changes)
	s.tell(w.Events)
	s.outputs(st, w.Outputs)
	if w.CheckResults != nil {
		st.CheckResults = w.CheckResults
	}
	if w.Lineage != "" {
		st.Lineage, st.Serial, st.TerraformVersion = w.Lineage, w.Serial, w.TerraformVersion
	}
	return nil
}

// History returns revisions, newest first.
func (s *Store) History(_ context.Context, key states.Key, object *addrs.Object) ([]states.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []states.Revision
	for _, r := range slices.Backward(s.history[key]) {
		if object == nil || r.Object == *object {
			out = append(out, r)
		}
	}
	return out, nil
}

// check fails where another run holds an object or a version is another.
func (s *Store) check(key states.Key, claim runs.Claim) error {
	var claimed states.ClaimError
	for _, id := range s.order {
		r := s.runs[id]
		if r.run.Key != key || r.run.Status.Ended() {
			continue
		}
		for _, o := range claim.Objects {
			if r.claimed[o] {
				claimed.Run, claimed.Objects = id, append(claimed.Objects, o)
			}
		}
	}
	if len(claimed.Objects) > 0 {
		return &claimed
	}
	var stale states.StaleError
	for o, want := range claim.Expect {
		have := int64(0)
		if inst := s.state(key).Instances[o]; inst != nil {
			have = inst.Version
		}
		if have != want {
			stale.Objects = append(stale.Objects, o)
		}
	}
	if len(stale.Objects) > 0 {
		return &stale
	}
	return nil
}

// rows writes rows as they are.
func (s *Store) rows(key states.Key, run, cause string, changes []states.Change) {
	st := s.state(key)
	for _, c := range changes {
		before := st.Instances[c.Object]
		s.history[key] = append(s.history[key], states.Revision{Object: c.Object, Run: run, Cause: cause, Before: before, After: c.After})
		if c.After == nil {
			delete(st.Instances, c.Object)
			continue
		}
		inst := *c.After
		inst.Version = 1
		if before != nil {
			inst.Version = before.Version + 1
		}
		st.Instances[c.Object] = &inst
	}
	if len(changes) > 0 {
		st.Serial++
	}
}

func (s *Store) outputs(st *states.State, outputs map[string]*states.Output) {
	for name, o := range outputs {
		if o == nil {
			delete(st.Outputs, name)
		} else {
			st.Outputs[name] = o
		}
	}
}

// Start creates a run with its claim.
func (s *Store) Start(_ context.Context, run runs.Run, plan []byte, claim runs.Claim, adjust []states.Change) (runs.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[run.ID] != nil {
		return runs.Lease{}, fmt.Errorf("run %s: %w", run.ID, states.ErrExists)
	}
	if err := s.check(run.Key, claim); err != nil {
		return runs.Lease{}, err
	}
	claimed := make(map[addrs.Object]bool, len(claim.Objects))
	for _, o := range claim.Objects {
		claimed[o] = true
	}
	s.runs[run.ID] = &stored{run: run, claimed: claimed}
	s.order = append(s.order, run.ID)
	s.blobs[run.Blob] = plan
	s.rows(run.Key, run.ID, "refresh", adjust)
	return s.lease(run.ID), nil
}

func (s *Store) lease(id string) runs.Lease {
	s.token++
	r := s.runs[id]
	r.token, r.held = s.token, true
	token := s.token
	return runs.Lease{Run: id, Token: token, Release: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.token == token {
			r.held = false
		}
	}}
}

// Acquire takes over a run that nobody holds.
func (s *Store) Acquire(_ context.Context, run string) (runs.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[run]
	switch {
	case r == nil:
		return runs.Lease{}, runs.ErrNotFound
	case r.held:
		return runs.Lease{}, runs.ErrHeld
	}
	r.run.Cancelling = 0
	s.steps.leave(run)
	return s.lease(run), nil
}

// Transfer moves objects between states.
func (s *Store) Transfer(_ context.Context, moves []states.Transfer, told ...events.Event) error {
	if err := states.CheckTransfers(moves); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	claims, leaving := map[states.Key]*runs.Claim{}, map[states.Key]map[addrs.Object]bool{}
	claim := func(key states.Key) *runs.Claim {
		if claims[key] == nil {
			claims[key], leaving[key] = &runs.Claim{Expect: map[addrs.Object]int64{}}, map[addrs.Object]bool{}
		}
		return claims[key]
	}
	for _, m := range moves {
		c := claim(m.From)
		c.Objects, c.Expect[m.Object] = append(c.Objects, m.Object), m.Version
		leaving[m.From][m.Object] = true
	}
	for _, m := range moves {
		c := claim(m.To)
		c.Objects = append(c.Objects, m.As)
		if !leaving[m.To][m.As] {
			c.Expect[m.As] = 0
		}
	}
	for key, c := range claims {
		if err := s.check(key, *c); err != nil {
			return err
		}
	}
	rows := make([]states.Instance, len(moves))
	for i, m := range moves {
		rows[i] = *s.state(m.From).Instances[m.Object]
		s.rows(m.From, "", "transfer to "+m.To.String(), []states.Change{{Object: m.Object}})
	}
	for i, m := range moves {
		rows[i].Object, rows[i].Dependencies = m.As, states.TransferredDependencies(rows[i].Dependencies, m, moves)
		s.rows(m.To, "", "transfer from "+m.From.String(), []states.Change{{Object: m.As, After: &rows[i]}})
		s.state(m.To).Instances[m.As].Version = m.ArrivalVersion()
	}
	s.tell(told)
	return nil
}

// Steal makes a run look as if its owner had died, although it goes on: what
// it still writes is refused.
func (s *Store) Steal(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token++
	s.runs[run].token, s.runs[run].held = s.token, false
}

// committing asks what becomes of the next commit: it fails with err before it takes
// effect, or is told to have failed afterwards.
func (s *Store) committing() (failure, err error) {
	s.mu.Lock()
	s.commits++
	n, on := s.commits, s.OnCommit
	s.mu.Unlock()
	if on == nil {
		return nil, nil
	}
	written, err := on(n)
	if written {
		return err, nil
	}
	return nil, err
}

// Commit writes commits.
func (s *Store) Commit(_ context.Context, commits []runs.Commit) error {
	failure, err := s.committing()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range commits {
		if err := s.verify(c); err != nil {
			return err
		}
		s.write(c)
	}
	return failure
}

func (s *Store) verify(c runs.Commit) error {
	r := s.runs[c.Lease.Run]
	if r == nil {
		return runs.ErrNotFound
	}
	if r.token != c.Lease.Token || r.run.Status.Ended() {
		return runs.ErrFenced
	}
	for i, e := range c.Entries {
		if want := int64(len(r.journal) + i + 1); e.Sequence != want {
			return fmt.Errorf("entry %d where %d must follow", e.Sequence, want)
		}
	}
	for _, row := range c.Rows {
		if !r.claimed[row.Object] {
			return fmt.Errorf("row of %s, which the run has not claimed", row.Object)
		}
	}
	if len(c.Rows) > 0 && len(c.Entries) == 0 {
		return fmt.Errorf("rows without an entry")
	}
	return nil
}

func (s *Store) write(c runs.Commit) {
	r := s.runs[c.Lease.Run]
	for i, e := range c.Entries {
		rec := runs.Recorded{Entry: e}
		if i == len(c.Entries)-1 {
			rec.Rows = c.Rows
		}
		r.journal = append(r.journal, rec)
	}
	s.rows(r.run.Key, r.run.ID, c.Cause, c.Rows)
	s.outputs(s.state(r.run.Key), c.Outputs)
	if c.CheckResults != nil {
		s.state(r.run.Key).CheckResults = c.CheckResults
	}
	s.tell(c.Events)
	for _, l := range c.Leaves {
		s.steps.leavePool(r.run.ID, l)
	}
	if c.Run != nil {
		cancelling := r.run.Cancelling
		r.run = *c.Run
		r.run.Cancelling = cancelling
		if r.run.Status.Ended() {
			s.steps.leave(r.run.ID)
		}
	}
}

// Append adds entries to a journal.
func (s *Store) Append(_ context.Context, run string, expected int64, entries []workflow.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[run]
	if r == nil {
		return runs.ErrNotFound
	}
	if int64(len(r.journal)) != expected {
		return fmt.Errorf("the journal of run %s ends at %s, not %d", run, strconv.Itoa(len(r.journal)), expected)
	}
	for _, e := range entries {
		r.journal = append(r.journal, runs.Recorded{Entry: e})
	}
	return nil
}

// Read returns entries of a journal.
func (s *Store) Read(_ context.Context, run string, after int64) ([]workflow.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[run]
	if r == nil {
		return nil, runs.ErrNotFound
	}
	var out []workflow.Entry
	for _, rec := range r.journal {
		if rec.Sequence > after {
			out = append(out, rec.Entry)
		}
	}
	return out, nil
}

// Each calls f with entries of a journal.
func (s *Store) Each(ctx context.Context, run string, after int64, f func(workflow.Entry) error) error {
	for {
		entries, err := s.Read(ctx, run, after)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
			after = e.Sequence
		}
	}
}

// Recorded returns a journal with its rows.
func (s *Store) Recorded(_ context.Context, run string) ([]runs.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[run]
	if r == nil {
		return nil, runs.ErrNotFound
	}
	return slices.Clone(r.journal), nil
}

// Run returns a run; Interrupted where nobody holds it.
func (s *Store) Run(_ context.Context, id string) (runs.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	if r == nil {
		return runs.Run{}, runs.ErrNotFound
	}
	return r.view(), nil
}

func (r *stored) view() runs.Run {
	out := r.run
	if out.Status == runs.Running && !r.held {
		out.Status = runs.Interrupted
	}
	return out
}

// Runs lists runs, newest first.
func (s *Store) Runs(_ context.Context, q runs.RunQuery) ([]runs.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runs.Run
	for _, id := range s.order {
		if r := s.runs[id].view(); q.Chooses(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b runs.Run) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(b.ID, a.ID))
	})
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

// CountRuns implements runs.Store.
func (s *Store) CountRuns(ctx context.Context, q runs.RunQuery) (int, error) {
	q.Limit = 0
	list, err := s.Runs(ctx, q)
	return len(list), err
}

// Unended implements runs.Store.
func (s *Store) Unended(ctx context.Context) ([]runs.Run, error) {
	all, err := s.Runs(ctx, runs.RunQuery{})
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(r runs.Run) bool { return r.Status.Ended() }), err
}

// RequestCancel raises Cancelling.
func (s *Store) RequestCancel(_ context.Context, id string, told ...events.Event) (runs.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	if r == nil {
		return runs.Run{}, runs.ErrNotFound
	}
	if r.run.Cancelling < 2 {
		r.run.Cancelling++
	}
	if !r.run.Status.Ended() {
		s.tell(told)
	}
	return r.view(), nil
}

// Abandon ends an interrupted run.
func (s *Store) Abandon(_ context.Context, id string, told ...events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	switch {
	case r == nil:
		return runs.ErrNotFound
	case r.held:
		return runs.ErrHeld
	case r.run.Status.Ended():
		return fmt.Errorf("run %s: %w", id, runs.ErrEnded)
	}
	r.run.Status, r.run.Waits = runs.Cancelled, ""
	s.steps.leave(id)
	s.tell(told)
	return nil
}

// PutBlob keeps bytes under a name.
func (s *Store) PutBlob(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[name]; !ok {
		s.blobs[name] = data
	}
	return nil
}

// Blob returns what was stored under a name.
func (s *Store) Blob(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[name]
	if !ok {
		return nil, runs.ErrNotFound
	}
	return b, nil
}

// Close does nothing.
func (s *Store) Close() error { return nil }
