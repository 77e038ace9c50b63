// Package providertest has providers for tests: a [Provider] made of functions,
// and a [Factory] that hands such providers out.
package providertest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Provider is a providers.Provider that answers with its functions. Where a
// function is nil, the answer is that of a provider which agrees to everything:
// objects are what was proposed or planned, and nothing changes outside. Set the
// fields before the provider is used; its methods may be called concurrently.
type Provider struct {
	SchemasValue *providers.Schemas

	ValidateProviderConfigFunc  func(config cty.Value) (cty.Value, diag.List)
	ValidateResourceConfigFunc  func(typeName string, config cty.Value) diag.List
	ValidateDataConfigFunc      func(typeName string, config cty.Value) diag.List
	ValidateEphemeralConfigFunc func(typeName string, config cty.Value) diag.List
	ConfigureFunc               func(ctx context.Context, req providers.ConfigureRequest) diag.List
	UpgradeResourceStateFunc    func(req providers.UpgradeRequest) providers.UpgradeResponse
	UpgradeResourceIdentityFunc func(req providers.UpgradeRequest) providers.UpgradeResponse
	MoveResourceStateFunc       func(req providers.MoveRequest) providers.MoveResponse
	ReadResourceFunc            func(ctx context.Context, req providers.ReadRequest) providers.ReadResponse
	PlanResourceChangeFunc      func(ctx context.Context, req providers.PlanRequest) providers.PlanResponse
	ApplyResourceChangeFunc     func(ctx context.Context, req providers.ApplyRequest) providers.ApplyResponse
	ImportResourceStateFunc     func(ctx context.Context, req providers.ImportRequest) providers.ImportResponse
	ReadDataSourceFunc          func(ctx context.Context, req providers.ReadDataRequest) providers.ReadDataResponse
	OpenEphemeralFunc           func(ctx context.Context, req providers.OpenRequest) providers.OpenResponse
	RenewEphemeralFunc          func(ctx context.Context, req providers.RenewRequest) providers.RenewResponse
	CloseEphemeralFunc          func(ctx context.Context, typeName string, private []byte) diag.List
	CallFunctionFunc            func(ctx context.Context, name string, args []cty.Value) (cty.Value, error)
	StopFunc                    func(ctx context.Context) error
	CloseFunc                   func() error

	configured atomic.Bool
	stopped    atomic.Bool
	closed     atomic.Bool
}

// Provider implements providers.Provider.
var _ providers.Provider = (*Provider)(nil)

// Configured reports whether Configure was called.
func (p *Provider) Configured() bool { return p.configured.Load() }

// Stopped reports whether Stop was called.
func (p *Provider) Stopped() bool { return p.stopped.Load() }

// Closed reports whether Close was called.
func (p *Provider) Closed() bool { return p.closed.Load() }

// Schemas implements providers.Provider. A provider without SchemasValue has
// no types.
func (p *Provider) Schemas(context.Context) (*providers.Schemas, diag.List) {
	if p.SchemasValue == nil {
		return Schemas(nil), nil
	}
	return p.SchemasValue, nil
}

// Schemas returns schemas of a provider that takes no configuration and has
// these resource types.
func Schemas(resourceTypes map[string]*providers.Block) *providers.Schemas {
	out := &providers.Schemas{Provider: providers.Schema{Block: &providers.Block{}}, ResourceTypes: make(map[string]providers.Schema, len(resourceTypes))}
	for name, block := range resourceTypes {
		out.ResourceTypes[name] = providers.Schema{Block: block}
	}
	return out
}

// ValidateProviderConfig implements providers.Provider.
func (p *Provider) ValidateProviderConfig(_ context.Context, config cty.Value) (cty.Value, diag.List) {
	if p.ValidateProviderConfigFunc != nil {
		return p.ValidateProviderConfigFunc(config)
	}
	return config, nil
}

// ValidateResourceConfig implements providers.Provider.
func (p *Provider) ValidateResourceConfig(_ context.Context, typeName string, config cty.Value) diag.List {
	if p.ValidateResourceConfigFunc != nil {
		return p.ValidateResourceConfigFunc(typeName, config)
	}
	return nil
}

// ValidateDataConfig implements providers.Provider.
func (p *Provider) ValidateDataConfig(_ context.Context, typeName string, config cty.Value) diag.List {
	if p.ValidateDataConfigFunc != nil {
		return p.ValidateDataConfigFunc(typeName, config)
	}
	return nil
}

// ValidateEphemeralConfig implements providers.Provider.
func (p *Provider) ValidateEphemeralConfig(_ context.Context, typeName string, config cty.Value) diag.List {
	if p.ValidateEphemeralConfigFunc != nil {
		return p.ValidateEphemeralConfigFunc(typeName, config)
	}
	return nil
}

// Configure implements providers.Provider. A second call is an error, as a
// provider may be configured once only.
func (p *Provider) Configure(ctx context.Context, req providers.ConfigureRequest) diag.List {
	if p.configured.Swap(true) {
		return diag.Errorf("Provider configured twice", "A test's provider was configured a second time.")
	}
	if p.ConfigureFunc != nil {
		return p.ConfigureFunc(ctx, req)
	}
	return nil
}

// CallFunction implements providers.Provider.
func (p *Provider) CallFunction(ctx context.Context, name string, args []cty.Value) (cty.Value, error) {
	if p.CallFunctionFunc != nil {
		return p.CallFunctionFunc(ctx, name, args)
	}
	return cty.DynamicVal, fmt.Errorf("the provider has no function %q", name)
}

// Stop implements providers.Provider.
func (p *Provider) Stop(ctx context.Context) error {
	p.stopped.Store(true)
	if p.StopFunc != nil {
		return p.StopFunc(ctx)
	}
	return nil
}

// Close implements providers.Provider.
func (p *Provider) Close() error {
	p.closed.Store(true)
	if p.CloseFunc != nil {
		return p.CloseFunc()
	}
	return nil
}
