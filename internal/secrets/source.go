package secrets

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/scrypt"
)

const (
	keySize          = 32
	shortestPhrase   = 12
	commandTimeLimit = time.Minute
)

// namedKeys reads the source that the environment names; none is no error.
func namedKeys(lookup func(string) (string, bool)) ([]*key, error) {
	var set []string
	values := map[string]string{}
	for _, name := range []string{EnvKey, EnvKeyFile, EnvKeyCommand} {
		if value, ok := lookup(name); ok && strings.TrimSpace(value) != "" {
			set = append(set, name)
			values[name] = value
		}
	}
	switch {
	case len(set) == 0:
		return nil, nil
	case len(set) > 1:
		return nil, fmt.Errorf("cannot choose a key for sensitive values: %s are set; keep one", strings.Join(set, " and "))
	}
	source := set[0]
	text := []byte(values[source])
	var err error
	switch source {
	case EnvKeyFile:
		text, err = os.ReadFile(values[source])
	case EnvKeyCommand:
		text, err = runKeyCommand(values[source])
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get the key for sensitive values from %s: %w", source, err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("cannot use the key for sensitive values from %s: %w", source, err)
	}
	return keys, nil
}

// runKeyCommand runs a command with the shell. Its messages stay out of the
// error but for the exit status: they might quote the key.
func runKeyCommand(command string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeLimit)
	defer cancel()
	shell := []string{"/bin/sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	process := exec.CommandContext(ctx, shell[0], append(shell[1:], command)...)
	process.Stderr = os.Stderr // where it asks for a password, the user must see it
	process.Stdin = os.Stdin
	process.WaitDelay = time.Second
	out, err := process.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the command did not end within %s", commandTimeLimit)
	}
	return out, err
}

// parseKeys reads one key a line. Lines that begin with # are remarks.
func parseKeys(text []byte) ([]*key, error) {
	var keys []*key
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		root, err := rootKey(line)
		if err != nil {
			return nil, err
		}
		key, err := deriveKey(root)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

// rootKey turns one line into 32 bytes: an age identity, 32 bytes in base64 or
// hexadecimal, or else a passphrase.
func rootKey(line string) ([]byte, error) {
	if strings.HasPrefix(strings.ToUpper(line), "AGE-SECRET-KEY-") {
		if _, err := age.ParseIdentities(strings.NewReader(strings.ToUpper(line))); err != nil {
			return nil, errors.New("it begins like an age identity and is none") // the error would quote it
		}
		return hkdf.Key(sha256.New, []byte(strings.ToUpper(line)), nil, "tutti state key from age identity", keySize)
	}
	if raw, err := hex.DecodeString(line); err == nil && len(raw) == keySize {
		return raw, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(line); err == nil && len(raw) == keySize {
			return raw, nil
		}
	}
	if len(line) < shortestPhrase {
		return nil, fmt.Errorf("a passphrase must have at least %d characters; better is a random key, like \"openssl rand -base64 32\" prints", shortestPhrase)
	}
	// The salt is fixed: machines that share nothing but the passphrase must
	// come to the same key. The cost makes up for it.
	return scrypt.Key([]byte(line), []byte("tutti state key from passphrase"), 1<<16, 8, 1, keySize)
}

func deriveKey(root []byte) (*key, error) {
	sealing, err := hkdf.Key(sha256.New, root, nil, "tutti sealing", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("cannot derive key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, root, nil, "tutti key id", keyIDSize)
	if err != nil {
		return nil, fmt.Errorf("cannot derive key: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, root, nil, "tutti fingerprint", keySize)
	if err != nil {
		return nil, fmt.Errorf("cannot derive key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(sealing)
	if err != nil {
		return nil, fmt.Errorf("cannot derive key: %w", err)
	}
	return &key{id: [keyIDSize]byte(id), aead: aead, mac: mac}, nil
}

// readKey reads a key file; the error wraps os.ErrNotExist where there is none.
func readKey(path string) (*key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key for sensitive values: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("cannot use the key for sensitive values in %s: %w", path, err)
	}
	return keys[0], nil
}

// readOrMakeKey reads the key file, or makes it. The file appears whole or not
// at all, and the first of several processes wins: the others use its key.
func readOrMakeKey(path string) (*key, error) {
	if key, err := readKey(path); !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if err := makeKeyFile(path); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cannot make a key for sensitive values: %w", err)
	}
	return readKey(path)
}

func makeKeyFile(path string) error {
	var raw [keySize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	return writeKeyFile(path, raw)
}

func writeKeyFile(path string, raw [keySize]byte) (err error) {
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	var text bytes.Buffer
	text.WriteString("# Opens the sensitive values in Tutti's states on this machine. Keep a copy\n# in a safe place: without it they cannot be recovered.\n")
	text.WriteString(base64.StdEncoding.EncodeToString(raw[:]))
	text.WriteByte('\n')
	draft, err := os.CreateTemp(directory, ".default.key-*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(draft.Name())) }()
	_, err = draft.Write(text.Bytes())
	if err = errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	err = os.Link(draft.Name(), path) // unlike a rename, never replaces
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	return writeNew(path, text.Bytes())
}

// writeNew is for file systems without hard links.
func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(path) // half a key opens nothing, and is in the way of a whole one
	}
	return err
}
