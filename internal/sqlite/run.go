package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

var _ runs.Store = (*Store)(nil)

// Start implements runs.Store.
func (s *Store) Start(ctx context.Context, run runs.Run, plan []byte, claim runs.Claim, adjust []states.Change) (runs.Lease, error) {
	release, err := s.lock(run.ID)
	if err != nil {
		return runs.Lease{}, err
	}
	err = s.writer.transaction(ctx, func(tx *transaction) error {
		state, err := tx.ensureState(run.Key)
		if err != nil {
			return err
		}
		if err := tx.checkVersions(state, claim.Expect); err != nil {
			return err
		}
		if err := tx.checkClaims(state, claim.Objects); err != nil {
			return err
		}
		document, err := json.Marshal(run)
		if err != nil {
			return fmt.Errorf("cannot store run %s: %w", run.ID, err)
		}
		_, err = tx.exec("INSERT INTO runs(id, stack, environment, status, created, token, cancelling, document) VALUES(?, ?, ?, ?, ?, 1, 0, ?)",
			run.ID, run.Key.Stack, run.Key.Environment, string(run.Status), run.Created.UnixNano(), document)
		if err != nil {
			return err
		}
		if plan != nil {
			if _, err := tx.exec("INSERT OR IGNORE INTO blobs(name, data) VALUES(?, ?)", run.Blob, plan); err != nil {
				return err
			}
		}
		for _, obj := range claim.Objects {
			if _, err := tx.exec("INSERT OR IGNORE INTO claims(state, address, deposed, run) VALUES(?, ?, ?, ?)", state, obj.Instance.String(), string(obj.Deposed), run.ID); err != nil {
				return err
			}
		}
		return s.writeRows(tx, state, run.ID, 0, "refresh", adjust)
	})
	if err != nil {
		release()
		s.dropLock(run.ID)
		return runs.Lease{}, err
	}
	return runs.Lease{Run: run.ID, Token: 1, Release: release}, nil
}

// Acquire implements runs.Store.
func (s *Store) Acquire(ctx context.Context, id string) (runs.Lease, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return runs.Lease{}, err
	}
	release, err := s.lock(run.ID)
	if err != nil {
		return runs.Lease{}, err
	}
	var token int64
	err = s.writer.transaction(ctx, func(tx *transaction) error {
		if _, err := tx.exec("UPDATE runs SET token = token + 1, cancelling = 0 WHERE id = ?", id); err != nil {
			return err
		}
		return tx.row("SELECT token FROM runs WHERE id = ?", []any{id}, &token)
	})
	if err != nil {
		release()
		return runs.Lease{}, err
	}
	return runs.Lease{Run: id, Token: token, Release: release}, nil
}

// Commit implements runs.Store.
func (s *Store) Commit(ctx context.Context, commits []runs.Commit) error {
	ended := ""
	err := s.writer.transaction(ctx, func(tx *transaction) error {
		known := map[string]runState{}
		for i := range commits {
			c := &commits[i]
			at, ok := known[c.Lease.Run]
			if !ok {
				var err error
				if at, err = tx.runState(c.Lease.Run); err != nil {
					return err
				}
				known[c.Lease.Run] = at
			}
			if at.token != c.Lease.Token {
				return runs.ErrFenced
			}
			if err := s.commitOne(tx, at, c); err != nil {
				return err
			}
			if c.Run != nil && c.Run.Status.Ended() {
				ended = c.Run.ID
			}
		}
		return nil
	})
	if err == nil && ended != "" {
		s.dropLock(ended)
	}
	return err
}

// runState is what a commit needs to know of its run.
type runState struct {
	token, state int64
}

func (tx *transaction) runState(id string) (runState, error) {
	var at runState
	var key states.Key
	err := tx.row("SELECT token, stack, environment FROM runs WHERE id = ?", []any{id}, &at.token, &key.Stack, &key.Environment)
	if errors.Is(err, sql.ErrNoRows) {
		return at, runs.ErrNotFound
	}
	if err != nil {
		return at, fmt.Errorf("cannot read run %s: %w", id, err)
	}
	at.state, err = tx.ensureState(key)
	return at, err
}

func (s *Store) commitOne(tx *transaction, at runState, c *runs.Commit) error {
	if err := tx.appendEntries(c.Lease.Run, c.Entries); err != nil {
		return err
	}
	sequence := int64(0)
	if n := len(c.Entries); n > 0 {
		sequence = c.Entries[n-1].Sequence
	}
	if err := s.writeRows(tx, at.state, c.Lease.Run, sequence, c.Cause, c.Rows); err != nil {
		return err
	}
	for _, e := range c.Events {
		if _, err := tx.exec("INSERT INTO events(id, source, type, subject, time, data) VALUES(?, ?, ?, ?, ?, ?)", e.ID, e.Source, e.Type, e.Subject, e.Time.UnixNano(), nonEmpty(e.Data)); err != nil {
			return err
		}
	}
	if err := s.writeOutputs(tx, at.state, c.Outputs); err != nil {
		return err
	}
	if c.CheckResults != nil {
		if _, err := tx.exec("UPDATE states SET check_results = ? WHERE id = ?", []byte(c.CheckResults), at.state); err != nil {
			return err
		}
	}
	if c.Run == nil {
		return nil
	}
	return tx.updateRun(*c.Run)
}

// updateRun replaces what is stored about a run; one that has ended loses its
// claim.
func (tx *transaction) updateRun(run runs.Run) error {
	document, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("cannot store run %s: %w", run.ID, err)
	}
	if _, err := tx.exec("UPDATE runs SET status = ?, document = ? WHERE id = ?", string(run.Status), document, run.ID); err != nil {
		return err
	}
	if run.Status.Ended() {
		_, err = tx.exec("DELETE FROM claims WHERE run = ?", run.ID)
	}
	return err
}

func (tx *transaction) appendEntries(run string, entries []workflow.Entry) error {
	for _, e := range entries {
		if _, err := tx.exec("INSERT INTO journal(run, sequence, time, kind, step, data) VALUES(?, ?, ?, ?, ?, ?)", run, e.Sequence, e.Time.UnixNano(), string(e.Kind), e.Step, nonEmpty(e.Data)); err != nil {
			return err
		}
	}
	return nil
}

// Append implements workflow.Journal.
func (s *Store) Append(ctx context.Context, run string, expected int64, entries []workflow.Entry) error {
	return s.writer.transaction(ctx, func(tx *transaction) error {
		var last int64
		if err := tx.row("SELECT coalesce(max(sequence), 0) FROM journal WHERE run = ?", []any{run}, &last); err != nil {
			return fmt.Errorf("cannot read the journal of run %s: %w", run, err)
		}
		if last != expected {
			return fmt.Errorf("the journal of run %s has %d entries, not %d: somebody else has written", run, last, expected)
		}
		for i, e := range entries {
			if e.Sequence != expected+int64(i)+1 {
				return fmt.Errorf("entry %d does not follow on in the journal of run %s", e.Sequence, run)
			}
		}
		return tx.appendEntries(run, entries)
	})
}

// Read implements workflow.Journal.
func (s *Store) Read(ctx context.Context, run string, after int64) ([]workflow.Entry, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT sequence, time, kind, step, data FROM journal WHERE run = ? AND sequence > ? ORDER BY sequence", run, after)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of run %s: %w", run, err)
	}
	defer rows.Close()
	var out []workflow.Entry
	for rows.Next() {
		var e workflow.Entry
		var at int64
		if err := rows.Scan(&e.Sequence, &at, (*string)(&e.Kind), &e.Step, (*[]byte)(&e.Data)); err != nil {
			return nil, fmt.Errorf("cannot read the journal of run %s: %w", run, err)
		}
		e.Time = time.Unix(0, at)
		out = append(out, e)
	}
	return out, rows.Err()
}

// Recorded implements runs.Store.
func (s *Store) Recorded(ctx context.Context, id string) ([]runs.Recorded, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	entries, err := s.Read(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	current, err := s.State(ctx, run.Key)
	if err != nil {
		return nil, err
	}
	list, err := s.revisions(ctx, "SELECT h.id, h.address, h.deposed, h.run, h.sequence, h.at, h.cause, h.after, h.version, "+columns+
		" FROM history h WHERE h.run = ? AND h.run <> '' ORDER BY h.id DESC", []any{id}, current)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of run %s: %w", id, err)
	}
	rows := map[int64][]states.Change{}
	for i := len(list) - 1; i >= 0; i-- {
		r := list[i]
		rows[r.sequence] = append(rows[r.sequence], states.Change{Object: r.Object, Before: r.Before, After: r.After})
	}
	out := make([]runs.Recorded, len(entries))
	for i, e := range entries {
		out[i] = runs.Recorded{Entry: e, Rows: rows[e.Sequence]}
	}
	return out, nil
}

// Run implements runs.Store.
func (s *Store) Run(ctx context.Context, id string) (runs.Run, error) {
	list, err := s.listRuns(ctx, "WHERE id = ?", id)
	if err != nil {
		return runs.Run{}, err
	}
	if len(list) == 0 {
		return runs.Run{}, runs.ErrNotFound
	}
	return list[0], nil
}

// Runs implements runs.Store.
func (s *Store) Runs(ctx context.Context, key states.Key, limit int) ([]runs.Run, error) {
	if limit <= 0 {
		limit = -1
	}
	if key == (states.Key{}) {
		return s.listRuns(ctx, "ORDER BY created DESC, id DESC LIMIT ?", limit)
	}
	return s.listRuns(ctx, "WHERE stack = ? AND environment = ? ORDER BY created DESC, id DESC LIMIT ?", key.Stack, key.Environment, limit)
}

func (s *Store) listRuns(ctx context.Context, where string, args ...any) ([]runs.Run, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT document, cancelling FROM runs "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the runs: %w", err)
	}
	defer rows.Close()
	var out []runs.Run
	for rows.Next() {
		var document []byte
		var cancelling int
		if err := rows.Scan(&document, &cancelling); err != nil {
			return nil, fmt.Errorf("cannot read the runs: %w", err)
		}
		var run runs.Run
		if err := json.Unmarshal(document, &run); err != nil {
			return nil, fmt.Errorf("cannot read the runs: %w", err)
		}
		run.Cancelling = cancelling
		if !run.Status.Ended() && !s.alive(run.ID) {
			run.Status = runs.Interrupted
		}
		out = append(out, run)
	}
	return out, rows.Err()
}

// RequestCancel implements runs.Store.
func (s *Store) RequestCancel(ctx context.Context, id string) (runs.Run, error) {
	err := s.writer.transaction(ctx, func(tx *transaction) error {
		_, err := tx.exec("UPDATE runs SET cancelling = min(cancelling + 1, 2) WHERE id = ?", id)
		return err
	})
	if err != nil {
		return runs.Run{}, err
	}
	return s.Run(ctx, id)
}

// Abandon implements runs.Store.
func (s *Store) Abandon(ctx context.Context, id string) error {
	run, err := s.Run(ctx, id)
	if err != nil {
		return err
	}
	release, err := s.lock(id)
	if err != nil {
		return err
	}
	defer release()
	err = s.writer.transaction(ctx, func(tx *transaction) error {
		// Whoever still believes to own it is fenced off.
		if _, err := tx.exec("UPDATE runs SET token = token + 1 WHERE id = ?", id); err != nil {
			return err
		}
		run.Status, run.Ended = runs.Cancelled, s.now()
		return tx.updateRun(run)
	})
	if err == nil {
		s.dropLock(id)
	}
	return err
}

// Blob implements runs.Store.
func (s *Store) Blob(ctx context.Context, name string) ([]byte, error) {
	var data []byte
	err := s.reader.QueryRowContext(ctx, "SELECT data FROM blobs WHERE name = ?", name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the store has no %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q from the store: %w", name, err)
	}
	return data, nil
}

// Events implements runs.Store.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]events.Event, int64, error) {
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.reader.QueryContext(ctx, "SELECT sequence, id, source, type, subject, time, data FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", after, limit)
	if err != nil {
		return nil, after, fmt.Errorf("cannot read the events: %w", err)
	}
	defer rows.Close()
	var out []events.Event
	for rows.Next() {
		var e events.Event
		var at int64
		if err := rows.Scan(&after, &e.ID, &e.Source, &e.Type, &e.Subject, &at, (*[]byte)(&e.Data)); err != nil {
			return nil, after, fmt.Errorf("cannot read the events: %w", err)
		}
		e.Time = time.Unix(0, at).UTC()
		out = append(out, e)
	}
	return out, after, rows.Err()
}
