package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
)

// State implements states.Store. What could not be unsealed is null, and named
// in the state's Problems.
func (s *Store) State(ctx context.Context, key states.Key) (*states.State, error) {
	st := states.New()
	// One transaction, so that what is read belongs together.
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var id int64
	err = tx.QueryRowContext(ctx, "SELECT id, lineage, serial, terraform_version, check_results FROM states WHERE stack = ? AND environment = ?", key.Stack, key.Environment).
		Scan(&id, &st.Lineage, &st.Serial, &st.TerraformVersion, (*[]byte)(&st.CheckResults))
	if errors.Is(err, sql.ErrNoRows) {
		st.Lineage = uuid.NewString()
		return st, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	d := s.newDecoder()
	if err := d.instances(ctx, tx, id, st); err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	if err := d.outputs(ctx, tx, id, st); err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	for _, p := range d.problems {
		st.Problems = append(st.Problems, p.Error())
	}
	return st, nil
}

func (d *decoder) instances(ctx context.Context, tx *sql.Tx, id int64, st *states.State) error {
	rows, err := tx.QueryContext(ctx, "SELECT address, deposed, version, "+columns+" FROM instances WHERE state = ?", id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var address, deposed string
		var version int64
		var r row
		if err := rows.Scan(append([]any{&address, &deposed, &version}, r.into()...)...); err != nil {
			return err
		}
		addr, err := addrs.ParseResourceInstance(address)
		if err != nil {
			return err
		}
		obj := addrs.Object{Instance: addr, Deposed: addrs.DeposedKey(deposed)}
		inst, err := d.instance(obj, version, &r)
		if err != nil {
			return err
		}
		st.Instances[obj] = inst
	}
	return rows.Err()
}

func (d *decoder) outputs(ctx context.Context, tx *sql.Tx, id int64, st *states.State) error {
	rows, err := tx.QueryContext(ctx, "SELECT name, value, type, sensitive, sealed FROM outputs WHERE state = ?", id)
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
			plain, err := d.store.openSealed(o.Value)
			if err != nil {
				d.problems = append(d.problems, fmt.Errorf("output %q: %w", name, err))
				continue
			}
			o.Value = plain
		}
		st.Outputs[name] = o
	}
	return rows.Err()
}

func (s *Store) openSealed(data []byte) ([]byte, error) {
	if s.hider == nil {
		return nil, errors.New("its value is sealed, and there is no key")
	}
	return s.hider.Open(data)
}

// Environments implements states.Store.
func (s *Store) Environments(ctx context.Context, stack string) ([]string, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT environment FROM states WHERE stack = ? ORDER BY environment", stack)
	if err != nil {
		return nil, fmt.Errorf("cannot read the store: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("cannot read the store: %w", err)
		}
		out = append(out, name)
	}
	if !slices.Contains(out, "default") {
		out = append(out, "default")
		slices.Sort(out)
	}
	return out, rows.Err()
}

// CreateEnvironment implements states.Store.
func (s *Store) CreateEnvironment(ctx context.Context, key states.Key) error {
	return s.writer.transaction(ctx, func(tx *transaction) error {
		if _, ok, err := tx.stateID(key); err != nil {
			return err
		} else if ok {
			return states.ErrExists
		}
		_, err := tx.ensureState(key)
		return err
	})
}

// DeleteEnvironment implements states.Store.
func (s *Store) DeleteEnvironment(ctx context.Context, key states.Key) error {
	return s.writer.transaction(ctx, func(tx *transaction) error {
		id, ok, err := tx.stateID(key)
		if err != nil || !ok {
			return err
		}
		var run string
		err = tx.row("SELECT run FROM claims WHERE state = ? LIMIT 1", []any{id}, &run)
		if err == nil {
			return fmt.Errorf("run %s is changing this environment, or was interrupted while it did", run)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for _, query := range []string{"DELETE FROM instances WHERE state = ?", "DELETE FROM outputs WHERE state = ?", "DELETE FROM states WHERE id = ?"} {
			if _, err := tx.exec(query, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// stateID finds the number of a state.
func (tx *transaction) stateID(key states.Key) (id int64, ok bool, err error) {
	err = tx.row("SELECT id FROM states WHERE stack = ? AND environment = ?", []any{key.Stack, key.Environment}, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return id, err == nil, err
}

// ensureState finds or makes a state.
func (tx *transaction) ensureState(key states.Key) (int64, error) {
	id, ok, err := tx.stateID(key)
	if ok || err != nil {
		return id, err
	}
	result, err := tx.exec("INSERT INTO states(stack, environment, lineage, serial, terraform_version) VALUES(?, ?, ?, 0, '')", key.Stack, key.Environment, uuid.NewString())
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// nextSerial raises the serial of a state, once per transaction. It also is the
// version of the rows written: no two writes of a row have the same.
func (tx *transaction) nextSerial(state int64) (int64, error) {
	if serial, ok := tx.serials[state]; ok {
		return serial, nil
	}
	if _, err := tx.exec("UPDATE states SET serial = serial + 1 WHERE id = ?", state); err != nil {
		return 0, err
	}
	var serial int64
	if err := tx.row("SELECT serial FROM states WHERE id = ?", []any{state}, &serial); err != nil {
		return 0, err
	}
	if tx.serials == nil {
		tx.serials = map[int64]int64{}
	}
	tx.serials[state] = serial
	return serial, nil
}

// Write implements states.Store.
func (s *Store) Write(ctx context.Context, key states.Key, w states.Write) error {
	return s.writer.transaction(ctx, func(tx *transaction) error {
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
		if err := tx.checkClaims(state, objects); err != nil {
			return err
		}
		if err := s.writeRows(tx, state, "", 0, w.Cause, w.Changes); err != nil {
			return err
		}
		if err := s.writeOutputs(tx, state, w.Outputs); err != nil {
			return err
		}
		if w.CheckResults != nil {
			if _, err := tx.exec("UPDATE states SET check_results = ? WHERE id = ?", []byte(w.CheckResults), state); err != nil {
				return err
			}
		}
		if w.Lineage != "" {
			// The serial never goes back: it is what row versions are made of.
			_, err := tx.exec("UPDATE states SET lineage = ?, serial = max(serial, ?), terraform_version = ? WHERE id = ?", w.Lineage, int64(w.Serial), w.TerraformVersion, state)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// checkVersions compares rows with what somebody saw.
func (tx *transaction) checkVersions(state int64, expect map[addrs.Object]int64) error {
	var stale []addrs.Object
	for obj, want := range expect {
		var have int64
		err := tx.row("SELECT version FROM instances WHERE state = ? AND address = ? AND deposed = ?", []any{state, obj.Instance.String(), string(obj.Deposed)}, &have)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("cannot read the store: %w", err)
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
	err := tx.row("SELECT 1 FROM claims WHERE state = ? LIMIT 1", []any{state}, &some)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the store: %w", err)
	}
	var claimed []addrs.Object
	run := ""
	for _, obj := range objects {
		var holder string
		err := tx.row("SELECT run FROM claims WHERE state = ? AND address = ? AND deposed = ?", []any{state, obj.Instance.String(), string(obj.Deposed)}, &holder)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read the store: %w", err)
		}
		run, claimed = holder, append(claimed, obj)
	}
	if claimed != nil {
		sortObjects(claimed)
		return &states.ClaimError{Run: run, Objects: claimed}
	}
	return nil
}

func sortObjects(list []addrs.Object) {
	slices.SortFunc(list, func(a, b addrs.Object) int {
		if a.Instance != b.Instance {
			if a.Instance.Less(b.Instance) {
				return -1
			}
			return 1
		}
		if a.Deposed < b.Deposed {
			return -1
		}
		return 1
	})
}

const (
	historyCreate = "INSERT INTO history(state, address, deposed, run, sequence, at, cause, after) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
	// The before-image is what lies there now: it is copied without being read.
	historyChange = "INSERT INTO history(state, address, deposed, run, sequence, at, cause, after, version, " + columns + ") " +
		"SELECT state, address, deposed, ?, ?, ?, ?, ?, version, " + columns + " FROM instances WHERE state = ? AND address = ? AND deposed = ?"
	deleteInstance = "DELETE FROM instances WHERE state = ? AND address = ? AND deposed = ?"
	writeInstance  = "INSERT OR REPLACE INTO instances(state, address, deposed, version, " + columns + ") VALUES(?, ?, ?, ?, " + placeholders + ")"
)

// writeRows writes rows with their history, whatever is there.
func (s *Store) writeRows(tx *transaction, state int64, run string, sequence int64, cause string, changes []states.Change) error {
	if len(changes) == 0 {
		return nil
	}
	version, err := tx.nextSerial(state)
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
		if c.Before == nil {
			_, err = tx.exec(historyCreate, state, address, deposed, run, sequence, now, cause, after)
		} else {
			_, err = tx.exec(historyChange, run, sequence, now, cause, after, state, address, deposed)
		}
		if err != nil {
			return err
		}
		if c.After == nil {
			_, err = tx.exec(deleteInstance, state, address, deposed)
		} else {
			var values []any
			if values, err = s.encodeInstance(c.After); err == nil {
				_, err = tx.exec(writeInstance, append([]any{state, address, deposed, version}, values...)...)
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
	if _, err := tx.nextSerial(state); err != nil {
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

// History implements states.Store.
func (s *Store) History(ctx context.Context, key states.Key, object *addrs.Object) ([]states.Revision, error) {
	query := "SELECT h.id, h.address, h.deposed, h.run, h.sequence, h.at, h.cause, h.after, h.version, " + columns +
		" FROM history h JOIN states s ON s.id = h.state WHERE s.stack = ? AND s.environment = ?"
	args := []any{key.Stack, key.Environment}
	if object != nil {
		query += " AND h.address = ? AND h.deposed = ?"
		args = append(args, object.Instance.String(), string(object.Deposed))
	}
	current, err := s.State(ctx, key)
	if err != nil {
		return nil, err
	}
	list, err := s.revisions(ctx, query+" ORDER BY h.id DESC", args, current)
	if err != nil {
		return nil, fmt.Errorf("cannot read the history: %w", err)
	}
	out := make([]states.Revision, len(list))
	for i, r := range list {
		out[i] = r.Revision
	}
	return out, nil
}

// revision is a Revision with what the journal knows it by.
type revision struct {
	states.Revision
	sequence int64
}

// revisions reads history rows, newest first. What a change led to is what the
// next one found, or what is there now.
func (s *Store) revisions(ctx context.Context, query string, args []any, current *states.State) ([]revision, error) {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	d := s.newDecoder()
	next := map[addrs.Object]*states.Instance{}
	var out []revision
	for rows.Next() {
		var id, at, after int64
		var version *int64
		var address, deposed string
		var rev revision
		var r row
		if err := rows.Scan(append([]any{&id, &address, &deposed, &rev.Run, &rev.sequence, &at, &rev.Cause, &after, &version}, r.into()...)...); err != nil {
			return nil, err
		}
		addr, err := addrs.ParseResourceInstance(address)
		if err != nil {
			return nil, err
		}
		rev.Object, rev.At = addrs.Object{Instance: addr, Deposed: addrs.DeposedKey(deposed)}, time.Unix(0, at)
		number := int64(0)
		if version != nil {
			number = *version
		}
		if rev.Before, err = d.instance(rev.Object, number, &r); err != nil {
			return nil, err
		}
		if after != 0 {
			later, seen := next[rev.Object]
			if !seen {
				later = current.Instances[rev.Object]
			}
			rev.After = later
		}
		next[rev.Object] = rev.Before
		out = append(out, rev)
	}
	return out, rows.Err()
}
