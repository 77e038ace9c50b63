package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
)

// layoutRotations has the changes of the key. Retired keys that are effective
// seal nothing any more; those that are not yet were found by the change that is
// under way.
const layoutRotations = `
CREATE TABLE rotations(
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, author TEXT NOT NULL, began INTEGER NOT NULL,
  sealed INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE retired(key TEXT PRIMARY KEY, effective INTEGER NOT NULL) WITHOUT ROWID;
`

// Resealer replaces seals; secrets.Keyring is one.
type Resealer interface {
	Reseal(sealed, beside []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Rotation is a change of the key that seals what is in the store.
type Rotation struct {
	ID     int64
	Key    string // the new one
	By     string
	Began  time.Time
	Sealed bool // all is sealed with it; the former keys may go
}

// ResealOptions say how to seal anew.
type ResealOptions struct {
	Batch int // rows of one transaction; 0 for a good number
	// After is called behind each transaction; its error ends the work, which
	// can be taken up again.
	After func(done Resealed) error
}

// Resealed is what came of sealing anew.
type Resealed struct {
	Values  int      // sealed anew
	Skipped []string // what could not be opened, and so stays as it is
}

// Rotation returns the change of the key that is under way; false for none.
func (s *Store) Rotation(ctx context.Context) (Rotation, bool, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return Rotation{}, false, err
	}
	var r Rotation
	var began int64
	err = db.QueryRowContext(ctx, "SELECT id, key, author, began, sealed FROM rotations WHERE ended = 0 ORDER BY id DESC LIMIT 1").Scan(&r.ID, &r.Key, &r.By, &began, &r.Sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("cannot read the changes of the key: %w", err)
	}
	r.Began = instant(began)
	return r, true, nil
}

// BeginRotation notes that the key is being changed: from former, where that is
// known, to key. From now on the change is under way until it is ended.
func (s *Store) BeginRotation(ctx context.Context, key, former, by string) (Rotation, error) {
	r := Rotation{Key: key, By: by, Began: s.now()}
	err := s.write(ctx, func(tx *transaction) error {
		if found, err := tx.row("SELECT id FROM rotations WHERE ended = 0", nil, &r.ID); err != nil || found {
			if err == nil {
				err = errors.New("the key is being changed already")
			}
			return err
		}
		if _, err := tx.row("INSERT INTO rotations(key, author, began) VALUES(?, ?, ?) RETURNING id", []any{key, by, r.Began.UnixNano()}, &r.ID); err != nil {
			return err
		}
		// A key may come back that was retired before.
		if _, err := tx.exec("DELETE FROM retired WHERE key = ? OR effective = 0", key); err != nil {
			return err
		}
		return tx.retire(key, former)
	})
	if err != nil {
		return r, fmt.Errorf("cannot change the key: %w", err)
	}
	return r, nil
}

// retire notes a key that seals no more once the change is done.
func (tx *transaction) retire(to, key string) error {
	if key == "" || key == to {
		return nil
	}
	_, err := tx.exec("INSERT OR IGNORE INTO retired(key, effective) VALUES(?, 0)", key)
	return err
}

// Reseal seals everything in the store with the key of the rotation, a batch of
// rows at a time, each in a transaction of its own; runs may go on meanwhile if
// they have both keys. What is sealed with it already is left alone, so it can be
// called again after it was cut off. In the end nothing can be written any more
// that a former key sealed.
func (s *Store) Reseal(ctx context.Context, r Rotation, with Resealer, o ResealOptions) (Resealed, error) {
	if o.Batch <= 0 {
		o.Batch = 256
	}
	w := &resealing{s: s, r: r, with: with, o: o}
	for range 100 {
		for i := range sealedTables {
			if err := w.table(ctx, &sealedTables[i]); err != nil {
				return w.done, fmt.Errorf("cannot seal the store anew: %w", err)
			}
		}
		ended, err := w.finish(ctx)
		if err != nil {
			return w.done, fmt.Errorf("cannot seal the store anew: %w", err)
		}
		if ended {
			s.checkpoint(ctx)
			return w.done, nil
		}
	}
	return w.done, errors.New("cannot seal the store anew: something keeps writing with a former key; end what else works on this project")
}

// EndRotation notes that the former keys were put away, and tells the feed.
func (s *Store) EndRotation(ctx context.Context, r Rotation) error {
	return s.write(ctx, func(tx *transaction) error {
		now := s.now()
		if _, err := tx.exec("UPDATE rotations SET ended = ? WHERE id = ? AND sealed = 1", now.UnixNano(), r.ID); err != nil {
			return err
		}
		return s.appendEvents(tx, []events.Event{{Source: "/secrets", Type: "secret.key_rotated", Subject: r.Key, Time: now}})
	})
}

// Retired lists the keys that seal nothing in the store any more.
func (s *Store) Retired(ctx context.Context) ([]string, error) {
	var out []string
	err := s.list(ctx, "SELECT key FROM retired WHERE effective = 1 ORDER BY key", nil, func(rows *sql.Rows) error {
		var key string
		err := rows.Scan(&key)
		out = append(out, key)
		return err
	})
	return out, err
}

// checkpoint takes what was overwritten out of the log beside the file, as far
// as others let it.
func (s *Store) checkpoint(ctx context.Context) {
	w, err := s.writing(ctx)
	if err != nil {
		return
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
		_, _ = w.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)") // it happens later otherwise
	case <-ctx.Done():
	}
}

// resealing is one call of Reseal.
type resealing struct {
	s    *Store
	r    Rotation
	with Resealer
	o    ResealOptions
	done Resealed
	seen map[string]bool // what was skipped already
}

// table seals one table anew, in the order of its keys.
func (w *resealing) table(ctx context.Context, t *sealedTable) error {
	var after []any
	for {
		var batch Resealed
		var last []any
		err := w.s.write(ctx, func(tx *transaction) error {
			batch, last = Resealed{}, nil // it may run again
			if _, err := tx.w.conn.ExecContext(context.Background(), "PRAGMA secure_delete = ON"); err != nil {
				return err
			}
			rows, err := t.read(tx, after, w.o.Batch)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if err := w.row(tx, t, row, &batch); err != nil {
					return err
				}
			}
			if len(rows) == w.o.Batch {
				last = rows[len(rows)-1].keys
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.done.Values += batch.Values
		for _, what := range batch.Skipped {
			if !w.seen[what] {
				if w.seen == nil {
					w.seen = map[string]bool{}
				}
				w.seen[what] = true
				w.done.Skipped = append(w.done.Skipped, what)
			}
		}
		if w.o.After != nil {
			if err := w.o.After(w.done); err != nil {
				return err
			}
		}
		if after = last; after == nil {
			return nil
		}
	}
}

// row seals the values of a row anew. One that cannot be opened, because its key
// is not here or it is damaged, stays as it is: it must not keep the others.
func (w *resealing) row(tx *transaction, t *sealedTable, row sealedRow, done *Resealed) error {
	for i, column := range t.columns {
		data := row.values[2*i]
		if len(data) == 0 {
			continue
		}
		var former []string
		reseal := func(sealed, beside []byte) ([]byte, error) {
			out, err := w.with.Reseal(sealed, beside)
			if err == nil {
				former = append(former, keyOf(sealed))
			}
			return out, err
		}
		out, err := column.reseal(data, row.values[2*i+1], reseal, w.with.Open)
		if err != nil {
			done.Skipped = append(done.Skipped, fmt.Sprintf("%s %s: %s", t.name, strings.TrimSuffix(fmt.Sprintln(row.keys...), "\n"), err))
			continue
		}
		if string(out) == string(data) {
			continue
		}
		for _, key := range former {
			if err := tx.retire(w.r.Key, key); err != nil {
				return err
			}
		}
		if _, err := tx.exec("UPDATE "+t.name+" SET "+column.name+" = ? WHERE "+t.where("="), append([]any{out}, row.keys...)...); err != nil {
			return err
		}
		done.Values++
	}
	return nil
}

// finish makes it final, unless something was sealed with a former key meanwhile.
func (w *resealing) finish(ctx context.Context) (ended bool, err error) {
	err = w.s.write(ctx, func(tx *transaction) error {
		ended = false
		for i := range sealedTables {
			t := &sealedTables[i]
			for _, column := range t.columns {
				var one int
				found, err := tx.row("SELECT 1 FROM "+t.name+" WHERE ("+column.when+") AND "+column.key("")+" IN (SELECT key FROM retired WHERE effective = 0) LIMIT 1", nil, &one)
				if err != nil {
					return err
				}
				if found && len(w.done.Skipped) == 0 {
					return nil
				}
			}
		}
		for i := range sealedTables {
			if err := sealedTables[i].guard(tx); err != nil {
				return err
			}
		}
		if _, err := tx.exec("UPDATE retired SET effective = 1 WHERE key <> ?", w.r.Key); err != nil {
			return err
		}
		ended = true
		_, err := tx.exec("UPDATE rotations SET sealed = 1 WHERE id = ?", w.r.ID)
		return err
	})
	return ended, err
}
