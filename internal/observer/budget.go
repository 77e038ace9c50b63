package observer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
)

// Budgets hold the reads of each provider to a rate, whoever reads. The zero value
// gives every provider [projects.DefaultReadRate].
type Budgets struct {
	mu    sync.Mutex
	rates map[addrs.Provider]projects.Rate
	of    map[addrs.Provider]*budget
}

// Set has the rates be these from now on. What has slowed down stays slow.
func (b *Budgets) Set(rates map[addrs.Provider]projects.Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rates = rates
	for provider, one := range b.of {
		one.set(b.rate(provider))
	}
}

func (b *Budgets) rate(provider addrs.Provider) projects.Rate {
	if r, ok := b.rates[provider]; ok {
		return r
	}
	return projects.DefaultReadRate
}

func (b *Budgets) budget(provider addrs.Provider) *budget {
	provider = provider.Canonical()
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.of[provider]
	if one == nil {
		one = &budget{turn: make(chan struct{}, 1)}
		one.set(b.rate(provider))
		if b.of == nil {
			b.of = map[addrs.Provider]*budget{}
		}
		b.of[provider] = one
	}
	return one
}

const (
	// slowest is by how much a provider that throttles is read more slowly at most.
	slowest = 64
	// faster is after how many reads without a complaint a slow one is read twice as
	// fast again.
	faster = 100
	// rest is how long nothing is read of a provider that throttles, for each step
	// it is slowed down.
	rest = time.Second
)

// budget spaces reads evenly: there is never more than the rate in any stretch of
// time, as there is with a bucket that was full.
type budget struct {
	turn chan struct{} // has one in it while somebody waits for the next place

	mu    sync.Mutex
	space time.Duration // between two reads
	slow  int           // by how much it is stretched; at least 1
	fine  int           // reads since the last complaint
	next  time.Time     // when the next read may be
}

func (b *budget) set(r projects.Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := time.Duration(r.Count)
	b.space, b.slow = (r.Per+count-1)/count, max(b.slow, 1) // rounded down it would be one too many
}

// wait returns when something may be read.
func (b *budget) wait(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		b.mu.Lock()
		now := time.Now()
		left := b.next.Sub(now)
		if left <= 0 {
			// Counted from now: who came late does not make the next one early.
			b.next = now.Add(b.space * time.Duration(b.slow))
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// complained slows down.
func (b *budget) complained() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow, b.fine = min(2*b.slow, slowest), 0
	if until := time.Now().Add(rest * time.Duration(b.slow)); until.After(b.next) {
		b.next = until
	}
}

func (b *budget) wentWell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fine++; b.fine >= faster && b.slow > 1 {
		b.slow, b.fine = b.slow/2, 0
	}
}

// Within has the providers of a factory be read within the budgets. reads counts
// what was asked of them.
func (b *Budgets) Within(f providers.Factory, reads *atomic.Int64) providers.Factory {
	return &budgetedFactory{Factory: f, budgets: b, reads: reads}
}

type budgetedFactory struct {
	providers.Factory
	budgets *Budgets
	reads   *atomic.Int64
}

// Acquire implements [providers.Factory].
func (f *budgetedFactory) Acquire(ctx context.Context, addr addrs.Provider, shared bool) (providers.Provider, error) {
	p, err := f.Factory.Acquire(ctx, addr, shared)
	if err != nil || addr.IsBuiltIn() {
		return p, err // what is built in asks nobody
	}
	return &budgetedProvider{Provider: p, budget: f.budgets.budget(addr), reads: f.reads}, nil
}

// budgetedProvider waits before it reads, and reads again what was refused for
// asking too often.
type budgetedProvider struct {
	providers.Provider
	budget *budget
	reads  *atomic.Int64
}

// readAttempts is how often something is read that the provider refuses for being
// asked too often.
const readAttempts = 4

// read has something read within the budget. It returns why it could not even be
// tried.
func (p *budgetedProvider) read(ctx context.Context, do func() diag.List) diag.List {
	for attempt := 1; ; attempt++ {
		if err := p.budget.wait(ctx); err != nil {
			return diag.Errorf("Look was ended", "%s.", err)
		}
		p.reads.Add(1)
		switch diags := do(); {
		case !throttled(diags):
			p.budget.wentWell()
			return nil
		default:
			p.budget.complained()
			if attempt == readAttempts {
				return nil
			}
		}
	}
}

// ReadResource implements [providers.Provider].
func (p *budgetedProvider) ReadResource(ctx context.Context, req providers.ReadRequest) (resp providers.ReadResponse) {
	if diags := p.read(ctx, func() diag.List {
		resp = p.Provider.ReadResource(ctx, req)
		return resp.Diags
	}); diags.HasErrors() {
		resp.Diags = diags
	}
	return resp
}

// ReadDataSource implements [providers.Provider].
func (p *budgetedProvider) ReadDataSource(ctx context.Context, req providers.ReadDataRequest) (resp providers.ReadDataResponse) {
	if diags := p.read(ctx, func() diag.List {
		resp = p.Provider.ReadDataSource(ctx, req)
		return resp.Diags
	}); diags.HasErrors() {
		resp.Diags = diags
	}
	return resp
}
