package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// planOrphans plans what to do with objects in the state that the configuration
// does not account for, and with deposed objects.
func (p *planner) planOrphans() {
	var orphans []*states.Instance
	for _, inst := range p.prior.Instances {
		if p.adopted[inst.Object] || !p.targeted(inst.Object.Instance) {
			continue
		}
		if p.unplanned(inst.Object.Instance) {
			continue // its block failed to plan; that error stands for it
		}
		orphans = append(orphans, inst)
	}
	sort.Slice(orphans, func(i, j int) bool { return lessObject(orphans[i].Object, orphans[j].Object) })
	parallel(len(orphans), p.workers, func(i int) {
		p.report(p.planOrphan(orphans[i]).WithAddress(orphans[i].Object.String()))
	})
}

// unplanned reports whether an instance's block is in the configuration but was
// not planned because of an error, so that nothing can be said about it.
func (p *planner) unplanned(addr addrs.ResourceInstance) bool {
	if !p.failed() {
		return false
	}
	s := p.ev.scopeAt(addr.Module)
	if s == nil {
		return p.in.Config.Resource(addr.Config()) != nil
	}
	rs := s.resources[addr.Resource]
	if rs == nil {
		return false
	}
	exp, _ := rs.expansion()
	return exp.failed || exp.find(addr.Key) >= 0
}

func (p *planner) planOrphan(inst *states.Instance) diag.List {
	obj := inst.Object
	if obj.Instance.Resource.Mode == addrs.Data {
		p.mu.Lock()
		p.refreshed[obj] = nil // a data source is simply no longer remembered
		p.mu.Unlock()
		return nil
	}
	action, reason := p.orphanAction(obj)
	if action == plans.Forget {
		return p.planForget(inst)
	}
	if r := p.in.Config.Resource(obj.Instance.Config()); r != nil && r.PreventDestroy != nil && obj.Deposed == "" {
		if s := p.ev.scopeAt(obj.Instance.Module); s != nil {
			if diags := checkPreventDestroy(s.resources[r.Addr], obj.Instance); diags.HasErrors() {
				return diags
			}
		}
	}
	return p.planDelete(inst, reason, p.in.Mode == plans.RefreshOnly)
}

// planDelete refreshes an object and plans its deletion. With refreshOnly it is
// only refreshed.
func (p *planner) planDelete(inst *states.Instance, reason plans.Reason, refreshOnly bool) diag.List {
	obj := inst.Object
	addr := p.providerForState(inst)
	h, diags := p.provs.handle(p.ctx, addr)
	if diags.HasErrors() {
		return diags
	}
	schema := resourceSchema(p.provs.schemasOrNil(addr.Provider), obj.Instance.Resource)
	prior, d := p.provs.decodeFor(p.ctx, inst, addr.Provider)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	stored := prior
	if !p.in.SkipRefresh {
		prior, d = p.refresh(h, prior, schema, cty.NilVal, inst)
		diags = append(diags, d...)
		if d.HasErrors() {
			return diags
		}
	} else {
		p.noteRefreshed(inst, prior, prior, schema)
	}
	if prior == nil || refreshOnly {
		return diags // gone already
	}
	if p.in.Mode != plans.Destroy {
		// What is no longer configured is deleted as it was recorded; how it is
		// now is drift.
		prior = stored
	}
	change, d := p.deleteChange(inst, h, schema, prior, reason)
	diags = append(diags, d...)
	if change != nil {
		p.record(change)
	}
	return diags
}

// deleteChange makes the change, asking the provider where it wants to be asked.
func (p *planner) deleteChange(inst *states.Instance, h *providerHandle, schema providers.Schema, prior *object, reason plans.Reason) (*plans.Change, diag.List) {
	ty := schema.Block.ImpliedType()
	change := &plans.Change{
		Object: inst.Object, Provider: h.addr, Action: plans.Delete, Reason: reason, Type: ty, SchemaVersion: schema.Version,
		Before: prior.value, After: cty.NullVal(ty), Private: prior.private, BeforeIdentity: prior.identity, AfterIdentity: cty.NilVal,
		PriorDependencies: inst.Dependencies, CreateBeforeDestroy: inst.CreateBeforeDestroy,
	}
	schemas := p.provs.schemasOrNil(h.addr.Provider)
	if schemas == nil || !schemas.Capabilities.PlanDestroy {
		return change, nil
	}
	var resp providers.PlanResponse
	p.call(h.builtIn, func() {
		resp = h.provider.PlanResourceChange(p.ctx, providers.PlanRequest{
			Instance: inst.Object.Instance, TypeName: inst.Object.Instance.Resource.Type, Prior: prior.bare(),
			Proposed: cty.NullVal(ty), Config: cty.NullVal(ty), PriorPrivate: prior.private, Identity: prior.identity,
		})
	})
	if resp.Diags.HasErrors() {
		return nil, resp.Diags
	}
	if resp.Planned != cty.NilVal && !resp.Planned.IsNull() {
		return nil, providerBug(nil, "Provider produced invalid plan", "Provider %q planned a non-null destroy value for %s.", h.addr.Provider.ForDisplay(), inst.Object)
	}
	change.Private = resp.Private
	return change, resp.Diags
}

// planForget plans to drop an object from the state without destroying it.
func (p *planner) planForget(inst *states.Instance) diag.List {
	prior, diags := p.provs.decode(p.ctx, inst)
	if diags.HasErrors() {
		return diags
	}
	addr := p.providerForState(inst)
	schema := resourceSchema(p.provs.schemasOrNil(addr.Provider), inst.Object.Instance.Resource)
	p.record(&plans.Change{
		Object: inst.Object, Provider: addr, Action: plans.Forget, Type: schema.Block.ImpliedType(), SchemaVersion: schema.Version,
		Before: prior.value, After: cty.NullVal(schema.Block.ImpliedType()), PriorDependencies: inst.Dependencies,
	})
	return diags
}

// providerForState returns the provider configuration that a stored object
// belongs to now: the one its block uses, else the recorded one.
func (p *planner) providerForState(inst *states.Instance) addrs.ProviderConfig {
	if r := p.in.Config.Resource(inst.Object.Instance.Config()); r != nil {
		addr, _ := p.in.Config.ResolveProvider(r.Module, r.ProviderLocal)
		addr.Provider = r.Provider
		return addr
	}
	addr := inst.Provider
	addr.Provider = p.provs.currentProvider(addr.Provider)
	return addr
}

// orphanAction says what happens to an object the configuration does not have,
// and why.
func (p *planner) orphanAction(obj addrs.Object) (plans.Action, plans.Reason) {
	if r := p.removedBlock(obj.Instance); r != nil && !r.Destroy {
		return plans.Forget, plans.ReasonNone
	} else if r != nil {
		return plans.Delete, plans.ReasonDeleteNoResourceConfig
	}
	if obj.Deposed != "" {
		return plans.Delete, plans.ReasonNone
	}
	block := p.in.Config.Resource(obj.Instance.Config())
	if block != nil && block.Destroy != nil && !*block.Destroy {
		return plans.Forget, plans.ReasonNone
	}
	return plans.Delete, p.deleteReason(obj.Instance, block)
}

// deleteReason finds the words for why an instance is not wanted any more.
func (p *planner) deleteReason(addr addrs.ResourceInstance, block *configs.Resource) plans.Reason {
	if _, moved := p.moves[addr]; moved && block == nil {
		return plans.ReasonDeleteNoMoveTarget
	}
	if block == nil {
		if p.in.Config.Modules[addr.Module.Module()] == nil {
			return plans.ReasonDeleteNoModule
		}
		return plans.ReasonDeleteNoResourceConfig
	}
	if p.ev.scopeAt(addr.Module) == nil {
		return plans.ReasonDeleteNoModule
	}
	switch addr.Key.Kind {
	case addrs.KeyNone:
		if block.Count != nil || block.ForEach != nil {
			return plans.ReasonDeleteWrongRepetition
		}
	case addrs.KeyInt:
		if block.Count == nil {
			return plans.ReasonDeleteWrongRepetition
		}
		return plans.ReasonDeleteCountIndex
	case addrs.KeyString:
		if block.ForEach == nil {
			return plans.ReasonDeleteWrongRepetition
		}
		return plans.ReasonDeleteEachKey
	}
	return plans.ReasonNone
}

// removedBlock returns the removed block that covers an instance, if any.
func (p *planner) removedBlock(addr addrs.ResourceInstance) *configs.Removed {
	return findRemoved(p.in.Config, addr)
}

func findRemoved(cfg *configs.Config, addr addrs.ResourceInstance) *configs.Removed {
	for _, m := range cfg.Modules {
		for _, r := range m.Removed {
			target := absoluteTarget(m.Path, r.From)
			if target.ContainsConfig(addr.Config()) {
				return r
			}
		}
	}
	return nil
}

// absoluteTarget puts a module-relative target below a static module path.
func absoluteTarget(m addrs.Module, t addrs.Target) addrs.Target {
	var base addrs.ModuleInstance
	for _, name := range m.Steps() {
		base = base.Child(name, addrs.NoKey)
	}
	t.Module = joinModule(base, t.Module)
	return t
}

func joinModule(base, rel addrs.ModuleInstance) addrs.ModuleInstance {
	switch {
	case base == "":
		return rel
	case rel == "":
		return base
	}
	return base + "." + rel
}

// newDeposedKey derives a key for the object that a replacement sets aside. It
// depends only on the plan's inputs, so that the same plan has the same digest.
func (p *planner) newDeposedKey(addr addrs.ResourceInstance) addrs.DeposedKey {
	for salt := byte(0); ; salt++ {
		sum := sha256.Sum256(append([]byte(addr.String()+"\x00"+p.in.Prior.Lineage+"\x00"+p.in.Now.String()), salt))
		key := addrs.DeposedKey(hex.EncodeToString(sum[:4]))
		if p.prior.Instances[addrs.Object{Instance: addr, Deposed: key}] == nil {
			return key
		}
	}
}

// planDestroy plans the deletion of everything: refresh, then delete.
func (p *planner) planDestroy() {
	// While destroying, configuration values come from the state: resources
	// are looked at, not planned.
	p.ev.allAbsent = true
	var all []*states.Instance
	for _, inst := range p.prior.Sorted() {
		if p.targetedForDestroy(inst) {
			all = append(all, inst)
		}
	}
	parallel(len(all), p.workers, func(i int) {
		inst := all[i]
		if inst.Object.Instance.Resource.Mode == addrs.Data {
			p.mu.Lock()
			p.refreshed[inst.Object] = nil
			p.mu.Unlock()
			return
		}
		r := p.in.Config.Resource(inst.Object.Instance.Config())
		if r != nil && r.Destroy != nil && !*r.Destroy {
			p.report(p.planForget(inst).WithAddress(inst.Object.String()))
			return
		}
		if removed := p.removedBlock(inst.Object.Instance); removed != nil && !removed.Destroy {
			p.report(p.planForget(inst).WithAddress(inst.Object.String()))
			return
		}
		if r != nil && r.PreventDestroy != nil && inst.Object.Deposed == "" {
			rs := &resourceScope{config: r, scope: p.anyScope(r.Module)}
			if diags := checkPreventDestroy(rs, inst.Object.Instance); diags.HasErrors() {
				p.report(diags)
				return
			}
		}
		p.report(p.planDelete(inst, plans.ReasonNone, false).WithAddress(inst.Object.String()))
	})
}

// anyScope returns some instance of a module for evaluating what cannot depend
// on the instance.
func (p *planner) anyScope(m *configs.Module) *scope {
	if scopes, _ := p.ev.scopes(m); len(scopes) > 0 {
		return scopes[0]
	}
	return p.ev.root
}
