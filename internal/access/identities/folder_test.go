package identities_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/secrets"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logins")
	f := &identities.Folder{Directory: dir, Sealer: secrets.NewKeyring(secrets.Options{Directory: t.TempDir()})}
	corp := &projects.Identity{Name: "corp", Issuer: issuerURL, ClientID: "tutti"}
	other := &projects.Identity{Name: "corp", Issuer: issuerURL, ClientID: "other"}
	if _, err := f.Session(corp); !errors.Is(err, identities.ErrNoLogin) {
		t.Error(err)
	}
	s := identities.Session{Issuer: issuerURL, Client: "tutti", IDToken: "the-id-token", Refresh: "the-refresh-token"}
	if err := f.Keep(corp, s); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Session(&projects.Identity{Name: "renamed", Issuer: issuerURL, ClientID: "tutti"}); err != nil || got.Refresh != s.Refresh {
		t.Error(got, err)
	}
	if _, err := f.Session(other); !errors.Is(err, identities.ErrNoLogin) {
		t.Error(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	path := filepath.Join(dir, files[0].Name())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	folder, err := os.Stat(dir)
	if err != nil || folder.Mode().Perm() != 0o700 {
		t.Error(folder.Mode(), err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, []byte("the-")) {
		t.Error("a token can be read", err)
	}
	// A file in the place of another is not taken for it.
	if err := f.Keep(other, identities.Session{Issuer: issuerURL, Client: "other"}); err != nil {
		t.Fatal(err)
	}
	for _, file := range must(os.ReadDir(dir)) {
		if name := filepath.Join(dir, file.Name()); name != path {
			if err := os.WriteFile(name, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := f.Session(other); err == nil || errors.Is(err, identities.ErrNoLogin) {
		t.Error(got, err)
	}
	// Nor is one that was changed, or that is not sealed.
	for _, content := range [][]byte{append(bytes.Clone(raw[:len(raw)-1]), raw[len(raw)-1]^1), []byte(`{"Name":"x","Content":{}}`), nil} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Session(corp); err == nil || errors.Is(err, identities.ErrNoLogin) {
			t.Error(got, err)
		}
	}
	if removed, err := f.Forget(corp); !removed || err != nil {
		t.Error(removed, err)
	}
	if removed, err := f.Forget(corp); removed || err != nil {
		t.Error(removed, err)
	}
}

// TestFactsAreKept: the next process need not ask, and what somebody else put there
// is not believed.
func TestFactsAreKept(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA}}
	folder := &identities.Folder{Directory: filepath.Join(t.TempDir(), "logins"), Sealer: secrets.NewKeyring(secrets.Options{Directory: t.TempDir()})}
	verify := func() error {
		c := &clock{now}
		v := identities.NewVerifier(project(t, corp), nil, identities.Options{Transport: f, Now: c.now, Cache: folder})
		_, err := v.Verify(t.Context(), sign(keyA, claimsOf(nil), nil))
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	f.down = true
	if err := verify(); err != nil {
		t.Error(err)
	}
	for _, file := range must(os.ReadDir(folder.Directory)) {
		if err := os.WriteFile(filepath.Join(folder.Directory, file.Name()), []byte(`{"Content":{"issuer":"https://id.example.com"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := verify(); !errors.As(err, new(*identities.UnreachableError)) {
		t.Error(err)
	}
}

// TestLocked: one at a time.
func TestLocked(t *testing.T) {
	folder := &identities.Folder{Directory: filepath.Join(t.TempDir(), "logins")}
	d := &projects.Identity{Issuer: issuerURL, ClientID: "tutti"}
	var inside, most int
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inside += by
		most = max(most, inside)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := folder.Locked(d, func() error {
				count(1)
				defer count(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
}
