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

// layoutSecretStates lets versions stand in different places: see the states of
// secretrotation.go. maker is the run that made a version, holder the one that has
// it pending.
const layoutSecretStates = `
ALTER TABLE secrets ADD COLUMN state TEXT NOT NULL DEFAULT 'former';
ALTER TABLE secrets ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN maker TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN holder TEXT NOT NULL DEFAULT '';
UPDATE secrets SET state = CASE WHEN data IS NULL THEN 'removed' ELSE 'former' END, since = max(time, removed);
UPDATE secrets SET state = 'current' WHERE data IS NOT NULL AND version = (
  SELECT max(o.version) FROM secrets o WHERE o.environment = secrets.environment AND o.name = secrets.name AND o.data IS NOT NULL);
`

// SecretVersion is what is known of a version of a secret besides its value.
type SecretVersion struct {
	Environment string
	Name        string
	Version     int
	By          string
	At          time.Time
	RemovedBy   string
	Removed     time.Time // by somebody; zero: it was not
	State       string    // see secretrotation.go
	Since       time.Time // it is in this state
	Run         string    // the run that made it, or has it pending; empty for none
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

// SetSecret keeps a new version of a secret's value in an environment, which is
// current from then on, and tells the feed.
func (s *Store) SetSecret(ctx context.Context, environment, name string, value []byte, by string) (version int, err error) {
	if s.hider == nil {
		return 0, fmt.Errorf("cannot keep the secret %q: %w", name, errNeedsKey)
	}
	now := s.now()
	err = s.write(ctx, func(tx *transaction) error {
		if _, err := tx.exec("UPDATE secrets SET state = 'former', since = ? WHERE environment = ? AND name = ? AND state = 'current'", now.UnixNano(), environment, name); err != nil {
			return err
		}
		var err error
		if version, err = s.addSecret(tx, environment, name, value, by, "current", "", now); err != nil {
			return err
		}
		return s.secretEvent(tx, "secret.set", environment, name, version, by, now, "")
	})
	if err != nil {
		return 0, fmt.Errorf("cannot keep the secret %q: %w", name, err)
	}
	return version, nil
}

// addSecret adds a version in a state.
func (s *Store) addSecret(tx *transaction, environment, name string, value []byte, by, state, run string, now time.Time) (version int, err error) {
	if _, err := tx.row("SELECT coalesce(max(version), 0) + 1 FROM secrets WHERE environment = ? AND name = ?", []any{environment, name}, &version); err != nil {
		return 0, err
	}
	plain, err := json.Marshal(boundSecret{environment, name, version, value})
	if err != nil {
		return 0, err
	}
	sealed, err := s.hider.Seal(plain)
	if err != nil {
		return 0, err
	}
	_, err = tx.exec("INSERT INTO secrets(environment, name, version, data, author, time, state, since, maker, holder) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8, ?8)", environment, name, version, sealed, by, now.UnixNano(), state, run)
	return version, err
}

// Secret returns the current value of a secret, and its version. The
// error wraps os.ErrNotExist where there is none.
func (s *Store) Secret(ctx context.Context, environment, name string) ([]byte, int, error) {
	return s.SecretAt(ctx, environment, name, 0)
}

// SecretAt is like Secret for one version; 0 stands for the current one.
func (s *Store) SecretAt(ctx context.Context, environment, name string, version int) ([]byte, int, error) {
	fail := func(err error) ([]byte, int, error) {
		return nil, 0, fmt.Errorf("cannot read the secret %q: %w", name, err)
	}
	db, err := s.reading(ctx)
	if err != nil {
		return fail(err)
	}
	var data []byte
	err = db.QueryRowContext(ctx, "SELECT version, data FROM secrets WHERE environment = ?1 AND name = ?2 AND (?3 = 0 AND state = 'current' OR version = ?3) AND data IS NOT NULL", environment, name, version).Scan(&version, &data)
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
	err := s.list(ctx, "SELECT environment, name, version, author, time, remover, removed, state, since, CASE holder WHEN '' THEN maker ELSE holder END FROM secrets WHERE environment = ?1 AND (?2 = '' OR name = ?2) ORDER BY name, version DESC", []any{environment, name}, func(rows *sql.Rows) error {
		var v SecretVersion
		var at, removed, since int64
		err := rows.Scan(&v.Environment, &v.Name, &v.Version, &v.By, &at, &v.RemovedBy, &removed, &v.State, &since, &v.Run)
		v.At, v.Removed, v.Since = instant(at), instant(removed), instant(since)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the secrets: %w", err)
	}
	return out, nil
}

// RemoveSecret forgets the value of a version, or of all for 0, tells the feed
// and returns how many there were. Where it was current, the newest one that is
// kept is current again.
func (s *Store) RemoveSecret(ctx context.Context, environment, name string, version int, by string) (int, error) {
	now := s.now()
	var count int64
	err := s.write(ctx, func(tx *transaction) error {
		if err := forgetting(tx); err != nil {
			return err
		}
		var err error
		count, err = tx.exec("UPDATE secrets SET data = NULL, state = 'removed', holder = '', remover = ?1, removed = ?2, since = ?2 WHERE environment = ?3 AND name = ?4 AND (?5 = 0 OR version = ?5) AND data IS NOT NULL", by, now.UnixNano(), environment, name, version)
		if err != nil || count == 0 {
			return err
		}
		_, err = tx.exec(`UPDATE secrets SET state = 'current', since = ?1 WHERE environment = ?2 AND name = ?3 AND version = (
			SELECT max(version) FROM secrets WHERE environment = ?2 AND name = ?3 AND data IS NOT NULL AND state IN ('former', 'previous'))
			AND NOT EXISTS(SELECT 1 FROM secrets WHERE environment = ?2 AND name = ?3 AND state = 'current')`, now.UnixNano(), environment, name)
		if err != nil {
			return err
		}
		return s.secretEvent(tx, "secret.removed", environment, name, version, by, now, "")
	})
	if err != nil {
		return 0, fmt.Errorf("cannot remove the secret %q: %w", name, err)
	}
	return int(count), nil
}

// forgetting lets what is taken out of a row not be found in the free parts of
// the file.
func forgetting(tx *transaction) error {
	_, err := tx.w.conn.ExecContext(context.Background(), "PRAGMA secure_delete = ON")
	return err
}

func (s *Store) secretEvent(tx *transaction, kind, environment, name string, version int, by string, now time.Time, run string) error {
	data := map[string]any{"environment": environment, "by": by}
	if run != "" {
		data["run"] = run
	}
	if version > 0 {
		data["version"] = version
	}
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.appendEvents(tx, []events.Event{{Source: "/secrets", Type: kind, Subject: name, Actor: access.Subject(by), Time: now, Data: text}})
}
