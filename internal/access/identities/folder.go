package identities

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/files"
)

// Sealer seals what is kept; *secrets.Keyring is one.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Folder keeps logins, and what issuers say of themselves, in files that only their
// owner can read, sealed: what another program puts there is not taken for ours.
type Folder struct {
	Directory string // made when something is kept
	Sealer    Sealer
}

// UserFolder is the one in the user's configuration folder.
func UserFolder(sealer Sealer) (*Folder, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoFolder, err)
	}
	return &Folder{filepath.Join(base, "tutti", "logins"), sealer}, nil
}

// ErrNoFolder says that there is nowhere to keep logins, so that there are none.
var ErrNoFolder = errors.New("there is no configuration folder to keep logins in")

// ErrNoLogin says that nobody is logged in.
var ErrNoLogin = errors.New("nobody is logged in")

// Session reads the login of an identity: that of its issuer and client, whatever
// the project calls it. [ErrNoLogin] says that there is none.
func (f *Folder) Session(d *projects.Identity) (Session, error) {
	s, err := f.login(d).Session()
	if err == nil && (s.Issuer != d.Issuer || s.Client != d.ClientID) {
		return Session{}, errors.New("the login cannot be read: it is one of another issuer")
	}
	return s, err
}

// Keep keeps a login in the place of the former one.
func (f *Folder) Keep(d *projects.Identity, s Session) error { return f.login(d).Keep(s) }

// Forget removes a login. It reports whether there was one.
func (f *Folder) Forget(d *projects.Identity) (bool, error) { return f.login(d).Forget() }

// Locked does something while no other process does it to the same identity: a
// refresh token may be good for one use.
func (f *Folder) Locked(d *projects.Identity, do func() error) error { return f.login(d).Locked(do) }

// login is where the login of an identity is kept.
func (f *Folder) login(d *projects.Identity) *Kept {
	return &Kept{f, f.file("login", d.Issuer+"\x00"+d.ClientID)}
}

// Server is where the login to the server at an address is kept: whatever the issuer, it
// is for that server and no other.
func (f *Folder) Server(address string) *Kept { return &Kept{f, f.file("server", address)} }

// Kept is a place for one login.
type Kept struct {
	folder *Folder
	path   string
}

// Session reads the login; [ErrNoLogin] says that there is none.
func (k *Kept) Session() (Session, error) {
	var s Session
	err := k.folder.read(k.path, &s)
	if errors.Is(err, os.ErrNotExist) {
		return Session{}, ErrNoLogin
	}
	if err != nil {
		return Session{}, fmt.Errorf("the login cannot be read: %w", err)
	}
	return s, nil
}

// Keep keeps a login in the place of the former one.
func (k *Kept) Keep(s Session) error { return k.folder.write(k.path, s) }

// Forget removes the login. It reports whether there was one.
func (k *Kept) Forget() (bool, error) {
	err := os.Remove(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Locked does something while no other process does it to the same login.
func (k *Kept) Locked(do func() error) error {
	if err := os.MkdirAll(k.folder.Directory, 0o700); err != nil {
		return err
	}
	return files.Locked(k.path+".lock", do)
}

// Facts implements [Cache].
func (f *Folder) Facts(issuer string) (Facts, bool) {
	var facts Facts
	return facts, f.read(f.factsFile(issuer), &facts) == nil && facts.Issuer == issuer
}

// KeepFacts implements [Cache]. What cannot be kept is asked for again.
func (f *Folder) KeepFacts(facts Facts) {
	_ = f.write(f.factsFile(facts.Issuer), facts)
}

func (f *Folder) factsFile(issuer string) string { return f.file("issuer", issuer) }

func (f *Folder) file(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(f.Directory, kind+"-"+hex.EncodeToString(sum[:12]))
}

func (f *Folder) read(path string, into any) error {
	sealed, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	plain, err := f.Sealer.Open(sealed)
	if err != nil {
		return err
	}
	// The name is sealed along, so that no file is taken for another.
	kept := struct {
		Name    string
		Content any
	}{Content: into}
	if err := json.Unmarshal(plain, &kept); err != nil {
		return err
	}
	if kept.Name != filepath.Base(path) {
		return errors.New("it is another file")
	}
	return nil
}

func (f *Folder) write(path string, content any) error {
	plain, err := json.Marshal(struct {
		Name    string
		Content any
	}{filepath.Base(path), content})
	if err != nil {
		return err
	}
	sealed, err := f.Sealer.Seal(plain)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Directory, 0o700); err != nil {
		return err
	}
	return files.Replace(path, sealed, 0o600)
}
