package triggers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/triggers/sources"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// CheckSources tells what can be known to be wrong with the sources of a project before
// they are watched.
func CheckSources(p *projects.Project) diag.List {
	var diags diag.List
	for _, name := range sortedKeys(p.Sources) {
		declared := p.Sources[name]
		if declared.Kind == "" {
			continue // told where it was read
		}
		secrets := map[string]string{}
		for argument := range declared.Secrets {
			secrets[argument] = "x"
		}
		if err := makeSource(p.Dir, declared, secrets).Check(); err != nil {
			diags = append(diags, diag.ErrorAt(declared.DeclRange, "Invalid source", "The source %q: %s.", name, err)...)
		}
		if env := declared.Environment; env != "" && len(p.Environments) > 0 && p.Environments[env] == nil {
			diags = append(diags, diag.ErrorAt(declared.DeclRange, "No such environment", "This project has no environment %q, but %s.", env, strings.Join(sortedKeys(p.Environments), ", "))...)
		}
	}
	return diags
}

// source is one that can be watched.
type source interface {
	sources.Source
	Check() error
}

// makeSource makes the source that a block declares; secrets are by their arguments.
func makeSource(dir string, s *projects.Source, secrets map[string]string) source {
	switch s.Kind {
	case projects.SourcePrometheus:
		q := s.Prometheus
		return &sources.Query{
			Name: s.Name, URL: q.URL, Expression: q.Query, Every: q.Every, Below: q.Below,
			Threshold: q.Threshold, Clear: q.Clear, Hold: q.Hold, Token: secrets["token"],
		}
	case projects.SourceFiles:
		at := s.Files.Directory
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		return &sources.Files{Name: s.Name, Directory: at, Patterns: s.Files.Patterns, Settle: s.Files.Settle}
	case projects.SourceNATS:
		n := s.NATS
		return &sources.NATS{
			Name: s.Name, Servers: n.Servers, Subject: n.Subject, Stream: n.Stream, Group: n.Group,
			User: n.User, Token: secrets["token"], Password: secrets["password"],
		}
	default:
		m := s.MQTT
		return &sources.MQTT{Name: s.Name, Server: m.Server, Topics: m.Topics, Client: m.Client, Keep: m.Keep, User: m.User, Password: secrets["password"]}
	}
}

// Sources watches the sources of a project.
type Sources struct {
	Store runs.SourceStore
	// Secret reads a secret of the project in an environment; empty for the default
	// one.
	Secret func(ctx context.Context, s *projects.Secret, environment string) (string, error)
	// Trouble is told what is wrong with a source, and nil when it is well again.
	Trouble func(source string, err error)
}

// pauses between attempts to read the secrets of a source, and how old they may be
// where something is wrong that others may put right.
const secretsPause, secretsDoubt = 10 * time.Second, time.Minute

// watched is a source at work.
type watched struct {
	declared *projects.Source
	secrets  map[string]*projects.Secret
	stop     func() // and waits until it has ended
}

// same reports whether another declaration means the same.
func (w *watched) same(declared *projects.Source, secrets map[string]*projects.Secret) bool {
	return reflect.DeepEqual(withoutPlace(w.declared), withoutPlace(declared)) && reflect.DeepEqual(w.secrets, secrets)
}

// withoutPlace is a declaration as it would be elsewhere in the files.
func withoutPlace(s *projects.Source) projects.Source {
	out := *s
	out.DeclRange = hcl.Range{}
	out.Secrets = map[string]projects.Reference{}
	for argument, r := range s.Secrets {
		r.Range = hcl.Range{}
		out.Secrets[argument] = r
	}
	return out
}

// Run watches the sources of the projects that come, each in place of the one before,
// until ctx is cancelled. A source that stays as it is goes on without a break.
func (s *Sources) Run(ctx context.Context, list <-chan *projects.Project) {
	running := map[string]*watched{}
	defer func() {
		for _, w := range running {
			w.stop()
		}
	}()
	for {
		var p *projects.Project
		select {
		case <-ctx.Done():
			return
		case p = <-list:
		}
		for name, w := range running {
			if declared := p.Sources[name]; declared == nil || !w.same(declared, secretsOf(p, declared)) {
				w.stop()
				delete(running, name)
			}
		}
		for _, name := range sortedKeys(p.Sources) {
			if running[name] == nil {
				running[name] = s.start(ctx, p, p.Sources[name])
			}
		}
	}
}

func secretsOf(p *projects.Project, declared *projects.Source) map[string]*projects.Secret {
	out := map[string]*projects.Secret{}
	for argument, r := range declared.Secrets {
		out[argument] = p.Secrets[r.Name]
	}
	return out
}

func (s *Sources) start(ctx context.Context, p *projects.Project, declared *projects.Source) *watched {
	ctx, cancel := context.WithCancel(ctx)
	w := &watched{declared: declared, secrets: secretsOf(p, declared)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			s.watch(ctx, p.Dir, w)
		}
	}()
	w.stop = func() { cancel(); <-done }
	return w
}

// watch watches a source with the secrets as they are now, until ctx is cancelled or the
// secrets may have changed.
func (s *Sources) watch(ctx context.Context, dir string, w *watched) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tell := func(err error) { s.Trouble(w.declared.Name, err) }
	secrets := map[string]string{}
	for argument, secret := range w.secrets {
		text, err := s.Secret(ctx, secret, w.declared.Environment)
		if err != nil {
			if ctx.Err() == nil {
				tell(fmt.Errorf("the secret %q cannot be read: %w", secret.Name, err))
			}
			select {
			case <-ctx.Done():
			case <-time.After(secretsPause):
			}
			return
		}
		secrets[argument] = text
	}
	read := time.Now()
	makeSource(dir, w.declared, secrets).Run(ctx, &sourceInbox{store: s.Store, name: w.declared.Name, tell: tell}, func(err error) {
		tell(err)
		if err != nil && len(secrets) > 0 && time.Since(read) > secretsDoubt {
			cancel()
		}
	})
}

// sourceInbox is the inbox of one source.
type sourceInbox struct {
	store runs.SourceStore
	name  string
	tell  func(error)

	mu     sync.Mutex
	memory []byte // as it was read or written last
}

// Memory implements [sources.Inbox].
func (b *sourceInbox) Memory(ctx context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	b.memory, err = b.store.Memory(ctx, b.name)
	return b.memory, err
}

// Take implements [sources.Inbox].
func (b *sourceInbox) Take(ctx context.Context, list []webhooks.Received, memory []byte) error {
	in := make([]runs.Inbound, 0, len(list))
	for i := range list {
		if runs.Reserved(list[i].Type) {
			b.tell(fmt.Errorf("an event was passed over: those of the type %q are Tutti's own", list[i].Type))
			continue
		}
		one, err := runs.InboundOf(&list[i], "source:"+b.name, "")
		if err != nil {
			b.tell(fmt.Errorf("an event was passed over: %w", err))
			continue
		}
		in = append(in, one)
	}
	if memory == nil {
		_, err := b.store.Accept(ctx, in)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.store.Remember(ctx, b.name, in, b.memory, memory); err != nil {
		if errors.Is(err, runs.ErrRemembered) {
			return fmt.Errorf("the source %s: %w", b.name, err)
		}
		return err
	}
	b.memory = memory
	return nil
}
