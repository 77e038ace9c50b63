package providertest

import (
	"context"
	"fmt"
	"sync"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
)

// Factory is a providers.Factory of providers that a test makes.
type Factory struct {
	// New has a function per provider, which returns a provider that nobody has
	// configured. It is called once for all who share, and once for everybody else.
	New map[addrs.Provider]func() providers.Provider

	mu     sync.Mutex
	shared map[addrs.Provider]providers.Provider
	made   []providers.Provider
}

// Factory implements providers.Factory.
var _ providers.Factory = (*Factory)(nil)

// Of returns a factory of one provider. Everybody gets the same one, so it can
// be configured once only.
func Of(addr addrs.Provider, p providers.Provider) *Factory {
	return &Factory{New: map[addrs.Provider]func() providers.Provider{addr: func() providers.Provider { return p }}}
}

// Acquire implements providers.Factory. That New lacks the provider is an error.
func (f *Factory) Acquire(_ context.Context, addr addrs.Provider, shared bool) (providers.Provider, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acquire(addr, shared)
}

func (f *Factory) acquire(addr addrs.Provider, shared bool) (providers.Provider, error) {
	if p, ok := f.shared[addr]; ok && shared {
		return p, nil
	}
	create, ok := f.New[addr]
	if !ok {
		return nil, fmt.Errorf("no provider %s in this test", addr)
	}
	p := create()
	f.made = append(f.made, p)
	if shared {
		if f.shared == nil {
			f.shared = map[addrs.Provider]providers.Provider{}
		}
		f.shared[addr] = p
	}
	return p, nil
}

// Schemas implements providers.Factory.
func (f *Factory) Schemas(ctx context.Context, addr addrs.Provider) (*providers.Schemas, diag.List) {
	p, err := f.Acquire(ctx, addr, true)
	if err != nil {
		return nil, diag.FromError(err)
	}
	return p.Schemas(ctx)
}

// Made returns every provider made so far, in order.
func (f *Factory) Made() []providers.Provider {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]providers.Provider(nil), f.made...)
}

// Close implements providers.Factory: it closes every provider made.
func (f *Factory) Close() error {
	for _, p := range f.Made() {
		if err := p.Close(); err != nil {
			return err
		}
	}
	return nil
}
