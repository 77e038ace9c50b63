package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// layoutObservations has what an observer knows of stacks: a document each, in
// which nothing is sensitive.
const layoutObservations = `
CREATE TABLE observations(
  stack TEXT NOT NULL, environment TEXT NOT NULL, document BLOB NOT NULL,
  PRIMARY KEY(stack, environment)) WITHOUT ROWID;
`

// observing is the name of the lock of who observes; no run is called so.
const observing = "~observer"

// Observe replaces what is known of a stack; nil where nothing is known yet. It is
// written in one transaction with the events that come of it and the runs made for
// it. change may be called more than once, and what it returned last counts; an error
// of it is returned, and nothing is written.
func (s *Store) Observe(ctx context.Context, key states.Key, change func(document json.RawMessage) (json.RawMessage, []events.Event, error), made ...runs.NewRun) error {
	return s.write(ctx, func(tx *transaction) error {
		var document []byte
		if _, err := tx.row("SELECT document FROM observations WHERE stack = ? AND environment = ?", []any{key.Stack, key.Environment}, &document); err != nil {
			return err
		}
		next, told, err := change(document)
		if err != nil {
			return err
		}
		if next != nil {
			if _, err := tx.exec("INSERT OR REPLACE INTO observations(stack, environment, document) VALUES(?, ?, ?)", key.Stack, key.Environment, []byte(next)); err != nil {
				return err
			}
		}
		if err := s.appendEvents(tx, told); err != nil {
			return err
		}
		for _, n := range made {
			if err := s.enqueue(tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// Observation is what is known of a stack; nil where nothing is.
func (s *Store) Observation(ctx context.Context, key states.Key) (json.RawMessage, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	var document []byte
	err = db.QueryRowContext(ctx, "SELECT document FROM observations WHERE stack = ? AND environment = ?", key.Stack, key.Environment).Scan(&document)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("cannot read what is known of a stack: %w", err)
	}
	return document, nil
}

// Observations are what is known of all stacks.
func (s *Store) Observations(ctx context.Context) (map[states.Key]json.RawMessage, error) {
	out := map[states.Key]json.RawMessage{}
	err := s.list(ctx, "SELECT stack, environment, document FROM observations", nil, func(rows *sql.Rows) error {
		var key states.Key
		var document []byte
		err := rows.Scan(&key.Stack, &key.Environment, &document)
		out[key] = document
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what is known of stacks: %w", err)
	}
	return out, nil
}

// LockObserver makes the caller the only one who observes, among all processes,
// until release is called or the process ends; [runs.ErrHeld] where there is one.
func (s *Store) LockObserver() (release func(), err error) { return s.lock(observing) }
