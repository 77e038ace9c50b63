package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// AppendLogs implements runs.StepStore.
func (s *Store) AppendLogs(ctx context.Context, chunks []runs.LogChunk) error {
	if len(chunks) == 0 {
		return nil
	}
	q := inserting{into: "logs(run, step, name, stream, time, data)", others: 5}
	return s.write(ctx, func(tx *transaction) error {
		for rest := chunks; len(rest) > 0; {
			same := 1 // chunks of one run
			for same < len(rest) && rest[same].Run == rest[0].Run {
				same++
			}
			err := tx.insert(q, rest[0].Run, same, func(i int, args []any) ([]any, error) {
				c := &rest[i]
				return append(args, c.Step, c.Name, c.Stream, nanoseconds(c.Time), nonEmpty(c.Data)), nil
			})
			if err != nil {
				return err
			}
			rest = rest[same:]
		}
		return nil
	})
}

// Logs implements runs.StepStore.
func (s *Store) Logs(ctx context.Context, run string, after int64, limit int) ([]runs.LogChunk, error) {
	if limit <= 0 {
		limit = -1
	}
	var out []runs.LogChunk
	err := s.list(ctx, "SELECT id, run, step, name, stream, time, data FROM logs WHERE run = ? AND id > ? ORDER BY id LIMIT ?", []any{run, after, limit}, func(rows *sql.Rows) error {
		var c runs.LogChunk
		var at int64
		err := rows.Scan(&c.ID, &c.Run, &c.Step, &c.Name, &c.Stream, &at, &c.Data)
		c.Time = instant(at)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the logs of run %s: %w", run, err)
	}
	return out, nil
}

// list reads all rows of a query.
func (s *Store) list(ctx context.Context, query string, args []any, each func(rows *sql.Rows) error) error {
	db, err := s.reading(ctx)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// PutArtifact implements runs.StepStore.
func (s *Store) PutArtifact(ctx context.Context, a runs.Artifact, data []byte) error {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	if data == nil {
		data = []byte{} // a file that is empty, not a missing one
	}
	return s.write(ctx, func(tx *transaction) error {
		if _, err := tx.exec("INSERT OR IGNORE INTO blobs(name, data) VALUES(?, ?)", "artifact/"+digest, data); err != nil {
			return err
		}
		_, err := tx.exec("INSERT OR REPLACE INTO artifacts(run, step, path, name, digest, size, time) VALUES(?, ?, ?, ?, ?, ?, ?)",
			a.Run, a.Step, a.Path, a.Name, digest, len(data), nanoseconds(a.Time))
		return err
	})
}

// Artifacts implements runs.StepStore.
func (s *Store) Artifacts(ctx context.Context, run string) ([]runs.Artifact, error) {
	var out []runs.Artifact
	err := s.list(ctx, "SELECT run, step, name, path, digest, size, time FROM artifacts WHERE run = ? ORDER BY step, path", []any{run}, func(rows *sql.Rows) error {
		var a runs.Artifact
		var at int64
		err := rows.Scan(&a.Run, &a.Step, &a.Name, &a.Path, &a.Digest, &a.Size, &at)
		a.Time = instant(at)
		out = append(out, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the artifacts of run %s: %w", run, err)
	}
	return out, nil
}

// Signal implements runs.StepStore.
func (s *Store) Signal(ctx context.Context, run string, signal workflow.Signal, told ...events.Event) (int64, error) {
	data, isSealed, err := s.sealData(signal.Data, true)
	if err != nil {
		return 0, fmt.Errorf("cannot signal run %s: %w", run, err)
	}
	var number int64
	err = s.write(ctx, func(tx *transaction) error {
		var ended bool
		found, err := tx.row("SELECT status IN "+endedStatuses+" FROM runs WHERE id = ?", []any{run}, &ended)
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("cannot signal run %s: %w", run, runs.ErrNotFound)
		case ended:
			return fmt.Errorf("cannot signal run %s: %w", run, runs.ErrEnded)
		}
		if _, err := tx.row("SELECT coalesce(max(sequence), 0) + 1 FROM signals WHERE run = ?", []any{run}, &number); err != nil {
			return err
		}
		_, err = tx.exec("INSERT INTO signals(run, sequence, kind, name, author, time, data, sealed) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
			run, number, string(signal.Kind), signal.Name, signal.By, nanoseconds(signal.Time), nonEmpty(data), isSealed)
		if err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
	return number, err
}

// Signals implements runs.StepStore. It fails where a signal cannot be unsealed:
// a step that gets half of it would do the wrong thing.
func (s *Store) Signals(ctx context.Context, run string, after int64) ([]workflow.Signal, error) {
	var out []workflow.Signal
	err := s.list(ctx, "SELECT sequence, kind, name, author, time, data, sealed FROM signals WHERE run = ? AND sequence > ? ORDER BY sequence", []any{run, after}, func(rows *sql.Rows) error {
		var signal workflow.Signal
		var at int64
		var isSealed bool
		if err := rows.Scan(&signal.Sequence, (*string)(&signal.Kind), &signal.Name, &signal.By, &at, (*[]byte)(&signal.Data), &isSealed); err != nil {
			return err
		}
		signal.Time = instant(at)
		if isSealed {
			plain, err := s.unseal(signal.Data)
			if err != nil {
				return fmt.Errorf("signal %d: %w", signal.Sequence, err)
			}
			signal.Data = plain
		}
		out = append(out, signal)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the signals of run %s: %w", run, err)
	}
	return out, nil
}

// Calls implements runs.StepStore.
func (s *Store) Calls(ctx context.Context) (map[string]runs.Call, error) {
	out := map[string]runs.Call{}
	err := s.list(ctx, "SELECT id, cancelling, (SELECT max(sequence) FROM signals WHERE run = id) AS signal FROM runs WHERE status NOT IN "+endedStatuses+" AND (cancelling > 0 OR signal > 0)", nil, func(rows *sql.Rows) error {
		var id string
		var call runs.Call
		var signal sql.NullInt64
		err := rows.Scan(&id, &call.Cancelling, &signal)
		call.Signal = signal.Int64
		out[id] = call
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what is asked of runs: %w", err)
	}
	return out, nil
}

// sealData seals data that is sensitive, where there is a key and any data.
func (s *Store) sealData(data []byte, sensitive bool) (out []byte, isSealed bool, err error) {
	if !sensitive || s.hider == nil || len(data) == 0 {
		return data, false, nil
	}
	out, err = s.hider.Seal(data)
	return out, true, err
}

// Cache implements runs.StepStore. What has expired is removed on the way.
func (s *Store) Cache(ctx context.Context, key string, data json.RawMessage, sensitive bool, expires time.Time) error {
	stored, isSealed, err := s.sealData(data, sensitive)
	if err != nil {
		return fmt.Errorf("cannot write to the cache: %w", err)
	}
	if stored == nil {
		stored = []byte{}
	}
	now := s.now().UnixNano()
	return s.write(ctx, func(tx *transaction) error {
		if _, err := tx.exec("DELETE FROM cache WHERE expires <> 0 AND expires <= ?", now); err != nil {
			return err
		}
		_, err := tx.exec("INSERT OR REPLACE INTO cache(key, data, sealed, expires) VALUES(?, ?, ?, ?)", key, stored, isSealed, nanoseconds(expires))
		return err
	})
}

// Cached implements runs.StepStore.
func (s *Store) Cached(ctx context.Context, key string, now time.Time) (json.RawMessage, bool, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, false, err
	}
	var data []byte
	var isSealed bool
	err = db.QueryRowContext(ctx, "SELECT data, sealed FROM cache WHERE key = ? AND (expires = 0 OR expires > ?)", key, nanoseconds(now)).Scan(&data, &isSealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("cannot read the cache: %w", err)
	case !isSealed:
		return data, true, nil
	}
	plain, err := s.unseal(data)
	return plain, err == nil, nil
}
