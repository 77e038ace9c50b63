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
// an identity that was known beforehand; otherwise the outcome stays unknown and
// is said to be, because doing it again could make a second object.
func (a *Apply) Settle(ctx context.Context, operation int) Outcome {
	if a.Idempotent(operation) {
		return a.Do(ctx, operation)
	}
	op := a.plan.Operations[operation]
	c := a.plan.Changes[op.Change]
	var out Outcome
	switch op.Kind {
	case plans.OpCreate:
		out = a.settleCreate(ctx, op.Change, c)
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
	planned, _ := c.After.UnmarkDeep()
	if len(objchange.AssertObjectCompatible(o.schema.Block, planned, now.value)) == 0 {
		return a.settleWrite(o, inst, now.value, now.private, now.identity, false, nil, diags)
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

func (a *Apply) settleCreate(ctx context.Context, change int, c *plans.Change) Outcome {
	if c.Provider.Provider.IsBuiltIn() {
		return a.settleProvisioned(ctx, change, c)
	}
	h, diags := a.provs.handle(ctx, c.Provider)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}
	}
	if c.AfterIdentity != cty.NilVal && !c.AfterIdentity.IsNull() && c.AfterIdentity.IsWhollyKnown() {
		if out, ok := a.findByIdentity(ctx, h, change, c); ok {
			return out
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

// findByIdentity looks for the object by the identity it was planned to have.
// ok is false where the provider cannot tell.
func (a *Apply) findByIdentity(ctx context.Context, h *providerHandle, change int, c *plans.Change) (Outcome, bool) {
	o, diags := a.operand(ctx, change, c)
	if diags.HasErrors() {
		return Outcome{Diags: diags, Lost: true}, true
	}
	typ := c.Object.Instance.Resource.Type
	found := h.provider.ImportResourceState(ctx, providers.ImportRequest{TypeName: typ, Identity: c.AfterIdentity})
	if found.Diags.HasErrors() {
		return Outcome{}, false
	}
	for _, obj := range found.Objects {
		if obj.TypeName != typ {
			continue
		}
		resp := h.provider.ReadResource(ctx, providers.ReadRequest{TypeName: typ, Prior: obj.Value, Private: obj.Private, Identity: c.AfterIdentity})
		if resp.Diags.HasErrors() {
			return Outcome{}, false
		}
		if resp.Value == cty.NilVal || resp.Value.IsNull() {
			continue
		}
		inst := a.object(addrs.Object{Instance: c.Object.Instance})
		value := objchange.NormalizeLegacy(o.schema.Block, resp.Value)
		return a.settleWrite(o, inst, value, resp.Private, c.AfterIdentity, true, nil, diags), true
	}
	return Outcome{}, false
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
