package engine

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Validate checks a configuration without variables, state or remote objects:
// every block is evaluated once with unknown inputs and shown to its provider.
// File functions resolve against workDir.
func Validate(ctx context.Context, cfg *configs.Config, factory providers.Factory, workDir string) diag.List {
	p := newPlanner(ctx, PlanInput{Config: cfg, Providers: factory, RootDir: ".", WorkDir: workDir})
	p.provs = newProviderSet(cfg, factory)
	p.report(p.provs.checkConfiguration(ctx))
	if p.failed() {
		return p.diags
	}
	defer p.provs.close()
	p.ev = newEvaluator(cfg, p.functionContext())
	p.ev.rootDir, p.ev.workDir = ".", workDir
	p.ev.validating, p.ev.allAbsent = true, true
	p.ev.skipped = p.unknownValue
	p.provs.ev = p.ev
	g, diags := buildGraph(cfg, p.provs.schemasOrNil)
	p.report(diags)
	p.graph = g
	if p.failed() {
		return p.diags
	}
	p.report(checkMoves(absoluteMoves(cfg)))
	runGraph(ctx, len(g.nodes), func(i int) []int { return g.nodes[i].needs }, p.workers, func(id int) bool {
		return p.validateNode(&g.nodes[id])
	})
	return p.diags
}

// unknownValue stands for a resource nobody has planned: unknown, but of the
// right type where the block does not repeat.
func (p *planner) unknownValue(addr addrs.AbsResource) cty.Value {
	r := p.in.Config.Resource(addr.Config())
	if r == nil || r.Count != nil || r.ForEach != nil || r.Enabled != nil {
		return cty.DynamicVal
	}
	block := resourceBlock(p.provs.schemasOrNil(r.Provider), r.Addr)
	if block == nil {
		return cty.DynamicVal
	}
	v := cty.UnknownVal(block.ImpliedType())
	if r.Addr.Mode == addrs.Ephemeral {
		v = v.Mark(marks.Ephemeral)
	}
	return v
}

func (p *planner) validateNode(n *node) bool {
	if n.kind == nodeCallAfter || n.kind == nodeModule {
		return true
	}
	scopes, diags := p.ev.scopes(n.module)
	if diags.HasErrors() || len(scopes) == 0 {
		p.report(diags)
		return false
	}
	s := scopes[0]
	switch n.kind {
	case nodeVariable:
		_, diags = s.variable(n.name)
	case nodeLocal:
		_, diags = s.local(n.name)
	case nodeOutput:
		_, diags = s.output(n.name)
		diags = append(diags, p.checks.runOutput(s, s.module.Outputs[n.name])...)
	case nodeCall:
		diags = s.call(n.name).diags
	case nodeProvider:
		diags = p.validateProvider(n)
	case nodeResource:
		diags = p.validateResource(n, s).WithAddress(n.resource.ConfigAddr().String())
	case nodeCheck:
		diags = p.checks.runCheckBlock(s, s.module.Checks[n.name])
	}
	p.report(diags)
	return !diags.HasErrors()
}

func (p *planner) validateProvider(n *node) diag.List {
	addr := n.module.ProviderFor(n.provider.Local.LocalName)
	schemas, diags := p.provs.schemasOf(p.ctx, addr)
	if diags.HasErrors() {
		return diags
	}
	h := &providerHandle{addr: addrs.ProviderConfig{Module: n.module.Path, Provider: addr, Alias: n.provider.Local.Alias}}
	config, diags := p.provs.config(h, n.provider, schemas)
	if diags.HasErrors() {
		return diags
	}
	provider, err := p.in.Providers.Acquire(p.ctx, addr, true)
	if err != nil {
		return diag.Errorf("Cannot start provider", "The provider %s could not be started: %s.", addr.ForDisplay(), err)
	}
	defer provider.Close()
	_, d := provider.ValidateProviderConfig(p.ctx, config)
	return append(diags, d.InConfigBody(n.provider.Config, n.provider.DeclRange)...)
}

func (p *planner) validateResource(n *node, s *scope) diag.List {
	rs := s.resources[n.resource.Addr]
	exp, diags := rs.expansion()
	if diags.HasErrors() || len(exp.keys) == 0 {
		return diags
	}
	rep := exp.at(0)
	block := resourceBlock(p.provs.schemasOrNil(n.resource.Provider), n.resource.Addr)
	config, d := evaluateResource(rs, rep, block, n.refs)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	provider, err := p.in.Providers.Acquire(p.ctx, n.resource.Provider, true)
	if err != nil {
		return append(diags, diag.Errorf("Cannot start provider", "The provider %s could not be started: %s.", n.resource.Provider.ForDisplay(), err)...)
	}
	defer provider.Close()
	p.call(n.resource.Provider.IsBuiltIn(), func() {
		switch n.resource.Addr.Mode {
		case addrs.Data:
			d = provider.ValidateDataConfig(p.ctx, n.resource.Addr.Type, config.bare)
		case addrs.Ephemeral:
			d = provider.ValidateEphemeralConfig(p.ctx, n.resource.Addr.Type, config.bare)
		default:
			d = provider.ValidateResourceConfig(p.ctx, n.resource.Addr.Type, config.bare)
		}
	})
	return append(diags, d.InConfigBody(n.resource.Config, n.resource.DeclRange)...)
}

// Console evaluates expressions against a configuration and a state.
type Console struct {
	p *planner
}

// NewConsole prepares evaluating expressions as the root module would: variables
// as given, resources as the state has them.
func NewConsole(ctx context.Context, in PlanInput) (*Console, diag.List) {
	p := newPlanner(ctx, in)
	p.provs = newProviderSet(p.in.Config, p.in.Providers)
	p.provs.state = p.in.Prior
	p.prior = p.in.Prior
	table := functions.Table(functions.Options{BaseDir: in.WorkDir, ConsoleMode: true, PlanTimestamp: p.in.Now})
	p.ev = newEvaluator(p.in.Config, &hcl.EvalContext{Functions: withProviderFunctions(ctx, table, p.in.Config, p.provs)})
	p.ev.inputs, p.ev.rootDir, p.ev.workDir = in.Variables, in.RootDir, in.WorkDir
	if in.StateKey.Environment != "" {
		p.ev.workspace = in.StateKey.Environment
	}
	p.ev.allAbsent, p.ev.skipped = true, p.skippedValue
	p.provs.ev = p.ev
	return &Console{p: p}, p.checkRootVariables()
}

// Eval evaluates one expression. Sensitive parts of the result carry their marks.
func (c *Console) Eval(src string) (cty.Value, diag.List) {
	expr, hclDiags := hclsyntax.ParseExpression([]byte(src), "<console-input>", hcl.InitialPos)
	if hclDiags.HasErrors() {
		return cty.DynamicVal, diag.FromHCL(hclDiags)
	}
	if _, diags := lang.ExprReferences(expr); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return c.p.ev.root.eval(expr, repetition{}, cty.NilVal)
}

// Close gives started providers back.
func (c *Console) Close() { c.p.provs.close() }

// ResourceGraph lists the resources of a configuration and the direct
// dependencies between them, for drawing.
func ResourceGraph(ctx context.Context, cfg *configs.Config, factory providers.Factory) (map[addrs.ConfigResource][]addrs.ConfigResource, diag.List) {
	provs := newProviderSet(cfg, factory)
	diags := provs.checkConfiguration(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	g, d := buildGraph(cfg, provs.schemasOrNil)
	diags = append(diags, d...)
	out := map[addrs.ConfigResource][]addrs.ConfigResource{}
	for id := range g.nodes {
		if g.nodes[id].kind == nodeResource {
			out[g.nodes[id].resource.ConfigAddr()] = configDependencies(g, id)
		}
	}
	return out, diags
}
