package providers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Installed says how to run a provider.
type Installed struct {
	Version    string
	Executable string
	// Digest changes when the program does; cached schemas go by it. Empty: they
	// are not cached.
	Digest string
}

// PoolOptions are what a pool needs.
type PoolOptions struct {
	// Find locates a provider's program. Its error may be a diag.List.
	Find func(ctx context.Context, p addrs.Provider) (Installed, error)
	// BuiltIn are providers inside this program; they need no process.
	BuiltIn map[addrs.Provider]Provider
	// CacheDir keeps schemas between runs of this program; empty for nowhere.
	CacheDir string
	// Environ is the environment of the processes; nil for this process's.
	Environ []string
	// Dir is the working directory of the processes; empty for this process's.
	Dir string
	// Known are schemas that other pools of this process have read already; nil
	// for none.
	Known *KnownSchemas
}

// KnownSchemas lets pools share schemas: they are read, and held in memory, once
// for each build of a provider. The zero value is ready to use.
type KnownSchemas struct{ byBuild sync.Map }

// buildKey names a build of a provider. A build without digest has no name.
func buildKey(addr addrs.Provider, found Installed) string {
	if found.Digest == "" {
		return ""
	}
	return addr.Canonical().String() + "\n" + found.Version + "\n" + found.Digest
}

func (k *KnownSchemas) get(addr addrs.Provider, found Installed) *Schemas {
	if key := buildKey(addr, found); k != nil && key != "" {
		if s, ok := k.byBuild.Load(key); ok {
			return s.(*Schemas) //nolint:forcetypeassert // nothing else is put in
		}
	}
	return nil
}

func (k *KnownSchemas) put(addr addrs.Provider, found Installed, s *Schemas) {
	if key := buildKey(addr, found); k != nil && key != "" && addr.Type != describedType {
		k.byBuild.Store(key, s)
	}
}

// maxStarting bounds how many processes are being started at once: starting is
// what costs most.
const maxStarting = 4

// Pool starts provider processes when they are first needed and ends them when
// it is closed. It is the Factory of real use.
type Pool struct {
	opts     PoolOptions
	environ  []string
	reattach map[addrs.Provider]reattach
	starting chan struct{}

	mu      sync.Mutex
	entries map[addrs.Provider]*poolEntry
	all     map[*process]bool
	closed  bool
}

// poolEntry is what the pool knows about one provider.
type poolEntry struct {
	schemas  atomic.Pointer[Schemas] // nil until they are known
	fetching sync.Mutex              // held while they are being found out

	mu     sync.Mutex
	shared *process // unconfigured, or configured by its one owner
	owned  bool     // shared has been handed out to be configured
}

// NewPool returns a pool that has started nothing yet. Providers to reattach to
// come from TF_REATTACH_PROVIDERS in the environment.
func NewPool(opts PoolOptions) (*Pool, error) {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	attach, err := parseReattach(lookup(opts.Environ, "TF_REATTACH_PROVIDERS"))
	if err != nil {
		return nil, err
	}
	return &Pool{
		opts: opts, environ: childEnvironment(opts.Environ), reattach: attach, starting: make(chan struct{}, maxStarting),
		entries: map[addrs.Provider]*poolEntry{}, all: map[*process]bool{},
	}, nil
}

func lookup(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// childEnvironment is the environment of providers. Their logging costs half of
// their time, so it is off unless somebody asks for it.
func childEnvironment(environ []string) []string {
	wanted := lookup(environ, "TF_LOG_PROVIDER") != "" || lookup(environ, "TF_LOG") != ""
	out := make([]string, 0, len(environ)+1)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !wanted && strings.HasPrefix(name, "TF_LOG") || name == "TF_REATTACH_PROVIDERS" {
			continue
		}
		out = append(out, entry)
	}
	if !wanted {
		out = append(out, "TF_LOG_SDK=off", "TF_LOG_PROVIDER=off")
	}
	if lookup(environ, "GOGC") == "" && lookup(environ, "GOMEMLIMIT") == "" {
		// Providers make much garbage and live shortly.
		out = append(out, "GOGC=400", "GOMEMLIMIT=1GiB")
	}
	return out
}

func (p *Pool) entry(addr addrs.Provider) (*poolEntry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("the provider pool is closed")
	}
	e := p.entries[addr.Canonical()]
	if e == nil {
		e = &poolEntry{}
		p.entries[addr.Canonical()] = e
	}
	return e, nil
}

// Acquire implements Factory. The first caller who wants to configure a provider
// gets the process that was started for everybody's schemas, if there is one.
func (p *Pool) Acquire(ctx context.Context, addr addrs.Provider, shared bool) (Provider, error) {
	if built, ok := p.opts.BuiltIn[addr]; ok {
		return built, nil
	}
	e, err := p.entry(addr)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if shared || !e.owned {
		if e.shared == nil || e.shared.ended() {
			proc, err := p.start(ctx, addr)
			if err != nil {
				return nil, err
			}
			e.shared, e.owned = proc, false
		}
		if !shared {
			e.owned = true
			proc := e.shared
			return p.provider(e, addr, proc, func() error { return p.giveBack(e, proc) }), nil
		}
		return p.lend(e, addr, e.shared), nil
	}
	proc, err := p.start(ctx, addr)
	if err != nil {
		return nil, err
	}
	return p.provider(e, addr, proc, func() error { return p.end(proc) }), nil
}

// lend wraps a process for one of several users. e.mu is held.
func (p *Pool) lend(e *poolEntry, addr addrs.Provider, proc *process) Provider {
	proc.users++
	var once sync.Once
	return p.provider(e, addr, proc, func() error {
		var err error
		once.Do(func() {
			e.mu.Lock()
			proc.users--
			last := proc.given && proc.users == 0
			e.mu.Unlock()
			if last {
				err = p.end(proc)
			}
		})
		return err
	})
}

// giveBack ends a process that its owner has configured, once nobody shares it
// any more: nobody can configure it again.
func (p *Pool) giveBack(e *poolEntry, proc *process) error {
	e.mu.Lock()
	if e.shared == proc {
		e.shared, e.owned = nil, false
	}
	proc.given = true
	idle := proc.users == 0
	e.mu.Unlock()
	if !idle {
		return nil
	}
	return p.end(proc)
}

func (p *Pool) end(proc *process) error {
	p.mu.Lock()
	delete(p.all, proc)
	p.mu.Unlock()
	proc.kill()
	return nil
}

func (p *Pool) start(ctx context.Context, addr addrs.Provider) (*process, error) {
	select {
	case p.starting <- struct{}{}:
		defer func() { <-p.starting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var proc *process
	if at, ok := p.reattach[addr.Canonical()]; ok {
		var err error
		if proc, err = attach(addr, at); err != nil {
			return nil, err
		}
	} else {
		found, err := p.opts.Find(ctx, addr)
		if err != nil {
			return nil, err
		}
		if proc, err = launch(addr, found, p.environ, p.opts.Dir); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	closed := p.closed
	p.all[proc] = true
	p.mu.Unlock()
	if closed {
		proc.kill()
		return nil, errors.New("the provider pool is closed")
	}
	return proc, nil
}

// provider wraps a process.
func (p *Pool) provider(e *poolEntry, addr addrs.Provider, proc *process, release func() error) Provider {
	return &client{
		addr: addr, protocol: proc.protocol, methods: methodsOf(proc.protocol), conn: proc.conn,
		lastWords: proc.lastWords, introduction: &proc.introduction, release: release,
		schemas: func(ctx context.Context) (*Schemas, diag.List) {
			if s := e.schemas.Load(); s != nil {
				return s, nil // every call comes here: no locks
			}
			return p.Schemas(ctx, addr)
		},
	}
}

// Schemas implements Factory.
func (p *Pool) Schemas(ctx context.Context, addr addrs.Provider) (*Schemas, diag.List) {
	if built, ok := p.opts.BuiltIn[addr]; ok {
		return built.Schemas(ctx)
	}
	if addr.IsBuiltIn() {
		return nil, diag.Errorf("No such built-in provider", "There is no built-in provider %q; the built-in one is terraform.io/builtin/terraform.", addr)
	}
	e, err := p.entry(addr)
	if err != nil {
		return nil, diag.FromError(err)
	}
	// Several ask at once when a command begins; one of them finds out.
	e.fetching.Lock()
	defer e.fetching.Unlock()
	if s := e.schemas.Load(); s != nil {
		return s, nil
	}
	var found Installed
	if _, attached := p.reattach[addr.Canonical()]; !attached {
		if found, err = p.opts.Find(ctx, addr); err != nil {
			return nil, diag.FromError(err)
		}
	}
	if s := p.opts.Known.get(addr, found); s != nil {
		e.schemas.Store(s)
		return s, nil
	}
	if s := p.cached(addr, found); s != nil {
		p.opts.Known.put(addr, found, s)
		e.schemas.Store(s)
		return s, nil
	}
	provider, err := p.Acquire(ctx, addr, true)
	if err != nil {
		return nil, diag.FromError(err)
	}
	defer func() { _ = provider.Close() }()
	s, raw, diags := provider.(*client).fetchSchemas(ctx) //nolint:forcetypeassert // the pool made it
	if diags.HasErrors() {
		return nil, diags
	}
	if s.Capabilities.GetProviderSchemaOptional {
		p.opts.Known.put(addr, found, s)
		p.store(addr, found, raw)
	} // others are asked whenever they are started: a copy would only get old
	e.schemas.Store(s)
	return s, diags
}

// Close implements Factory.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	list := make([]*process, 0, len(p.all))
	for proc := range p.all {
		list = append(list, proc)
	}
	p.all = map[*process]bool{}
	p.mu.Unlock()
	var wait sync.WaitGroup
	for _, proc := range list {
		wait.Go(proc.kill)
	}
	wait.Wait()
	return nil
}

// startError words the failure to start a provider.
func startError(addr addrs.Provider, err error, words string) error {
	detail := fmt.Sprintf("The provider %s could not be started: %s.", addr.ForDisplay(), strings.TrimSuffix(err.Error(), "."))
	if words != "" {
		detail += " It said:\n\n" + words
	}
	return diag.Errorf("Cannot start provider", "%s", detail).Err()
}
