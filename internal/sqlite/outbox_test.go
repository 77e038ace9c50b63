package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

func TestOutbox(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), open(t, t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1000, 0).UTC()
	recipients := func(names ...string) (map[string]int64, error) {
		must(s.SetRecipients(ctx, names, at))
		return s.Recipients(ctx)
	}
	must(s.Record(ctx, events.Event{Type: "before"}))
	known, err := recipients([]string{"a", "b"}...)
	must(err)
	if len(known) != 2 || known["a"] != 1 || known["b"] != 1 {
		t.Fatalf("new ones begin at %v, and not at the end of the feed", known)
	}
	must(s.Record(ctx, events.Event{ID: "e2", Type: "x"}, events.Event{ID: "e3", Type: "x"}))
	found := []runs.Delivery{{Notify: "a", Sequence: 2, Event: "e2", Type: "x", Queued: at}, {Notify: "a", Sequence: 3, Event: "e3", Type: "x", Queued: at}, {Notify: "b", Sequence: 3, Event: "e3", Type: "x", Queued: at}}
	must(s.AdvanceOutbox(ctx, []string{"a", "b"}, 3, found))
	must(s.AdvanceOutbox(ctx, []string{"a", "b"}, 2, found[:1])) // as after a crash: nothing goes back, and nothing is there twice
	if known, err = recipients([]string{"a", "b"}...); err != nil || known["a"] != 3 || known["b"] != 3 {
		t.Fatalf("%v, %v", known, err)
	}
	list, err := s.Deliveries(ctx, runs.DeliveryQuery{})
	must(err)
	if len(list) != 3 {
		t.Fatalf("%d deliveries", len(list))
	}

	d, ok, err := s.NextDelivery(ctx, "a")
	must(err)
	if want := (runs.Delivery{ID: d.ID, Notify: "a", Sequence: 2, Event: "e2", Type: "x", Status: runs.DeliveryPending, Queued: at}); !ok || d != want {
		t.Fatalf("%+v, want %+v", d, want)
	}
	if _, err := s.RetryDelivery(ctx, d.ID, at); !errors.Is(err, runs.ErrNotDead) {
		t.Error(err)
	}
	if _, err := s.RetryDelivery(ctx, 99, at); !errors.Is(err, runs.ErrNoDelivery) {
		t.Error(err)
	}
	d.Attempts, d.Next, d.Problem = 1, at.Add(time.Minute), "refused"
	must(s.RecordAttempt(ctx, d))
	if again, _, err := s.NextDelivery(ctx, "a"); err != nil || again != d {
		t.Fatalf("%+v, %v", again, err)
	}
	d.Status, d.Next, d.Ended = runs.DeliveryDead, time.Time{}, at
	must(s.RecordAttempt(ctx, d, events.Event{Type: "delivery.dead"}))
	if next, _, err := s.NextDelivery(ctx, "a"); err != nil || next.Sequence != 3 {
		t.Fatalf("%+v, %v", next, err)
	}
	again, err := s.RetryDelivery(ctx, d.ID, at.Add(time.Hour), events.Event{Type: "delivery.retried"})
	must(err)
	if again.Status != runs.DeliveryPending || again.Attempts != 0 || !again.Ended.IsZero() || !again.Queued.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v", again)
	}
	if next, _, err := s.NextDelivery(ctx, "a"); err != nil || next.ID != d.ID {
		t.Fatalf("%+v, %v: it is not its turn again", next, err)
	}
	if list, _, err := s.Events(ctx, 3, 0); err != nil || len(list) != 2 || list[0].Type != "delivery.dead" || list[1].Type != "delivery.retried" {
		t.Errorf("%v, %v", list, err)
	}

	if known, err = recipients([]string{"b", "c"}...); err != nil || len(known) != 2 || known["b"] != 3 || known["c"] != 5 {
		t.Fatalf("%v, %v", known, err)
	}
	if _, ok, err := s.NextDelivery(ctx, "a"); ok || err != nil {
		t.Errorf("something is sent for a block that is gone: %v", err)
	}
	dead, err := s.Deliveries(ctx, runs.DeliveryQuery{Notify: "a", Status: runs.DeliveryDead, Limit: 1})
	must(err)
	if len(dead) != 1 || dead[0].Sequence != 3 || dead[0].Problem == "" {
		t.Errorf("%+v", dead)
	}
}

// TestOutboxIsHeldByOne: two servers never send at once.
func TestOutboxIsHeldByOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	release, err := a.HoldOutbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{a, b} {
		if _, err := s.HoldOutbox(t.Context()); !errors.Is(err, runs.ErrHeld) {
			t.Errorf("a second one holds it: %v", err)
		}
	}
	release()
	if release, err = b.HoldOutbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	release()
}

// TestOutboxForgetsTheOldest, but nothing that is pending.
func TestOutboxForgetsTheOldest(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), open(t, t.TempDir())
	var found []runs.Delivery
	for i := range int64(runs.DeliveriesKept + 100) {
		found = append(found, runs.Delivery{Notify: "a", Sequence: i + 1})
	}
	if err := s.AdvanceOutbox(ctx, nil, 0, found); err != nil {
		t.Fatal(err)
	}
	// The second to be sent is still pending, all others are done with.
	if err := s.write(ctx, func(tx *transaction) error {
		_, err := tx.exec("UPDATE deliveries SET status = 'delivered' WHERE id <> 2")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordAttempt(ctx, runs.Delivery{ID: runs.DeliveriesKept + 100, Notify: "a", Status: runs.DeliveryDelivered}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Deliveries(ctx, runs.DeliveryQuery{})
	if err != nil || len(list) != runs.DeliveriesKept+1 || list[len(list)-1].ID != 2 {
		t.Errorf("%d deliveries are kept, %v", len(list), err)
	}
}
