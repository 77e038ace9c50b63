package runstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// TestStore checks that a store keeps to its contract: a new store is done when
// this passes. open makes an empty store that is closed when the test ends; it
// may be closed before.
func TestStore(t *testing.T, open func(t testing.TB) runs.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s suite)
	}{
		{"Journal", testJournal},
		{"SensitiveEntries", testSensitiveEntries},
		{"RefusedCommits", testRefusedCommits},
		{"Logs", testLogs},
		{"Artifacts", testArtifacts},
		{"Signals", testSignals},
		{"Cache", testCache},
		{"PoolLimit", testPoolLimit},
		{"PoolRate", testPoolRate},
		{"PoolOrder", testPoolOrder},
		{"PoolOwners", testPoolOwners},
		{"PoolModel", testPoolModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, suite{t: t, Store: open(t), open: open}) })
	}
}

// suite is a store under test.
type suite struct {
	t testing.TB
	runs.Store
	open func(t testing.TB) runs.Store
}

// epoch is when the suite takes place.
var epoch = time.Date(2100, 1, 2, 3, 4, 5, 6, time.UTC)

func (s suite) start(id string) runs.Lease {
	s.t.Helper()
	run := runs.Run{ID: id, Kind: "workflow", Key: states.Key{Environment: "default"}, Status: runs.Running, Created: epoch, Blob: "definition/" + id}
	lease, err := s.Start(context.Background(), run, []byte("definition"), runs.Claim{}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(lease.Release)
	return lease
}

func (s suite) end(lease runs.Lease) {
	s.t.Helper()
	run := runs.Run{ID: lease.Run, Key: states.Key{Environment: "default"}, Status: runs.Succeeded, Created: epoch}
	s.must(s.Commit(context.Background(), []runs.Commit{{Lease: lease, Run: &run}}))
}

func (s suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s suite) equal(what string, want, got any) {
	s.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		s.t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func entry(sequence int64, data string) workflow.Entry {
	e := workflow.Entry{Sequence: sequence, Time: epoch.Add(time.Duration(sequence)), Kind: workflow.StepSucceeded, Step: int(sequence)}
	if data != "" {
		e.Data = json.RawMessage(data)
	}
	return e
}

func testJournal(t *testing.T, s suite) {
	ctx := context.Background()
	lease, other := s.start("run"), s.start("other")
	var want []workflow.Entry
	for _, size := range []int{1, 0, 2, 7, 8, 9, 63, 64, 65, 130, 1500} {
		var entries []workflow.Entry
		for range size {
			e := entry(int64(len(want)+1), "")
			if e.Sequence%3 == 0 {
				e.Data = json.RawMessage(fmt.Sprintf(`{"n":%d}`, e.Sequence))
			}
			entries, want = append(entries, e), append(want, e)
		}
		s.must(s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: entries}}))
	}
	s.must(s.Commit(ctx, []runs.Commit{{Lease: other, Entries: []workflow.Entry{entry(1, `1`)}}, {Lease: other, Entries: []workflow.Entry{entry(2, `2`)}}}))
	for _, after := range []int64{0, 1, 100, int64(len(want))} {
		got, err := s.Read(ctx, "run", after)
		s.must(err)
		s.equal("entries", want[after:], append([]workflow.Entry{}, got...))
	}
	var each []workflow.Entry
	late := entry(int64(len(want)+1), `"late"`)
	s.must(s.Each(ctx, "run", 5, func(e workflow.Entry) error {
		if each = append(each, e); len(each) == 1 {
			s.must(s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: []workflow.Entry{late}}}))
		}
		return nil
	}))
	want = append(want, late)
	s.equal("entries one by one", want[5:], each)
	enough, seen := errors.New("enough"), 0
	if err := s.Each(ctx, "run", 0, func(workflow.Entry) error { seen++; return enough }); !errors.Is(err, enough) || seen != 1 {
		t.Errorf("after %d entries: %v", seen, err)
	}
	recorded, err := s.Recorded(ctx, "run")
	s.must(err)
	s.equal("number of recorded entries", len(want), len(recorded))
	s.equal("recorded entry", want[2], recorded[2].Entry)
	if _, err := s.Recorded(ctx, "nobody"); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("recorded of an unknown run: %v", err)
	}
}

func testSensitiveEntries(t *testing.T, s suite) {
	ctx := context.Background()
	lease := s.start("run")
	want := []workflow.Entry{entry(1, `"plain"`), entry(2, `"secret"`), entry(3, `"plain"`)}
	want[1].Sensitive = true
	s.must(s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: want}}))
	got, err := s.Read(ctx, "run", 0)
	s.must(err)
	s.equal("entries", want, got)
	recorded, err := s.Recorded(ctx, "run")
	s.must(err)
	s.equal("recorded", want[1], recorded[1].Entry)
}

func testRefusedCommits(t *testing.T, s suite) {
	ctx := context.Background()
	lease, other := s.start("run"), s.start("other")
	good := runs.Commit{Lease: other, Entries: []workflow.Entry{entry(1, "")}}
	outdated := lease
	outdated.Token--
	for name, bad := range map[string]runs.Commit{
		"outdated lease": {Lease: outdated, Entries: []workflow.Entry{entry(1, "")}},
		"unknown run":    {Lease: runs.Lease{Run: "nobody", Token: 1}, Entries: []workflow.Entry{entry(1, "")}},
		"gap":            {Lease: lease, Entries: []workflow.Entry{entry(1, ""), entry(3, "")}},
		"late start":     {Lease: lease, Entries: []workflow.Entry{entry(2, "")}},
		"rewritten past": {Lease: lease, Entries: []workflow.Entry{entry(0, "")}},
	} {
		if err := s.Commit(ctx, []runs.Commit{bad}); err == nil {
			t.Errorf("%s: not refused", name)
		} else if name == "outdated lease" && !errors.Is(err, runs.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, run := range []string{"run", "other"} {
		entries, err := s.Read(ctx, run, 0)
		s.must(err)
		s.equal("entries", 0, len(entries))
	}
	s.must(s.Commit(ctx, []runs.Commit{good}))
	s.end(lease)
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: []workflow.Entry{entry(1, "")}}}); !errors.Is(err, runs.ErrFenced) {
		t.Errorf("after the end: %v", err)
	}
}

func testLogs(t *testing.T, s suite) {
	ctx := context.Background()
	s.must(s.AppendLogs(ctx, nil))
	var want []runs.LogChunk
	for batch := range 4 {
		var chunks []runs.LogChunk
		for i := range 1 + batch*30 {
			c := runs.LogChunk{ID: 77, Run: "run", Step: i, Name: "build", Stream: "stdout", Time: epoch.Add(time.Duration(i)), Data: []byte(fmt.Sprint(batch, i, "\n\x00\xff"))}
			if i%3 == 1 {
				c.Run = "other"
			}
			chunks = append(chunks, c)
		}
		s.must(s.AppendLogs(ctx, chunks))
		for _, c := range chunks {
			if c.Run == "run" {
				want = append(want, c)
			}
		}
	}
	got, err := s.Logs(ctx, "run", 0, 0)
	s.must(err)
	last := int64(0)
	for i := range got {
		if got[i].ID <= last {
			t.Fatalf("chunk %d comes behind %d", got[i].ID, last)
		}
		last = got[i].ID
		if i < len(want) {
			want[i].ID = last
		}
	}
	s.equal("logs", want, got)
	middle, err := s.Logs(ctx, "run", got[4].ID, 3)
	s.must(err)
	s.equal("three chunks", want[5:8], middle)
	for _, run := range []string{"run", "nobody"} {
		list, err := s.Logs(ctx, run, last, 0)
		s.must(err)
		s.equal("chunks behind the last of "+run, 0, len(list))
	}
}

func testArtifacts(t *testing.T, s suite) {
	ctx := context.Background()
	digest := func(data string) string {
		sum := sha256.Sum256([]byte(data))
		return hex.EncodeToString(sum[:])
	}
	a := runs.Artifact{Run: "run", Step: 2, Name: "build", Path: "out/b", Time: epoch, Digest: "wrong", Size: -1}
	put := func(a runs.Artifact, data string) runs.Artifact {
		t.Helper()
		s.must(s.PutArtifact(ctx, a, []byte(data)))
		a.Digest, a.Size = digest(data), int64(len(data))
		return a
	}
	put(a, "before")
	b := put(a, "after")
	a.Path = "out/a"
	empty := put(a, "")
	a.Step = 1
	first := put(a, "after")
	a.Run = "other"
	put(a, "another run's")
	got, err := s.Artifacts(ctx, "run")
	s.must(err)
	s.equal("artifacts", []runs.Artifact{first, empty, b}, got)
	for _, want := range []string{"after", ""} {
		data, err := s.Blob(ctx, "artifact/"+digest(want))
		s.must(err)
		s.equal("bytes", want, string(data))
	}
}

func testSignals(t *testing.T, s suite) {
	ctx := context.Background()
	lease, other := s.start("run"), s.start("other")
	signal := workflow.Signal{Sequence: 99, Kind: workflow.SignalEvent, Name: "paid", By: "ana", Time: epoch, Data: json.RawMessage(`{"n":1}`)}
	var want []workflow.Signal
	for i := range 3 {
		number, err := s.Signal(ctx, "run", signal)
		s.must(err)
		s.equal("number", int64(i+1), number)
		kept := signal
		kept.Sequence = number
		want = append(want, kept)
		signal.Kind, signal.Data = workflow.SignalApprove, nil
	}
	number, err := s.Signal(ctx, "other", signal)
	s.must(err)
	s.equal("number in another run", int64(1), number)
	for _, after := range []int64{0, 2, 3} {
		got, err := s.Signals(ctx, "run", after)
		s.must(err)
		s.equal("signals", want[after:], append([]workflow.Signal{}, got...))
	}
	if _, err := s.Signal(ctx, "nobody", signal); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("to an unknown run: %v", err)
	}
	_, err = s.RequestCancel(ctx, "other")
	s.must(err)
	calls := func(want map[string]runs.Call) {
		t.Helper()
		got, err := s.Calls(ctx)
		s.must(err)
		s.equal("calls", want, got)
	}
	calls(map[string]runs.Call{"run": {Signal: 3}, "other": {Signal: 1, Cancelling: 1}})
	s.end(lease)
	calls(map[string]runs.Call{"other": {Signal: 1, Cancelling: 1}})
	if _, err := s.Signal(ctx, "run", signal); !errors.Is(err, runs.ErrEnded) {
		t.Errorf("to a run that has ended: %v", err)
	}
	got, err := s.Signals(ctx, "run", 0)
	s.must(err)
	s.equal("signals after the end", want, got)
	other.Release()
	if number, err = s.Signal(ctx, "other", signal); err != nil || number != 2 {
		t.Errorf("to an interrupted run: %d, %v", number, err)
	}
}

func testCache(t *testing.T, s suite) {
	ctx := context.Background()
	look := func(key string, at time.Time, want string) {
		t.Helper()
		data, ok, err := s.Cached(ctx, key, at)
		s.must(err)
		if ok != (want != "") || string(data) != want {
			t.Errorf("%s at %s: %s, %v; want %q", key, at, data, ok, want)
		}
	}
	look("a", epoch, "")
	s.must(s.Cache(ctx, "a", json.RawMessage(`1`), false, time.Time{}))
	s.must(s.Cache(ctx, "b", json.RawMessage(`2`), true, epoch.Add(time.Hour)))
	look("a", epoch.AddDate(50, 0, 0), `1`)
	look("b", epoch.Add(time.Hour-1), `2`)
	look("b", epoch.Add(time.Hour), "")
	s.must(s.Cache(ctx, "a", json.RawMessage(`"new"`), true, epoch))
	look("a", epoch.Add(-1), `"new"`)
	look("a", epoch, "")
	s.must(s.Cache(ctx, "b", json.RawMessage(`3`), false, time.Time{}))
	look("b", epoch.AddDate(1, 0, 0), `3`)
}
