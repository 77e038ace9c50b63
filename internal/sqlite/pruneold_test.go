package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// fire has a trigger fire for events of the feed, all on one day after the epoch.
func fire(t testing.TB, s *Store, status runs.FiringStatus, day int, numbers ...int64) {
	t.Helper()
	ctx := context.Background()
	at, _, err := s.Follow(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := runs.Progress{From: at, To: max(at.Sequence, slices.Max(numbers))}
	for _, n := range numbers {
		p.Firings = append(p.Firings, runs.Firing{
			Trigger: fmt.Sprint("t", n%3), Event: n, Events: []int64{n}, At: pruneEpoch.AddDate(0, 0, day), Status: status, Run: fmt.Sprint("run", n),
		})
	}
	if _, written, err := s.Advance(ctx, p); err != nil || !written {
		t.Fatal(written, err)
	}
}

// TestPruneRemovesWhatIsDone: firings and deliveries that are old go, those of which
// something is to come stay, and an event that comes again is not accepted again.
func TestPruneRemovesWhatIsDone(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	inbound := make([]runs.Inbound, 5)
	for i := range inbound {
		inbound[i] = runs.Inbound{Event: events.Event{Source: "/hooks/a", ID: fmt.Sprint(i), Type: "push", Time: pruneEpoch}, Digest: fmt.Sprint("body", i)}
	}
	if _, err := s.Accept(ctx, inbound); err != nil {
		t.Fatal(err)
	}
	fire(t, s, runs.FiringDue, 1, 1)
	fire(t, s, runs.FiringStarted, 1, 2)
	fire(t, s, runs.FiringDead, 2, 3)
	fire(t, s, runs.FiringRetried, 3, 4)
	fire(t, s, runs.FiringStarted, 31, 5)
	if err := s.SetRecipients(ctx, []string{"ops"}, pruneEpoch); err != nil {
		t.Fatal(err)
	}
	for i := range int64(4) {
		if err := s.AdvanceOutbox(ctx, []string{"ops"}, i+1, []runs.Delivery{{Notify: "ops", Sequence: i + 1, Event: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range []runs.Delivery{
		{Status: runs.DeliveryDelivered, Ended: pruneEpoch.AddDate(0, 0, 1)}, {Status: runs.DeliveryDead, Ended: pruneEpoch.AddDate(0, 0, 2)},
		{Status: runs.DeliveryDelivered, Ended: pruneEpoch.AddDate(0, 0, 31)},
	} {
		d.ID = int64(i + 1)
		if err := s.RecordAttempt(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	before := pruneEpoch.AddDate(0, 0, 30)
	want := Pruned{Firings: 3, Deliveries: 2}
	if got, err := s.Prune(ctx, before, "user:ann", true); err != nil || !cmp.Equal(got, want) {
		t.Errorf("would be removed: %+v, %v", got, err)
	}
	got, err := s.Prune(ctx, before, "user:ann", false)
	if got.Freed = 0; err != nil || !cmp.Equal(got, want) {
		t.Errorf("removed were %+v, %v", got, err)
	}
	firings, err := s.Firings(ctx, runs.FiringQuery{})
	if err != nil || len(firings) != 2 || firings[0].Event != 5 || firings[1].Status != runs.FiringDue {
		t.Errorf("the firings are %+v, %v", firings, err)
	}
	deliveries, err := s.Deliveries(ctx, runs.DeliveryQuery{})
	if err != nil || len(deliveries) != 2 || deliveries[0].Status != runs.DeliveryPending || deliveries[1].ID != 3 {
		t.Errorf("the deliveries are %+v, %v", deliveries, err)
	}
	told, _, err := s.Events(ctx, 5, 0)
	if err != nil || len(told) != 2 || told[0].Type != "store.pruned" || string(told[0].Data) != `{"firings":3}` || string(told[1].Data) != `{"deliveries":2}` {
		t.Errorf("told was %s, %v", told, err)
	}
	for i := range inbound {
		inbound[i].Digest = ""
	}
	inbound = append(inbound, runs.Inbound{Event: events.Event{Source: "/hooks/a", ID: "another", Type: "push", Time: pruneEpoch}, Digest: "body3"})
	again, err := s.Accept(ctx, inbound)
	if err != nil || again[1] != (runs.Accepted{Sequence: 2, Duplicate: true}) || again[5] != (runs.Accepted{Sequence: 4, Duplicate: true}) {
		t.Errorf("events that come again are %+v, %v", again, err)
	}
	if again, err := s.Prune(ctx, before, "user:ann", false); err != nil || again.Firings+again.Deliveries > 0 {
		t.Errorf("removed again: %+v, %v", again, err)
	}
	if _, err := verify(t, s); err != nil {
		t.Error(err)
	}
}

// Killed at any moment, what is gone is told of, and nothing is gone that is due.
func TestPruneOfFiringsCanBeCutOff(t *testing.T) {
	before := pruneEpoch.AddDate(0, 0, 30)
	if dir := os.Getenv(childFolder); dir != "" {
		s := open(t, dir)
		fmt.Println(1)
		if _, err := s.Prune(context.Background(), before, "user:ann", false); err != nil {
			t.Fatal(err)
		}
		return
	}
	const each = 15_000
	dir := t.TempDir()
	s := open(t, dir)
	ctx := context.Background()
	var old, due []int64
	for n := int64(1); n <= 2*each; n += 2 {
		old, due = append(old, n), append(due, n+1)
	}
	fire(t, s, runs.FiringDead, 1, old...)
	fire(t, s, runs.FiringDue, 1, due...)
	state := func() (left, told int) {
		left, err := s.count(ctx, oldFirings, before)
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := s.Events(ctx, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			var data prunedData
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			told += int(data.Firings)
		}
		return left, told
	}
	middle := 0 // cut off when some were gone
	for range 20 {
		c := spawn(t, dir)
		c.number()
		<-time.After(rand.N(200 * time.Millisecond))
		c.kill(0)
		left, told := state()
		if left+told != each {
			t.Fatalf("%d are there and %d were told to be removed, of %d", left, told, each)
		}
		if left == 0 {
			break
		}
		if told > 0 {
			middle++
		}
	}
	if _, err := s.Prune(ctx, before, "user:ann", false); err != nil {
		t.Fatal(err)
	}
	if left, told := state(); left != 0 || told != each {
		t.Errorf("%d are left, and %d were told to be removed", left, told)
	}
	list, err := s.Firings(ctx, runs.FiringQuery{Status: runs.FiringDue})
	if err != nil || len(list) != each {
		t.Errorf("%d are due, %v", len(list), err)
	}
	t.Logf("cut off in the middle %d times", middle)
}

// TestEventsOfOlderStores opens a store that knows events by texts.
func TestEventsOfOlderStores(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Index(migrations[:], layoutMarks)
	for _, query := range []string{
		strings.Join(migrations[:before], "") + fmt.Sprintf("PRAGMA user_version = %d;", before),
		"INSERT INTO events(id, source, type, subject, time) VALUES('1', '/a', 'push', '', 7), ('2', '/a', 'push', '', 7), ('3', '/a', 'push', '', 7)",
		`INSERT INTO inbox(sequence, source, id, digest, at, extra) VALUES(1, '/a', '1', 'body', 5, '{"x":1}'), (2, '/a', '2', 'body', 6, NULL), (3, '/a', '3', '', 7, NULL)`,
	} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	event := func(id, digest string) runs.Inbound {
		return runs.Inbound{Event: events.Event{Source: "/a", ID: id, Type: "push", Time: pruneEpoch}, Digest: digest}
	}
	got, err := s.Accept(ctx, []runs.Inbound{event("3", ""), event("2", ""), event("4", "body"), event("5", "other")})
	want := []runs.Accepted{{Sequence: 3, Duplicate: true}, {Sequence: 2, Duplicate: true}, {Sequence: 1, Duplicate: true}, {Sequence: 4}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("accepted are %+v, %v", got, err)
	}
	fed, err := s.Fed(ctx, 0, 0)
	if err != nil || len(fed) != 4 || !fed[0].Outside || fed[0].At.UnixNano() != 5 || string(fed[0].Extra) != `{"x":1}` || fed[1].Extra != nil {
		t.Errorf("the feed is %+v, %v", fed, err)
	}
}
