package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

var pruneEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// leave makes a run with everything that runs leave. Ended is a day after the epoch;
// negative for one that has not.
func leave(t testing.TB, s *Store, id, parent, blob string, ended int) {
	t.Helper()
	ctx := context.Background()
	run := runs.Run{ID: id, Parent: parent, Kind: "apply", Key: defaultKey, Status: runs.Running, Created: pruneEpoch, Blob: blob, PlanHash: id}
	lease, err := s.Start(ctx, run, []byte("plan of "+blob), runs.Claim{}, nil)
	if err == nil {
		err = s.AppendLogs(ctx, []runs.LogChunk{{Run: id, Name: "a", Stream: "stdout", Data: []byte("said by " + id), Time: pruneEpoch}})
	}
	if err == nil {
		err = s.PutArtifact(ctx, runs.Artifact{Run: id, Step: 1, Path: "own"}, []byte("of "+id))
	}
	if err == nil {
		err = s.PutArtifact(ctx, runs.Artifact{Run: id, Step: 1, Path: "shared"}, []byte("of all"))
	}
	if err == nil {
		_, err = s.Signal(ctx, id, workflow.Signal{Kind: workflow.SignalEvent, Name: "go", Time: pruneEpoch})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := commit(lease, 1, states.Change{Object: object(id), After: instance(id, "made")})
	if ended >= 0 {
		run.Status, run.Ended = runs.Succeeded, pruneEpoch.AddDate(0, 0, ended)
		c.Run = &run
	}
	c.Events = append(c.Events, runs.AuditEvent(defaultKey, "run.succeeded", id, "user:ann", nil))
	if err := s.Commit(ctx, []runs.Commit{c}); err != nil {
		t.Fatal(err)
	}
	lease.Release()
}

func keptOf(t testing.TB, s *Store, id string) (kept []string) {
	t.Helper()
	ctx := context.Background()
	entries, err := s.Read(ctx, id, 0)
	logs, err2 := s.Logs(ctx, id, 0, 0)
	artifacts, err3 := s.Artifacts(ctx, id)
	signals, err4 := s.Signals(ctx, id, 0)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"journal": len(entries), "logs": len(logs), "artifacts": len(artifacts), "signals": len(signals)} {
		if n > 0 {
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	return kept
}

var everything = []string{"artifacts", "journal", "logs", "signals"}

func TestPruneRemovesWhatNothingRefersTo(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	leave(t, s, "old", "", "plan/old", 1)
	leave(t, s, "same", "", "plan/same", 1)
	leave(t, s, "new", "", "plan/same", 50)
	leave(t, s, "open", "", "definition/open", -1)
	leave(t, s, "step", "open", "plan/step", 1)       // its parent may need it
	leave(t, s, "parent", "", "definition/parent", 2) // both have ended
	leave(t, s, "child", "parent", "plan/child", 1)
	before := pruneEpoch.AddDate(0, 0, 30)

	only, err := s.Prune(ctx, before, "user:ann", true)
	want := []string{"child", "old", "parent", "same"}
	if err != nil || !cmp.Equal(only.Runs, want) {
		t.Fatal(only, err)
	}
	if !cmp.Equal(keptOf(t, s, "old"), everything) {
		t.Fatal("only asked, it was removed")
	}
	chain, _ := verify(t, s)
	history, _ := s.History(ctx, defaultKey, nil)

	done, err := s.Prune(ctx, before, "user:ann", false)
	if err != nil || !cmp.Equal(done.Runs, want) {
		t.Fatal(done, err)
	}
	for _, id := range want {
		if kept := keptOf(t, s, id); len(kept) > 0 {
			t.Error(id, "has kept", kept)
		}
		run, err := s.Run(ctx, id)
		if err != nil || !errors.Is(run.Kept(), runs.ErrPruned) || run.Status != runs.Succeeded || run.PlanHash != id {
			t.Error(run, err)
		}
	}
	for _, id := range []string{"new", "open", "step"} {
		if kept := keptOf(t, s, id); !cmp.Equal(kept, everything) {
			t.Error(id, "has kept only", kept)
		}
		if run, err := s.Run(ctx, id); err != nil || run.Kept() != nil {
			t.Error(run, err)
		}
	}
	for name, want := range map[string]bool{
		"plan/old": false, "plan/child": false, "plan/same": true, "plan/step": true, "definition/open": true, "definition/parent": true,
		"artifact/" + digest("of old"): false, "artifact/" + digest("of new"): true, "artifact/" + digest("of all"): true,
	} {
		if _, err := s.Blob(ctx, name); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	// The feed and the history are as they were, with what was done behind them.
	after, broken := verify(t, s)
	if broken != nil || after.Last != chain.Last+1 {
		t.Error(after, broken)
	}
	told, _, err := s.Events(ctx, chain.Last, 0)
	if err != nil || len(told) != 1 || told[0].Type != "store.pruned" || told[0].Actor != "user:ann" || string(told[0].Data) != `{"runs":["child","old","parent","same"]}` {
		t.Errorf("%s, %v", told, err)
	}
	if now, err := s.History(ctx, defaultKey, nil); err != nil || !cmp.Equal(now, history, cmp.Comparer(func(a, b states.Revision) bool { return a.Run == b.Run && a.At.Equal(b.At) })) {
		t.Error("the history has changed", err)
	}

	if again, err := s.Prune(ctx, before, "user:ann", false); err != nil || len(again.Runs) > 0 {
		t.Error(again, err)
	}
	if again, _ := verify(t, s); again.Last != after.Last {
		t.Error("an event was written about nothing")
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Plans of several stacks are carried out by digest: whoever speaks of one keeps it.
func TestPruneKeepsPlansThatAreSpokenOf(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	names := map[string]string{}
	for i, what := range []string{"pruned", "ended", "open", "cached", "unspoken", "young"} {
		p := &stacks.Plan{Environment: "prod", Kind: "apply", Created: pruneEpoch.Add(time.Duration(i)), Program: "1"}
		if what == "young" {
			p.Created = pruneEpoch.AddDate(0, 0, 40)
		}
		data, err := p.Encode(s.hider)
		if err == nil {
			err = s.PutBlob(ctx, stackPlans+p.Digest, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		names[what] = p.Digest
	}
	speak := func(id, digest string, sensitive bool) {
		data, _ := json.Marshal(map[string]string{"plan": digest})
		if err := s.Append(ctx, id, 1, []workflow.Entry{{Sequence: 2, Time: pruneEpoch, Kind: workflow.StepSucceeded, Data: data, Sensitive: sensitive}}); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, s, "pruned", "", "definition/a", 1)
	leave(t, s, "ended", "", "definition/a", 50)
	leave(t, s, "open", "", "definition/a", -1)
	speak("pruned", names["pruned"], false)
	speak("ended", names["ended"], false)
	speak("open", names["open"], true)
	if err := s.Cache(ctx, "key", json.RawMessage(`"`+names["cached"]+`"`), true, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(ctx, pruneEpoch.AddDate(0, 0, 30), "user:ann", false); err != nil {
		t.Fatal(err)
	}
	for what, digest := range names {
		_, err := s.Blob(ctx, stackPlans+digest)
		if want := what != "pruned" && what != "unspoken"; (err == nil) != want {
			t.Errorf("the plan that is %s is there: %v, want %v", what, err == nil, want)
		}
	}
}

// Killed at any moment, pruning is finished by the next one; until then a run has all
// of its journal, or is marked.
func TestPruneCanBeCutOff(t *testing.T) {
	before := pruneEpoch.AddDate(0, 0, 30)
	if dir := os.Getenv(childFolder); dir != "" {
		s := open(t, dir)
		fmt.Println(1)
		if _, err := s.Prune(context.Background(), before, "user:ann", false); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	s := open(t, dir)
	ctx := context.Background()
	const count = 40
	entries := make([]workflow.Entry, 300)
	for i := range entries {
		entries[i] = workflow.Entry{Sequence: int64(i + 2), Kind: workflow.StepSucceeded, Step: i, Time: pruneEpoch}
	}
	var chunks []runs.LogChunk
	for i := range count {
		id := fmt.Sprintf("run%02d", i)
		leave(t, s, id, "", "plan/"+id, 1)
		if err := s.Append(ctx, id, 1, entries); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			chunks = append(chunks, runs.LogChunk{Run: id, Data: bytes.Repeat([]byte("x"), 2000), Time: pruneEpoch})
		}
	}
	if err := s.AppendLogs(ctx, chunks); err != nil {
		t.Fatal(err)
	}
	whole := len(entries) + 1
	cut := 0
	for range 50 {
		c := spawn(t, dir)
		c.number()
		<-time.After(rand.N(30 * time.Millisecond))
		c.kill(0)
		left := 0
		for i := range count {
			id := fmt.Sprintf("run%02d", i)
			run, err := s.Run(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := s.Read(ctx, id, 0)
			if err != nil || run.Pruned.IsZero() && len(kept) != whole {
				t.Fatalf("%s has %d entries and is not marked, %v", id, len(kept), err)
			}
			left += len(kept)
		}
		if left == 0 {
			break
		}
		cut++
	}
	done, err := s.Prune(ctx, before, "user:ann", false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		id := fmt.Sprintf("run%02d", i)
		if kept := keptOf(t, s, id); len(kept) > 0 {
			t.Errorf("%s has kept %s", id, kept)
		}
		if _, err := s.Blob(ctx, "plan/"+id); err == nil {
			t.Errorf("the plan of %s is there", id)
		}
	}
	if _, broken := verify(t, s); broken != nil {
		t.Error(broken)
	}
	t.Logf("cut off %d times; the last one had %d runs to do", cut, len(done.Runs))
}
