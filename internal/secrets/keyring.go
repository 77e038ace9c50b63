// Package secrets keeps sensitive values unreadable at rest: [Keyring] finds or
// makes the key, seals and opens, and hides the sensitive parts of attributes.
//
// Sealing is XChaCha20-Poly1305 with a key derived from the user's, and the
// key's id in front, so that whoever lacks the key learns which one to look for.
// Nothing is looked up, and no key is made, before something needs it.
package secrets

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// The environment variables that name the key. At most one may be set.
const (
	EnvKey        = "TUTTI_STATE_KEY"         // the key itself
	EnvKeyFile    = "TUTTI_STATE_KEY_FILE"    // a file that has it
	EnvKeyCommand = "TUTTI_STATE_KEY_COMMAND" // a command that prints it
)

const (
	sealVersion = 1
	keyIDSize   = 8
	headerSize  = 1 + keyIDSize
	nonceSize   = chacha20poly1305.NonceSizeX
	tagSize     = chacha20poly1305.Overhead
)

// ErrDamaged says that sealed data is not what a Seal returned: it was changed,
// cut short, or belongs to something else.
var ErrDamaged = errors.New("the sealed data is damaged or was changed")

// KeyError says that something was sealed with a key that is not here.
type KeyError struct {
	Needed string   // id of the key that sealed it
	Have   []string // ids of the keys that are here
}

// Error names the key and what to do.
func (e *KeyError) Error() string {
	have := "there is no key here"
	if len(e.Have) > 0 {
		have = "here there is only the key " + strings.Join(e.Have, ", ")
	}
	return fmt.Sprintf("sensitive values are sealed with the key %s, and %s; give that key in %s, %s or %s, as a further line "+
		"after the key in use if there is one; without it the values it sealed cannot be recovered",
		e.Needed, have, EnvKey, EnvKeyFile, EnvKeyCommand)
}

// Options say where keys come from; [FromEnvironment] has those of a program.
type Options struct {
	// LookupEnv reads the environment; nil for none.
	LookupEnv func(string) (string, bool)
	// Directory is the user's configuration folder of this program; empty for
	// "tutti" in os.UserConfigDir.
	Directory string
	// Marker is a file that names the key of the configuration folder which seals;
	// where it is not there, that is the default one. Changing it takes effect in
	// programs that are running. Empty for no such file.
	Marker string
}

// Keyring seals and opens. It is safe for concurrent use. Keys are, in this
// order, those that one of the environment variables names, and those in the
// folder keys of the configuration folder: default.key, which is made when
// something is to be sealed and there is no other, and what [Keyring.Make] made.
//
// A source may hold several keys, one a line: the first seals, all open. That
// is how keys are changed.
type Keyring struct {
	opts Options

	mu     sync.Mutex
	loaded bool            // the named sources have been read
	named  []*key          // from the environment
	local  map[string]*key // from the configuration folder, by file name
}

// FromEnvironment returns the options of a program: the process's environment
// and the user's configuration folder.
func FromEnvironment() Options { return Options{LookupEnv: os.LookupEnv} }

// NewKeyring returns a keyring that has looked nothing up yet.
func NewKeyring(opts Options) *Keyring {
	if opts.LookupEnv == nil {
		opts.LookupEnv = func(string) (string, bool) { return "", false }
	}
	return &Keyring{opts: opts}
}

// key is one key ready for use.
type key struct {
	id   [keyIDSize]byte
	aead cipher.AEAD
	mac  []byte // key of fingerprints
}

func (k *key) String() string { return fmt.Sprintf("%x", k.id) }

// Seal encrypts and authenticates. It fails where the key's source does.
func (k *Keyring) Seal(plain []byte) ([]byte, error) { return k.seal(plain, nil) }

// Open returns what was given to [Keyring.Seal]. The error is a [*KeyError],
// wraps [ErrDamaged], or is the key source's.
func (k *Keyring) Open(sealed []byte) ([]byte, error) { return k.open(sealed, nil) }

// seal binds the result to what stands beside it in clear, which open must get
// again.
func (k *Keyring) seal(plain, beside []byte) ([]byte, error) {
	key, err := k.sealer()
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerSize+nonceSize, headerSize+nonceSize+len(plain)+tagSize)
	out[0] = sealVersion
	copy(out[1:], key.id[:])
	if _, err := rand.Read(out[headerSize:]); err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	return key.aead.Seal(out, out[headerSize:], plain, besideHeader(out, beside)), nil
}

func (k *Keyring) open(sealed, beside []byte) ([]byte, error) {
	if len(sealed) < headerSize+nonceSize+tagSize {
		return nil, fmt.Errorf("cannot open: %w", ErrDamaged)
	}
	if sealed[0] != sealVersion {
		return nil, fmt.Errorf("cannot open: sealed in the form %d, which this program does not know: %w", sealed[0], ErrDamaged)
	}
	key, err := k.opener([keyIDSize]byte(sealed[1:headerSize]))
	if err != nil {
		return nil, err
	}
	nonce, content := sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:]
	plain, err := key.aead.Open(nil, nonce, content, besideHeader(sealed, beside))
	if err != nil {
		return nil, fmt.Errorf("cannot open what the key %s sealed: %w", key, ErrDamaged)
	}
	return plain, nil
}

func besideHeader(sealed, beside []byte) []byte {
	return append(sealed[:headerSize:headerSize], beside...)
}

// KeyID returns the id of the key that seals, making the key if need be.
func (k *Keyring) KeyID() (string, error) {
	key, err := k.sealer()
	if err != nil {
		return "", err
	}
	return key.String(), nil
}

// Fingerprint tells the values of something apart: a keyed hash, which says
// nothing to whoever lacks the key.
func (k *Keyring) Fingerprint(of string, value []byte) (string, error) {
	key, err := k.sealer()
	if err != nil {
		return "", err
	}
	hash := hmac.New(sha256.New, key.mac)
	_, _ = hash.Write(append([]byte(of+"\x00"), value...)) // a hash takes everything
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// sealer returns the key that seals. Where no source names one, it is one of the
// configuration folder: that of the marker, or the default one, made now if need
// be.
func (k *Keyring) sealer() (*key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return nil, err
	}
	if len(k.named) > 0 {
		return k.named[0], nil
	}
	id, err := k.marked()
	if err != nil {
		return nil, err
	}
	if id == "" {
		return k.file(defaultKey, readOrMakeKey)
	}
	key, err := k.file(id+keySuffix, readKey)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &KeyError{Needed: id}
	}
	return key, err
}

// opener returns the key of an id. It never makes one.
func (k *Keyring) opener(id [keyIDSize]byte) (*key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return nil, err
	}
	missing := &KeyError{Needed: fmt.Sprintf("%x", id)}
	for _, key := range k.named {
		if key.id == id {
			return key, nil
		}
		missing.Have = append(missing.Have, key.String())
	}
	if _, err := k.folder(); err != nil {
		return nil, missing // a machine without configuration folder has no such key
	}
	for _, name := range []string{defaultKey, missing.Needed + keySuffix} {
		key, err := k.file(name, readKey)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, err
		case key.id == id:
			return key, nil
		default:
			missing.Have = append(missing.Have, key.String())
		}
	}
	return nil, missing
}

// file returns a key of the configuration folder, which is read once.
func (k *Keyring) file(name string, read func(path string) (*key, error)) (*key, error) {
	if key := k.local[name]; key != nil {
		return key, nil
	}
	folder, err := k.folder()
	if err != nil {
		return nil, err
	}
	if k.local == nil {
		k.local = map[string]*key{}
	}
	found, err := read(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	k.local[name] = found
	return found, nil
}

func (k *Keyring) load() error {
	if k.loaded {
		return nil
	}
	keys, err := namedKeys(k.opts.LookupEnv)
	if err != nil {
		return err
	}
	k.named, k.loaded = keys, true
	return nil
}

// The names of key files.
const (
	keySuffix  = ".key"
	defaultKey = "default" + keySuffix
)

// folder is where key files are.
func (k *Keyring) folder() (string, error) {
	directory := k.opts.Directory
	if directory == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("cannot keep a key for sensitive values: there is no configuration folder (%w); set %s", err, EnvKey)
		}
		directory = filepath.Join(base, "tutti")
	}
	return filepath.Join(directory, "keys"), nil
}
