package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// fill writes objects, so that the file has more than a few pages.
func fill(t *testing.T, s *Store, count int) {
	t.Helper()
	var w states.Write
	for i := range count {
		name := fmt.Sprint("x", i)
		w.Changes = append(w.Changes, states.Change{Object: object(name), After: instance(name, strings.Repeat("v", 500))})
	}
	if err := s.Write(context.Background(), defaultKey, w); err != nil {
		t.Fatal(err)
	}
}

func wantCannot(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestFullDiskLeavesNothingHalfWritten(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	lease := start(t, s, "run")
	fill(t, s, 10)
	before, err := s.State(ctx, defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		if _, err := s.writer.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // no fewer than there are
	var batch []runs.Commit
	for i := int64(1); i <= 200; i++ {
		name := fmt.Sprint("y", i)
		batch = append(batch, commit(lease, i, states.Change{Object: object(name), After: instance(name, strings.Repeat("v", 500))}))
	}
	wantCannot(t, "writing to a full disk", s.Commit(ctx, batch))
	after, err := s.State(ctx, defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("the refused write left something (-before +after):\n%s", d)
	}
	if entries, err := s.Read(ctx, "run", 0); err != nil || len(entries) != 0 {
		t.Errorf("the refused write left %d entries (%v)", len(entries), err)
	}
	// Once there is room again, the same store carries on.
	limit(100000)
	if err := s.Commit(ctx, batch); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestDamagedFileIsReported(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(from int, with string) {
		data := append([]byte(nil), whole...)
		copy(data[from:], strings.Repeat(with, (len(data)-from)/len(with)))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage(0, "this is not a database ")
	_, err = Open(ctx, dir, Options{})
	wantCannot(t, "opening something else", err)

	damage(64*4096, "damage") // behind the tables' own pages
	s = open(t, dir)
	_, err = s.State(ctx, defaultKey)
	wantCannot(t, "reading damaged rows", err)
	_, err = s.History(ctx, defaultKey, nil)
	wantCannot(t, "reading damaged history", err)
}

func TestUnusableFolderIsReported(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(ctx, filepath.Join(file, "store"), Options{})
	wantCannot(t, "a folder in a file", err)

	if os.Getuid() == 0 {
		return // may write everywhere
	}
	dir := filepath.Join(t.TempDir(), "readonly")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "store"))
	if _, err := s.State(ctx, defaultKey); err != nil {
		t.Errorf("reading where nothing is: %v", err)
	}
	wantCannot(t, "writing to a read-only folder", s.Write(ctx, defaultKey, states.Write{Cause: "push"}))
	_, err = s.Start(ctx, runs.Run{ID: "run", Key: defaultKey}, nil, runs.Claim{}, nil)
	wantCannot(t, "starting a run in a read-only folder", err)
}

func TestNewerLayoutIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, 1)
	if _, err := s.writer.conn.ExecContext(context.Background(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	_, err := Open(context.Background(), dir, Options{})
	wantCannot(t, "a newer layout", err)
	if err != nil && !strings.Contains(err.Error(), "newer version") {
		t.Errorf("the reason is not said: %v", err)
	}
}

func TestOlderLayoutIsBroughtUp(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(ctx, layout1+`
		INSERT INTO states VALUES(1, '', 'default', 'lineage', 7, '1.9.0', NULL);
		INSERT INTO instances VALUES(1, 'terraform_data.a', '', 7, 'provider["terraform.io/builtin/terraform"]', 0, '{"id":"1"}', NULL, NULL, NULL, NULL, 0, NULL, 0, 'R', NULL, 0);
		PRAGMA user_version = 1;`)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	s := open(t, dir)
	st, err := s.State(ctx, defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	a := st.Instances[object("a")]
	if st.Serial != 7 || a == nil || a.Version != 7 || string(a.Attributes) != `{"id":"1"}` {
		t.Fatalf("brought up: %+v, %+v", st, a)
	}
	if err := s.Write(ctx, defaultKey, states.Write{Changes: []states.Change{{Object: a.Object, Before: a, After: a}}}); err != nil {
		t.Fatal(err)
	}
	if st, err = s.State(ctx, defaultKey); err != nil || st.Instances[a.Object].Version <= 7 {
		t.Errorf("versions do not go on: %+v, %v", st.Instances[a.Object], err)
	}
}

// TestJournalsOfOlderLayoutsGoOn carries on with a run that was begun before
// steps were kept.
func TestJournalsOfOlderLayoutsGoOn(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(ctx, layout1+layout2+`
		INSERT INTO runs VALUES('run', '', 'default', 'running', 1, 4, 0, '{"ID":"run","Key":{"Stack":"","Environment":"default"},"Status":"running"}');
		INSERT INTO journal VALUES('run', 1, 5, 'run_started', -1, '{}'), ('run', 2, 6, 'step_started', 0, NULL);
		PRAGMA user_version = 2;`)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	s := open(t, dir)
	entries, err := s.Read(ctx, "run", 0)
	want := []workflow.Entry{
		{Sequence: 1, Time: time.Unix(0, 5).UTC(), Kind: workflow.RunStarted, Step: -1, Data: json.RawMessage(`{}`)},
		{Sequence: 2, Time: time.Unix(0, 6).UTC(), Kind: workflow.StepStarted},
	}
	if d := cmp.Diff(want, entries); d != "" || err != nil {
		t.Fatalf("journal (-want +got): %v\n%s", err, d)
	}
	lease, err := s.Acquire(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	next := runs.Commit{Lease: lease, Entries: []workflow.Entry{{Sequence: 3, Kind: workflow.StepSucceeded, Data: json.RawMessage(`1`), Sensitive: true}}}
	if err := s.Commit(ctx, []runs.Commit{next}); err != nil {
		t.Fatal(err)
	}
	if number, err := s.Signal(ctx, "run", workflow.Signal{Kind: workflow.SignalEvent}); number != 1 || err != nil {
		t.Errorf("signal: %d, %v", number, err)
	}
}

// TestWaitingCanBeGivenUp waits for a writer who does not end.
func TestWaitingCanBeGivenUp(t *testing.T) {
	background := context.Background()
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	fill(t, s, 1)
	write := func(ctx context.Context, s *Store, name string) error {
		return s.Write(ctx, defaultKey, states.Write{Changes: []states.Change{{Object: object(name), After: instance(name, "v")}}})
	}
	err := other.write(background, func(*transaction) error {
		ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
		defer cancel()
		err := write(ctx, s, "a")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for another process: %v", err)
		}
		err = write(ctx, other, "a")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting in the same process: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []*Store{s, other} {
		if err := write(background, s, fmt.Sprint("b", i)); err != nil {
			t.Errorf("writing afterwards: %v", err)
		}
	}
}
