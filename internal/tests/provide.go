package tests

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
)

// provide puts the providers of the test file in the place of the module's, and
// returns a factory with its mocks and overrides.
func (r *runRunner) provide(cfg *configs.Config, ctx *hcl.EvalContext) (providers.Factory, diag.List) {
	var diags diag.List
	mocks := map[addrs.LocalProviderConfig]*configs.MockProvider{}
	for _, m := range r.file.Mocks {
		mocks[m.Local] = m
	}
	passed := map[addrs.LocalProviderConfig]addrs.LocalProviderConfig{}
	if r.run.Providers != nil {
		for inModule, p := range r.run.Providers {
			if mocks[p.InParent] == nil && r.file.Providers[p.InParent] == nil {
				diags = append(diags, diag.ErrorAt(p.Range, "Provider not configured", "The test file has no provider or mock_provider block %s.", p.InParent)...)
			}
			passed[inModule] = p.InParent
		}
	} else {
		for local := range r.file.Providers {
			passed[local] = local
		}
		for local := range mocks {
			passed[local] = local
		}
	}
	out := &mocked{Factory: r.opts.Providers, mocks: map[addrs.Provider]*mockSpec{}}
	overrides, d := r.overrides(ctx, nil, r.file.Overrides)
	diags = append(diags, d...)
	for inModule, inFile := range passed {
		addr := cfg.Root.ProviderFor(inModule.LocalName)
		pc := &configs.ProviderConfig{Local: inModule, Module: cfg.Root, Config: hcl.EmptyBody()}
		if m := mocks[inFile]; m != nil {
			pc.DeclRange = m.DeclRange
			spec, d := r.mockSpec(ctx, m)
			diags = append(diags, d...)
			if first := out.mocks[addr.Canonical()]; first == nil || inModule.Alias == "" {
				out.mocks[addr.Canonical()] = spec
			}
			overrides, d = r.overrides(ctx, overrides, m.Overrides)
			diags = append(diags, d...)
		} else if own := r.file.Providers[inFile]; own != nil {
			pc.Config, pc.DeclRange = own.Config, own.DeclRange
		}
		cfg.Root.ProviderConfigs[inModule] = pc
	}
	out.overrides, d = r.overrides(ctx, overrides, r.run.Overrides)
	return out, append(diags, d...)
}

// mockSpec is what a mock_provider block says, evaluated.
type mockSpec struct{ resources, data map[string]values }

func (r *runRunner) mockSpec(ctx *hcl.EvalContext, m *configs.MockProvider) (*mockSpec, diag.List) {
	var diags diag.List
	evaluated := func(in map[string]*configs.Mock) map[string]values {
		out := map[string]values{}
		for typ, mock := range in {
			v := values{duringPlan: mock.DuringPlan}
			if mock.Defaults != nil {
				var d hcl.Diagnostics
				v.object, d = mock.Defaults.Value(ctx)
				diags = append(diags, diag.FromHCL(d)...)
			}
			out[typ] = v
		}
		return out
	}
	return &mockSpec{evaluated(m.Resources), evaluated(m.Data)}, diags
}

// override is an override block, evaluated.
type override struct {
	target addrs.Target
	values values
}

// overrides adds the blocks to those that are overruled by them.
func (r *runRunner) overrides(ctx *hcl.EvalContext, before []override, blocks []*configs.Override) ([]override, diag.List) {
	var diags diag.List
	out := before[:len(before):len(before)]
	for _, b := range blocks {
		if b.Kind == "module" {
			diags = append(diags, diag.ErrorAt(b.DeclRange, "Unsupported block", "Whole modules cannot be overridden yet: override their resources.")...)
			continue
		}
		o := override{target: b.Target, values: values{duringPlan: b.DuringPlan}}
		if b.Values != nil {
			var d hcl.Diagnostics
			o.values.object, d = b.Values.Value(ctx)
			diags = append(diags, diag.FromHCL(d)...)
		}
		out = append(out, o)
	}
	return out, diags
}

// mocked is a factory in which some providers are mocks and some objects are not
// the providers' business.
type mocked struct {
	providers.Factory
	mocks     map[addrs.Provider]*mockSpec
	overrides []override
}

// Acquire implements providers.Factory.
func (f *mocked) Acquire(ctx context.Context, addr addrs.Provider, shared bool) (providers.Provider, error) {
	spec := f.mocks[addr.Canonical()]
	p, err := f.Factory.Acquire(ctx, addr, shared || spec != nil)
	if err != nil {
		return nil, err
	}
	if spec != nil {
		p = newMock(p, func(typ string) values { return spec.resources[typ] }, func(typ string) values { return spec.data[typ] })
	}
	if len(f.overrides) > 0 {
		p = &overriding{Provider: p, overrides: f.overrides}
	}
	return p, nil
}

// Schemas implements providers.Factory. A mock takes no configuration.
func (f *mocked) Schemas(ctx context.Context, addr addrs.Provider) (*providers.Schemas, diag.List) {
	s, diags := f.Factory.Schemas(ctx, addr)
	if s == nil || f.mocks[addr.Canonical()] == nil {
		return s, diags
	}
	out := *s
	out.Provider = providers.Schema{Block: &providers.Block{}}
	return &out, diags
}

// overriding keeps some objects away from a provider.
type overriding struct {
	providers.Provider
	overrides []override
}

// instead returns the mock for an instance; nil where it is the provider's. The
// block that was written last wins.
func (p *overriding) instead(inst addrs.ResourceInstance) *mock {
	for i := len(p.overrides) - 1; i >= 0; i-- {
		if o := p.overrides[i]; o.target.Contains(inst) {
			of := func(string) values { return o.values }
			return newMock(p.Provider, of, of)
		}
	}
	return nil
}

func (p *overriding) ReadResource(ctx context.Context, req providers.ReadRequest) providers.ReadResponse {
	if m := p.instead(req.Instance); m != nil {
		return m.ReadResource(ctx, req)
	}
	return p.Provider.ReadResource(ctx, req)
}

func (p *overriding) PlanResourceChange(ctx context.Context, req providers.PlanRequest) providers.PlanResponse {
	if m := p.instead(req.Instance); m != nil {
		return m.PlanResourceChange(ctx, req)
	}
	return p.Provider.PlanResourceChange(ctx, req)
}

func (p *overriding) ApplyResourceChange(ctx context.Context, req providers.ApplyRequest) providers.ApplyResponse {
	if m := p.instead(req.Instance); m != nil {
		return m.ApplyResourceChange(ctx, req)
	}
	return p.Provider.ApplyResourceChange(ctx, req)
}

func (p *overriding) ReadDataSource(ctx context.Context, req providers.ReadDataRequest) providers.ReadDataResponse {
	if m := p.instead(req.Instance); m != nil {
		return m.ReadDataSource(ctx, req)
	}
	return p.Provider.ReadDataSource(ctx, req)
}
