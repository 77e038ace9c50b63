package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// History implements states.Store. It reaches back behind the deletion of an
// environment of the same name.
func (s *Store) History(ctx context.Context, key states.Key, object *addrs.Object) ([]states.Revision, error) {
	const inState = "state = (SELECT id FROM states WHERE stack = ? AND environment = ?)"
	where, args := inState, []any{key.Stack, key.Environment}
	if object != nil {
		where += " AND address = ? AND deposed = ?"
		args = append(args, object.Instance.String(), string(object.Deposed))
	}
	var out []states.Revision
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		// The columns that tell objects are called the same in both tables.
		list, err := s.revisions(ctx, tx, where, args, where, args)
		if err != nil {
			return err
		}
		out = make([]states.Revision, len(list))
		for i, r := range list {
			out[i] = r.Revision
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the history: %w", err)
	}
	return out, nil
}

// Recorded implements runs.Store.
func (s *Store) Recorded(ctx context.Context, run string) ([]runs.Recorded, error) {
	const objects = "(state, address, deposed) IN (SELECT state, address, deposed FROM history WHERE run = ? AND run <> '')"
	var out []runs.Recorded
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		entries, err := s.readJournal(ctx, tx, run, 0)
		if err != nil {
			return err
		}
		// What others changed afterwards tells what the run's changes led to.
		list, err := s.revisions(ctx, tx, objects+" AND id >= (SELECT min(id) FROM history WHERE run = ? AND run <> '')", []any{run, run}, objects, []any{run})
		if err != nil {
			return err
		}
		rows := map[int64][]states.Change{}
		for i := len(list) - 1; i >= 0; i-- {
			if r := list[i]; r.Run == run {
				rows[r.sequence] = append(rows[r.sequence], states.Change{Object: r.Object, Before: r.Before, After: r.After})
			}
		}
		out = make([]runs.Recorded, len(entries))
		for i, e := range entries {
			out[i] = runs.Recorded{Entry: e, Rows: rows[e.Sequence]}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of run %s: %w", run, err)
	}
	if len(out) == 0 {
		_, err = s.Run(ctx, run) // ErrNotFound where there is no such run
	}
	return out, err
}

// revision is a Revision with what the journal knows it by.
type revision struct {
	states.Revision
	sequence int64
}

// revisions reads history rows that a condition holds for, newest first. What a
// change led to is what the next one found, or what is there now: past must
// hold for all later changes of an object, and present for its row.
func (s *Store) revisions(ctx context.Context, tx *sql.Tx, past string, pastArgs []any, present string, presentArgs []any) ([]revision, error) {
	d := s.newDecoder()
	next := map[addrs.Object]*states.Instance{}
	if err := d.instances(ctx, tx, present, presentArgs, next); err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT address, deposed, run, sequence, at, cause, after, coalesce(version, 0), "+pastColumns+
		" FROM history WHERE "+past+" ORDER BY id DESC", pastArgs...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var at, version int64
	var after bool
	var address, deposed string
	var rev revision
	var r row
	places := r.into(&address, &deposed, &rev.Run, &rev.sequence, &at, &rev.Cause, &after, &version)
	var out []revision
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		rev.After = nil
		if rev.Object, err = parseObject(address, deposed); err != nil {
			return nil, err
		}
		rev.At = instant(at)
		if rev.Before, err = d.instance(rev.Object, version, &r); err != nil {
			return nil, err
		}
		if after {
			rev.After = next[rev.Object]
		}
		next[rev.Object] = rev.Before
		out = append(out, rev)
	}
	return out, rows.Err()
}
