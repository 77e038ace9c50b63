package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

func idsOf(list []runs.Run) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.ID
	}
	return out
}

// TestRunQueries asks for runs in ways that are drawn, and compares what comes with
// asking each of them.
func TestRunQueries(t *testing.T) {
	ctx, s := t.Context(), open(t, filepath.Join(t.TempDir(), "store"))
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	began := time.Unix(1_800_000_000, 0)
	for i := range 300 {
		run := runs.Run{
			ID: fmt.Sprintf("r%03d", rnd.IntN(1000)*1000+i), Kind: pick("workflow", "apply", "destroy"), Workflow: pick("", "a", "b"), Parent: pick("", "", "p", "q"),
			Key: states.Key{Stack: pick("", "x", "y"), Environment: pick("default", "staging")}, Status: runs.Pending,
			Created: began.Add(time.Duration(rnd.IntN(50)) * time.Second), Blob: pick("plan/1", "definition/1"), Waits: runs.Waits(pick("", "", "approval", "signal")),
		}
		if rnd.IntN(3) > 0 {
			if err := s.Enqueue(ctx, runs.NewRun{Run: run, Definition: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		} else {
			run.Status = runs.Running
			lease, err := s.Start(ctx, run, []byte("{}"), runs.Claim{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rnd.IntN(2) == 0 {
				defer lease.Release()
				continue
			}
			lease.Release() // interrupted
		}
		if rnd.IntN(2) == 0 {
			if err := s.Abandon(ctx, run.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := s.Runs(ctx, runs.RunQuery{})
	if err != nil || len(all) != 300 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	for i := range all[1:] {
		if !all[i].Position().Behind(all[i+1]) {
			t.Fatalf("run %s comes before %s", all[i].ID, all[i+1].ID)
		}
	}
	for range 2000 {
		q := runs.RunQuery{
			Stack: pick("", "", "x", "y"), Environment: pick("", "", "default", "staging"), Kind: pick("", "", "workflow", "apply"),
			Workflow: pick("", "", "a", "c"), Parent: pick("", "", "p"), Status: runs.Status(pick("", "", "pending", "running", "interrupted", "cancelled", "failed")),
		}
		q.Top, q.Waiting = rnd.IntN(4) == 0, rnd.IntN(4) == 0
		if rnd.IntN(4) == 0 {
			if q.EndedSince = all[rnd.IntN(len(all))].Ended; rnd.IntN(2) == 0 {
				q.EndedSince = q.EndedSince.Add(1)
			}
		}
		if rnd.IntN(4) == 0 {
			q.State = &states.Key{Stack: pick("", "x"), Environment: pick("default", "staging")}
		}
		if rnd.IntN(2) == 0 {
			q.Before = all[rnd.IntN(len(all))].Position()
		}
		want := slices.DeleteFunc(slices.Clone(all), func(r runs.Run) bool { return !q.Chooses(r) })
		if n, err := s.CountRuns(ctx, q); n != len(want) || err != nil {
			t.Fatalf("%+v: counted were %d instead of %d (%v)", q, n, len(want), err)
		}
		if q.Limit = rnd.IntN(5); q.Limit > 0 {
			want = want[:min(q.Limit, len(want))]
		}
		list, err := s.Runs(ctx, q)
		if d := cmp.Diff(idsOf(want), idsOf(list)); err != nil || d != "" {
			t.Fatalf("%+v: %v (-want +got):\n%s", q, err, d)
		}
	}
}

// TestRunQueriesDoNotScan looks how queries that servers ask all the time are
// answered: by an index, in the order in which they are wanted.
func TestRunQueriesDoNotScan(t *testing.T) {
	ctx, s := t.Context(), open(t, filepath.Join(t.TempDir(), "store"))
	if _, err := s.writing(ctx); err != nil {
		t.Fatal(err)
	}
	before := &runs.RunPosition{Created: time.Now(), ID: "r"}
	for _, q := range []runs.RunQuery{
		{}, {Before: before}, {Environment: "default", Before: before}, {Workflow: "w", Kind: "workflow"}, {Parent: "p"}, {Top: true, Before: before},
		{State: &states.Key{Stack: "s", Environment: "default"}}, {Status: runs.Running}, {Status: runs.Interrupted, Environment: "default"},
		{Status: runs.Failed}, {Status: runs.Failed, Top: true, Before: before}, {Status: runs.Running, Waiting: true},
	} {
		q.Limit = 20
		text, args := runSelection(q)
		if how := planOf(t, s, "SELECT document, cancelling FROM runs "+text, args); !strings.Contains(how, "USING INDEX runs_") || strings.Contains(how, "TEMP B-TREE") {
			t.Errorf("%+v: %s", q, how)
		}
	}
}

// planOf is how a query is answered.
func planOf(t *testing.T, s *Store, query string, args []any) string {
	t.Helper()
	var plan []string
	err := s.list(t.Context(), "EXPLAIN QUERY PLAN "+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		plan = append(plan, detail)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "; ")
}

// TestCountsDoNotScan: runs that failed lately are counted by an index on when they
// ended, however many there are.
func TestCountsDoNotScan(t *testing.T) {
	ctx, s := t.Context(), open(t, filepath.Join(t.TempDir(), "store"))
	if _, err := s.writing(ctx); err != nil {
		t.Fatal(err)
	}
	for _, q := range []runs.RunQuery{{Status: runs.Failed, EndedSince: time.Now()}, {Status: runs.Failed, EndedSince: time.Now(), Top: true}} {
		where, args := runConditions(q)
		if how := planOf(t, s, "SELECT count(*) FROM runs "+where, args); !strings.Contains(how, "INDEX runs_ended (status=? AND ended>?)") {
			t.Errorf("%+v: %s", q, how)
		}
	}
}

// TestEndsOfBefore brings a file of the layout before up to date: when runs ended is
// known of those that have.
func TestEndsOfBefore(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Index(migrations[:], layoutTimes)
	if _, err := db.ExecContext(ctx, strings.Join(migrations[:before], "")+fmt.Sprintf("PRAGMA user_version = %d;", before)); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.FixedZone("", 2*3600))
	for _, r := range []runs.Run{
		{ID: "early", Status: runs.Failed, Ended: at.Add(-time.Second)}, {ID: "then", Status: runs.Failed, Ended: at}, {ID: "late", Status: runs.Failed, Ended: at.UTC().Add(time.Hour)},
		{ID: "unknown", Status: runs.Failed}, {ID: "well", Status: runs.Succeeded, Ended: at}, {ID: "open", Status: runs.Pending},
	} {
		document, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO runs VALUES(?, '', 'default', ?, 1, 1, 0, ?)", r.ID, string(r.Status), document); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	list, err := s.Runs(ctx, runs.RunQuery{Status: runs.Failed, EndedSince: at})
	if d := cmp.Diff([]string{"then", "late"}, idsOf(list)); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if n, err := s.CountRuns(ctx, runs.RunQuery{EndedSince: at}); n != 3 || err != nil {
		t.Errorf("%d have ended since, %v", n, err)
	}
}

// TestRunsOfBefore brings a file of the layout before up to date: runs of workflows say
// of which, as far as it was told.
func TestRunsOfBefore(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Index(migrations[:], layoutRuns)
	if _, err := db.ExecContext(ctx, strings.Join(migrations[:before], "")+fmt.Sprintf("PRAGMA user_version = %d;", before)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for i, r := range []runs.Run{
		{Kind: "workflow", Summary: "workflow deploy", Workflow: "deploy"},
		{Kind: "workflow", Summary: "workflow deploy, again after run x", Workflow: "deploy"},
		{Kind: "workflow", Summary: "workflow deploy for nightly of 2026-01-01T00:00:00Z", Workflow: "deploy"},
		{Kind: "workflow", Summary: "workflow deploy for hook of event 12", Workflow: "deploy"},
		{Kind: "workflow", Summary: "workflow deploy of run abc", Workflow: "deploy"},
		{Kind: "workflow", Summary: "workflow x.asl.json"},
		{Kind: "workflow", Summary: "state machine machine.json"},
		{Kind: "apply", Summary: "workflow of some kind"},
		{Kind: "apply"},
	} {
		r.ID = fmt.Sprint("r", i)
		want[r.ID], r.Workflow = r.Workflow, ""
		document, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO runs VALUES(?, '', 'default', 'succeeded', ?, 1, 0, ?)", r.ID, i, document); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, dir).Runs(ctx, runs.RunQuery{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range list {
		got[r.ID] = r.Workflow
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
