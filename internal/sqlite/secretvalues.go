package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
)

// layoutSecrets has the values of secrets. Versions are counted per environment
// and name and never come back: a removed one stays as a line without data.
const layoutSecrets = `
CREATE TABLE secrets(
  environment TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, data BLOB,
  author TEXT NOT NULL, time INTEGER NOT NULL, remover TEXT NOT NULL DEFAULT '', removed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(environment, name, version)) WITHOUT ROWID;
`

// SecretVersion is what is known of a version of a secret besides its value.
type SecretVersion struct {
	Environment string
	Name        string
	Version     int
	By          string
	At          time.Time
	RemovedBy   string
	Removed     time.Time // zero: it is there
}

// boundSecret is what is sealed: the value with its place, so that one cannot be
// put where another was.
type boundSecret struct {
	Environment string `json:"environment"`
	Name        string `json:"name"`
	Version     int    `json:"version"`
	Value       []byte `json:"value"`
}

var errNeedsKey = errors.New("there is no key to seal it with")

// SetSecret keeps a new version of a secret's value in an environment and tells
// the feed.
func (s *Store) SetSecret(ctx context.Context, environment, name string, value []byte, by string) (version int, err error) {
	if s.hider == nil {
		return 0, fmt.Errorf("cannot keep the secret %q: %w", name, errNeedsKey)
	}
	now := s.now()
	err = s.write(ctx, func(tx *transaction) error {
		if _, err := tx.row("SELECT coalesce(max(version), 0) + 1 FROM secrets WHERE environment = ? AND name = ?", []any{environment, name}, &version); err != nil {
			return err
		}
		plain, err := json.Marshal(boundSecret{environment, name, version, value})
		if err != nil {
			return err
		}
		sealed, err := s.hider.Seal(plain)
		if err != nil {
			return err
		}
		if _, err := tx.exec("INSERT INTO secrets(environment, name, version, data, author, time) VALUES(?, ?, ?, ?, ?, ?)", environment, name, version, sealed, by, now.UnixNano()); err != nil {
			return err
		}
		return s.secretEvent(tx, "secret.set", environment, name, version, by, now)
	})
	if err != nil {
		return 0, fmt.Errorf("cannot keep the secret %q: %w", name, err)
	}
	return version, nil
}

// Secret returns the newest value of a secret that is there, and its version. The
// error wraps os.ErrNotExist where there is none.
func (s *Store) Secret(ctx context.Context, environment, name string) ([]byte, int, error) {
	return s.SecretAt(ctx, environment, name, 0)
}

// SecretAt is like Secret for one version; 0 stands for the newest.
func (s *Store) SecretAt(ctx context.Context, environment, name string, version int) ([]byte, int, error) {
	fail := func(err error) ([]byte, int, error) {
		return nil, 0, fmt.Errorf("cannot read the secret %q: %w", name, err)
	}
	db, err := s.reading(ctx)
	if err != nil {
		return fail(err)
	}
	var data []byte
	err = db.QueryRowContext(ctx, "SELECT version, data FROM secrets WHERE environment = ?1 AND name = ?2 AND (?3 = 0 OR version = ?3) AND data IS NOT NULL ORDER BY version DESC LIMIT 1", environment, name, version).Scan(&version, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return fail(os.ErrNotExist)
	}
	if err != nil {
		return fail(err)
	}
	if s.hider == nil {
		return fail(errNeedsKey)
	}
	plain, err := s.hider.Open(data)
	if err != nil {
		return fail(err)
	}
	var bound boundSecret
	if err := json.Unmarshal(plain, &bound); err != nil || bound.Environment != environment || bound.Name != name || bound.Version != version {
		return fail(errors.New("what is sealed there belongs to something else"))
	}
	return bound.Value, version, nil
}

// SecretVersions lists the versions of a secret in an environment, newest first;
// of all secrets where the name is empty.
func (s *Store) SecretVersions(ctx context.Context, environment, name string) ([]SecretVersion, error) {
	var out []SecretVersion
	err := s.list(ctx, "SELECT environment, name, version, author, time, remover, removed FROM secrets WHERE environment = ?1 AND (?2 = '' OR name = ?2) ORDER BY name, version DESC", []any{environment, name}, func(rows *sql.Rows) error {
		var v SecretVersion
		var at, removed int64
		err := rows.Scan(&v.Environment, &v.Name, &v.Version, &v.By, &at, &v.RemovedBy, &removed)
		v.At, v.Removed = instant(at), instant(removed)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the secrets: %w", err)
	}
	return out, nil
}

// RemoveSecret forgets the value of a version, or of all for 0, tells the feed
// and returns how many there were.
func (s *Store) RemoveSecret(ctx context.Context, environment, name string, version int, by string) (int, error) {
	now := s.now()
	var count int64
	err := s.write(ctx, func(tx *transaction) error {
		// What was there must not be found in the free parts of the file.
		if _, err := tx.w.conn.ExecContext(context.Background(), "PRAGMA secure_delete = ON"); err != nil {
			return err
		}
		var err error
		count, err = tx.exec("UPDATE secrets SET data = NULL, remover = ?1, removed = ?2 WHERE environment = ?3 AND name = ?4 AND (?5 = 0 OR version = ?5) AND data IS NOT NULL", by, now.UnixNano(), environment, name, version)
		if err != nil || count == 0 {
			return err
		}
		return s.secretEvent(tx, "secret.removed", environment, name, version, by, now)
	})
	if err != nil {
		return 0, fmt.Errorf("cannot remove the secret %q: %w", name, err)
	}
	return int(count), nil
}

func (s *Store) secretEvent(tx *transaction, kind, environment, name string, version int, by string, now time.Time) error {
	data := map[string]any{"environment": environment, "by": by}
	if version > 0 {
		data["version"] = version
	}
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.appendEvents(tx, []events.Event{{Source: "/secrets", Type: kind, Subject: name, Actor: access.Subject(by), Time: now, Data: text}})
}
