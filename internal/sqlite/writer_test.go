package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// gather calls writes one after the other while another process keeps the file,
// so that all of them stand in the queue in this order, and returns what became
// of them once the file was free.
func gather(t *testing.T, s *Store, dir string, writes []func() error, meanwhile func()) []error {
	t.Helper()
	results := make([]chan error, len(writes))
	err := open(t, dir).write(context.Background(), func(*transaction) error {
		for i, write := range writes {
			results[i] = make(chan error, 1)
			go func() { results[i] <- write() }()
			for s.writer.waiting() != i+1 {
				runtime.Gosched()
			}
		}
		meanwhile()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []error
	for _, result := range results {
		out = append(out, <-result)
	}
	return out
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// TestRefusedWritesFailAlone joins commits of several runs, some of which are
// refused.
func TestRefusedWritesFailAlone(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	var writes []func() error
	fenced := start(t, s, "fenced")
	fenced.Token--
	ended := start(t, s, "ended")
	end := runs.Run{ID: "ended", Key: defaultKey, Status: runs.Succeeded}
	add := func(ctx context.Context, c runs.Commit) {
		writes = append(writes, func() error { return s.Commit(ctx, []runs.Commit{c}) })
	}
	gone, leave := context.WithCancel(ctx)
	add(ctx, commit(fenced, 1))
	add(ctx, commit(start(t, s, "good0"), 1))
	add(ctx, commit(start(t, s, "gap"), 2))
	add(ctx, runs.Commit{Lease: ended, Run: &end})
	add(gone, commit(start(t, s, "gone"), 1))
	add(ctx, commit(start(t, s, "good1"), 1))
	add(ctx, commit(ended, 1)) // sees what those before it did
	add(ctx, commit(fenced, 1))
	add(ctx, commit(start(t, s, "good2"), 1))
	got := gather(t, s, dir, writes, func() {
		leave()
		for s.writer.waiting() != len(writes)-1 {
			runtime.Gosched()
		}
	})
	for i, want := range []string{"fenced", "", "other", "", "given up", "", "fenced", "fenced", ""} {
		is := "other"
		switch err := got[i]; {
		case err == nil:
			is = ""
		case errors.Is(err, runs.ErrFenced):
			is = "fenced"
		case errors.Is(err, context.Canceled):
			is = "given up"
		}
		if is != want {
			t.Errorf("commit %d: %v, want %q", i, got[i], want)
		}
	}
	for run, want := range map[string]int{"fenced": 0, "good0": 1, "gap": 0, "ended": 0, "gone": 0, "good1": 1, "good2": 1} {
		if entries, err := s.Read(ctx, run, 0); err != nil || len(entries) != want {
			t.Errorf("%s has %d entries (%v)", run, len(entries), err)
		}
	}
	if feed, _, err := s.Events(ctx, 0, 0); err != nil || len(feed) != 3 {
		t.Errorf("%d events (%v)", len(feed), err)
	}
}

// TestWaitingWritesShareATransaction looks from the last of several joined
// writes: what the first has written must be there for it and for nobody else.
func TestWaitingWritesShareATransaction(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	var writes []func() error
	for i := range 20 {
		lease := start(t, s, fmt.Sprint("run", i))
		writes = append(writes, func() error { return s.Commit(ctx, []runs.Commit{commit(lease, 1)}) })
	}
	writes = append(writes, func() error {
		return s.write(ctx, func(tx *transaction) error {
			for i := range 20 {
				run := fmt.Sprint("run", i)
				last, err := tx.lastEntry(run)
				if err != nil {
					return err
				}
				if seen, err := s.Read(ctx, run, 0); err != nil || last != 1 || len(seen) != 0 {
					t.Errorf("%s: %d entries in the transaction, %d outside (%v)", run, last, len(seen), err)
				}
			}
			return nil
		})
	})
	for i, err := range gather(t, s, dir, writes, func() {}) {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
}

// TestBugInOneWriteDoesNotHoldOthers lets a write panic: whoever was joined with
// it is told, and the store goes on.
func TestBugInOneWriteDoesNotHoldOthers(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	lease := start(t, s, "run")
	// Any of the two may be the one to write, and so meet the bug.
	recovering := func(write func() error) func() error {
		return func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("recovered: %v", p)
				}
			}()
			return write()
		}
	}
	writes := []func() error{
		recovering(func() error { return s.write(ctx, func(*transaction) error { panic("a bug") }) }),
		recovering(func() error { return s.Commit(ctx, []runs.Commit{commit(lease, 1)}) }),
	}
	got := gather(t, s, dir, writes, func() {})
	if got[0] == nil || got[1] == nil {
		t.Errorf("results: %v", got)
	}
	entries := []workflow.Entry{{Sequence: 1, Kind: workflow.RunStarted, Step: -1}}
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: entries}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
