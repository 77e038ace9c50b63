package runstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// FeedStore is a store with all that triggers need of it.
type FeedStore interface {
	runs.Store
	runs.EventStore
}

// CheckEventStore holds an empty store to the contract of [runs.EventStore], and to
// that of Enqueue.
func CheckEventStore(t *testing.T, s FeedStore) {
	t.Helper()
	checkInbox(t, s)
	checkAdvance(t, s)
	checkEnqueue(t, s)
	checkBegin(t, s)
	checkStartRace(t, s)
}

func outside(id, digest string) runs.Inbound {
	return runs.Inbound{Event: events.Event{ID: id, Source: "/a", Type: "t", Time: minute(1), Data: json.RawMessage(`{"n":1}`)}, Digest: digest}
}

func checkInbox(t *testing.T, s FeedStore) {
	ctx := context.Background()
	accept := func(want []runs.Accepted, list ...runs.Inbound) {
		t.Helper()
		got, err := s.Accept(ctx, list)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("accepted (-want +got): %v\n%s", err, d)
		}
	}
	extra := outside("x", "")
	extra.Extra = json.RawMessage(`{"team":"a"}`)
	accept([]runs.Accepted{{Sequence: 1}}, extra)
	accept([]runs.Accepted{{Sequence: 1, Duplicate: true}, {Sequence: 2}}, outside("x", "other"), outside("y", "body"))
	accept([]runs.Accepted{{Sequence: 2, Duplicate: true}}, outside("another id", "body"))
	// The events of one request have the same digest, and one may be there twice.
	accept([]runs.Accepted{{Sequence: 3}, {Sequence: 4}, {Sequence: 3, Duplicate: true}}, outside("p", "both"), outside("q", "both"), outside("p", "both"))
	if err := s.Record(ctx, events.Event{Source: "/state//prod", Type: "run.failed", Time: minute(2)}); err != nil {
		t.Error(err)
	}
	fed, err := s.Fed(ctx, 3, 2)
	if err != nil || len(fed) != 2 || fed[0].Sequence != 4 || !fed[0].Outside || fed[1].Outside || fed[0].At.IsZero() || !fed[1].At.Equal(minute(2)) {
		t.Errorf("fed: %v %+v", err, fed)
	}
	first, err := s.Fed(ctx, 0, 1)
	if err != nil || len(first) != 1 {
		t.Fatal(err)
	}
	document, err := first[0].JSON()
	want := `{"data":{"n":1},"id":"x","source":"/a","specversion":"1.0","team":"a","time":"1970-01-01T00:01:00Z","type":"t"}`
	if string(document) != want || err != nil {
		t.Errorf("%s, %v", document, err)
	}
}

func checkAdvance(t *testing.T, s FeedStore) {
	ctx := context.Background()
	known := func(want runs.Position, since []int64, states []string, triggers ...runs.WindowState) runs.Position {
		t.Helper()
		at, got, err := s.Follow(ctx, triggers)
		if err != nil || at != want || len(got) != len(triggers) {
			t.Fatalf("%v at %v with %v, not at %v", err, at, got, want)
		}
		for i, w := range got {
			if w.Since != since[i] || string(w.State) != states[i] {
				t.Errorf("%s knows %q since %d", w.Trigger, w.State, w.Since)
			}
		}
		return at
	}
	a, b := runs.WindowState{Trigger: "a", Rule: "1"}, runs.WindowState{Trigger: "b", Rule: "1"}
	at := known(runs.Position{Sequence: 5, Version: 1}, []int64{5}, []string{""}, a)
	a.State = []byte("s")
	firing := runs.Firing{Trigger: "a", Event: 5, Events: []int64{4, 5}, Key: `"k"`, At: minute(3), Depth: 2, Suppressed: 1, Status: runs.FiringDue, Run: "r"}
	next, moved, err := s.Advance(ctx, runs.Progress{From: at, To: 6, Firings: []runs.Firing{firing}, Windows: []runs.WindowState{a}, Events: []events.Event{{Source: "/t", Type: "trigger.x"}}})
	if err != nil || !moved || next != (runs.Position{Sequence: 6, Version: 2}) {
		t.Fatal(next, moved, err)
	}
	// Nobody goes the same way twice.
	a.State = []byte("twice")
	if _, moved, err := s.Advance(ctx, runs.Progress{From: at, To: 6, Windows: []runs.WindowState{a}}); moved || err != nil {
		t.Error(moved, err)
	}
	known(next, []int64{5, 6}, []string{"s", ""}, a, b)
	// Another rule begins anew, and what is gone is forgotten.
	b.State = []byte("b")
	if next, moved, err = s.Advance(ctx, runs.Progress{From: next, To: 6, Windows: []runs.WindowState{b}}); !moved || err != nil {
		t.Error(moved, err)
	}
	a.Rule = "2"
	known(next, []int64{5}, []string{""}, a)
	known(next, []int64{5, 6}, []string{"", ""}, a, b)
	// A firing that is there stays as it is.
	again := firing
	again.Run, again.Events = "other", nil
	dead := runs.Firing{Trigger: "b", Event: 4, Events: []int64{4}, At: minute(3), Status: runs.FiringDead, Run: "d", Problem: "p", Unmatched: true}
	if _, moved, err = s.Advance(ctx, runs.Progress{From: next, To: 6, Firings: []runs.Firing{again, dead}}); !moved || err != nil {
		t.Error(moved, err)
	}
	listed := func(q runs.FiringQuery, want ...runs.Firing) {
		t.Helper()
		got, err := s.Firings(ctx, q)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("firings (-want +got): %v\n%s", err, d)
		}
	}
	listed(runs.FiringQuery{}, firing, dead)
	listed(runs.FiringQuery{Limit: 1}, firing)
	listed(runs.FiringQuery{Before: 5}, dead)
	listed(runs.FiringQuery{Trigger: "a"}, firing)
	listed(runs.FiringQuery{Event: 4}, dead)
	listed(runs.FiringQuery{Status: runs.FiringDue}, firing)
	dead.Status, dead.Problem = runs.FiringDue, ""
	for i, want := range []bool{true, false} {
		if recorded, err := s.RecordFiring(ctx, dead, runs.FiringDead, events.Event{Source: "/t", Type: "trigger.y"}); recorded != want || err != nil {
			t.Error(i, recorded, err)
		}
	}
	listed(runs.FiringQuery{Status: runs.FiringDue}, dead, firing)
	_, last, err := s.Events(ctx, 0, 0)
	if err != nil || last != 7 {
		t.Errorf("the feed ends with event %d: %v", last, err)
	}
}

func newRun(id string, cause *runs.Cause) runs.NewRun {
	return runs.NewRun{
		Run:        runs.Run{ID: id, Kind: runs.WorkflowKind, Key: Key, Status: runs.Pending, Created: minute(1), Blob: "definition/x", Cause: cause},
		Definition: []byte("definition"),
		Entries:    []workflow.Entry{{Sequence: 1, Time: minute(1), Kind: workflow.RunStarted, Step: -1, Data: json.RawMessage(`{}`)}},
		Events:     []events.Event{{ID: id + "-1", Source: "/state//default", Type: "run.started", Subject: id}},
	}
}

func checkEnqueue(t *testing.T, s FeedStore) {
	ctx := context.Background()
	cause := &runs.Cause{Trigger: "a", Event: 5, Depth: 2}
	if err := s.Enqueue(ctx, newRun("r", cause)); err != nil {
		t.Fatal(err)
	}
	run, err := s.Run(ctx, "r")
	if err != nil || run.Status != runs.Pending || run.Cause == nil || *run.Cause != *cause {
		t.Errorf("%+v, %v", run, err)
	}
	if entries, err := s.Read(ctx, "r", 0); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
	if blob, err := s.Blob(ctx, "definition/x"); err != nil || string(blob) != "definition" {
		t.Errorf("%q, %v", blob, err)
	}
	for what, n := range map[string]runs.NewRun{
		"that there is":                     newRun("r", nil),
		"of a firing that has its run":      newRun("r2", cause),
		"of a firing that never came to be": newRun("r2", &runs.Cause{Trigger: "a", Event: 1}),
	} {
		if err := s.Enqueue(ctx, n); !errors.Is(err, states.ErrExists) {
			t.Errorf("a run %s: %v", what, err)
		}
	}
	if _, err := s.Run(ctx, "r2"); !errors.Is(err, runs.ErrNotFound) {
		t.Error(err)
	}
	// Somebody takes it over, and goes on with it.
	lease, err := s.Acquire(ctx, "r")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	run.Status = runs.Succeeded
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Run: &run, Entries: []workflow.Entry{{Sequence: 2, Kind: workflow.RunFinished, Step: -1}}}}); err != nil {
		t.Error(err)
	}
	if run, err = s.Run(ctx, "r"); err != nil || run.Status != runs.Succeeded || run.Cause == nil {
		t.Errorf("%+v, %v", run, err)
	}
}

// checkBegin makes a run that its maker drives.
func checkBegin(t *testing.T, s FeedStore) {
	ctx := context.Background()
	n := newRun("b", nil)
	n.Run.Status = runs.Running
	lease, err := s.Begin(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(ctx, "b"); !errors.Is(err, runs.ErrHeld) {
		t.Errorf("taken from its maker: %v", err)
	}
	if run, err := s.Run(ctx, "b"); err != nil || run.Status != runs.Running {
		t.Errorf("%+v, %v", run, err)
	}
	if entries, err := s.Read(ctx, "b", 0); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
	lease.Release()
	if _, err := s.Begin(ctx, n); !errors.Is(err, states.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if run, err := s.Run(ctx, "b"); err != nil || run.Status != runs.Interrupted {
		t.Errorf("let go: %+v, %v", run, err)
	}
	if lease, err = s.Acquire(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	run := n.Run
	run.Status = runs.Succeeded
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Run: &run, Entries: []workflow.Entry{{Sequence: 2, Kind: workflow.RunFinished, Step: -1}}}}); err != nil {
		t.Error(err)
	}
}

// checkStartRace has several start the run of one firing.
func checkStartRace(t *testing.T, s FeedStore) {
	ctx := context.Background()
	var all sync.WaitGroup
	started := make(chan string, 8)
	for i := range cap(started) {
		all.Go(func() {
			id := fmt.Sprint("race-", i)
			if err := s.Enqueue(ctx, newRun(id, &runs.Cause{Trigger: "b", Event: 4})); err == nil {
				started <- id
			}
		})
	}
	all.Wait()
	if len(started) != 1 {
		t.Errorf("%d runs were started", len(started))
	}
}
