package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// layoutOutbox has how far the feed was followed for each notify block, and what is
// to be sent.
const layoutOutbox = `
CREATE TABLE recipients(name TEXT PRIMARY KEY, upto INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deliveries(
  id INTEGER PRIMARY KEY AUTOINCREMENT, notify TEXT NOT NULL, sequence INTEGER NOT NULL, event TEXT NOT NULL, type TEXT NOT NULL,
  status TEXT NOT NULL, attempts INTEGER NOT NULL, queued INTEGER NOT NULL, next INTEGER NOT NULL, ended INTEGER NOT NULL, problem TEXT NOT NULL,
  UNIQUE(notify, sequence));
CREATE INDEX deliveries_pending ON deliveries(notify, id) WHERE status = 'pending';
`

var _ runs.OutboxStore = (*Store)(nil)

// outboxLock is locked as a run is by whoever drives it. No run is called so.
const outboxLock = "outbox"

// HoldOutbox implements runs.OutboxStore.
func (s *Store) HoldOutbox(context.Context) (release func(), err error) { return s.lock(outboxLock) }

// SetRecipients implements runs.OutboxStore.
func (s *Store) SetRecipients(ctx context.Context, names []string, now time.Time) error {
	have, err := s.Recipients(ctx)
	if err != nil {
		return err
	}
	if slices.Equal(slices.Sorted(maps.Keys(have)), slices.Sorted(slices.Values(names))) {
		return nil
	}
	return s.write(ctx, func(tx *transaction) error {
		chain, err := tx.feedChain()
		if err != nil {
			return err
		}
		for name := range have {
			if slices.Contains(names, name) {
				continue
			}
			if _, err := tx.exec("DELETE FROM recipients WHERE name = ?", name); err != nil {
				return err
			}
			_, err := tx.exec("UPDATE deliveries SET status = 'dead', ended = ?, problem = 'the project does not declare this notify block any more' WHERE notify = ? AND status = 'pending'", nanoseconds(now), name)
			if err != nil {
				return err
			}
		}
		for _, name := range names {
			if _, err := tx.exec("INSERT OR IGNORE INTO recipients(name, upto) VALUES(?, ?)", name, chain.Last); err != nil {
				return err
			}
		}
		return nil
	})
}

// Recipients implements runs.OutboxStore.
func (s *Store) Recipients(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.list(ctx, "SELECT name, upto FROM recipients", nil, func(rows *sql.Rows) error {
		var name string
		var upTo int64
		err := rows.Scan(&name, &upTo)
		out[name] = upTo
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read who is notified: %w", err)
	}
	return out, nil
}

// AdvanceOutbox implements runs.OutboxStore.
func (s *Store) AdvanceOutbox(ctx context.Context, names []string, upTo int64, found []runs.Delivery) error {
	return s.write(ctx, func(tx *transaction) error {
		for _, name := range names {
			if _, err := tx.exec("UPDATE recipients SET upto = ?2 WHERE name = ?1 AND upto < ?2", name, upTo); err != nil {
				return err
			}
		}
		for _, d := range found {
			_, err := tx.exec("INSERT INTO deliveries(notify, sequence, event, type, status, attempts, queued, next, ended, problem) VALUES(?, ?, ?, ?, 'pending', 0, ?, 0, 0, '') ON CONFLICT(notify, sequence) DO NOTHING",
				d.Notify, d.Sequence, d.Event, d.Type, nanoseconds(d.Queued))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// NextDelivery implements runs.OutboxStore.
func (s *Store) NextDelivery(ctx context.Context, notify string) (runs.Delivery, bool, error) {
	list, err := s.listDeliveries(ctx, "WHERE notify = ? AND status = 'pending' ORDER BY id LIMIT 1", notify)
	if err != nil || len(list) == 0 {
		return runs.Delivery{}, false, err
	}
	return list[0], true, nil
}

// dropDeliveriesEvery is after how many deliveries old ones are looked for.
const dropDeliveriesEvery = 100

// RecordAttempt implements runs.OutboxStore.
func (s *Store) RecordAttempt(ctx context.Context, d runs.Delivery, told ...events.Event) error {
	return s.write(ctx, func(tx *transaction) error {
		_, err := tx.exec("UPDATE deliveries SET status = ?, attempts = ?, next = ?, ended = ?, problem = ? WHERE id = ?",
			string(d.Status), d.Attempts, nanoseconds(d.Next), nanoseconds(d.Ended), d.Problem, d.ID)
		if err != nil {
			return err
		}
		if d.ID%dropDeliveriesEvery == 0 {
			_, err := tx.exec("DELETE FROM deliveries WHERE notify = ?1 AND status <> 'pending' AND sequence <= (SELECT sequence FROM deliveries WHERE notify = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)", d.Notify, runs.DeliveriesKept)
			if err != nil {
				return err
			}
		}
		return s.appendEvents(tx, told)
	})
}

// deliverySelection is which deliveries are read, in which order.
func deliverySelection(q runs.DeliveryQuery) (text string, args []any) {
	where, args := given(
		condition{"notify = ?", q.Notify, q.Notify != ""},
		condition{"status = ?", string(q.Status), q.Status != ""},
		condition{"id < ?", q.Before, q.Before != 0},
	)
	return where + "ORDER BY id DESC LIMIT ?", append(args, limitOf(q.Limit))
}

// Deliveries implements runs.OutboxStore.
func (s *Store) Deliveries(ctx context.Context, q runs.DeliveryQuery) ([]runs.Delivery, error) {
	text, args := deliverySelection(q)
	return s.listDeliveries(ctx, text, args...)
}

// RetryDelivery implements runs.OutboxStore.
func (s *Store) RetryDelivery(ctx context.Context, id int64, now time.Time, told ...events.Event) (runs.Delivery, error) {
	err := s.write(ctx, func(tx *transaction) error {
		var status string
		found, err := tx.row("SELECT status FROM deliveries WHERE id = ?", []any{id}, &status)
		switch {
		case err != nil:
			return err
		case !found:
			return runs.ErrNoDelivery
		case status != string(runs.DeliveryDead):
			return runs.ErrNotDead
		}
		if _, err := tx.exec("UPDATE deliveries SET status = 'pending', attempts = 0, queued = ?, next = 0, ended = 0 WHERE id = ?", nanoseconds(now), id); err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
	if err != nil {
		return runs.Delivery{}, err
	}
	list, err := s.listDeliveries(ctx, "WHERE id = ?", id)
	if err != nil || len(list) == 0 {
		return runs.Delivery{}, err
	}
	return list[0], nil
}

func (s *Store) listDeliveries(ctx context.Context, where string, args ...any) ([]runs.Delivery, error) {
	var out []runs.Delivery
	err := s.list(ctx, "SELECT id, notify, sequence, event, type, status, attempts, queued, next, ended, problem FROM deliveries "+where, args, func(rows *sql.Rows) error {
		var d runs.Delivery
		var queued, next, ended int64
		if err := rows.Scan(&d.ID, &d.Notify, &d.Sequence, &d.Event, &d.Type, (*string)(&d.Status), &d.Attempts, &queued, &next, &ended, &d.Problem); err != nil {
			return err
		}
		d.Queued, d.Next, d.Ended = instant(queued), instant(next), instant(ended)
		out = append(out, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the deliveries: %w", err)
	}
	return out, nil
}
