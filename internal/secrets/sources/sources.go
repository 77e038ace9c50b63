// Package sources reads the values of the secrets that a project declares, where
// and when they are needed: from Tutti's store, the environment, files, a KV
// engine of Vault or OpenBao, Secret objects of Kubernetes, and commands.
//
// Nothing here writes a value anywhere, and no error quotes one: neither what a
// command printed nor what a server answered is part of a message.
package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

const (
	// Largest is how long a secret may be, in bytes.
	Largest = 1 << 20
	// keep is how long a value is used again without asking its source: steps of
	// one run should not ask a thousand times, and must see a change soon.
	keep      = 30 * time.Second
	timeLimit = time.Minute
)

// Store is where secrets of the source store are.
type Store interface {
	// SecretAt returns the value of a version in an environment, the current one
	// for 0, and its version. The error wraps os.ErrNotExist where there is none.
	SecretAt(ctx context.Context, environment, name string, version int) (value []byte, at int, err error)
}

// Value is a secret that was read.
type Value struct {
	Text string
	// Version tells values apart without saying anything about them: the number
	// of a version, or a keyed hash.
	Version string
}

// Reader reads secrets. It is safe for concurrent use.
type Reader struct {
	Dir         string // of the project
	Environment string
	Store       func(ctx context.Context) (Store, error)
	LookupEnv   func(string) (string, bool)
	// Fingerprint is a keyed hash of a value: whoever lacks the key can neither
	// guess the value with it nor compare it with others.
	Fingerprint func(name string, value []byte) (string, error)
	// Noted is told of each value that was got from its source, before it is
	// used; where it fails the value is not used.
	Noted func(ctx context.Context, s *projects.Secret, run, version string) error
	Now   func() time.Time  // nil: time.Now
	HTTP  http.RoundTripper // nil: the default one
	// ServiceAccount is the folder with the credentials of the pod this runs in;
	// empty for the one where Kubernetes puts them.
	ServiceAccount string

	mu    sync.Mutex
	known map[string]*reading
}

// reading is one secret for one run.
type reading struct {
	mu    sync.Mutex
	at    time.Time
	value Value
}

// Read returns the value of a secret for a run; empty for none. A line end at
// the end of what files and commands give is not part of it.
func (r *Reader) Read(ctx context.Context, s *projects.Secret, run string) (Value, error) {
	return r.ReadVersion(ctx, s, run, 0)
}

// ReadVersion is Read for one version of a secret in Tutti's store; 0 stands for
// the current one.
func (r *Reader) ReadVersion(ctx context.Context, s *projects.Secret, run string, at int) (Value, error) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	key := run + "\x00" + s.Name + "\x00" + strconv.Itoa(at)
	r.mu.Lock()
	if r.known == nil {
		r.known = map[string]*reading{}
	}
	one := r.known[key]
	if one == nil {
		one = &reading{}
		r.known[key] = one
	}
	r.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.at.IsZero() && now().Sub(one.at) < keep {
		return one.value, nil
	}
	if at != 0 && s.Source != projects.SecretStore {
		return Value{}, fmt.Errorf("its source %q has no versions that can be read here", s.Source)
	}
	raw, version, err := r.read(ctx, s, at)
	if err != nil {
		return Value{}, err
	}
	if len(raw) > Largest {
		return Value{}, fmt.Errorf("it is longer than %d bytes", Largest)
	}
	if !utf8.Valid(raw) {
		return Value{}, errors.New("it is not text in UTF-8; keep it in base64 and use base64decode where it is needed")
	}
	if version == "" {
		if version, err = r.Fingerprint(s.Name, raw); err != nil {
			return Value{}, err
		}
	}
	if r.Noted != nil {
		if err := r.Noted(ctx, s, run, version); err != nil {
			return Value{}, fmt.Errorf("that it is read cannot be recorded: %w", err)
		}
	}
	one.value, one.at = Value{Text: string(raw), Version: version}, now()
	return one.value, nil
}

// Forget has values read anew that were read before: one of them has changed.
func (r *Reader) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = nil
}

func (r *Reader) read(ctx context.Context, s *projects.Secret, at int) (value []byte, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	switch s.Source {
	case projects.SecretStore:
		return r.fromStore(ctx, s, at)
	case projects.SecretEnvironment:
		text, ok := r.LookupEnv(s.Variable)
		if !ok {
			return nil, "", fmt.Errorf("the environment variable %s is not set", s.Variable)
		}
		return []byte(text), "", nil
	case projects.SecretFile:
		value, err = readFile(r.place(s.Path))
		return trimLine(value), "", err
	case projects.SecretExec:
		value, err = r.run(ctx, s.Command)
		return trimLine(value), "", err
	case projects.SecretVault:
		return r.vault(ctx, &s.Vault)
	case projects.SecretKubernetes:
		value, err = r.kubernetes(ctx, &s.Kubernetes)
		return value, "", err
	}
	return nil, "", fmt.Errorf("its source %q is not known", s.Source)
}

func (r *Reader) fromStore(ctx context.Context, s *projects.Secret, at int) ([]byte, string, error) {
	store, err := r.Store(ctx)
	if err != nil {
		return nil, "", err
	}
	value, version, err := store.SecretAt(ctx, r.Environment, s.Name, at)
	if errors.Is(err, os.ErrNotExist) && at != 0 {
		return nil, "", fmt.Errorf("version %d has no value in the environment %q", at, r.Environment)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("it has no value in the environment %q: set one with \"tutti secret set %s -env=%[1]s\"", r.Environment, s.Name)
	}
	return value, strconv.Itoa(version), err
}

func (r *Reader) place(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.Dir, filepath.FromSlash(path))
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, Largest+1))
}

// run runs a command without a shell. What it says to its standard error is for
// the person at the terminal; it is kept nowhere.
func (r *Reader) run(ctx context.Context, command []string) ([]byte, error) {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Dir = r.Dir
	process.WaitDelay = time.Second
	out := &limited{}
	process.Stdout = out
	err := process.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the command %s did not end within %s", command[0], timeLimit)
	case err != nil:
		return nil, fmt.Errorf("the command %s failed: %w", command[0], err)
	}
	return out.Bytes(), nil
}

// limited keeps no more than is needed to see that it is too much.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := Largest + 1 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// trimLine takes one line end off, which editors and echo put there.
func trimLine(value []byte) []byte {
	return []byte(strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r"))
}
