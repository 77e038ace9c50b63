package project

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/secrets/sources"
)

// SecretReader reads the secrets of the project in an environment. What is read
// is told in the feed: which secret, which version, who and for which run.
func (p *Directory) SecretReader(environment string) *SecretReader {
	root := p
	if p.Ensemble != nil && p.Ensemble.Root != nil {
		root = p.Ensemble.Root
	}
	r := &sources.Reader{
		Dir: root.WorkDir, Environment: environment, LookupEnv: os.LookupEnv, Fingerprint: p.Keyring.Fingerprint,
		Store: func(ctx context.Context) (sources.Store, error) {
			store, diags := root.Store(ctx)
			return store, diags.Err()
		},
	}
	r.Noted = func(ctx context.Context, s *projects.Secret, run, version string) error {
		store, diags := root.Store(ctx)
		if diags.HasErrors() {
			return diags.Err()
		}
		data, err := json.Marshal(secretRead{environment, version, p.Session.Actor(), run})
		if err != nil {
			return err
		}
		return store.Record(ctx, events.Event{Source: "/secrets", Type: "secret.read", Subject: s.Name, Actor: access.Subject(p.Session.Actor()), Time: time.Now(), Data: data})
	}
	return &SecretReader{r, func(ctx context.Context, secret string, change runs.SecretChange) (runs.SecretStanding, error) {
		store, diags := root.Store(ctx)
		if diags.HasErrors() {
			return runs.SecretStanding{}, diags.Err()
		}
		return store.RotateSecret(ctx, environment, secret, change)
	}}
}

// secretRead is the data of the event secret.read.
type secretRead struct {
	Environment string `json:"environment"`
	Version     string `json:"version"`
	By          string `json:"by"`
	Run         string `json:"run,omitempty"`
}

// SecretReader reads the secrets of a project in an environment, and rotates them.
type SecretReader struct {
	r      *sources.Reader
	rotate func(context.Context, string, runs.SecretChange) (runs.SecretStanding, error)
}

var _ runs.Secrets = (*SecretReader)(nil)

// Read implements [runs.Secrets].
func (s *SecretReader) Read(ctx context.Context, declared *projects.Secret, run string) (text, version string, err error) {
	v, err := s.r.Read(ctx, declared, run)
	return v.Text, v.Version, err
}

// ReadVersion implements [runs.Secrets].
func (s *SecretReader) ReadVersion(ctx context.Context, declared *projects.Secret, run string, version int) (string, error) {
	v, err := s.r.ReadVersion(ctx, declared, run, version)
	return v.Text, err
}

// Rotate implements [runs.Secrets].
func (s *SecretReader) Rotate(ctx context.Context, secret string, change runs.SecretChange) (runs.SecretStanding, error) {
	defer s.r.Forget()
	return s.rotate(ctx, secret, change)
}

// readingFor says for which run inputs of stacks are evaluated, and which versions
// of secrets they are given instead of the current ones.
type readingFor struct {
	run      func() string
	versions map[string]int
}

// newRun is the run that a command is going to make: what is read for its plan is
// read for it.
type newRun struct {
	mu sync.Mutex
	id string
}

type newRunKey struct{}

// WithNewRun is for commands that plan and apply. The run is called as said in
// what is read until then, and made with [TakeNewRun].
func WithNewRun(ctx context.Context) context.Context {
	n := &newRun{id: runs.NewID(time.Now())}
	ctx = context.WithValue(ctx, newRunKey{}, n)
	return context.WithValue(ctx, readingKey{}, readingFor{run: n.current})
}

func (n *newRun) current() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id
}

// TakeNewRun returns the id of the run that is made now; empty where it does not
// matter. What is read after that is for the next one.
func TakeNewRun(ctx context.Context) string {
	n, ok := ctx.Value(newRunKey{}).(*newRun)
	if !ok {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.id
	n.id = runs.NewID(time.Now())
	return id
}

type readingKey struct{}

// ReadSecretsFor has the inputs of stacks that are evaluated with the context read
// secrets for a run.
func ReadSecretsFor(ctx context.Context, run string, versions map[string]int) context.Context {
	return context.WithValue(ctx, readingKey{}, readingFor{func() string { return run }, versions})
}

// ForScope is how expressions of stacks read secrets.
func (s *SecretReader) ForScope(ctx context.Context) func(*projects.Secret) (text, version string, err error) {
	reading, _ := ctx.Value(readingKey{}).(readingFor)
	return func(declared *projects.Secret) (string, string, error) {
		run := ""
		if reading.run != nil {
			run = reading.run()
		}
		v, err := s.r.ReadVersion(ctx, declared, run, reading.versions[declared.Name])
		return v.Text, v.Version, err
	}
}
