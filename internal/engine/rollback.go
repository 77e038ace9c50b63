package engine

import (
	"context"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Rollback plans to bring objects back to how they were: goals holds, for each
// object, its before-image, or nil where it did not exist. The plan is an
// ordinary one, to be reviewed and applied like any other; what it wants of each
// object is what the before-image says of the arguments a configuration could
// set. Providers are configured as the configuration in says.
func Rollback(ctx context.Context, in PlanInput, goals map[addrs.Object]*states.Instance) (*plans.Plan, diag.List) {
	p := newPlanner(ctx, in)
	p.provs = newProviderSet(p.in.Config, p.in.Providers)
	p.provs.state = p.in.Prior
	p.report(p.provs.checkConfiguration(p.ctx))
	if p.failed() {
		return p.result(), p.diags
	}
	p.ev = newEvaluator(p.in.Config, p.functionContext())
	p.ev.inputs, p.ev.rootDir, p.ev.workDir = p.in.Variables, p.in.RootDir, p.in.WorkDir
	if p.in.StateKey.Environment != "" {
		p.ev.workspace = p.in.StateKey.Environment
	}
	p.ev.allAbsent, p.ev.skipped = true, p.skippedValue
	p.provs.ev = p.ev
	defer p.provs.close()
	p.prior = p.in.Prior
	p.report(p.checkRootVariables())
	if p.failed() {
		return p.result(), p.diags
	}
	objects := make([]addrs.Object, 0, len(goals))
	for obj := range goals {
		objects = append(objects, obj)
	}
	sort.Slice(objects, func(i, j int) bool { return lessObject(objects[i], objects[j]) })
	parallel(len(objects), p.workers, func(i int) {
		obj := objects[i]
		p.report(p.planReturn(obj, goals[obj]).WithAddress(obj.String()))
	})
	plan := p.result()
	plan.Outputs, plan.Checks = nil, nil
	if !p.failed() {
		plan.Operations = buildOperations(plan)
	}
	return plan, p.diags
}

// planReturn plans to bring one object back.
func (p *planner) planReturn(obj addrs.Object, goal *states.Instance) diag.List {
	if obj.Instance.Resource.Mode != addrs.Managed {
		return nil // data sources are read again by the next plan
	}
	current := p.prior.Instances[obj]
	switch {
	case goal == nil && current == nil:
		return nil
	case goal == nil:
		return p.planDelete(current, plans.ReasonDeleteRollback, false)
	case obj.Deposed != "":
		return diag.Warningf("Deposed object is not brought back", "%s was left over from a replacement and has been destroyed since; it stays so.", obj)
	}
	addr := p.providerForState(goal)
	h, diags := p.provs.handle(p.ctx, addr)
	if diags.HasErrors() {
		return diags
	}
	schema := resourceSchema(p.provs.schemasOrNil(addr.Provider), obj.Instance.Resource)
	if schema.Block == nil {
		return append(diags, diag.Errorf("Unknown resource type", "Provider %s has no resource type %q any more.", addr.Provider.ForDisplay(), obj.Instance.Resource.Type)...)
	}
	want, d := p.provs.decodeFor(p.ctx, goal, addr.Provider)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	config, d := restoredConfig(schema.Block, want.value)
	diags = append(diags, d...)
	m := &managedPlan{
		p: p, rs: restoredScope(p.ev.root, obj.Instance, addr), rep: repetition{key: obj.Instance.Key}, addr: obj.Instance,
		h: h, schema: schema, deps: goal.Dependencies, cbd: goal.CreateBeforeDestroy,
	}
	if current != nil {
		d := m.loadPrior()
		diags = append(diags, d...)
	}
	if diags.HasErrors() {
		return diags
	}
	change, d := m.change(config)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	m.finish(change, config)
	if change.Action == plans.NoOp {
		return diags
	}
	change.Config = markSensitive(config.bare, schema.Block, config.paths)
	p.record(change)
	return diags
}

// restoredScope stands in for the block of an object that is brought back: its
// configuration is given as a value, so it needs no body and no repetition.
func restoredScope(root *scope, addr addrs.ResourceInstance, provider addrs.ProviderConfig) *resourceScope {
	block := &configs.Resource{Addr: addr.Resource, Module: root.module, Config: hcl.EmptyBody(), Provider: provider.Provider}
	return &resourceScope{
		config: block, scope: root, addr: addr.AbsResource(), values: map[addrs.InstanceKey]cty.Value{},
	}
}

// restoredConfig makes a configuration from an object: what a configuration can
// set is taken, what only the provider decides is left out.
func restoredConfig(block *providers.Block, v cty.Value) (*resourceConfig, diag.List) {
	bare, pvm := v.UnmarkDeepWithPaths()
	out := &resourceConfig{bare: configBlock(block, bare, true), known: true}
	for _, pm := range pvm {
		if _, ok := pm.Marks[marks.Sensitive]; ok {
			if _, err := pm.Path.Apply(out.bare); err == nil {
				out.paths = append(out.paths, pm.Path)
			}
		}
	}
	if block.ContainsWriteOnly() {
		return out, diag.Warningf("Write-only arguments are not brought back", "The values of write-only arguments are never stored, so they cannot be restored. Apply the configuration to set them.")
	}
	return out, nil
}

func configBlock(block *providers.Block, v cty.Value, top bool) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	attrs := configAttributes(block.Attributes, v, top)
	for name, nested := range block.BlockTypes {
		attrs[name] = eachNested(v.GetAttr(name), nested.Nesting, func(e cty.Value) cty.Value { return configBlock(&nested.Block, e, false) })
	}
	return cty.ObjectVal(attrs)
}

func configAttributes(schema map[string]*providers.Attribute, v cty.Value, top bool) map[string]cty.Value {
	attrs := make(map[string]cty.Value, len(schema))
	for name, a := range schema {
		value := v.GetAttr(name)
		switch {
		case a.WriteOnly, a.Computed && !a.Optional, top && name == "id" && a.Computed:
			// The old SDK lets every id look as if it could be set.
			attrs[name] = cty.NullVal(a.ImpliedType())
		case a.NestedType != nil:
			attrs[name] = eachNested(value, a.NestedType.Nesting, func(e cty.Value) cty.Value {
				if e.IsNull() || !e.IsKnown() {
					return e
				}
				return cty.ObjectVal(configAttributes(a.NestedType.Attributes, e, false))
			})
		default:
			attrs[name] = value
		}
	}
	return attrs
}

// eachNested rebuilds a value of nested objects with each of them replaced.
func eachNested(v cty.Value, nesting providers.Nesting, replace func(cty.Value) cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	if nesting == providers.NestingSingle || nesting == providers.NestingGroup {
		return replace(v)
	}
	if v.LengthInt() == 0 {
		return v
	}
	ty := v.Type()
	if ty.IsMapType() || ty.IsObjectType() {
		out := make(map[string]cty.Value, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			out[key.AsString()] = replace(e)
		}
		if ty.IsMapType() {
			return cty.MapVal(out)
		}
		return cty.ObjectVal(out)
	}
	out := make([]cty.Value, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		out = append(out, replace(e))
	}
	switch {
	case ty.IsListType():
		return cty.ListVal(out)
	case ty.IsSetType():
		return cty.SetVal(out)
	}
	return cty.TupleVal(out)
}
