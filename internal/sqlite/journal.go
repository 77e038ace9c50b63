package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// The secrecy of a journal entry's data.
const (
	notSecret     = 0
	secretInClear = 1 // the store was written without a key
	secretSealed  = 2
)

// lastEntry returns the sequence number of the last entry of a journal; 0 for
// an empty one.
func (tx *transaction) lastEntry(run string) (last int64, err error) {
	_, err = tx.row("SELECT coalesce(max(sequence), 0) FROM journal WHERE run = ?", []any{run}, &last)
	return last, err
}

// appendEntries adds entries behind the last one.
func (s *Store) appendEntries(tx *transaction, run string, last int64, entries []workflow.Entry) error {
	for i := range entries {
		if want := last + int64(i) + 1; entries[i].Sequence != want {
			return fmt.Errorf("cannot write to the journal of run %s: entry %d comes where %d must follow", run, entries[i].Sequence, want)
		}
	}
	q := inserting{into: "journal(run, sequence, time, kind, step, data, secrecy)", others: 6}
	return tx.insert(q, run, len(entries), func(i int, args []any) ([]any, error) {
		e := &entries[i]
		data, secrecy, err := s.sealEntry(e)
		if err != nil {
			return nil, fmt.Errorf("cannot write to the journal of run %s: %w", run, err)
		}
		return append(args, e.Sequence, nanoseconds(e.Time), string(e.Kind), e.Step, nonEmpty(data), secrecy), nil
	})
}

func (s *Store) sealEntry(e *workflow.Entry) (data []byte, secrecy int64, err error) {
	switch {
	case !e.Sensitive:
		return e.Data, notSecret, nil
	case s.hider == nil || len(e.Data) == 0:
		return e.Data, secretInClear, nil
	}
	data, err = s.hider.Seal(e.Data)
	return data, secretSealed, err
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
		return s.appendEntries(tx, run, last, entries)
	})
}

// Read implements workflow.Journal.
func (s *Store) Read(ctx context.Context, run string, after int64) ([]workflow.Entry, error) {
	var out []workflow.Entry
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		return s.eachEntry(ctx, tx, run, after, -1, func(e workflow.Entry, _ error) error {
			out = append(out, e)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal of run %s: %w", run, err)
	}
	return out, nil
}

// readJournal reads a journal to resume from.
func (s *Store) readJournal(ctx context.Context, tx *sql.Tx, run string, after int64) ([]workflow.Entry, error) {
	var out []workflow.Entry
	err := s.eachEntry(ctx, tx, run, after, -1, func(e workflow.Entry, secret error) error {
		out = append(out, e)
		return secret
	})
	return out, err
}

// page is how many entries are held at a time while a journal is gone through.
const page = 1000

// Each implements workflow.Journal. It reads page by page, so that f may take
// its time: a long reading transaction keeps the write-ahead log from being
// emptied.
func (s *Store) Each(ctx context.Context, run string, after int64, f func(workflow.Entry) error) error {
	for entries := make([]workflow.Entry, 0, page); ; entries = entries[:0] {
		err := s.snapshot(ctx, func(tx *sql.Tx) error {
			return s.eachEntry(ctx, tx, run, after, page, func(e workflow.Entry, secret error) error {
				entries = append(entries, e)
				return secret
			})
		})
		if err != nil {
			return fmt.Errorf("cannot read the journal of run %s: %w", run, err)
		}
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
			after = e.Sequence
		}
		if len(entries) == 0 {
			return nil
		}
	}
}

// eachEntry reads entries in order; limit -1 means all. secret says why an entry
// is without its data.
func (s *Store) eachEntry(ctx context.Context, tx *sql.Tx, run string, after int64, limit int, f func(e workflow.Entry, secret error) error) error {
	rows, err := tx.QueryContext(ctx, "SELECT sequence, time, kind, step, data, secrecy FROM journal WHERE run = ? AND sequence > ? ORDER BY sequence LIMIT ?", run, after, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	var e workflow.Entry
	var at int64
	var kind sql.RawBytes
	var secrecy int
	kinds := map[string]workflow.Kind{} // few, for many entries
	places := []any{&e.Sequence, &at, &kind, &e.Step, (*[]byte)(&e.Data), &secrecy}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		known, ok := kinds[string(kind)]
		if !ok {
			known = workflow.Kind(kind)
			kinds[string(known)] = known
		}
		e.Kind, e.Time, e.Sensitive = known, instant(at), secrecy != notSecret
		var secret error
		if secrecy == secretSealed {
			if e.Data, err = s.unseal(e.Data); err != nil {
				e.Data, secret = nil, fmt.Errorf("entry %d is sealed: %w", e.Sequence, err)
			}
		}
		if err := f(e, secret); err != nil {
			return err
		}
	}
	return rows.Err()
}
