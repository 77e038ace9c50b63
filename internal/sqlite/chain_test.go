package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
	"golang.org/x/sys/unix"
)

// verify follows the chain of a feed and returns where it ends or breaks.
func verify(t testing.TB, s *Store) (events.Chain, *events.Break) {
	t.Helper()
	var chain events.Chain
	made, err := s.Feed(context.Background(), 0, chain.Follow)
	if err == nil {
		err = chain.End(made)
	}
	var broken *events.Break
	if err != nil && !errors.As(err, &broken) {
		t.Fatal(err)
	}
	return chain, broken
}

func record(t testing.TB, s *Store, from, count int) {
	t.Helper()
	var list []events.Event
	for i := range count {
		list = append(list, events.Event{
			Source: "/state//default", Type: "state.move", Subject: fmt.Sprint("object ", from+i), Actor: "user:ann",
			Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, from+i)),
		})
	}
	if err := s.Record(context.Background(), list...); err != nil {
		t.Fatal(err)
	}
}

// TestTheFeedShowsWhatWasDoneToIt does things to the feed behind the store's
// back: each is found, and the first event concerned named.
func TestTheFeedShowsWhatWasDoneToIt(t *testing.T) {
	t.Parallel()
	const copied = "INSERT INTO events SELECT %s, id, source, type, subject, time, data, actor, previous, hash FROM events WHERE sequence = %d"
	for name, c := range map[string]struct {
		do   string
		want int64
	}{
		"subject":           {"UPDATE events SET subject = 'object 70' WHERE sequence = 7", 7},
		"actor":             {"UPDATE events SET actor = 'user:bob' WHERE sequence = 7", 7},
		"type":              {"UPDATE events SET type = 'state.rm' WHERE sequence = 1", 1},
		"time":              {"UPDATE events SET time = time + 1 WHERE sequence = 12", 12},
		"data":              {"UPDATE events SET data = '{}' WHERE sequence = 7", 7},
		"no data":           {"UPDATE events SET data = NULL WHERE sequence = 7", 7},
		"id and source":     {"UPDATE events SET id = id || 'x', source = '' WHERE sequence IN (8, 9)", 8},
		"moved text":        {"UPDATE events SET type = type || substr(subject, 1, 1), subject = substr(subject, 2) WHERE sequence = 7", 7},
		"hash":              {"UPDATE events SET hash = zeroblob(32) WHERE sequence = 7", 7},
		"no hash":           {"UPDATE events SET hash = NULL, previous = NULL WHERE sequence = 7", 7},
		"previous":          {"UPDATE events SET previous = zeroblob(32) WHERE sequence = 7", 7},
		"first one removed": {"DELETE FROM events WHERE sequence = 1", 1},
		"one removed":       {"DELETE FROM events WHERE sequence = 7", 7},
		"several removed":   {"DELETE FROM events WHERE sequence BETWEEN 5 AND 8", 5},
		"the end removed":   {"DELETE FROM events WHERE sequence > 10", 11},
		"all removed":       {"DELETE FROM events", 1},
		"removed, renumbered": {"DELETE FROM events WHERE sequence = 7; UPDATE events SET sequence = -sequence WHERE sequence > 7;" +
			"UPDATE events SET sequence = -sequence - 1 WHERE sequence < 0; UPDATE sqlite_sequence SET seq = 11 WHERE name = 'events'", 7},
		"put in before the first": {fmt.Sprintf(copied, "0", 5), 0},
		"put in": {"UPDATE events SET sequence = -sequence WHERE sequence >= 7; UPDATE events SET sequence = 1 - sequence WHERE sequence < 0;" +
			fmt.Sprintf(copied, "7", 5), 7},
		"two swapped": {"UPDATE events SET sequence = 100 WHERE sequence = 7; UPDATE events SET sequence = 7 WHERE sequence = 8;" +
			"UPDATE events SET sequence = 8 WHERE sequence = 100", 7},
		"contents swapped": {"UPDATE events SET subject = (SELECT subject FROM events e WHERE e.sequence = 17 - events.sequence) WHERE sequence IN (8, 9)", 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			record(t, s, 1, 12)
			if chain, broken := verify(t, s); broken != nil || chain.Last != 12 {
				t.Fatal(chain, broken)
			}
			if _, err := s.writer.conn.ExecContext(context.Background(), c.do); err != nil {
				t.Fatal(err)
			}
			_, broken := verify(t, s)
			if broken == nil || broken.Sequence != c.want {
				t.Fatalf("found: %v, want event %d", broken, c.want)
			}
			// What is written afterwards hides nothing.
			record(t, s, 13, 2)
			if _, again := verify(t, s); again == nil || again.Sequence != c.want {
				t.Errorf("found after more was written: %v, want event %d", again, c.want)
			}
		})
	}
}

// TestAlteredWithANewHash alters an event and gives it the hash that fits: the
// one that follows remembers the old one. Only who rewrites all that follows is
// not found, except by a head noted before.
func TestAlteredWithANewHash(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	record(t, s, 1, 12)
	noted, _ := verify(t, s)
	var links []events.Link
	if _, err := s.Feed(context.Background(), 0, func(l *events.Link) error { links = append(links, *l); return nil }); err != nil {
		t.Fatal(err)
	}
	rewrite := func(l events.Link) {
		if _, err := s.writer.conn.ExecContext(context.Background(), "UPDATE events SET subject = ?, previous = ?, hash = ? WHERE sequence = ?", l.Subject, l.Previous[:], l.Hash[:], l.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	forged := links[6]
	forged.Subject = "object 70"
	forged.Hash = forged.Sum()
	rewrite(forged)
	if _, broken := verify(t, s); broken == nil || broken.Sequence != 7 {
		t.Fatalf("found: %v, want event 7", broken)
	}
	for i, previous := 7, forged.Hash; i < len(links); i++ {
		links[i].Previous = previous
		links[i].Hash = links[i].Sum()
		rewrite(links[i])
		previous = links[i].Hash
	}
	chain, broken := verify(t, s)
	if broken != nil {
		t.Fatalf("a feed that was written anew holds, but %v", broken)
	}
	if chain.Head == noted.Head {
		t.Error("the head noted before should not be the one there is now")
	}
}

// TestOlderFeedsAreChained opens a file whose feed has no hashes, and meets a
// process of an older version that still writes.
func TestOlderFeedsAreChained(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO events(id, source, type, subject, time, data) VALUES(?, '/state//default', 'run.started', 'run', 5, '{}')"
	if _, err = db.ExecContext(ctx, layout1+layout2+layout3+layoutSteps+layoutUnended+layoutSchedules+"PRAGMA user_version = 6;"); err != nil {
		t.Fatal(err)
	}
	for i := range 2500 {
		if _, err := db.ExecContext(ctx, insert, fmt.Sprint("old", i)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	if chain, broken := verify(t, s); broken != nil || chain.Last != 2500 {
		t.Fatal(chain, broken)
	}
	record(t, s, 1, 1)
	if _, err := db.ExecContext(ctx, insert, "late"); err != nil {
		t.Fatal(err)
	}
	if _, broken := verify(t, s); broken == nil || broken.Sequence != 2502 {
		t.Fatalf("found: %v, want event 2502", broken)
	}
	record(t, s, 2, 1)
	if chain, broken := verify(t, s); broken != nil || chain.Last != 2503 {
		t.Fatal(chain, broken)
	}
	_ = db.Close()
}

// TestTheChainDoesNotFork writes events from several processes and goroutines at
// once, one of which is killed in the middle again and again.
func TestTheChainDoesNotFork(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		s := open(t, dir)
		for i := 0; ; i++ {
			record(t, s, i, 3)
			fmt.Println(i)
		}
	}
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	record(t, s, 0, 1)
	var children []*child
	for range 2 {
		children = append(children, spawn(t, dir))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 50 {
				record(t, s, i, 2)
			}
		})
	}
	acknowledged := 0
	for _, c := range children {
		for range 5 {
			if _, ok := c.number(); !ok {
				t.Fatal("the child has died")
			}
		}
		acknowledged += 3 * (c.kill(0) + 1)
	}
	all.Wait()
	chain, broken := verify(t, s)
	if broken != nil {
		t.Fatal(broken)
	}
	if least := int64(1 + 4*50*2 + acknowledged); chain.Last < least {
		t.Errorf("%d events are there, at least %d were acknowledged", chain.Last, least)
	}
}

// TestRefusedWritesLeaveNoEvent: events are written with what they are about, or
// not at all.
func TestRefusedWritesLeaveNoEvent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := open(t, t.TempDir())
	lease := start(t, s, "run")
	told := events.Event{Type: "approval.approved", Subject: "run"}
	if _, err := s.Signal(ctx, "nobody", workflow.Signal{Kind: workflow.SignalApprove}, told); err == nil {
		t.Error("nobody was signalled")
	}
	if err := s.Abandon(ctx, "run", told); err == nil {
		t.Error("a run that is driven was given up")
	}
	stale := lease
	stale.Token--
	if err := s.Commit(ctx, []runs.Commit{{Lease: stale, Events: []events.Event{told}}}); !errors.Is(err, runs.ErrFenced) {
		t.Error(err)
	}
	if chain, broken := verify(t, s); broken != nil || chain.Last != 0 {
		t.Fatal(chain, broken)
	}
	if _, err := s.Signal(ctx, "run", workflow.Signal{Kind: workflow.SignalApprove}, told); err != nil {
		t.Error(err)
	}
	if _, err := s.RequestCancel(ctx, "run", told); err != nil {
		t.Error(err)
	}
	if chain, broken := verify(t, s); broken != nil || chain.Last != 2 {
		t.Error(chain, broken)
	}
}

// TestVerifyingIsLinear: ten times the events take about ten times as long, not a hundred
// times. It counts the time that this process works, so that others may use the machine.
func TestVerifyingIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("writes tens of thousands of events")
	}
	s := open(t, t.TempDir())
	taken := func(events int64) time.Duration {
		best := time.Hour
		for range 3 {
			began := worked(t)
			if chain, broken := verify(t, s); broken != nil || chain.Last != events {
				t.Fatal(chain, broken)
			}
			best = min(best, worked(t)-began)
		}
		return best
	}
	record(t, s, 0, 5_000)
	few := taken(5_000)
	for i := 5_000; i < 50_000; i += 5_000 {
		record(t, s, i, 5_000)
	}
	many := taken(50_000)
	t.Logf("5,000 events are verified in %s, 50,000 in %s", few, many)
	if many > 50*few {
		t.Errorf("verifying 50,000 events takes %s, 5,000 only %s", many, few)
	}
}

// worked is how long this process has worked.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestFeedOf compares what is found with what a look at every event finds.
func TestFeedOf(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir())
	began := time.Unix(1_800_000_000, 0)
	types := []string{"run.started", "run.succeeded", "run", "run.", "RUN.started", "drift.found", "rün.started", "run*"}
	var list []events.Event
	for i := range 200 {
		at := began.Add(time.Duration(i) * time.Second)
		if i%20 == 0 {
			at = at.Add(-time.Minute) // a clock that was put back
		}
		list = append(list, events.Event{Source: "/test", Type: types[i%len(types)], Subject: []string{"", "a", "b"}[i%3], Time: at})
	}
	if err := s.Record(ctx, list...); err != nil {
		t.Fatal(err)
	}
	for _, kind := range append([]string{"", "*", "run.*", "run*", "r*", "none", "none*", "rü*"}, types...) {
		for _, subject := range []string{"", "a", "none"} {
			for _, q := range []runs.EventQuery{
				{}, {After: 100}, {After: 500}, {Newest: true}, {Newest: true, Before: 90}, {After: 20, Before: 90, Since: began.Add(15 * time.Second)},
				{Newest: true, Since: began.Add(150 * time.Second)}, {Since: began.Add(time.Hour)}, {Since: began.Add(-2 * time.Minute)}, {Since: began.AddDate(900, 0, 0)}, {Since: began.AddDate(-900, 0, 0), After: 100},
			} {
				q.Type, q.Subject = kind, subject
				var want, got []int64
				_, err := s.Feed(ctx, 0, func(l *events.Link) error {
					if q.Chooses(l) {
						want = append(want, l.Sequence)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if q.Newest {
					slices.Reverse(want)
				}
				if err := s.FeedOf(ctx, q, func(l *events.Link) error { got = append(got, l.Sequence); return nil }); err != nil || !slices.Equal(got, want) {
					t.Errorf("%+v: %v, %v, want %v", q, got, err, want)
				}
			}
		}
	}
}
