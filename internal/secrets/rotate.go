package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/tutti-dev/tutti/internal/files"
)

// KeyOf returns the id of the key that something was sealed with; empty for what
// was not sealed.
func KeyOf(sealed []byte) string {
	if len(sealed) < headerSize || sealed[0] != sealVersion {
		return ""
	}
	return fmt.Sprintf("%x", sealed[1:headerSize])
}

// Reseal seals with the key that seals now what another one did, bound to the
// same text beside it. What that key sealed already comes back as it is. The
// errors are those of [Keyring.Open] and [Keyring.Seal].
func (k *Keyring) Reseal(sealed, beside []byte) ([]byte, error) {
	key, err := k.sealer()
	if err != nil {
		return nil, err
	}
	if KeyOf(sealed) == key.String() {
		return sealed, nil
	}
	plain, err := k.open(sealed, beside)
	if err != nil {
		return nil, err
	}
	return k.seal(plain, beside)
}

// Named reports whether a source in the environment names the keys; then files
// of the configuration folder only open.
func (k *Keyring) Named() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.load()
	return len(k.named) > 0, err
}

// Make makes a new key in the configuration folder and returns its id. Nothing
// is sealed with it before [Keyring.Use].
func (k *Keyring) Make() (string, error) {
	folder, err := k.folder()
	if err != nil {
		return "", err
	}
	var raw [keySize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("cannot make a key: %w", err)
	}
	made, err := deriveKey(raw[:])
	if err != nil {
		return "", err
	}
	if err := writeKeyFile(filepath.Join(folder, made.String()+keySuffix), raw); err != nil {
		return "", fmt.Errorf("cannot make a key: %w", err)
	}
	return made.String(), nil
}

// Use lets a key of the configuration folder seal from now on, in all programs
// that have the same marker.
func (k *Keyring) Use(id string) error {
	if k.opts.Marker == "" {
		return errors.New("cannot change the key: there is no place to say which")
	}
	text := "# The key of the configuration folder that seals sensitive values here.\n" + id + "\n"
	if err := files.Replace(k.opts.Marker, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot change the key: %w", err)
	}
	return nil
}

// Retire moves a key that was made for one store into the folder "retired": it
// opens nothing from there, but backups may need it. The default key stays: other
// projects have it. It reports whether there was anything to move.
func (k *Keyring) Retire(id string) (bool, error) {
	folder, err := k.folder()
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	delete(k.local, id+keySuffix)
	k.mu.Unlock()
	from := filepath.Join(folder, id+keySuffix)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Join(folder, "retired"), 0o700); err != nil {
		return false, fmt.Errorf("cannot retire the key %s: %w", id, err)
	}
	if err := os.Rename(from, filepath.Join(folder, "retired", id+keySuffix)); err != nil {
		return false, fmt.Errorf("cannot retire the key %s: %w", id, err)
	}
	return true, nil
}

var keyID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// marked reads the marker; empty where there is none. It is read each time: a
// program that runs for long must not go on with a key that was retired.
func (k *Keyring) marked() (string, error) {
	if k.opts.Marker == "" {
		return "", nil
	}
	text, err := os.ReadFile(k.opts.Marker)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot find out which key seals: %w", err)
	}
	for line := range bytes.Lines(text) {
		if id := string(bytes.TrimSpace(line)); keyID.MatchString(id) {
			return id, nil
		}
	}
	return "", fmt.Errorf("cannot find out which key seals: %s names none", k.opts.Marker)
}
