package engine

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// resolveImports evaluates the import blocks into one target per instance. Ids
// may come only from what is known before anything is planned: variables,
// locals without resources, and data is not among them.
func (p *planner) resolveImports() {
	p.imports = map[addrs.ResourceInstance]*importTarget{}
	for _, path := range sortedModules(p.in.Config) {
		m := p.in.Config.Modules[path]
		for _, block := range m.Imports {
			scopes, diags := p.ev.scopes(m)
			p.report(diags)
			for _, s := range scopes {
				p.report(p.resolveImport(s, block))
			}
		}
	}
}

func (p *planner) resolveImport(s *scope, block *configs.Import) diag.List {
	exp, diags := s.expand(nil, block.ForEach, nil)
	if exp.failed {
		return diags
	}
	for i := range exp.keys {
		rep := exp.at(i)
		to, d := importAddress(s, block, rep)
		diags = append(diags, d...)
		if d.HasErrors() {
			continue
		}
		target := &importTarget{rng: block.DeclRange, local: block.ProviderLocal, module: s.module.Path, identity: cty.NilVal}
		diags = append(diags, p.importID(s, block, rep, target)...)
		if prev := p.imports[to]; prev != nil {
			diags = append(diags, diag.ErrorAt(block.DeclRange, "Duplicate import configuration for "+to.String(),
				"An import block for the resource %s was already declared at %s. A resource can have only one import block.", to, prev.rng)...)
			continue
		}
		p.imports[to] = target
		if p.prior.Current(to) == nil {
			diags = append(diags, p.checkImportTarget(to, target)...)
		}
	}
	return diags
}

// checkImportTarget requires a resource block for an import, unless one is to be
// generated.
func (p *planner) checkImportTarget(to addrs.ResourceInstance, target *importTarget) diag.List {
	if p.in.Config.Resource(to.Config()) != nil || p.in.GenerateConfig {
		return nil
	}
	return diag.ErrorAt(target.rng, "Configuration for import target does not exist",
		"The configuration for the given import target %s does not exist. All target instances must have an associated configuration to be imported. Add a resource block, or use -generate-config-out to have one written.", to)
}

// importAddress resolves the block's "to", which may index over each.
func importAddress(s *scope, block *configs.Import, rep repetition) (addrs.ResourceInstance, diag.List) {
	t, diags := dynamicTraversal(s, block.To, rep)
	if diags.HasErrors() {
		return addrs.ResourceInstance{}, diags
	}
	module := s.addr
	for len(t) >= 2 && t.RootName() == "module" {
		refs, d := addrs.ParseReference(t)
		if d.HasErrors() {
			return addrs.ResourceInstance{}, diag.FromHCL(d)
		}
		module = module.Child(refs.Name, refs.Key)
		skip := 2
		if refs.Key != addrs.NoKey {
			skip++
		}
		t = rootedTraversal(t[skip:])
	}
	refs, d := addrs.ParseReference(t)
	if d.HasErrors() || refs.Kind != addrs.RefResource || refs.Resource.Mode != addrs.Managed {
		return addrs.ResourceInstance{}, diag.ErrorAt(block.To.Range(), "Invalid import address", "The \"to\" argument must be the address of a managed resource instance.")
	}
	return addrs.ResourceInstance{Module: module, Resource: refs.Resource, Key: refs.Key}, nil
}

// rootedTraversal makes the first step a root again after steps were cut off.
func rootedTraversal(t hcl.Traversal) hcl.Traversal {
	if len(t) == 0 {
		return t
	}
	if a, ok := t[0].(hcl.TraverseAttr); ok {
		return append(hcl.Traversal{hcl.TraverseRoot{Name: a.Name, SrcRange: a.SrcRange}}, t[1:]...)
	}
	return t
}

// importID evaluates the id or identity.
func (p *planner) importID(s *scope, block *configs.Import, rep repetition, target *importTarget) diag.List {
	if block.Identity != nil {
		val, diags := s.eval(block.Identity, rep, cty.NilVal)
		val, _ = val.UnmarkDeep()
		if !diags.HasErrors() && !val.IsWhollyKnown() {
			if text := s.explainUnknown(`The import block "identity" argument`, block.Identity, "so the import cannot be planned"); text != "" {
				return append(diags, diag.ErrorAt(block.Identity.Range(), "Invalid import identity argument", "%s", text)...)
			}
			return append(diags, diag.ErrorAt(block.Identity.Range(), "Invalid import identity argument",
				"The import block \"identity\" argument depends on resource attributes that cannot be determined until apply, so it cannot be planned. Apply what it depends on first, using -target.")...)
		}
		target.identity = val
		return diags
	}
	val, diags := s.eval(block.ID, rep, cty.NilVal)
	if diags.HasErrors() {
		return diags
	}
	bad := func(detail string) diag.List {
		return append(diags, diag.ErrorAt(block.ID.Range(), "Invalid import id argument", "%s", detail)...)
	}
	if marks.Contains(val, marks.Sensitive) {
		return bad("The import ID cannot be sensitive.")
	}
	if marks.Contains(val, marks.Ephemeral) {
		return bad("The import ID cannot be ephemeral.")
	}
	if !val.IsKnown() {
		if text := s.explainUnknown(`The import block "id" argument`, block.ID, "so the import cannot be planned"); text != "" {
			return bad(text)
		}
		return bad(`The import block "id" argument depends on resource attributes that cannot be determined until apply, so it cannot be planned. Apply what it depends on first, using -target.`)
	}
	id, err := convert.Convert(val, cty.String)
	switch {
	case err != nil:
		return bad("The import ID value is unsuitable: " + err.Error() + ".")
	case id.IsNull():
		return bad("The import ID cannot be null.")
	case id.AsString() == "":
		return bad("The import ID value evaluates to an empty string, please provide a non-empty value.")
	}
	target.id = id.AsString()
	return diags
}

// importPrior reads the object an import block names for this instance.
func (m *managedPlan) importPrior() diag.List {
	p := m.p
	target := p.imports[m.addr]
	if target == nil {
		return nil
	}
	obj := addrs.Object{Instance: m.addr}
	req := providers.ImportRequest{TypeName: m.addr.Resource.Type, ID: target.id, Identity: cty.NilVal}
	m.importing = &plans.Importing{ID: target.id, Identity: cty.NilVal}
	if target.identity != cty.NilVal {
		id, diags := m.importIdentity(target)
		if diags.HasErrors() {
			return diags
		}
		req.Identity, m.importing.Identity = id, id
	}
	var resp providers.ImportResponse
	done := p.progress(ImportStart, ImportComplete, obj, "id", target.id)
	p.call(m.h.builtIn, func() { resp = m.h.provider.ImportResourceState(p.ctx, req) })
	done()
	diags := resp.Diags.InConfigBody(nil, target.rng)
	if diags.HasErrors() {
		return diags
	}
	var found *providers.Imported
	for i := range resp.Objects {
		if resp.Objects[i].TypeName == m.addr.Resource.Type {
			found = &resp.Objects[i]
			break
		}
	}
	if found == nil {
		return append(diags, providerBug(m.rs.config, "Provider produced no import", "Provider %q returned no object of type %s for import id %q.", m.h.addr.Provider.ForDisplay(), m.addr.Resource.Type, target.id)...)
	}
	value := found.Value
	if errs := value.Type().TestConformance(m.schema.Block.ImpliedType()); len(errs) > 0 {
		return append(diags, providerBug(m.rs.config, "Provider produced invalid object", "Provider %q returned an invalid value for %s during import: %s.", m.h.addr.Provider.ForDisplay(), m.addr, objchange.FormatError(errs[0]))...)
	}
	read, d := m.readImported(found)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	m.prior = read
	inst, err := makeInstance(obj, m.h.addr, m.schema, read)
	if err != nil {
		return append(diags, diag.ErrorAt(target.rng, "Cannot import", "The imported object cannot be stored: %s.", err)...)
	}
	inst.Dependencies = m.deps
	m.prior.inst = inst
	p.mu.Lock()
	p.refreshed[obj] = inst
	p.mu.Unlock()
	return diags
}

// readImported reads the object in full: an import fills only what it must.
func (m *managedPlan) readImported(found *providers.Imported) (*object, diag.List) {
	p := m.p
	identity := found.Identity
	if identity == cty.NilVal && m.schema.Identity != nil {
		identity = cty.NullVal(m.schema.Identity.Type())
	}
	obj := addrs.Object{Instance: m.addr}
	idKey, idValue := displayID(found.Value)
	done := p.progress(RefreshStart, RefreshComplete, obj, idKey, idValue)
	var resp providers.ReadResponse
	p.call(m.h.builtIn, func() {
		resp = m.h.provider.ReadResource(p.ctx, providers.ReadRequest{
			TypeName: m.addr.Resource.Type, Prior: found.Value, Private: found.Private, ProviderMeta: m.meta, Identity: identity,
		})
	})
	done()
	diags := resp.Diags.InConfigBody(m.rs.config.Config, m.rs.config.DeclRange)
	if diags.HasErrors() {
		return nil, diags
	}
	if resp.Value == cty.NilVal || resp.Value.IsNull() {
		return nil, append(diags, diag.ErrorAt(m.rs.config.DeclRange, "Cannot import non-existent remote object",
			"While attempting to import an existing object to %q, the provider detected that no object exists with the given id. Only pre-existing objects can be imported; check that the id is correct and that it is associated with the provider's configured region or endpoint, or use \"tutti apply\" to create a new remote object for this resource.", m.addr)...)
	}
	out := &object{value: markSensitive(objchange.NormalizeLegacy(m.schema.Block, resp.Value), m.schema.Block, nil), private: resp.Private, identity: resp.Identity}
	if out.identity == cty.NilVal {
		out.identity = identity
	}
	return out, diags
}

func (m *managedPlan) importIdentity(target *importTarget) (cty.Value, diag.List) {
	if m.schema.Identity == nil {
		return cty.NilVal, diag.ErrorAt(target.rng, "Resource does not support import by identity", "The resource type %q has no identity: use the \"id\" argument instead.", m.addr.Resource.Type)
	}
	id, err := convert.Convert(target.identity, m.schema.Identity.Type())
	if err != nil {
		return cty.NilVal, diag.ErrorAt(target.rng, "Invalid import identity argument", "The identity does not fit the resource type %q: %s.", m.addr.Resource.Type, err)
	}
	return id, nil
}
