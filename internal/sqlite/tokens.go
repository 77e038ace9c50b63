package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
)

// layoutTokens has what is kept of tokens: never what somebody could show.
const layoutTokens = `
CREATE TABLE tokens(
  id TEXT PRIMARY KEY, hash TEXT NOT NULL, created INTEGER NOT NULL, revoked INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
`

// ErrNoToken says that there is no such token.
var ErrNoToken = errors.New("there is no such token")

// PutToken keeps a new token, with the events told.
func (s *Store) PutToken(ctx context.Context, t access.Token, told ...events.Event) error {
	document, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("cannot keep the token: %w", err)
	}
	return s.write(ctx, func(tx *transaction) error {
		if _, err := tx.exec("INSERT INTO tokens(id, hash, created, revoked, document) VALUES(?, ?, ?, 0, ?)", t.ID, t.Hash, nanoseconds(t.Created), document); err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
}

// RevokeToken ends a token for good, with the events told. One that was revoked
// before stays so, and nothing is told.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time, told ...events.Event) error {
	return s.write(ctx, func(tx *transaction) error {
		var some int
		found, err := tx.row("SELECT 1 FROM tokens WHERE id = ?", []any{id}, &some)
		if err != nil {
			return err
		}
		if !found {
			return ErrNoToken
		}
		revoked, err := tx.exec("UPDATE tokens SET revoked = ? WHERE id = ? AND revoked = 0", nanoseconds(at), id)
		if err != nil || revoked == 0 {
			return err
		}
		return s.appendEvents(tx, told)
	})
}

// Tokens lists the tokens, oldest first, those that are of no more use too.
func (s *Store) Tokens(ctx context.Context) ([]access.Token, error) {
	return s.tokens(ctx, "ORDER BY created, id")
}

// Token finds what is kept under an id: what [access.Verify] needs.
func (s *Store) Token(ctx context.Context, id string) (t access.Token, ok bool, err error) {
	list, err := s.tokens(ctx, "WHERE id = ?", id)
	if err != nil || len(list) == 0 {
		return access.Token{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) tokens(ctx context.Context, where string, args ...any) ([]access.Token, error) {
	var out []access.Token
	err := s.list(ctx, "SELECT id, hash, revoked, document FROM tokens "+where, args, func(rows *sql.Rows) error {
		var id, hash string
		var revoked int64
		var document []byte
		if err := rows.Scan(&id, &hash, &revoked, &document); err != nil {
			return err
		}
		var t access.Token
		if err := json.Unmarshal(document, &t); err != nil {
			return err
		}
		t.ID, t.Hash, t.Revoked = id, hash, instant(revoked)
		out = append(out, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	return out, nil
}
