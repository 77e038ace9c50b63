package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
)

// PutBlob implements runs.Store.
func (s *Store) PutBlob(ctx context.Context, name string, data []byte) error {
	return s.write(ctx, func(tx *transaction) error {
		_, err := tx.exec("INSERT OR IGNORE INTO blobs(name, data) VALUES(?, ?)", name, data)
		return err
	})
}

// Blob implements runs.Store.
func (s *Store) Blob(ctx context.Context, name string) ([]byte, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	var data []byte
	var isSealed bool
	err = db.QueryRowContext(ctx, "SELECT data, sealed FROM blobs WHERE name = ?", name).Scan(&data, &isSealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the store has no %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q from the store: %w", name, err)
	}
	if isSealed {
		if s.hider == nil {
			return nil, fmt.Errorf("cannot read %q from the store: it is sealed, and there is no key", name)
		}
		if data, err = s.hider.Open(data); err != nil {
			return nil, fmt.Errorf("cannot read %q from the store: %w", name, err)
		}
	}
	return data, nil
}

// Events implements runs.Store.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]events.Event, int64, error) {
	if limit <= 0 {
		limit = -1
	}
	db, err := s.reading(ctx)
	if err != nil {
		return nil, after, err
	}
	rows, err := db.QueryContext(ctx, "SELECT sequence, id, source, type, subject, actor, time, data FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", after, limit)
	if err != nil {
		return nil, after, fmt.Errorf("cannot read the events: %w", err)
	}
	defer rows.Close()
	var out []events.Event
	last := after
	for rows.Next() {
		var e events.Event
		var at int64
		if err := rows.Scan(&last, &e.ID, &e.Source, &e.Type, &e.Subject, &e.Actor, &at, (*[]byte)(&e.Data)); err != nil {
			return nil, after, fmt.Errorf("cannot read the events: %w", err)
		}
		e.Time = instant(at)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, after, fmt.Errorf("cannot read the events: %w", err)
	}
	return out, last, nil
}

// nanoseconds is how times are stored; 0 stands for none.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// bound is nanoseconds for what others are compared with, however far away.
func bound(t time.Time) int64 {
	switch first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64); {
	case t.Before(first):
		return math.MinInt64
	case t.After(last):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}
