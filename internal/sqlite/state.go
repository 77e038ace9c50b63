package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
)

// State implements states.Store. What could not be unsealed is null, and named
// in the state's Problems.
func (s *Store) State(ctx context.Context, key states.Key) (*states.State, error) {
	st := states.New()
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		var id, serial int64
		err := tx.QueryRowContext(ctx, "SELECT id, lineage, serial, terraform_version, check_results FROM states WHERE stack = ? AND environment = ? AND deleted = 0", key.Stack, key.Environment).
			Scan(&id, &st.Lineage, &serial, &st.TerraformVersion, (*[]byte)(&st.CheckResults))
		if errors.Is(err, sql.ErrNoRows) {
			st.Lineage = uuid.NewString()
			return nil
		}
		if err != nil {
			return err
		}
		st.Serial = uint64(serial)
		d := s.newDecoder()
		if err := d.instances(ctx, tx, "state = ?", []any{id}, st.Instances); err != nil {
			return err
		}
		if err := d.outputs(ctx, tx, id, st.Outputs); err != nil {
			return err
		}
		st.Problems = d.problems
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	return st, nil
}

// snapshot runs f in one reading transaction, so that what is read belongs
// together.
func (s *Store) snapshot(ctx context.Context, f func(tx *sql.Tx) error) error {
	db, err := s.reading(ctx)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f(tx)
}

// instances reads the rows that a condition holds for.
func (d *decoder) instances(ctx context.Context, tx *sql.Tx, where string, args []any, into map[addrs.Object]*states.Instance) error {
	rows, err := tx.QueryContext(ctx, "SELECT address, deposed, version, "+columns+" FROM instances WHERE "+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var address, deposed string
	var version int64
	var r row
	places := r.into(&address, &deposed, &version)
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		obj, err := parseObject(address, deposed)
		if err != nil {
			return err
		}
		if into[obj], err = d.instance(obj, version, &r); err != nil {
			return err
		}
	}
	return rows.Err()
}

func parseObject(address, deposed string) (addrs.Object, error) {
	addr, err := addrs.ParseResourceInstance(address)
	if err != nil {
		return addrs.Object{}, fmt.Errorf("a stored address is damaged: %w", err)
	}
	return addrs.Object{Instance: addr, Deposed: addrs.DeposedKey(deposed)}, nil
}

func (d *decoder) outputs(ctx context.Context, tx *sql.Tx, id int64, into map[string]*states.Output) error {
	rows, err := tx.QueryContext(ctx, "SELECT name, value, type, sensitive, sealed FROM outputs WHERE state = ? ORDER BY name", id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var sealed bool
		o := &states.Output{}
		if err := rows.Scan(&name, (*[]byte)(&o.Value), (*[]byte)(&o.Type), &o.Sensitive, &sealed); err != nil {
			return err
		}
		if sealed {
			plain, err := d.store.unseal(o.Value)
			if err != nil {
				d.problem(fmt.Sprintf("output %q", name), err)
				plain = json.RawMessage("null")
			}
			o.Value = plain
		}
		into[name] = o
	}
	return rows.Err()
}

// Write implements states.Store.
func (s *Store) Write(ctx context.Context, key states.Key, w states.Write) error {
	return s.write(ctx, func(tx *transaction) error {
		state, err := tx.ensureState(key)
		if err != nil {
			return err
		}
		expect := make(map[addrs.Object]int64, len(w.Changes))
		objects := make([]addrs.Object, 0, len(w.Changes))
		for _, c := range w.Changes {
			objects = append(objects, c.Object)
			expect[c.Object] = 0
			if c.Before != nil {
				expect[c.Object] = c.Before.Version
			}
		}
		if err := tx.checkVersions(state, expect); err != nil {
			return err
		}
		if err := tx.checkWritable(state, w.Lock, objects); err != nil {
			return err
		}
		if err := s.writeRows(tx, state, origin{cause: w.Cause}, w.Changes); err != nil {
			return err
		}
		if err := s.writeOutputs(tx, state, w.Outputs); err != nil {
			return err
		}
		if err := tx.writeCheckResults(state, w.CheckResults); err != nil {
			return err
		}
		if err := s.appendEvents(tx, w.Events); err != nil {
			return err
		}
		if w.Lineage == "" {
			return nil
		}
		_, err = tx.exec("UPDATE states SET lineage = ?, serial = ?, terraform_version = ? WHERE id = ?", w.Lineage, int64(w.Serial), w.TerraformVersion, state)
		return err
	})
}

// checkVersions compares rows with what somebody saw.
func (tx *transaction) checkVersions(state int64, expect map[addrs.Object]int64) error {
	var stale []addrs.Object
	for obj, want := range expect {
		var have int64
		if _, err := tx.row("SELECT version FROM instances WHERE state = ? AND address = ? AND deposed = ?", []any{state, obj.Instance.String(), string(obj.Deposed)}, &have); err != nil {
			return err
		}
		if have != want {
			stale = append(stale, obj)
		}
	}
	if stale != nil {
		sortObjects(stale)
		return &states.StaleError{Objects: stale}
	}
	return nil
}

// checkClaims fails where a run holds one of the objects.
func (tx *transaction) checkClaims(state int64, objects []addrs.Object) error {
	var some int
	if claims, err := tx.row("SELECT 1 FROM claims WHERE state = ? LIMIT 1", []any{state}, &some); err != nil || !claims {
		return err
	}
	var claimed []addrs.Object
	run := ""
	for _, obj := range objects {
		held, err := tx.row("SELECT run FROM claims WHERE state = ? AND address = ? AND deposed = ?", []any{state, obj.Instance.String(), string(obj.Deposed)}, &run)
		if err != nil {
			return err
		}
		if held {
			claimed = append(claimed, obj)
		}
	}
	if claimed != nil {
		sortObjects(claimed)
		return &states.ClaimError{Run: run, Objects: claimed}
	}
	return nil
}

func sortObjects(list []addrs.Object) {
	slices.SortFunc(list, func(a, b addrs.Object) int {
		switch {
		case a == b:
			return 0
		case a.Instance.Less(b.Instance), a.Instance == b.Instance && a.Deposed < b.Deposed:
			return -1
		}
		return 1
	})
}

const (
	// The before-image is what lies there now: it is copied without being read.
	writeHistory = "INSERT INTO history(state, address, deposed, run, sequence, at, cause, after, version, " + columns + ") " +
		"SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, version, " + columns + " FROM (SELECT 1) LEFT JOIN instances ON state = ?1 AND address = ?2 AND deposed = ?3"
	deleteInstance = "DELETE FROM instances WHERE state = ? AND address = ? AND deposed = ?"
	writeInstance  = "INSERT OR REPLACE INTO instances(state, address, deposed, version, " + columns + ") VALUES(?, ?, ?, ?, " + placeholders + ")"
)

// origin is why rows are written, for their history.
type origin struct {
	run      string // empty outside runs
	sequence int64  // of the journal entry they belong to
	cause    string
}

// writeRows writes rows with their history, whatever is there.
func (s *Store) writeRows(tx *transaction, state int64, from origin, changes []states.Change) error {
	if len(changes) == 0 {
		return nil
	}
	version, err := tx.touch(state)
	if err != nil {
		return err
	}
	now := s.now().UnixNano()
	for _, c := range changes {
		address, deposed := c.Object.Instance.String(), string(c.Object.Deposed)
		after := 0
		if c.After != nil {
			after = 1
		}
		if _, err = tx.exec(writeHistory, state, address, deposed, from.run, from.sequence, now, from.cause, after); err != nil {
			return err
		}
		if c.After == nil {
			_, err = tx.exec(deleteInstance, state, address, deposed)
		} else {
			var values []any
			if values, err = s.encodeInstance(c.After, state, address, deposed, version); err == nil {
				_, err = tx.exec(writeInstance, values...)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeOutputs(tx *transaction, state int64, outputs map[string]*states.Output) error {
	if len(outputs) == 0 {
		return nil
	}
	if _, err := tx.touch(state); err != nil {
		return err
	}
	for name, o := range outputs {
		if o == nil {
			if _, err := tx.exec("DELETE FROM outputs WHERE state = ? AND name = ?", state, name); err != nil {
				return err
			}
			continue
		}
		value, sealed := []byte(o.Value), false
		if o.Sensitive && s.hider != nil {
			var err error
			if value, err = s.hider.Seal(o.Value); err != nil {
				return fmt.Errorf("cannot seal output %q: %w", name, err)
			}
			sealed = true
		}
		if _, err := tx.exec("INSERT OR REPLACE INTO outputs(state, name, value, type, sensitive, sealed) VALUES(?, ?, ?, ?, ?, ?)", state, name, value, []byte(o.Type), o.Sensitive, sealed); err != nil {
			return err
		}
	}
	return nil
}

// writeCheckResults replaces check results, where there are any.
func (tx *transaction) writeCheckResults(state int64, results json.RawMessage) error {
	if results == nil {
		return nil
	}
	if _, err := tx.touch(state); err != nil {
		return err
	}
	_, err := tx.exec("UPDATE states SET check_results = ? WHERE id = ?", []byte(results), state)
	return err
}
