package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/states"
)

// defaultEnvironment is there without being made.
const defaultEnvironment = "default"

// Environments implements states.Store.
func (s *Store) Environments(ctx context.Context, stack string) ([]string, error) {
	fail := func(err error) ([]string, error) { return nil, fmt.Errorf("cannot list the environments: %w", err) }
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT environment FROM states WHERE stack = ? AND deleted = 0", stack)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	out := []string{defaultEnvironment}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return fail(err)
		}
		if name != defaultEnvironment {
			out = append(out, name)
		}
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	slices.Sort(out)
	return out, nil
}

// CreateEnvironment implements states.Store.
func (s *Store) CreateEnvironment(ctx context.Context, key states.Key, told ...events.Event) error {
	if key.Environment == defaultEnvironment {
		return states.ErrExists
	}
	return s.write(ctx, func(tx *transaction) error {
		if _, ok, err := tx.stateID(key); err != nil {
			return err
		} else if ok {
			return states.ErrExists
		}
		if _, err := tx.ensureState(key); err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
}

// The rows of an environment that is deleted stay in its history.
const (
	historyOfDeleted = "INSERT INTO history(state, address, deposed, run, sequence, at, cause, after, version, " + columns + ") " +
		"SELECT state, address, deposed, '', 0, ?, 'environment delete', 0, version, " + columns + " FROM instances WHERE state = ?"
	deleteState = "UPDATE states SET deleted = 1, version = version + 1, serial = 0, terraform_version = '', check_results = NULL WHERE id = ?"
)

// DeleteEnvironment implements states.Store. It fails where a run that has not
// ended works on the environment.
func (s *Store) DeleteEnvironment(ctx context.Context, key states.Key, told ...events.Event) error {
	return s.write(ctx, func(tx *transaction) error {
		id, ok, err := tx.stateID(key)
		if err != nil || !ok {
			return err
		}
		var run string
		busy, err := tx.row("SELECT id FROM runs WHERE stack = ? AND environment = ? AND status NOT IN "+endedStatuses+" LIMIT 1", []any{key.Stack, key.Environment}, &run)
		if err != nil {
			return err
		}
		if busy {
			return fmt.Errorf("cannot delete the environment: run %s is changing it, or was interrupted while it did", run)
		}
		if err := tx.checkLock(id, ""); err != nil {
			return err
		}
		if _, err := tx.exec(historyOfDeleted, s.now().UnixNano(), id); err != nil {
			return err
		}
		for _, query := range []string{"DELETE FROM instances WHERE state = ?", "DELETE FROM outputs WHERE state = ?", deleteState} {
			if _, err := tx.exec(query, id); err != nil {
				return err
			}
		}
		if _, err := tx.exec("DELETE FROM observations WHERE stack = ? AND environment = ?", key.Stack, key.Environment); err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
}

// stateID finds the number of a state.
func (tx *transaction) stateID(key states.Key) (id int64, ok bool, err error) {
	ok, err = tx.row("SELECT id FROM states WHERE stack = ? AND environment = ? AND deleted = 0", []any{key.Stack, key.Environment}, &id)
	return id, ok, err
}

// ensureState finds or makes a state. One that was deleted comes back empty, of
// another lineage.
func (tx *transaction) ensureState(key states.Key) (int64, error) {
	id, ok, err := tx.stateID(key)
	if ok || err != nil {
		return id, err
	}
	_, err = tx.exec("INSERT INTO states(stack, environment, lineage, serial, terraform_version) VALUES(?, ?, ?, 0, '') "+
		"ON CONFLICT(stack, environment) DO UPDATE SET lineage = excluded.lineage, deleted = 0", key.Stack, key.Environment, uuid.NewString())
	if err != nil {
		return 0, err
	}
	id, _, err = tx.stateID(key)
	return id, err
}

// touch counts a change of a state, once per transaction, and returns the
// version of the rows written: no two transactions give the same.
func (tx *transaction) touch(state int64) (int64, error) {
	if version, ok := tx.versions[state]; ok {
		return version, nil
	}
	if _, err := tx.exec("UPDATE states SET serial = serial + 1, version = version + 1 WHERE id = ?", state); err != nil {
		return 0, err
	}
	var version int64
	if _, err := tx.row("SELECT version FROM states WHERE id = ?", []any{state}, &version); err != nil {
		return 0, err
	}
	if tx.versions == nil {
		tx.versions = map[int64]int64{}
	}
	tx.versions[state] = version
	return version, nil
}
