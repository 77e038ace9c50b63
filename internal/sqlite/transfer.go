package sqlite

import (
	"context"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/states"
)

const readInstance = "SELECT " + columns + " FROM instances WHERE state = ? AND address = ? AND deposed = ?"

// dependenciesColumn is the place of the dependencies among columns.
const dependenciesColumn = 11

// Transfer implements runs.Store. Rows are moved as they lie there, sealed
// values included: no key is needed.
func (s *Store) Transfer(ctx context.Context, moves []states.Transfer, told ...events.Event) error {
	if err := states.CheckTransfers(moves); err != nil {
		return err
	}
	return s.write(ctx, func(tx *transaction) error {
		ids, err := tx.checkTransfers(moves)
		if err != nil {
			return err
		}
		rows := make([][]any, len(moves))
		for i, m := range moves {
			if rows[i], err = tx.takeOut(ids[m.From], m, s.now().UnixNano()); err != nil {
				return err
			}
		}
		// Only now the places are free that others leave.
		for i, m := range moves {
			if err := tx.putIn(ids[m.To], m, moves, rows[i], s.now().UnixNano()); err != nil {
				return err
			}
		}
		return s.appendEvents(tx, told)
	})
}

// checkTransfers fails where rows are not as expected or a run has claimed what
// leaves or the place where it arrives. It returns the numbers of the states.
func (tx *transaction) checkTransfers(moves []states.Transfer) (map[states.Key]int64, error) {
	ids := map[states.Key]int64{}
	expect := map[states.Key]map[addrs.Object]int64{}
	var order []states.Key
	note := func(key states.Key, obj addrs.Object, version int64) error {
		if expect[key] == nil {
			id, err := tx.ensureState(key)
			if err != nil {
				return err
			}
			ids[key], expect[key] = id, map[addrs.Object]int64{}
			order = append(order, key)
		}
		if expect[key][obj] == 0 { // a place that something else leaves is not empty yet
			expect[key][obj] = version
		}
		return nil
	}
	for _, m := range moves {
		if err := note(m.From, m.Object, m.Version); err != nil {
			return nil, err
		}
		if err := note(m.To, m.As, 0); err != nil {
			return nil, err
		}
	}
	for _, key := range order {
		if err := tx.checkVersions(ids[key], expect[key]); err != nil {
			return nil, err
		}
	}
	for _, key := range order {
		var objects []addrs.Object
		for obj := range expect[key] {
			objects = append(objects, obj)
		}
		if err := tx.checkWritable(ids[key], "", objects); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// takeOut removes a row, with an entry in its history, and returns its columns.
func (tx *transaction) takeOut(state int64, m states.Transfer, now int64) ([]any, error) {
	if _, err := tx.touch(state); err != nil {
		return nil, err
	}
	address, deposed := m.Object.Instance.String(), string(m.Object.Deposed)
	values := make([]any, strings.Count(columns, ",")+1)
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	if _, err := tx.row(readInstance, []any{state, address, deposed}, into...); err != nil {
		return nil, err
	}
	if _, err := tx.exec(writeHistory, state, address, deposed, "", 0, now, "transfer to "+m.To.String(), 0); err != nil {
		return nil, err
	}
	_, err := tx.exec(deleteInstance, state, address, deposed)
	return values, err
}

// putIn writes columns as another row, with an entry in its history.
func (tx *transaction) putIn(state int64, m states.Transfer, all []states.Transfer, values []any, now int64) error {
	if _, err := tx.touch(state); err != nil {
		return err
	}
	if text, ok := values[dependenciesColumn].(string); ok {
		deps, err := parseDependencies(text)
		if err != nil {
			return err
		}
		values[dependenciesColumn] = encodeDependencies(states.TransferredDependencies(deps, m, all))
	}
	address, deposed := m.As.Instance.String(), string(m.As.Deposed)
	if _, err := tx.exec(writeHistory, state, address, deposed, "", 0, now, "transfer from "+m.From.String(), 1); err != nil {
		return err
	}
	_, err := tx.exec(writeInstance, slices.Concat([]any{state, address, deposed, m.ArrivalVersion()}, values)...)
	return err
}
