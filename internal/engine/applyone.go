package engine

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// operand is what an operation on a configured resource works with.
type operand struct {
	change int
	c      *plans.Change
	rs     *resourceScope
	rep    repetition
	h      *providerHandle
	schema providers.Schema
	config *resourceConfig
	meta   cty.Value
}

// operand finds scope, provider and evaluated configuration for a change.
func (a *Apply) operand(ctx context.Context, change int, c *plans.Change) (*operand, diag.List) {
	addr := c.Object.Instance
	if c.Config != cty.NilVal {
		return a.restoredOperand(ctx, change, c)
	}
	s := a.ev.scopeAt(addr.Module)
	if s == nil || s.resources[addr.Resource] == nil {
		return nil, diag.Errorf("Plan does not fit its configuration", "The plan changes %s, which its configuration does not declare.", addr)
	}
	o := &operand{change: change, c: c, rs: s.resources[addr.Resource]}
	exp, diags := o.rs.expansion()
	if exp.failed {
		return nil, diags
	}
	i := exp.find(addr.Key)
	if i < 0 {
		return nil, append(diags, diag.ErrorAt(o.rs.config.DeclRange, "Instance no longer wanted",
			"Evaluated with the values known now, %s has no instance %s any more, although it was planned. This happens when count or for_each depends on something impure.", o.rs.addr, addr)...)
	}
	o.rep = exp.at(i)
	var d diag.List
	if o.h, d = a.provs.handle(ctx, c.Provider); d.HasErrors() {
		return nil, append(diags, d...)
	}
	o.schema = resourceSchema(a.provs.schemasOrNil(c.Provider.Provider), addr.Resource)
	diags = append(diags, a.checks.runConditions(o.rs, o.rep, o.rs.config.Preconditions, "Resource precondition failed", cty.NilVal, diag.Error)...)
	if diags.HasErrors() {
		return nil, diags
	}
	id := a.node[o.rs.config.ConfigAddr()]
	o.config, d = evaluateResource(o.rs, o.rep, o.schema.Block, a.graph.nodes[id].refs)
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, diags
	}
	if !o.config.known {
		return nil, append(diags, diag.ErrorAt(o.rs.config.DeclRange, "Configuration contains unknown value",
			"The configuration for %s still contains unknown values during apply. This is a bug in the provider of a resource it refers to, or in Tutti; please report it.", addr)...)
	}
	o.meta, d = evaluateProviderMeta(a.provs, o.rs)
	return o, append(diags, d...)
}

// restoredOperand is the operand of a change whose configuration is a value.
func (a *Apply) restoredOperand(ctx context.Context, change int, c *plans.Change) (*operand, diag.List) {
	o := &operand{
		change: change, c: c, rs: restoredScope(a.ev.root, c.Object.Instance, c.Provider),
		rep: repetition{key: c.Object.Instance.Key}, meta: cty.NilVal,
	}
	var diags diag.List
	if o.h, diags = a.provs.handle(ctx, c.Provider); diags.HasErrors() {
		return nil, diags
	}
	o.schema = resourceSchema(a.provs.schemasOrNil(c.Provider.Provider), c.Object.Instance.Resource)
	bare, pvm := c.Config.UnmarkDeepWithPaths()
	o.config = &resourceConfig{bare: bare, known: true}
	for _, pm := range pvm {
		o.config.paths = append(o.config.paths, pm.Path)
	}
	return o, diags
}

// write creates or updates one object.
func (a *Apply) write(ctx context.Context, change int, c *plans.Change, create bool) Outcome {
	o, diags := a.operand(ctx, change, c)
	if diags.HasErrors() {
		return Outcome{Diags: diags}
	}
	prior := &object{value: cty.NullVal(c.Type), identity: cty.NilVal}
	inst := a.object(addrs.Object{Instance: c.Object.Instance})
	if !create {
		if inst == nil {
			return Outcome{Diags: append(diags, diag.Errorf("Object is gone", "%s was planned to be updated, but the state no longer has it.", c.Object)...)}
		}
		var d diag.List
		if prior, d = a.provs.decodeFor(ctx, inst, c.Provider.Provider); d.HasErrors() {
			return Outcome{Diags: append(diags, d...)}
		}
		o.config.paths = ignoredMarks(o.rs.config, prior.value, o.config.paths)
	}
	planned, private, identity, d := a.finalPlan(ctx, o, prior, create)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags}
	}
	if a.in.Guard != nil {
		d := a.in.Guard.Before(ctx, c, markSensitive(planned, o.schema.Block, o.config.paths))
		if diags = append(diags, d...); d.HasErrors() {
			return Outcome{Diags: diags}
		}
	}
	if !create && planned.RawEquals(prior.bare()) && c.Importing == nil && c.Action == plans.Update && o.onlyMarksChanged(prior) {
		// Only what is sensitive changed: there is nothing to tell the provider.
		return a.settleWrite(o, inst, prior.bare(), prior.private, prior.identity, create, nil, diags)
	}
	action := plans.Update
	if create {
		action = plans.Create
	}
	end := a.announce(o.c.Object, action, prior.value)
	resp := o.h.provider.ApplyResourceChange(ctx, providers.ApplyRequest{
		Instance: c.Object.Instance, TypeName: c.Object.Instance.Resource.Type, Prior: prior.bare(), Planned: planned, Config: o.config.bare,
		PlannedPrivate: private, ProviderMeta: o.meta, Identity: identity,
	})
	resp.Diags = resp.Diags.InConfigBody(o.rs.config.Config, o.rs.config.DeclRange)
	out := a.written(ctx, o, inst, prior, planned, resp, create, diags)
	end(out, o.rs, o.rep)
	return out
}

// onlyMarksChanged reports whether the planned update changes no value.
func (o *operand) onlyMarksChanged(prior *object) bool {
	after, _ := o.c.After.UnmarkDeep()
	return after.RawEquals(prior.bare())
}

// finalPlan returns what the provider is asked to make. Where the configuration
// had unknowns at plan time the provider plans again, and may only fill them in.
func (a *Apply) finalPlan(ctx context.Context, o *operand, prior *object, create bool) (planned cty.Value, private []byte, identity cty.Value, diags diag.List) {
	planned, _ = o.c.After.UnmarkDeep()
	identity = o.c.AfterIdentity
	if identity == cty.NilVal {
		identity = prior.identity
	}
	if o.c.ConfigKnown {
		return planned, o.c.Private, identity, nil
	}
	block := o.schema.Block
	priorVal, priorPrivate := prior.bare(), prior.private
	if create {
		priorVal, priorPrivate = cty.NullVal(block.ImpliedType()), nil
	}
	effective, diags := ignoreChanges(o.rs.config, priorVal, o.config.bare, block)
	if diags.HasErrors() {
		return planned, nil, identity, diags
	}
	diags = append(diags, o.h.provider.ValidateResourceConfig(ctx, o.c.Object.Instance.Resource.Type, o.config.bare).InConfigBody(o.rs.config.Config, o.rs.config.DeclRange)...)
	if diags.HasErrors() {
		return planned, nil, identity, diags
	}
	req := providers.PlanRequest{
		Instance: o.c.Object.Instance, TypeName: o.c.Object.Instance.Resource.Type, Prior: priorVal, Config: effective,
		Proposed: objchange.ProposedNew(block, priorVal, effective), PriorPrivate: priorPrivate, ProviderMeta: o.meta, Identity: prior.identity,
	}
	resp := o.h.provider.PlanResourceChange(ctx, req)
	diags = append(diags, resp.Diags.InConfigBody(o.rs.config.Config, o.rs.config.DeclRange)...)
	if diags.HasErrors() {
		return planned, nil, identity, diags
	}
	name := o.h.addr.Provider.ForDisplay()
	if resp.Planned == cty.NilVal || len(resp.Planned.Type().TestConformance(block.ImpliedType())) > 0 {
		return planned, nil, identity, append(diags, providerBug(o.rs.config, "Provider produced invalid plan", "Provider %q planned an invalid value for %s.", name, o.c.Object)...)
	}
	final := resp.Planned
	if resp.LegacyTypeSystem {
		var d diag.List
		final, d = ignoreChanges(o.rs.config, priorVal, final, block)
		diags = append(diags, d...)
	}
	for _, err := range objchange.AssertObjectCompatible(block, planned, final) {
		if resp.LegacyTypeSystem {
			break // tolerated in the old type system
		}
		diags = append(diags, providerBug(o.rs.config, "Provider produced inconsistent final plan",
			"When expanding the plan for %s to include new values learned so far during apply, provider %q produced an invalid new value for %s.", o.c.Object, name, objchange.FormatError(err))...)
	}
	if resp.Identity != cty.NilVal {
		identity = resp.Identity
	}
	return final, resp.Private, identity, diags
}

// announce reports the start of an operation and returns what reports its end.
func (a *Apply) announce(obj addrs.Object, action plans.Action, before cty.Value) func(Outcome, *resourceScope, repetition) {
	key, val := displayID(before)
	a.in.Progress(Progress{Kind: ApplyStart, Object: obj, Action: action, IDKey: key, IDValue: val})
	began := time.Now()
	return func(out Outcome, rs *resourceScope, rep repetition) {
		p := Progress{Kind: ApplyComplete, Object: obj, Action: action, IDKey: key, IDValue: val, Elapsed: time.Since(began)}
		if out.Failed() {
			p.Kind = ApplyErrored
		} else if rs != nil {
			if v, ok := rs.get(rep.key); ok {
				p.IDKey, p.IDValue = displayID(v)
			}
		} else {
			p.IDKey, p.IDValue = "", ""
		}
		a.in.Progress(p)
	}
}

// written turns the provider's answer into rows. Whatever came back is kept,
// also when something went wrong.
func (a *Apply) written(ctx context.Context, o *operand, inst *states.Instance, prior *object, planned cty.Value, resp providers.ApplyResponse, create bool, diags diag.List) Outcome {
	diags = append(diags, resp.Diags...)
	name, addr := o.h.addr.Provider.ForDisplay(), o.c.Object.Instance
	if resp.Lost {
		return Outcome{Lost: true, Diags: diags}
	}
	value := resp.Value
	if value == cty.NilVal || value.IsNull() {
		if !resp.Diags.HasErrors() {
			diags = append(diags, providerBug(o.rs.config, "Provider produced inconsistent result after apply",
				"When applying changes to %s, provider %q produced an unexpected new value: root object was present, but now absent.", addr, name)...)
		}
		return Outcome{Diags: diags} // nothing was made; an update keeps what was there
	}
	if errs := value.Type().TestConformance(o.schema.Block.ImpliedType()); len(errs) > 0 {
		return Outcome{Lost: create, Diags: append(diags, providerBug(o.rs.config, "Provider produced invalid object",
			"Provider %q produced an invalid value after apply for %s: %s. The result cannot be saved in the state.", name, addr, objchange.FormatError(errs[0]))...)}
	}
	if !value.IsWhollyKnown() {
		diags = append(diags, providerBug(o.rs.config, "Provider returned invalid result object after apply",
			"After the apply operation, the provider still indicated an unknown value for %s. All values must be known after apply, so this is always a bug in the provider. What was known of the object is saved in the state.", addr)...)
		value = cty.UnknownAsNull(value)
	}
	value = objchange.NormalizeLegacy(o.schema.Block, value)
	if !resp.LegacyTypeSystem && !resp.Diags.HasErrors() {
		for _, err := range objchange.AssertObjectCompatible(o.schema.Block, planned, value) {
			diags = append(diags, providerBug(o.rs.config, "Provider produced inconsistent result after apply",
				"When applying changes to %s, provider %q produced an unexpected new value: %s.", addr, name, objchange.FormatError(err))...)
		}
	}
	identity := resp.Identity
	if identity == cty.NilVal {
		identity = prior.identity
	}
	failed := diags // a provider that lies about what it made is not to be trusted with it either
	out := a.settleWrite(o, inst, value, resp.Private, identity, create, failed, diags)
	a.mu.Lock()
	provisioned := create && !failed.HasErrors() && len(o.rs.config.Provisioners) > 0 && !a.unprovisioned[o.change]
	a.mu.Unlock()
	if provisioned {
		a.provisionCreated(ctx, o, &out)
	}
	return out
}

// settleWrite makes the rows for a written object and publishes its value.
func (a *Apply) settleWrite(o *operand, inst *states.Instance, value cty.Value, private []byte, identity cty.Value, create bool, failed, diags diag.List) Outcome {
	obj := addrs.Object{Instance: o.c.Object.Instance}
	marked := markSensitive(value, o.schema.Block, o.config.paths)
	row, err := makeInstance(obj, o.c.Provider, o.schema, &object{value: marked, private: private, identity: identity})
	if err != nil {
		return Outcome{Lost: create, Diags: append(diags, diag.Errorf("Cannot store object", "The new object for %s cannot be stored: %s.", obj, err)...)}
	}
	row.Dependencies, row.CreateBeforeDestroy = o.c.Dependencies, o.c.CreateBeforeDestroy
	if failed.HasErrors() {
		if create {
			row.Status = states.Tainted
		} else if inst != nil {
			row.Status = inst.Status
		}
	}
	out := Outcome{Event: "resource.updated", Diags: diags}
	before := inst
	if create {
		out.Event = "resource.created"
		if inst != nil && o.c.Action == plans.CreateThenDelete {
			old := *inst
			old.Object.Deposed = o.c.DestroyLegDeposed
			out.Rows = append(out.Rows, states.Change{Object: old.Object, After: &old})
		}
	}
	out.Rows = append(out.Rows, states.Change{Object: obj, Before: before, After: row})
	a.finished(o.change, o.rs, o.rep.key, marked)
	if a.in.Guard != nil {
		a.in.Guard.After(o.c, marked)
	}
	if !diags.HasErrors() {
		out.Diags = append(out.Diags, a.checks.runConditions(o.rs, o.rep, o.rs.config.Postconditions, "Resource postcondition failed", marked, diag.Error)...)
	}
	return out
}

// remove destroys one object: the current one, or the one a replacement set
// aside.
func (a *Apply) remove(ctx context.Context, c *plans.Change) Outcome {
	obj := c.Object
	if c.Action == plans.CreateThenDelete {
		obj.Deposed = c.DestroyLegDeposed
	}
	inst := a.object(obj)
	if inst == nil {
		return Outcome{} // somebody else removed it: there is nothing left to do
	}
	h, diags := a.provs.handle(ctx, c.Provider)
	if diags.HasErrors() {
		return Outcome{Diags: diags}
	}
	prior, d := a.provs.decodeFor(ctx, inst, c.Provider.Provider)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: diags}
	}
	if obj.Deposed == "" {
		diags = append(diags, a.provisionDestroy(ctx, c, prior)...)
		if diags.HasErrors() {
			return Outcome{Diags: diags}
		}
	}
	private := prior.private
	if c.Action == plans.Delete && c.Private != nil {
		private = c.Private
	}
	end := a.announce(obj, plans.Delete, prior.value)
	schema := resourceSchema(a.provs.schemasOrNil(c.Provider.Provider), obj.Instance.Resource)
	ty := schema.Block.ImpliedType()
	resp := h.provider.ApplyResourceChange(ctx, providers.ApplyRequest{
		Instance: obj.Instance, TypeName: obj.Instance.Resource.Type, Prior: prior.bare(), Planned: cty.NullVal(ty), Config: cty.NullVal(ty),
		PlannedPrivate: private, ProviderMeta: cty.NilVal, Identity: prior.identity,
	})
	out := a.removed(h, obj, inst, schema, prior, resp, diags)
	end(out, nil, repetition{})
	return out
}

// removed turns the provider's answer to a destroy into rows.
func (a *Apply) removed(h *providerHandle, obj addrs.Object, inst *states.Instance, schema providers.Schema, prior *object, resp providers.ApplyResponse, diags diag.List) Outcome {
	diags = append(diags, resp.Diags...)
	if resp.Lost {
		return Outcome{Lost: true, Diags: diags}
	}
	if resp.Value != cty.NilVal && !resp.Value.IsNull() {
		if !resp.Diags.HasErrors() {
			diags = append(diags, providerBug(nil, "Provider returned invalid result object after apply",
				"After applying a destroy of %s, provider %q returned a non-null object, which is kept in the state.", obj, h.addr.Provider.ForDisplay())...)
		}
		if len(resp.Value.Type().TestConformance(schema.Block.ImpliedType())) > 0 {
			return Outcome{Diags: diags}
		}
		row, err := makeInstance(obj, inst.Provider, schema, &object{
			value: markSensitive(cty.UnknownAsNull(resp.Value), schema.Block, inst.SensitivePaths), private: resp.Private, identity: prior.identity,
		})
		if err != nil {
			return Outcome{Diags: diags}
		}
		row.Status, row.Dependencies, row.CreateBeforeDestroy = inst.Status, inst.Dependencies, inst.CreateBeforeDestroy
		return Outcome{Diags: diags, Rows: []states.Change{{Object: obj, Before: inst, After: row}}}
	}
	if resp.Diags.HasErrors() {
		return Outcome{Diags: diags} // failed without saying what is left: keep what was
	}
	return Outcome{Diags: diags, Event: "resource.deleted", Rows: []states.Change{{Object: obj, Before: inst}}}
}

// forget drops an object from the state.
func (a *Apply) forget(c *plans.Change) Outcome {
	inst := a.object(c.Object)
	if inst == nil {
		return Outcome{}
	}
	return Outcome{Event: "resource.forgotten", Rows: []states.Change{{Object: c.Object, Before: inst}}}
}

// read reads a data source whose configuration is known only now.
func (a *Apply) read(ctx context.Context, change int, c *plans.Change) Outcome {
	o, diags := a.operand(ctx, change, c)
	scoped := o != nil && o.rs.config.Check != nil
	if diags.HasErrors() {
		return Outcome{Diags: softened(diags, scoped)}
	}
	value, d := readDataSource(ctx, a.provs, a.in.Progress, o.h, o.rs, c.Object.Instance, o.schema, o.config)
	diags = append(diags, d...)
	if d.HasErrors() {
		return Outcome{Diags: softened(diags, scoped)}
	}
	row, err := makeInstance(c.Object, c.Provider, o.schema, &object{value: value, identity: cty.NilVal})
	if err != nil {
		return Outcome{Diags: append(diags, diag.Errorf("Cannot store data source", "The result of %s cannot be stored: %s.", c.Object, err)...)}
	}
	row.Dependencies = c.Dependencies
	a.finished(change, o.rs, o.rep.key, value)
	if a.in.Guard != nil {
		a.in.Guard.After(c, value)
	}
	diags = append(diags, a.checks.runConditions(o.rs, o.rep, o.rs.config.Postconditions, "Resource postcondition failed", value, diag.Error)...)
	return Outcome{Diags: diags, Rows: []states.Change{{Object: c.Object, Before: a.object(c.Object), After: row}}}
}
