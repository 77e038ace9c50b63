package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
)

var _ states.Locker = (*Store)(nil)

// Lock implements states.Locker.
func (s *Store) Lock(ctx context.Context, key states.Key, lock states.Lock) error {
	info, err := json.Marshal(lock)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *transaction) error {
		state, err := tx.ensureState(key)
		if err != nil {
			return err
		}
		if err := tx.checkLock(state, ""); err != nil {
			return err
		}
		run := ""
		claimed, err := tx.row("SELECT run FROM claims WHERE state = ? LIMIT 1", []any{state}, &run)
		if err != nil {
			return err
		}
		if claimed {
			return &states.ClaimError{Run: run}
		}
		_, err = tx.exec("INSERT INTO locks(state, id, info) VALUES(?, ?, ?)", state, lock.ID, info)
		return err
	})
}

// Unlock implements states.Locker.
func (s *Store) Unlock(ctx context.Context, key states.Key, id string) error {
	return s.write(ctx, func(tx *transaction) error {
		state, err := tx.ensureState(key)
		if err != nil {
			return err
		}
		if id != "" {
			if err := tx.checkLock(state, id); err != nil {
				return err
			}
		}
		_, err = tx.exec("DELETE FROM locks WHERE state = ?", state)
		return err
	})
}

// Locked implements states.Locker.
func (s *Store) Locked(ctx context.Context, key states.Key) (*states.Lock, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	var info []byte
	err = db.QueryRowContext(ctx, "SELECT info FROM locks JOIN states ON states.id = locks.state WHERE stack = ? AND environment = ?", key.Stack, key.Environment).Scan(&info)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the store: %w", err)
	}
	lock := new(states.Lock)
	return lock, json.Unmarshal(info, lock)
}

// checkLock refuses where somebody else than the holder of a lock has the state
// locked.
func (tx *transaction) checkLock(state int64, holder string) error {
	var info []byte
	locked, err := tx.row("SELECT info FROM locks WHERE state = ? AND id <> ?", []any{state, holder}, &info)
	if err != nil || !locked {
		return err
	}
	var lock states.Lock
	if err := json.Unmarshal(info, &lock); err != nil {
		return fmt.Errorf("cannot read a lock: %w", err)
	}
	return &states.LockError{Lock: lock}
}

// checkWritable refuses where others change these objects, or have the state
// locked, unless it is the holder who writes. Who writes no objects, as a run that
// works on several states does not by itself, is in nobody's way.
func (tx *transaction) checkWritable(state int64, holder string, objects []addrs.Object) error {
	if len(objects) > 0 {
		if err := tx.checkLock(state, holder); err != nil {
			return err
		}
	}
	return tx.checkClaims(state, objects)
}
