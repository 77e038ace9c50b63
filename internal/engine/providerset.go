package engine

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// TerraformVersion is the version providers are told they work for. Providers
// branch on it, so it is a version of the language we speak, not our own.
const TerraformVersion = "1.15.0"

// providerSet gives configured providers and their schemas to one planning or
// applying. Each configuration is evaluated, started and configured once, when
// something first needs it.
type providerSet struct {
	cfg     *configs.Config
	factory providers.Factory
	ev      *evaluator
	state   *states.State
	// applying says that configurations must be known by now.
	applying bool

	mu      sync.Mutex
	schemas map[addrs.Provider]*schemaCell
	handles map[addrs.ProviderConfig]*providerHandle
	byRes   map[addrs.AbsResource][]*states.Instance // index of state, made on demand
	indexed bool
}

type schemaCell struct {
	once    sync.Once
	schemas *providers.Schemas
	diags   diag.List
}

// providerHandle is one provider configuration.
type providerHandle struct {
	addr     addrs.ProviderConfig
	once     sync.Once
	provider providers.Provider
	diags    diag.List
	builtIn  bool
	closed   bool
}

func newProviderSet(cfg *configs.Config, factory providers.Factory) *providerSet {
	return &providerSet{
		cfg: cfg, factory: factory,
		schemas: map[addrs.Provider]*schemaCell{},
		handles: map[addrs.ProviderConfig]*providerHandle{},
	}
}

// schemasOf returns a provider's schemas, asked for once.
func (s *providerSet) schemasOf(ctx context.Context, p addrs.Provider) (*providers.Schemas, diag.List) {
	s.mu.Lock()
	c := s.schemas[p]
	if c == nil {
		c = &schemaCell{}
		s.schemas[p] = c
	}
	s.mu.Unlock()
	c.once.Do(func() { c.schemas, c.diags = s.factory.Schemas(ctx, p) })
	return c.schemas, c.diags
}

// schemasOrNil is schemasOf for those who only want what is there.
func (s *providerSet) schemasOrNil(p addrs.Provider) *providers.Schemas {
	schemas, _ := s.schemasOf(context.Background(), p)
	return schemas
}

// checkConfiguration makes sure that every provider the configuration uses can
// be had and has the types that are used.
func (s *providerSet) checkConfiguration(ctx context.Context) diag.List {
	var diags diag.List
	bad := map[addrs.Provider]bool{}
	for _, path := range sortedModules(s.cfg) {
		m := s.cfg.Modules[path]
		for _, r := range m.ResourceList {
			schemas, d := s.schemasOf(ctx, r.Provider)
			if d.HasErrors() {
				if !bad[r.Provider] {
					diags = append(diags, d...)
				}
				bad[r.Provider] = true
				continue
			}
			if resourceBlock(schemas, r.Addr) == nil {
				diags = append(diags, unknownType(schemas, r)...)
			}
		}
	}
	return diags
}

func unknownType(schemas *providers.Schemas, r *configs.Resource) diag.List {
	kind, what, list := "resource", "resource type", schemas.ResourceTypes
	switch r.Addr.Mode {
	case addrs.Data:
		kind, what, list = "data source", "data source", schemas.DataSources
	case addrs.Ephemeral:
		kind, what, list = "ephemeral resource", "ephemeral resource type", schemas.EphemeralResources
	}
	detail := fmt.Sprintf("The provider %s does not support %s %q.", r.Provider.ForDisplay(), what, r.Addr.Type)
	if near := closest(r.Addr.Type, sortedKeys(list)); near != "" {
		detail += fmt.Sprintf("\n\nDid you mean %q?", near)
	} else if r.Addr.Mode == addrs.Managed {
		if _, ok := schemas.DataSources[r.Addr.Type]; ok {
			detail += fmt.Sprintf("\n\nDid you intend to use the data source %q? If so, declare this using a \"data\" block instead of a \"resource\" block.", r.Addr.Type)
		}
	}
	return diag.ErrorAt(r.TypeRange, "Invalid "+kind+" type", "%s", detail)
}

// closest returns the candidate that differs least from name, if by little.
func closest(name string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		if d := editDistance(name, c, bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
		}
		prev, cur = cur, prev
	}
	return prev[len(b)]
}

// forResource returns the configured provider of a resource block.
func (s *providerSet) forResource(ctx context.Context, r *configs.Resource) (*providerHandle, diag.List) {
	addr, _ := s.cfg.ResolveProvider(r.Module, r.ProviderLocal)
	addr.Provider = r.Provider
	return s.handle(ctx, addr)
}

// handle returns a configured provider. Errors are returned to every caller (the
// report leaves repetitions out), warnings to the first one.
func (s *providerSet) handle(ctx context.Context, addr addrs.ProviderConfig) (*providerHandle, diag.List) {
	s.mu.Lock()
	h := s.handles[addr]
	if h == nil {
		h = &providerHandle{addr: addr, builtIn: addr.Provider.IsBuiltIn()}
		s.handles[addr] = h
	}
	s.mu.Unlock()
	var warnings diag.List
	h.once.Do(func() {
		h.diags = s.start(ctx, h)
		warnings = h.diags
	})
	if h.diags.HasErrors() {
		return nil, h.diags
	}
	return h, warnings
}

// start evaluates the configuration, starts the provider and configures it.
func (s *providerSet) start(ctx context.Context, h *providerHandle) diag.List {
	schemas, diags := s.schemasOf(ctx, h.addr.Provider)
	if diags.HasErrors() {
		return diags
	}
	block := s.cfg.FindProviderConfig(h.addr)
	if block == nil && (h.addr.Alias != "" || h.addr.Module != "") {
		return append(diags, diag.Errorf("Provider configuration not present",
			"To work with the objects recorded for it, the provider configuration %s is required, but it has been removed. This occurs when a provider configuration is removed while objects created by that provider still exist in the state. Re-add the provider configuration to destroy them, after which you can remove the provider configuration again.", h.addr)...)
	}
	config, d := s.config(h, block, schemas)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	p, err := s.factory.Acquire(ctx, h.addr.Provider, false)
	if err != nil {
		return append(diags, diag.FromError(err)...)
	}
	body, rng := hcl.Body(nil), hcl.Range{}
	if block != nil {
		body, rng = block.Config, block.DeclRange
	}
	prepared, d := p.ValidateProviderConfig(ctx, config)
	diags = append(diags, d.InConfigBody(body, rng)...)
	if !d.HasErrors() {
		if prepared != cty.NilVal && !prepared.IsNull() {
			config = prepared
		}
		d = p.Configure(ctx, providers.ConfigureRequest{TerraformVersion: TerraformVersion, Config: config})
		diags = append(diags, d.InConfigBody(body, rng)...)
	}
	if diags.HasErrors() {
		_ = p.Close()
		return diags.WithAddress(h.addr.String())
	}
	h.provider = p
	return diags.WithAddress(h.addr.String())
}

// config evaluates a provider block, or an empty one.
func (s *providerSet) config(h *providerHandle, block *configs.ProviderConfig, schemas *providers.Schemas) (cty.Value, diag.List) {
	schema := schemas.Provider.Block
	if schema == nil {
		return cty.EmptyObjectVal, nil
	}
	body, module := hcl.EmptyBody(), s.cfg.Root
	if block != nil {
		body, module = block.Config, block.Module
	}
	scopes, diags := s.ev.scopes(module)
	if diags.HasErrors() || len(scopes) == 0 {
		return cty.NullVal(schema.ImpliedType()), diags
	}
	refs, d := lang.BodyReferences(body, schema.DecoderSpec())
	diags = append(diags, d...)
	ctx, d := scopes[0].contextFor(refs, repetition{}, cty.NilVal)
	diags = append(diags, d...)
	if diags.HasErrors() {
		return cty.NullVal(schema.ImpliedType()), diags
	}
	val, d := decodeBody(body, schema, ctx)
	val, _ = val.UnmarkDeep()
	if s.applying && !val.IsWhollyKnown() {
		// Destroying does without inputs, except where they lead to the objects.
		if names := scopes[0].unknownInputs(refs); len(names) > 0 {
			return val, append(diags, diag.ErrorAt(block.DeclRange, "Provider configuration is not known",
				"The configuration of provider %s depends on var.%s, which has no known value. It comes from an upstream stack: destroying works only while that stack still has its outputs.", h.addr.Provider.ForDisplay(), strings.Join(names, ", var."))...)
		}
	}
	if block == nil && d.HasErrors() {
		return val, append(diags, diag.Errorf("Invalid provider configuration",
			"Provider %s requires explicit configuration. Add a provider block to the root module and configure the provider's required arguments as described in the provider documentation.", h.addr.Provider.ForDisplay())...)
	}
	return val, append(diags, d...)
}

// decodeBody evaluates a body against a schema, expanding dynamic blocks.
func decodeBody(body hcl.Body, schema *providers.Block, ctx *hcl.EvalContext) (cty.Value, diag.List) {
	if lang.HasDynamicBlocks(body) {
		body = expandDynamic(body, ctx)
	}
	val, hclDiags := hcldec.Decode(body, schema.DecoderSpec(), ctx)
	return val, diag.FromHCL(hclDiags)
}

// each calls f for every configured provider, in order of address.
func (s *providerSet) each(f func(*providerHandle)) {
	s.mu.Lock()
	handles := make([]*providerHandle, 0, len(s.handles))
	for _, h := range s.handles {
		if h.provider != nil && !h.closed {
			handles = append(handles, h)
		}
	}
	s.mu.Unlock()
	sort.Slice(handles, func(i, j int) bool { return handles[i].addr.String() < handles[j].addr.String() })
	for _, h := range handles {
		f(h)
	}
}

// close gives every provider back.
func (s *providerSet) close() {
	s.each(func(h *providerHandle) {
		h.closed = true
		_ = h.provider.Close()
	})
}

// stop asks every running provider to end its operations early.
func (s *providerSet) stop(ctx context.Context) {
	s.each(func(h *providerHandle) { _ = h.provider.Stop(ctx) })
}

// stateValue makes the value of a resource from what the state has.
func (s *providerSet) stateValue(ctx context.Context, addr addrs.AbsResource) cty.Value {
	s.mu.Lock()
	if !s.indexed {
		s.indexed = true
		s.byRes = map[addrs.AbsResource][]*states.Instance{}
		for obj, inst := range s.state.Instances {
			if obj.Deposed == "" {
				key := obj.Instance.AbsResource()
				s.byRes[key] = append(s.byRes[key], inst)
			}
		}
	}
	insts := s.byRes[addr]
	s.mu.Unlock()
	if len(insts) == 0 {
		return cty.DynamicVal
	}
	sort.Slice(insts, func(i, j int) bool { return insts[i].Object.Instance.Key.Less(insts[j].Object.Instance.Key) })
	exp := expansion{}
	var vals []cty.Value
	for _, inst := range insts {
		obj, diags := s.decode(ctx, inst)
		if diags.HasErrors() {
			return cty.DynamicVal
		}
		key := inst.Object.Instance.Key
		switch key.Kind {
		case addrs.KeyInt:
			exp.kind = countRepetition
		case addrs.KeyString:
			exp.kind = forEachRepetition
		}
		exp.keys = append(exp.keys, key)
		vals = append(vals, obj.value)
	}
	return exp.combine(vals)
}

// object is a decoded state instance. value carries marks for sensitive parts.
type object struct {
	value    cty.Value
	private  []byte
	identity cty.Value
	inst     *states.Instance
	upgraded bool // not in the form it is stored in
}

// bare returns the value without marks.
func (o *object) bare() cty.Value {
	v, _ := o.value.UnmarkDeep()
	return v
}

// markSensitive adds the sensitive marks that paths and schema ask for.
func markSensitive(v cty.Value, schema *providers.Block, paths []cty.Path) cty.Value {
	if v == cty.NilVal || v.IsNull() {
		return v
	}
	var pvm []cty.PathValueMarks
	for _, p := range paths {
		pvm = append(pvm, cty.PathValueMarks{Path: p, Marks: cty.NewValueMarks(marks.Sensitive)})
	}
	if schema.ContainsSensitive() {
		pvm = append(pvm, schema.SensitivePaths(v, marks.Sensitive)...)
	}
	if len(pvm) == 0 {
		return v
	}
	return v.MarkWithPaths(pvm)
}

func sortedModules(cfg *configs.Config) []addrs.Module {
	out := make([]addrs.Module, 0, len(cfg.Modules))
	for path := range cfg.Modules {
		out = append(out, path)
	}
	sort.Slice(out, func(i, j int) bool { return strings.Compare(string(out[i]), string(out[j])) < 0 })
	return out
}
