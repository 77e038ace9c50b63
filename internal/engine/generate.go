package engine

import (
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/genconfig"
	"github.com/zclconf/go-cty/cty"
)

// planGenerated plans the imports that have no resource block yet: the object
// is read, and a configuration made up that asks for what is there.
func (p *planner) planGenerated() {
	if !p.in.GenerateConfig {
		return
	}
	var list []addrs.ResourceInstance
	for to := range p.imports {
		if p.in.Config.Resource(to.Config()) == nil && p.prior.Current(to) == nil {
			list = append(list, to)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Less(list[j]) })
	parallel(len(list), p.workers, func(i int) {
		p.report(p.planGeneratedOne(list[i]).WithAddress(list[i].String()))
	})
}

func (p *planner) planGeneratedOne(to addrs.ResourceInstance) diag.List {
	target := p.imports[to]
	if !to.Module.IsRoot() || to.Key != addrs.NoKey {
		return diag.ErrorAt(target.rng, "Configuration cannot be generated",
			"Configuration can be generated only for single resources of the root module. Write the resource block for %s by hand.", to)
	}
	local := addrs.LocalProviderConfig{LocalName: to.Resource.ImpliedProvider()}
	written := ""
	if target.local != nil {
		local, written = *target.local, target.local.String()
	}
	provider, _ := p.in.Config.ResolveProvider(p.in.Config.Root, local)
	h, diags := p.provs.handle(p.ctx, provider)
	if diags.HasErrors() {
		return diags
	}
	schema := resourceSchema(p.provs.schemasOrNil(provider.Provider), to.Resource)
	if schema.Block == nil {
		return append(diags, diag.ErrorAt(target.rng, "Unknown resource type", "Provider %s has no resource type %q.", provider.Provider.ForDisplay(), to.Resource.Type)...)
	}
	rs := restoredScope(p.ev.root, to, provider)
	rs.config.DeclRange = target.rng
	m := &managedPlan{p: p, rs: rs, addr: to, h: h, schema: schema, meta: cty.NilVal}
	diags = append(diags, m.importPrior()...)
	if diags.HasErrors() {
		return diags
	}
	p.adopt(addrs.Object{Instance: to})
	config, _ := restoredConfig(schema.Block, m.prior.value)
	text := genconfig.Resource(to.Resource, schema.Block, config.bare, written)
	change, d := m.change(config)
	diags = append(diags, d...)
	if d.HasErrors() {
		// What was written is still the best start there is.
		return append(diags, diag.Warningf("Generated configuration needs work", "The provider does not accept the configuration made up for %s. Start from this:\n\n%s", to, text)...)
	}
	m.finish(change, config)
	change.Config = markSensitive(config.bare, schema.Block, config.paths)
	change.GeneratedConfig = text
	p.record(change)
	return diags
}
