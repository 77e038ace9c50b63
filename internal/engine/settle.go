package engine

import (
	"context"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Settle finds out what became of an operation whose intent was recorded but
// whose outcome was not: the process died in between. What can be read is read
// and, if the change did not happen, done now. A creation can be found only by
// an identity that is known beforehand, planned by the provider or made of what
// the configuration says; otherwise the outcome stays unknown and is said to be,
// because doing it again could make a second object.
func (a *Apply) Settle(ctx context.Context, operation int) Outcome {
	if a.Idempotent(operation) {
		return a.Do(ctx, operation)
	}
	op := a.plan.Operations[operation]
	c := a.plan.Changes[op.Change]
	var out Outcome
	switch op.Kind {
	case plans.OpCreate:
		out = a.settleCreate(ctx, operation, op.Change, c)
	case plans.OpUpdate:
		out = a.settleUpdate(ctx, operation, op.Change, c)
	case plans.OpDelete:
		out = a.settleDelete(ctx, operation, c)
	}
	out.Diags = out.Diags.WithAddress(c.Object.Instance.String())
	a.take(out.Rows)
	return out
}

// readNow reads an object as it is. gone says that it no longer exists.
func (a *Apply) readNow(ctx context.Context, h *providerHandle, inst *states.Instance, c *plans.Change) (o *object, gone bool, diags diag.List) {
	prior, diags := a.provs.decodeFor(ctx, inst, c.Provider.Provider)
	if diags.HasErrors() {
		return nil, false, diags
	}
	resp := h.provider.ReadResource(ctx, providers.ReadRequest{
		TypeName: inst.Object.Instance.Resource.Type, Prior: prior.bare(), Private: prior.private, Identity: prior.identity,
	})
	diags = append(diags, resp.Diags...)
	if diags.HasErrors() {
		return nil, false, diags
	}
	if resp.Value == cty.NilVal || resp.Value.IsNull() {
		return nil, true, diags
	}
	schema := resourceSchema(a.provs.schemasOrNil(c.Provider.Provider), inst.Object.Instance.Resource)
	out := &object{value: objchange.NormalizeLegacy(schema.Block, resp.Value), private: resp.Private, identity: resp.Identity, inst: inst}
	if out.identity == cty.NilVal {
		out.identity = prior.identity
	}
	return out, false, diags
}

func (a *Apply) settleDelete(ctx context.Context, operation int, c *plans.Change) Outcome {
	obj := c.Object
	if c.Action == plans.CreateThenDelete {
		obj.Deposed = c.DestroyLegDeposed
	}
	inst := a.object(obj)
	if inst == nil {
		return Outcome{}
	}
	h, diags := a.provs.handle(ctx, c.Provider)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	_, gone, diags := a.readNow(ctx, h, inst, c)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	if gone {
		return Outcome{Diags: diags, Event: "resource.deleted", Rows: []states.Change{{Object: obj, Before: inst}}}
	}
	return a.Do(ctx, operation)
}

func (a *Apply) settleUpdate(ctx context.Context, operation, change int, c *plans.Change) Outcome {
	inst := a.object(c.Object)
	if inst == nil {
		return Outcome{Diags: diag.Errorf("Object is gone", "%s was being updated when the run was interrupted, but the state no longer has it.", c.Object)}
	}
	o, diags := a.operand(ctx, change, c)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	now, gone, d := a.readNow(ctx, o.h, inst, c)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	if gone {
		return Outcome{
			Rows: []states.Change{{Object: c.Object, Before: inst}}, Event: "resource.deleted",
			Diags: append(diags, diag.Errorf("Object is gone", "%s was being updated when the run was interrupted, and no longer exists. Plan again to create it anew.", c.Object)...),
		}
	}
	prior, d := a.provs.decodeFor(ctx, inst, c.Provider.Provider)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	// What was planned with unknown values would fit the old object as well.
	planned, _, _, d := a.finalPlan(ctx, o, prior, false)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	if !now.value.RawEquals(prior.bare()) && len(objchange.AssertObjectCompatible(o.schema.Block, planned, now.value)) == 0 {
		end := a.announce(c.Object, plans.Update, prior.value)
		out := a.settleWrite(o, inst, now.value, now.private, now.identity, false, nil, diags)
		end(out, o.rs, o.rep)
		return out
	}
	// It did not happen, or only in part: do it, from what is there now.
	row, err := makeInstance(c.Object, c.Provider, o.schema, &object{value: markSensitive(now.value, o.schema.Block, inst.SensitivePaths), private: now.private, identity: now.identity})
	if err == nil {
		row.Status, row.Dependencies, row.CreateBeforeDestroy = inst.Status, inst.Dependencies, inst.CreateBeforeDestroy
		row.Version = inst.Version
		a.take([]states.Change{{Object: c.Object, After: row}})
	}
	return a.Do(ctx, operation)
}

func (a *Apply) settleCreate(ctx context.Context, operation, change int, c *plans.Change) Outcome {
	if c.Provider.Provider.IsBuiltIn() {
		return a.settleProvisioned(ctx, change, c)
	}
	o, diags := a.operand(ctx, change, c)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	planned, _, identity, d := a.finalPlan(ctx, o, &object{value: cty.NullVal(c.Type), identity: cty.NilVal}, true)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	if identity == cty.NilVal || identity.IsNull() || !identity.IsWhollyKnown() {
		identity = plannedIdentity(&o.schema, planned)
	}
	if identity != cty.NilVal {
		found, gone := a.findByIdentity(ctx, o, identity)
		switch {
		case gone:
			// Nothing else has this identity, so it was not made.
			return a.Do(ctx, operation)
		case found != nil:
			return a.settleFound(o, planned, found, diags)
		}
	}
	addr := c.Object.Instance
	hint := "its id"
	if key, val := displayID(c.After); val != "" {
		hint = key + " " + val
	}
	return Outcome{Lost: true, Diags: append(diags, diag.Errorf("Outcome unknown",
		"%s was being created when the run was interrupted, and its answer was lost: the object may or may not exist. It is not created again, because that could make a second one.\n\nLook for it with the provider's own tools (by %s). If it exists, bring it under management with:\n    tutti import '%s' ID\nIf it does not, plan and apply again.", addr, hint, addr)...)}
}

// plannedIdentity makes the identity an object will have out of the attributes
// of the same names and types it was planned with. It returns cty.NilVal where
// one that is needed is missing, or is for the provider to choose.
func plannedIdentity(schema *providers.Schema, planned cty.Value) cty.Value {
	if schema.Identity == nil {
		return cty.NilVal
	}
	parts := make(map[string]cty.Value, len(schema.Identity.Attributes))
	some := false
	for name, a := range schema.Identity.Attributes {
		parts[name] = cty.NullVal(a.Type)
		if planned.Type().HasAttribute(name) {
			if v := planned.GetAttr(name); v.IsWhollyKnown() && v.Type().Equals(a.Type) {
				parts[name] = v
			}
		}
		if parts[name].IsNull() && a.Required {
			return cty.NilVal
		}
		some = some || !parts[name].IsNull()
	}
	if !some {
		return cty.NilVal
	}
	return cty.ObjectVal(parts)
}

// findByIdentity looks for an object by its identity. gone says that there is
// none; without an object, and not gone, the provider cannot tell.
func (a *Apply) findByIdentity(ctx context.Context, o *operand, identity cty.Value) (found *object, gone bool) {
	typ := o.c.Object.Instance.Resource.Type
	imported := o.h.provider.ImportResourceState(ctx, providers.ImportRequest{TypeName: typ, Identity: identity})
	if imported.Diags.HasErrors() || len(imported.Objects) != 1 || imported.Objects[0].TypeName != typ {
		return nil, false
	}
	obj := imported.Objects[0]
	resp := o.h.provider.ReadResource(ctx, providers.ReadRequest{TypeName: typ, Prior: obj.Value, Private: obj.Private, Identity: identity})
	if resp.Diags.HasErrors() {
		return nil, false
	}
	if resp.Value == cty.NilVal || resp.Value.IsNull() {
		return nil, true
	}
	if resp.Identity != cty.NilVal && !resp.Identity.IsNull() {
		identity = resp.Identity
	}
	return &object{value: objchange.NormalizeLegacy(o.schema.Block, resp.Value), private: resp.Private, identity: identity}, false
}

// settleFound takes an object that was found for the one that was planned. What
// cannot be read of it is as planned: a provider that made the object at all made
// it from these values.
func (a *Apply) settleFound(o *operand, planned cty.Value, found *object, diags diag.List) Outcome {
	value := found.value
	if value.Type().IsObjectType() {
		values := value.AsValueMap()
		for name, attr := range o.schema.Block.Attributes {
			if v := planned.GetAttr(name); values[name].IsNull() && !attr.WriteOnly && v.IsWhollyKnown() {
				values[name] = v
			}
		}
		value = cty.ObjectVal(values)
	}
	if errs := objchange.AssertObjectCompatible(o.schema.Block, planned, value); len(errs) > 0 {
		diags = append(diags, diag.Diagnostic{Severity: diag.Warning, Summary: "Object found is not quite the one planned",
			Detail: "The run died while " + o.c.Object.String() + " was being created. An object with its identity exists and is taken for it, but differs: " + objchange.FormatError(errs[0]) + ". The next plan shows what is to be changed."})
	}
	inst := a.object(addrs.Object{Instance: o.c.Object.Instance})
	end := a.announce(o.c.Object, plans.Create, cty.NilVal)
	out := a.settleWrite(o, inst, value, found.private, found.identity, true, nil, diags)
	end(out, o.rs, o.rep)
	return out
}

// settleProvisioned settles the creation of an object that is nothing but its
// row and what its provisioners did. How far they came nobody knows, so they are
// not run again here: the object is recorded as tainted, and the next apply
// replaces it, provisioners and all.
func (a *Apply) settleProvisioned(ctx context.Context, change int, c *plans.Change) Outcome {
	a.mu.Lock()
	a.unprovisioned[change] = true
	a.mu.Unlock()
	out := a.write(ctx, change, c, true)
	if out.Failed() {
		return out
	}
	for i := range out.Rows {
		if row := out.Rows[i].After; row != nil && out.Rows[i].Object == (addrs.Object{Instance: c.Object.Instance}) {
			row.Status = states.Tainted
		}
	}
	out.Diags = append(out.Diags, diag.Errorf("Provisioners were interrupted",
		"The run died while the provisioners of %s were running, so some of what they do may be done and some not. The object is marked as tainted: the next apply replaces it and runs them from the start.", c.Object.Instance)...)
	return out
}
