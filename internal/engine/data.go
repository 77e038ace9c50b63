package engine

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// planData reads one instance of a data source now, or plans to read it during
// apply: when its configuration is not known yet, or when something it depends
// on explicitly, or mentions, is about to change.
func (p *planner) planData(id int, rs *resourceScope, rep repetition) diag.List {
	addr := rs.addr.Instance(rep.key)
	obj := addrs.Object{Instance: addr}
	p.adopt(obj)
	scoped := rs.config.Check != nil
	diags := p.checks.runConditions(rs, rep, rs.config.Preconditions, "Resource precondition failed", cty.NilVal, diag.Error)
	if diags.HasErrors() {
		return diags
	}
	h, d := p.provs.forResource(p.ctx, rs.config)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	schema := resourceSchema(p.provs.schemasOrNil(rs.config.Provider), rs.config.Addr)
	config, d := evaluateResource(rs, rep, schema.Block, p.graph.nodes[id].refs)
	diags = append(diags, d...)
	if d.HasErrors() {
		return softened(diags, scoped)
	}
	reason := p.deferData(id, config, scoped)
	if reason != plans.ReasonNone && p.in.Mode == plans.RefreshOnly {
		return append(diags, p.keepUnread(rs, rep, obj, schema)...)
	}
	if reason != plans.ReasonNone {
		after := markSensitive(objchange.PlannedData(schema.Block, config.bare), schema.Block, config.paths)
		c := &plans.Change{
			Object: obj, Provider: h.addr, Action: plans.Read, Reason: reason, Type: schema.Block.ImpliedType(),
			SchemaVersion: schema.Version, Before: cty.NullVal(schema.Block.ImpliedType()), After: after,
			Dependencies: p.deps[id],
		}
		p.record(c)
		rs.set(rep.key, after)
		return diags
	}
	var value cty.Value
	p.call(h.builtIn, func() { value, d = p.readData(h, rs, addr, schema, config) })
	diags = append(diags, d...)
	if d.HasErrors() {
		rs.set(rep.key, cty.UnknownVal(schema.Block.ImpliedType()))
		return softened(diags, scoped)
	}
	inst, err := makeInstance(obj, h.addr, schema, &object{value: value, identity: cty.NilVal})
	if err != nil {
		return append(diags, diag.Errorf("Cannot store data source", "The result of %s cannot be stored: %s.", addr, err)...)
	}
	inst.Dependencies = p.deps[id]
	p.keepData(obj, inst)
	rs.set(rep.key, value)
	return append(diags, p.checks.runConditions(rs, rep, rs.config.Postconditions, "Resource postcondition failed", value, diag.Error)...)
}

// keepUnread leaves a data source as the state has it: a refresh plans nothing
// that it could be read after.
func (p *planner) keepUnread(rs *resourceScope, rep repetition, obj addrs.Object, schema providers.Schema) diag.List {
	rs.set(rep.key, cty.UnknownVal(schema.Block.ImpliedType()))
	inst := p.prior.Instances[obj]
	if inst == nil {
		return nil
	}
	known, diags := p.provs.decodeFor(p.ctx, inst, rs.config.Provider)
	if !diags.HasErrors() && !known.bare().IsNull() {
		rs.set(rep.key, known.value)
	}
	return diags
}

// keepData puts a data source's result into the refreshed state, unless the
// stored row says the same.
func (p *planner) keepData(obj addrs.Object, inst *states.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.prior.Instances[obj]; old != nil {
		inst.Version = old.Version
		if string(old.Attributes) == string(inst.Attributes) && old.SchemaVersion == inst.SchemaVersion &&
			old.Provider == inst.Provider && len(old.SensitivePaths) == len(inst.SensitivePaths) && sameDependencies(old.Dependencies, inst.Dependencies) {
			return
		}
	}
	p.refreshed[obj] = inst
}

func sameDependencies(a, b []addrs.ConfigResource) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// softened turns errors into warnings for data sources inside check blocks,
// which must never stop a plan.
func softened(diags diag.List, scoped bool) diag.List {
	if scoped {
		for i := range diags {
			diags[i].Severity = diag.Warning
		}
	}
	return diags
}

// deferData says why a data source must be read during apply.
func (p *planner) deferData(id int, config *resourceConfig, scoped bool) plans.Reason {
	if !config.known {
		return plans.ReasonReadConfigUnknown
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dep := range p.explicit[id] {
		r := p.graph.nodes[dep].resource
		if r.Addr.Mode == addrs.Managed && p.pending[r.ConfigAddr()] {
			if scoped {
				return plans.ReasonReadCheckNested
			}
			return plans.ReasonReadDependencyPending
		}
	}
	return plans.ReasonNone
}

// readData validates and reads, with progress.
func (p *planner) readData(h *providerHandle, rs *resourceScope, addr addrs.ResourceInstance, schema providers.Schema, config *resourceConfig) (cty.Value, diag.List) {
	return readDataSource(p.ctx, p.provs, p.in.Progress, h, rs, addr, schema, config)
}

func readDataSource(ctx context.Context, provs *providerSet, progress func(Progress), h *providerHandle, rs *resourceScope, addr addrs.ResourceInstance, schema providers.Schema, config *resourceConfig) (cty.Value, diag.List) {
	body, rng := rs.config.Config, rs.config.DeclRange
	diags := h.provider.ValidateDataConfig(ctx, addr.Resource.Type, config.bare).InConfigBody(body, rng)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	meta, d := evaluateProviderMeta(provs, rs)
	diags = append(diags, d...)
	if d.HasErrors() {
		return cty.NilVal, diags
	}
	obj := addrs.Object{Instance: addr}
	began := time.Now()
	progress(Progress{Kind: ApplyStart, Object: obj, Action: plans.Read})
	resp := h.provider.ReadDataSource(ctx, providers.ReadDataRequest{Instance: addr, TypeName: addr.Resource.Type, Config: config.bare, ProviderMeta: meta})
	end := Progress{Kind: ApplyComplete, Object: obj, Action: plans.Read, Elapsed: time.Since(began)}
	diags = append(diags, resp.Diags.InConfigBody(body, rng)...)
	name := h.addr.Provider.ForDisplay()
	switch {
	case diags.HasErrors():
		end.Kind = ApplyErrored
	case resp.Value == cty.NilVal || resp.Value.IsNull():
		diags = append(diags, providerBug(rs.config, "Provider produced null object", "Provider %q produced a null value for %s.", name, addr)...)
	case len(resp.Value.Type().TestConformance(schema.Block.ImpliedType())) > 0:
		errs := resp.Value.Type().TestConformance(schema.Block.ImpliedType())
		diags = append(diags, providerBug(rs.config, "Provider produced invalid object", "Provider %q produced an invalid value for %s: %s.", name, addr, objchange.FormatError(errs[0]))...)
	case !resp.Value.IsWhollyKnown():
		diags = append(diags, providerBug(rs.config, "Provider produced invalid object", "Provider %q produced a value for %s that is not wholly known.", name, addr)...)
	default:
		end.IDKey, end.IDValue = displayID(resp.Value)
	}
	progress(end)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return markSensitive(resp.Value, schema.Block, config.paths), diags
}

// openEphemeral opens one instance of an ephemeral resource for the time of
// planning, if its configuration is known.
func (p *planner) openEphemeral(n *node, rs *resourceScope, rep repetition) diag.List {
	if p.in.Mode == plans.RefreshOnly {
		rs.set(rep.key, cty.DynamicVal.Mark(marks.Ephemeral))
		return nil
	}
	diags := p.checks.runConditions(rs, rep, rs.config.Preconditions, "Resource precondition failed", cty.NilVal, diag.Error)
	if diags.HasErrors() {
		return diags
	}
	value, opened, d := openEphemeral(p.ctx, p.provs, p.in.Progress, n.refs, rs, rep)
	diags = append(diags, d...)
	if opened != nil {
		p.mu.Lock()
		p.opened = append(p.opened, *opened)
		p.mu.Unlock()
	}
	rs.set(rep.key, value)
	if d.HasErrors() {
		return diags
	}
	return append(diags, p.checks.runConditions(rs, rep, rs.config.Postconditions, "Resource postcondition failed", value, diag.Error)...)
}

// openEphemeral evaluates, validates and opens; an unknown configuration gives
// an unknown object and opens nothing.
func openEphemeral(ctx context.Context, provs *providerSet, progress func(Progress), refs []addrs.Reference, rs *resourceScope, rep repetition) (cty.Value, *openedEphemeral, diag.List) {
	schema := resourceSchema(provs.schemasOrNil(rs.config.Provider), rs.config.Addr)
	unknown := cty.UnknownVal(schema.Block.ImpliedType()).Mark(marks.Ephemeral)
	h, diags := provs.forResource(ctx, rs.config)
	if diags.HasErrors() {
		return unknown, nil, diags
	}
	config, d := evaluateResource(rs, rep, schema.Block, refs)
	diags = append(diags, d...)
	if d.HasErrors() || !config.known {
		return unknown, nil, diags
	}
	body, rng := rs.config.Config, rs.config.DeclRange
	typ := rs.addr.Resource.Type
	diags = append(diags, h.provider.ValidateEphemeralConfig(ctx, typ, config.bare).InConfigBody(body, rng)...)
	if diags.HasErrors() {
		return unknown, nil, diags
	}
	obj := addrs.Object{Instance: rs.addr.Instance(rep.key)}
	began := time.Now()
	progress(Progress{Kind: EphemeralOpStart, Object: obj})
	resp := h.provider.OpenEphemeral(ctx, providers.OpenRequest{TypeName: typ, Config: config.bare})
	diags = append(diags, resp.Diags.InConfigBody(body, rng)...)
	if diags.HasErrors() {
		progress(Progress{Kind: EphemeralOpErrored, Object: obj, Elapsed: time.Since(began)})
		return unknown, nil, diags
	}
	progress(Progress{Kind: EphemeralOpComplete, Object: obj, Elapsed: time.Since(began)})
	opened := &openedEphemeral{handle: h, object: obj, private: resp.Private, renewAt: resp.RenewAt}
	if resp.Value == cty.NilVal || resp.Value.IsNull() {
		return unknown, opened, append(diags, providerBug(rs.config, "Provider produced invalid object", "Provider %q opened %s but returned no value.", h.addr.Provider.ForDisplay(), obj)...)
	}
	return markSensitive(resp.Value, schema.Block, config.paths).Mark(marks.Ephemeral), opened, diags
}

// openedEphemeral is an ephemeral resource that must be closed.
type openedEphemeral struct {
	handle  *providerHandle
	object  addrs.Object
	private []byte
	renewAt time.Time
	cancel  context.CancelFunc
}

// closeEphemerals closes what planning opened, newest first, also after errors.
func (p *planner) closeEphemerals() {
	for i := len(p.opened) - 1; i >= 0; i-- {
		p.report(p.opened[i].close(context.WithoutCancel(p.ctx)))
	}
	p.opened = nil
}

func (o *openedEphemeral) close(ctx context.Context) diag.List {
	if o.cancel != nil {
		o.cancel()
	}
	return o.handle.provider.CloseEphemeral(ctx, o.object.Instance.Resource.Type, o.private).WithAddress(o.object.String())
}

// renew keeps an open ephemeral resource alive until its context ends.
func (o *openedEphemeral) renew(ctx context.Context, report func(diag.List)) {
	for !o.renewAt.IsZero() {
		timer := time.NewTimer(time.Until(o.renewAt))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		resp := o.handle.provider.RenewEphemeral(ctx, providers.RenewRequest{TypeName: o.object.Instance.Resource.Type, Private: o.private})
		if resp.Diags.HasErrors() {
			if ctx.Err() == nil {
				report(resp.Diags.WithAddress(o.object.String()))
			}
			return
		}
		o.private, o.renewAt = resp.Private, resp.RenewAt
	}
}
