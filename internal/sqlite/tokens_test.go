package sqlite

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
)

// TestTokens keeps a token, verifies what its owner shows, and revokes it. What
// is on disk lets nobody in.
func TestTokens(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	shown, kept, err := access.NewToken(rand.Reader, access.Token{Subject: "service:ci", Roles: []string{"operator"}, By: "user:ann", Created: now, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutToken(ctx, kept, events.Event{Type: "token.created", Subject: kept.ID}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutToken(ctx, kept); err == nil {
		t.Error("a token was replaced")
	}
	check := func() (access.Identity, error) {
		return access.Verify(shown, func(id string) (access.Token, bool) {
			found, ok, err := s.Token(ctx, id)
			if err != nil {
				t.Error(err)
			}
			return found, ok
		}, now)
	}
	if who, err := check(); err != nil || who.Subject != "service:ci" || !who.Scoped {
		t.Error(who, err)
	}
	if list, err := s.Tokens(ctx); err != nil || len(list) != 1 || list[0].By != "user:ann" || !list[0].Expires.Equal(kept.Expires) {
		t.Error(list, err)
	}
	if err := s.RevokeToken(ctx, "nothing", now); !errors.Is(err, ErrNoToken) {
		t.Error(err)
	}
	for range 2 {
		if err := s.RevokeToken(ctx, kept.ID, now, events.Event{Type: "token.revoked", Subject: kept.ID}); err != nil {
			t.Error(err)
		}
	}
	if who, err := check(); !errors.Is(err, access.ErrRevoked) || who.Subject != "" {
		t.Error(who, err)
	}
	if chain, broken := verify(t, s); broken != nil || chain.Last != 2 {
		t.Error(chain, broken)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if secret := shown[len(shown)-43:]; bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s has the secret", name)
		}
	}
}
