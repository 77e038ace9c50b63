package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Commit implements runs.Store. A run that has ended counts as taken over.
func (s *Store) Commit(ctx context.Context, commits []runs.Commit) error {
	var ended []string
	err := s.write(ctx, func(tx *transaction) error {
		known := map[string]*runState{}
		for i := range commits {
			c := &commits[i]
			at := known[c.Lease.Run]
			if at == nil {
				var err error
				if at, err = tx.runState(c.Lease.Run); err != nil {
					return err
				}
				known[c.Lease.Run] = at
			}
			if at.token != c.Lease.Token || at.ended {
				return runs.ErrFenced
			}
			if err := s.commitOne(tx, at, c); err != nil {
				return err
			}
			if at.ended {
				ended = append(ended, c.Lease.Run)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ended {
		s.dropLock(id)
	}
	return nil
}

// runState is what a commit needs to know of its run.
type runState struct {
	token, state int64
	last         int64 // sequence number of the last journal entry
	ended        bool
}

func (tx *transaction) runState(id string) (*runState, error) {
	var at runState
	var key states.Key
	ok, err := tx.row("SELECT token, stack, environment, status IN "+endedStatuses+" FROM runs WHERE id = ?", []any{id}, &at.token, &key.Stack, &key.Environment, &at.ended)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, runs.ErrNotFound
	}
	if at.state, err = tx.ensureState(key); err != nil {
		return nil, err
	}
	at.last, err = tx.lastEntry(id)
	return &at, err
}

func (s *Store) commitOne(tx *transaction, at *runState, c *runs.Commit) error {
	if err := tx.appendEntries(c.Lease.Run, at.last, c.Entries); err != nil {
		return err
	}
	at.last += int64(len(c.Entries))
	if err := s.writeRows(tx, at.state, origin{c.Lease.Run, at.last, c.Cause}, c.Rows); err != nil {
		return err
	}
	for _, e := range c.Events {
		if _, err := tx.exec("INSERT INTO events(id, source, type, subject, time, data) VALUES(?, ?, ?, ?, ?, ?)", e.ID, e.Source, e.Type, e.Subject, nanoseconds(e.Time), nonEmpty(e.Data)); err != nil {
			return err
		}
	}
	if err := s.writeOutputs(tx, at.state, c.Outputs); err != nil {
		return err
	}
	if err := tx.writeCheckResults(at.state, c.CheckResults); err != nil {
		return err
	}
	if c.Run == nil {
		return nil
	}
	run := *c.Run
	run.ID = c.Lease.Run
	at.ended = run.Status.Ended()
	return tx.updateRun(run)
}

// lastEntry returns the sequence number of the last entry of a journal; 0 for
// an empty one.
func (tx *transaction) lastEntry(run string) (last int64, err error) {
	_, err = tx.row("SELECT coalesce(max(sequence), 0) FROM journal WHERE run = ?", []any{run}, &last)
	return last, err
}

// appendEntries adds entries behind the last one.
func (tx *transaction) appendEntries(run string, last int64, entries []workflow.Entry) error {
	for _, e := range entries {
		if last++; e.Sequence != last {
			return fmt.Errorf("cannot write to the journal of run %s: entry %d comes where %d must follow", run, e.Sequence, last)
		}
		if _, err := tx.exec("INSERT INTO journal(run, sequence, time, kind, step, data) VALUES(?, ?, ?, ?, ?, ?)", run, e.Sequence, nanoseconds(e.Time), string(e.Kind), e.Step, nonEmpty(e.Data)); err != nil {
			return err
		}
	}
	return nil
}

// Append implements workflow.Journal.
func (s *Store) Append(ctx context.Context, run string, expected int64, entries []workflow.Entry) error {
	return s.write(ctx, func(tx *transaction) error {
		last, err := tx.lastEntry(run)
		if err != nil {
			return err
		}
		if last != expected {
			return fmt.Errorf("cannot write to the journal of run %s: it has %d entries, not %d, because somebody else has written", run, last, expected)
		}
		return tx.appendEntries(run, last, entries)
	})
}

// Read implements workflow.Journal.
func (s *Store) Read(ctx context.Context, run string, after int64) ([]workflow.Entry, error) {
	var out []workflow.Entry
	err := s.snapshot(ctx, func(tx *sql.Tx) (err error) {
		out, err = readJournal(ctx, tx, run, after)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of run %s: %w", run, err)
	}
	return out, nil
}

func readJournal(ctx context.Context, tx *sql.Tx, run string, after int64) ([]workflow.Entry, error) {
	rows, err := tx.QueryContext(ctx, "SELECT sequence, time, kind, step, data FROM journal WHERE run = ? AND sequence > ? ORDER BY sequence", run, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []workflow.Entry
	for rows.Next() {
		var e workflow.Entry
		var at int64
		if err := rows.Scan(&e.Sequence, &at, (*string)(&e.Kind), &e.Step, (*[]byte)(&e.Data)); err != nil {
			return nil, err
		}
		e.Time = instant(at)
		out = append(out, e)
	}
	return out, rows.Err()
}
