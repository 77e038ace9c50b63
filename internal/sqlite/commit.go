package sqlite

import (
	"context"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// Commit implements runs.Store. A run that has ended counts as taken over.
func (s *Store) Commit(ctx context.Context, commits []runs.Commit) error {
	var ended []string
	err := s.write(ctx, func(tx *transaction) error {
		ended = nil
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
	if err := s.appendEntries(tx, c.Lease.Run, at.last, c.Entries); err != nil {
		return err
	}
	at.last += int64(len(c.Entries))
	if err := s.writeRows(tx, at.state, origin{c.Lease.Run, at.last, c.Cause}, c.Rows); err != nil {
		return err
	}
	if err := s.appendEvents(tx, c.Events); err != nil {
		return err
	}
	if err := s.writeOutputs(tx, at.state, c.Outputs); err != nil {
		return err
	}
	if err := tx.writeCheckResults(at.state, c.CheckResults); err != nil {
		return err
	}
	for _, l := range c.Leaves {
		if _, err := tx.exec("DELETE FROM tickets WHERE run = ? AND step = ? AND pool = ?", c.Lease.Run, l.Step, l.Pool); err != nil {
			return err
		}
	}
	if c.Run == nil {
		return nil
	}
	run := *c.Run
	run.ID = c.Lease.Run
	at.ended = run.Status.Ended()
	return tx.updateRun(run)
}
