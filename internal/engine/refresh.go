package engine

import (
	"bytes"
	"context"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// decode turns a stored object into a value of the current schema, with the
// schema's and the stored sensitive marks.
func (s *providerSet) decode(ctx context.Context, inst *states.Instance) (*object, diag.List) {
	return s.decodeFor(ctx, inst, s.currentProvider(inst.Provider.Provider))
}

// currentProvider returns the address under which the configuration knows a
// provider that the state may record under the other public registry's host.
func (s *providerSet) currentProvider(p addrs.Provider) addrs.Provider {
	for _, m := range s.cfg.Modules {
		for _, rp := range m.RequiredProviders {
			if rp.Source.Same(p) {
				return rp.Source
			}
		}
	}
	return p
}

// decodeFor decodes with the schema of a given provider.
func (s *providerSet) decodeFor(ctx context.Context, inst *states.Instance, provider addrs.Provider) (*object, diag.List) {
	addr := inst.Object.Instance
	schemas, diags := s.schemasOf(ctx, provider)
	if diags.HasErrors() {
		return nil, diags
	}
	schema := resourceSchema(schemas, addr.Resource)
	if schema.Block == nil {
		return nil, append(diags, diag.Errorf("Resource type no longer supported",
			"The state holds %s, but the provider %s no longer has the type %q. If the object is to be left alone, remove it from the state with: tutti state rm '%s'", inst.Object, provider.ForDisplay(), addr.Resource.Type, addr)...)
	}
	out := &object{private: inst.Private, inst: inst, identity: cty.NilVal}
	val, upgraded, d := s.decodeValue(ctx, inst, provider, schema)
	out.upgraded = upgraded
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, diags.WithAddress(addr.String())
	}
	out.value = markSensitive(val, schema.Block, inst.SensitivePaths)
	if schema.Identity != nil {
		out.identity = cty.NullVal(schema.Identity.Type())
		if len(inst.Identity) > 0 {
			id, d := s.decodeIdentity(ctx, inst, provider, schema)
			diags = append(diags, d...)
			out.identity = id
		}
	}
	return out, diags
}

func (s *providerSet) decodeValue(ctx context.Context, inst *states.Instance, provider addrs.Provider, schema providers.Schema) (val cty.Value, upgraded bool, diags diag.List) {
	ty := schema.Block.ImpliedType()
	if inst.SchemaVersion > schema.Version {
		return cty.NilVal, false, diag.Errorf("Resource instance managed by newer provider version",
			"The current state of %s was created by a newer provider version than is currently selected. Upgrade the %s provider to work with this state.", inst.Object, provider.ForDisplay())
	}
	if inst.SchemaVersion == schema.Version && inst.Attributes != nil {
		// The common case needs no call: an object that conforms is not upgraded.
		if val, err := ctyjson.Unmarshal(inst.Attributes, ty); err == nil {
			return val, false, nil
		}
	}
	if inst.Object.Instance.Resource.Mode == addrs.Data {
		return cty.NullVal(ty), true, nil // read anew anyway
	}
	p, err := s.factory.Acquire(ctx, provider, true)
	if err != nil {
		return cty.NilVal, false, diag.Errorf("Cannot start provider", "The provider %s could not be started: %s.", provider.ForDisplay(), err)
	}
	defer p.Close()
	resp := p.UpgradeResourceState(ctx, providers.UpgradeRequest{
		TypeName: inst.Object.Instance.Resource.Type, Version: inst.SchemaVersion, JSON: inst.Attributes, Flatmap: inst.Flatmap,
	})
	if resp.Diags.HasErrors() {
		return cty.NilVal, false, resp.Diags
	}
	if errs := resp.Value.Type().TestConformance(ty); len(errs) > 0 {
		return cty.NilVal, false, providerBug(nil, "Invalid resource state upgrade",
			"The %s provider upgraded the state for %s from a previous version, but produced an invalid result: %s.", provider.ForDisplay(), inst.Object, objchange.FormatError(errs[0]))
	}
	return resp.Value, true, resp.Diags
}

func (s *providerSet) decodeIdentity(ctx context.Context, inst *states.Instance, provider addrs.Provider, schema providers.Schema) (cty.Value, diag.List) {
	ty := schema.Identity.Type()
	if inst.IdentitySchemaVersion == schema.Identity.Version {
		if val, err := ctyjson.Unmarshal(inst.Identity, ty); err == nil {
			return val, nil
		}
	}
	p, err := s.factory.Acquire(ctx, provider, true)
	if err != nil {
		return cty.NullVal(ty), diag.Errorf("Cannot start provider", "The provider %s could not be started: %s.", provider.ForDisplay(), err)
	}
	defer p.Close()
	resp := p.UpgradeResourceIdentity(ctx, providers.UpgradeRequest{
		TypeName: inst.Object.Instance.Resource.Type, Version: inst.IdentitySchemaVersion, JSON: inst.Identity,
	})
	if resp.Diags.HasErrors() {
		return cty.NullVal(ty), resp.Diags
	}
	return resp.Value, resp.Diags
}

// refresh reads the remote object. A nil object says that it is gone.
func (p *planner) refresh(h *providerHandle, prior *object, schema providers.Schema, meta cty.Value, inst *states.Instance) (*object, diag.List) {
	obj := inst.Object
	if prior.bare().IsNull() {
		return prior, nil
	}
	if h.builtIn {
		p.noteRefreshed(inst, prior, prior, schema)
		return prior, nil // built-in objects have no remote side that could differ
	}
	idKey, idValue := displayID(prior.value)
	done := p.progress(RefreshStart, RefreshComplete, obj, idKey, idValue)
	bare := prior.bare()
	var resp providers.ReadResponse
	p.call(false, func() {
		resp = h.provider.ReadResource(p.ctx, providers.ReadRequest{
			Instance: obj.Instance, TypeName: obj.Instance.Resource.Type, Prior: bare, Private: prior.private, ProviderMeta: meta, Identity: prior.identity,
		})
	})
	done()
	diags := resp.Diags
	if diags.HasErrors() {
		return nil, diags.WithAddress(obj.String())
	}
	name := h.addr.Provider.ForDisplay()
	ty := schema.Block.ImpliedType()
	if resp.Value == cty.NilVal {
		return nil, append(diags, providerBug(nil, "Provider produced invalid object", "Provider %q returned no object for %s after refresh.", name, obj)...)
	}
	if errs := resp.Value.Type().TestConformance(ty); len(errs) > 0 {
		return nil, append(diags, providerBug(nil, "Provider produced invalid object", "Provider %q planned an invalid value for %s during refresh: %s.", name, obj, objchange.FormatError(errs[0]))...)
	}
	if !resp.Value.IsNull() && !resp.Value.IsWhollyKnown() {
		return nil, append(diags, providerBug(nil, "Provider produced invalid object", "Provider %q returned a value for %s that is not wholly known after refresh.", name, obj)...)
	}
	if resp.Value.IsNull() {
		p.noteDrift(inst, prior, nil, schema, h)
		return nil, diags
	}
	after := &object{
		value:   markSensitive(objchange.NormalizeLegacy(schema.Block, resp.Value), schema.Block, inst.SensitivePaths),
		private: resp.Private, identity: resp.Identity, inst: inst,
	}
	if after.identity == cty.NilVal {
		after.identity = prior.identity
	}
	p.noteDrift(inst, prior, after, schema, h)
	if after.bare().RawEquals(bare) {
		after.value = prior.value
	}
	after.inst = p.refreshedInstance(inst)
	return after, diags
}

// refreshedInstance returns the row as refreshing left it.
func (p *planner) refreshedInstance(inst *states.Instance) *states.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.refreshed[inst.Object]; ok {
		return r
	}
	return inst
}

// noteDrift records a difference between what was stored and what is there.
func (p *planner) noteDrift(inst *states.Instance, before, after *object, schema providers.Schema, h *providerHandle) {
	if after == nil {
		p.mu.Lock()
		p.refreshed[inst.Object] = nil
		p.drift = append(p.drift, &plans.Change{
			Object: inst.Object, Provider: h.addr, Action: plans.Delete, Type: schema.Block.ImpliedType(),
			SchemaVersion: schema.Version, Before: before.value, After: cty.NullVal(schema.Block.ImpliedType()),
			PrevAddress: p.moves[inst.Object.Instance],
		})
		p.mu.Unlock()
		return
	}
	changed := !after.bare().RawEquals(before.bare())
	p.noteRefreshed(inst, before, after, schema)
	if !changed || inst.Status == states.Tainted {
		return
	}
	p.mu.Lock()
	p.drift = append(p.drift, &plans.Change{
		Object: inst.Object, Provider: h.addr, Action: plans.Update, Type: schema.Block.ImpliedType(),
		SchemaVersion: schema.Version, Before: before.value, After: after.value,
		PrevAddress: p.moves[inst.Object.Instance],
	})
	p.mu.Unlock()
}

// noteRefreshed keeps the row as it would be written now, where that differs
// from what is stored: upgraded, refreshed, or with other private data. before
// is the object as it was decoded from the row.
func (p *planner) noteRefreshed(inst *states.Instance, before, after *object, schema providers.Schema) {
	same := !before.upgraded && bytes.Equal(inst.Private, after.private) && sameIdentity(before.identity, after.identity) &&
		(before == after || before.bare().RawEquals(after.bare()))
	if same {
		return
	}
	next, err := makeInstance(inst.Object, inst.Provider, schema, after)
	if err != nil {
		return // the value came from JSON of this very type
	}
	next.Status, next.Dependencies, next.CreateBeforeDestroy = inst.Status, inst.Dependencies, inst.CreateBeforeDestroy
	next.Version = inst.Version
	p.mu.Lock()
	p.refreshed[inst.Object] = next
	p.mu.Unlock()
}

func sameIdentity(a, b cty.Value) bool {
	empty := func(v cty.Value) bool { return v == cty.NilVal || v.IsNull() }
	if empty(a) || empty(b) {
		return empty(a) == empty(b)
	}
	return a.RawEquals(b)
}

// makeInstance makes a row from an object. Status and dependencies are the
// caller's to set.
func makeInstance(obj addrs.Object, provider addrs.ProviderConfig, schema providers.Schema, o *object) (*states.Instance, error) {
	bare, pvm := o.value.UnmarkDeepWithPaths()
	attrs, err := ctyjson.Marshal(bare, schema.Block.ImpliedType())
	if err != nil {
		return nil, err
	}
	out := &states.Instance{
		Object: obj, Provider: provider, SchemaVersion: schema.Version, Attributes: attrs,
		Private: o.private, Status: states.Ready,
	}
	for _, pm := range pvm {
		out.SensitivePaths = append(out.SensitivePaths, pm.Path)
	}
	if o.identity != cty.NilVal && !o.identity.IsNull() && schema.Identity != nil {
		if out.Identity, err = ctyjson.Marshal(o.identity, schema.Identity.Type()); err != nil {
			return nil, err
		}
		out.IdentitySchemaVersion = schema.Identity.Version
	}
	return out, nil
}

// displayID returns the attribute that identifies an object to people: id, else
// name, where it is a known string that is not sensitive.
func displayID(v cty.Value) (key, value string) {
	if v == cty.NilVal || v.IsMarked() || v.IsNull() || !v.IsKnown() || !v.Type().IsObjectType() {
		return "", ""
	}
	for _, name := range []string{"id", "name"} {
		if !v.Type().HasAttribute(name) {
			continue
		}
		a := v.GetAttr(name)
		if a.IsMarked() || a.IsNull() || !a.IsKnown() || a.Type() != cty.String {
			continue
		}
		if s := a.AsString(); s != "" || name == "id" {
			return name, s
		}
	}
	return "", ""
}
