package engine

import (
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/objchange"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// planManaged plans one instance of a managed resource. The order of its parts
// is the order of semantics: prior object, refresh, conditions, configuration,
// ignored changes, proposal, the provider's plan and its checks, replacement.
func (p *planner) planManaged(id int, rs *resourceScope, rep repetition) diag.List {
	addr := rs.addr.Instance(rep.key)
	obj := addrs.Object{Instance: addr}
	p.adopt(obj)
	h, diags := p.provs.forResource(p.ctx, rs.config)
	if diags.HasErrors() {
		return diags
	}
	schema := resourceSchema(p.provs.schemasOrNil(rs.config.Provider), rs.config.Addr)
	m := &managedPlan{
		p: p, rs: rs, rep: rep, addr: addr, h: h, schema: schema, node: id,
		deps: p.deps[id], cbd: p.forceCBD[id],
	}
	diags = append(diags, m.loadPrior()...)
	if diags.HasErrors() {
		return diags
	}
	if p.in.Mode == plans.RefreshOnly {
		m.keepRefreshed()
		return diags
	}
	diags = append(diags, m.plan()...)
	return diags
}

// adopt notes that the configuration accounts for an object.
func (p *planner) adopt(obj addrs.Object) {
	p.mu.Lock()
	p.adopted[obj] = true
	p.mu.Unlock()
}

// managedPlan is the planning of one managed instance.
type managedPlan struct {
	p      *planner
	rs     *resourceScope
	rep    repetition
	addr   addrs.ResourceInstance
	h      *providerHandle
	schema providers.Schema
	node   int
	deps   []addrs.ConfigResource
	cbd    bool

	prior     *object // refreshed; nil where there is none
	importing *plans.Importing
	meta      cty.Value
}

// loadPrior decodes, upgrades and refreshes the stored object, or imports one.
func (m *managedPlan) loadPrior() diag.List {
	p := m.p
	obj := addrs.Object{Instance: m.addr}
	var diags diag.List
	m.meta, diags = p.providerMeta(m.rs)
	if diags.HasErrors() {
		return diags
	}
	inst := p.prior.Instances[obj]
	if inst == nil {
		return append(diags, m.importPrior()...)
	}
	o, d := p.provs.decodeFor(p.ctx, inst, m.h.addr.Provider)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	m.prior = o
	if p.in.SkipRefresh {
		p.noteRefreshed(inst, o, o, m.schema)
		return diags
	}
	refreshed, d := p.refresh(m.h, o, m.schema, m.meta, inst)
	diags = append(diags, d...)
	m.prior = refreshed
	return diags
}

// keepRefreshed ends the planning of an instance in refresh-only mode.
func (m *managedPlan) keepRefreshed() {
	if m.prior == nil {
		m.rs.set(m.rep.key, cty.DynamicVal)
		return
	}
	m.rs.set(m.rep.key, m.prior.value)
}

// plan decides what to do with the instance.
func (m *managedPlan) plan() diag.List {
	p, r := m.p, m.rs.config
	diags := p.checks.runConditions(m.rs, m.rep, r.Preconditions, "Resource precondition failed", cty.NilVal, diag.Error)
	if diags.HasErrors() {
		return diags
	}
	config, d := m.evaluateConfig()
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	change, d := m.change(config)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	m.finish(change, config)
	diags = append(diags, m.preventDestroy(change)...)
	if diags.HasErrors() {
		return diags
	}
	p.record(change)
	m.rs.set(m.rep.key, change.After)
	return append(diags, p.checks.runConditions(m.rs, m.rep, r.Postconditions, "Resource postcondition failed", change.After, diag.Error)...)
}

// resourceConfig is an evaluated configuration of one instance.
type resourceConfig struct {
	bare  cty.Value // without marks, write-only values included
	paths []cty.Path
	known bool
}

// evaluateConfig decodes the block, checks where ephemeral values go and asks
// the provider to validate.
func (m *managedPlan) evaluateConfig() (*resourceConfig, diag.List) {
	n := &m.p.graph.nodes[m.node]
	config, diags := evaluateResource(m.rs, m.rep, m.schema.Block, n.refs)
	if diags.HasErrors() {
		return nil, diags
	}
	var d diag.List
	m.p.call(m.h.builtIn, func() {
		d = m.h.provider.ValidateResourceConfig(m.p.ctx, m.addr.Resource.Type, config.bare)
	})
	return config, append(diags, d.InConfigBody(m.rs.config.Config, m.rs.config.DeclRange)...)
}

// evaluateResource evaluates a resource's body and separates values from marks.
func evaluateResource(rs *resourceScope, rep repetition, block *providers.Block, refs []addrs.Reference) (*resourceConfig, diag.List) {
	ctx, diags := rs.bodyContext(refs, rep)
	if diags.HasErrors() {
		return nil, diags
	}
	val, d := decodeBody(rs.config.Config, block, ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, diags
	}
	out := &resourceConfig{bare: val}
	if val.ContainsMarked() {
		bare, pvm := val.UnmarkDeepWithPaths()
		out.bare = bare
		for _, pm := range pvm {
			if _, ok := pm.Marks[marks.Ephemeral]; ok && !writeOnlyAt(block, pm.Path) && rs.config.Addr.Mode == addrs.Managed {
				diags = append(diags, diag.List{{
					Severity: diag.Error, Summary: "Invalid use of ephemeral value",
					Detail:    "Ephemeral values are not valid for arguments that are not write-only: their value would be stored in the state.",
					Attribute: pm.Path,
				}}.InConfigBody(rs.config.Config, rs.config.DeclRange)...)
			}
			if _, ok := pm.Marks[marks.Sensitive]; ok {
				out.paths = append(out.paths, pm.Path)
			}
		}
	}
	if rs.config.Provider.IsBuiltIn() {
		out.paths = append(out.paths, echoed(rs.config.Addr, out.paths)...)
	}
	out.known = out.bare.IsWhollyKnown()
	return out, diags
}

// echoed returns where terraform_data repeats sensitive parts of its input: its
// output is the same value, and as secret.
func echoed(addr addrs.Resource, paths []cty.Path) []cty.Path {
	if addr.Type != "terraform_data" {
		return nil
	}
	var out []cty.Path
	for _, path := range paths {
		if len(path) == 0 {
			continue
		}
		if first, ok := path[0].(cty.GetAttrStep); ok && first.Name == "input" {
			out = append(out, append(cty.GetAttrPath("output"), path[1:]...))
		}
	}
	return out
}

// writeOnlyAt reports whether a path lies in a write-only attribute.
func writeOnlyAt(block *providers.Block, path cty.Path) bool {
	for i := len(path); i > 0; i-- {
		if a := block.AttributeByPath(path[:i]); a != nil && a.WriteOnly {
			return true
		}
	}
	return false
}

// change asks the provider for its plan and turns the answer into a change.
func (m *managedPlan) change(config *resourceConfig) (*plans.Change, diag.List) {
	block := m.schema.Block
	ty := block.ImpliedType()
	prior, private := cty.NullVal(ty), []byte(nil)
	tainted := false
	if m.prior != nil {
		prior, private = m.prior.bare(), m.prior.private
		tainted = m.prior.inst != nil && m.prior.inst.Status == states.Tainted
	}
	planPrior := prior
	if tainted {
		planPrior, private = cty.NullVal(ty), nil
	}
	effective, diags := ignoreChanges(m.rs.config, planPrior, config.bare, block)
	if diags.HasErrors() {
		return nil, diags
	}
	planned, d := m.providerPlan(planPrior, effective, config.bare, private)
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, diags
	}
	change := &plans.Change{
		Object: addrs.Object{Instance: m.addr}, Provider: m.h.addr, Type: ty, SchemaVersion: m.schema.Version,
		Before: prior, After: planned.value, Private: planned.private,
		BeforeIdentity: m.priorIdentity(), AfterIdentity: planned.identity,
	}
	switch {
	case prior.IsNull():
		change.Action = plans.Create
		// Terraform names the trigger of new objects, too.
		triggered, d := m.p.replaceTriggered(m.rs, m.rep)
		if triggered {
			change.Reason = plans.ReasonReplaceByTriggers
		}
		return change, append(diags, d...)
	case tainted:
		change.Action, change.Reason = m.replaceAction(), plans.ReasonReplaceBecauseTainted
		return change, diags
	}
	required := reallyDifferent(prior, planned.value, planned.requiresReplace)
	reason, d := m.replaceReason(required, planned.value)
	diags = append(diags, d...)
	if reason != plans.ReasonNone {
		replaced, d := m.replacement(config.bare)
		diags = append(diags, d...)
		if d.HasErrors() {
			return nil, diags
		}
		change.Action, change.Reason = m.replaceAction(), reason
		change.After, change.Private, change.AfterIdentity = replaced.value, replaced.private, replaced.identity
		change.RequiredReplace = required
		return change, diags
	}
	config.paths = ignoredMarks(m.rs.config, m.prior.value, config.paths)
	if planned.value.RawEquals(prior) && !m.sensitivityChanged(config, planned.value) {
		change.Action = plans.NoOp
	} else {
		change.Action = plans.Update
	}
	return change, diags
}

func (m *managedPlan) priorIdentity() cty.Value {
	if m.prior == nil {
		return cty.NilVal
	}
	return m.prior.identity
}

// replacement plans again as if there were no prior object: then there are no
// changes to ignore either.
func (m *managedPlan) replacement(config cty.Value) (*plannedObject, diag.List) {
	ty := m.schema.Block.ImpliedType()
	return m.providerPlan(cty.NullVal(ty), config, config, nil)
}

func (m *managedPlan) replaceAction() plans.Action {
	if m.rs.config.Destroy != nil && !*m.rs.config.Destroy {
		return plans.ForgetThenCreate
	}
	if m.cbd {
		return plans.CreateThenDelete
	}
	return plans.DeleteThenCreate
}

// replaceReason says why the object must be replaced, if it must.
func (m *managedPlan) replaceReason(required []cty.Path, planned cty.Value) (plans.Reason, diag.List) {
	for _, want := range m.p.in.ForceReplace {
		if want == m.addr {
			return plans.ReasonReplaceByRequest, nil
		}
	}
	triggered, diags := m.p.replaceTriggered(m.rs, m.rep)
	switch {
	case triggered:
		return plans.ReasonReplaceByTriggers, diags
	case len(required) > 0:
		return plans.ReasonReplaceBecauseCannotUpdate, diags
	}
	return plans.ReasonNone, diags
}

// reallyDifferent keeps the paths at which the planned value differs from the
// prior one: providers name every path that could force a replacement.
func reallyDifferent(prior, planned cty.Value, paths []cty.Path) []cty.Path {
	var out []cty.Path
	for _, path := range paths {
		a, errA := path.Apply(prior)
		b, errB := path.Apply(planned)
		if errA != nil && errB != nil {
			continue
		}
		if errA != nil || errB != nil || !b.IsKnown() {
			out = append(out, path)
			continue
		}
		if eq := a.Equals(b); !eq.IsKnown() || eq.False() {
			out = append(out, path)
		}
	}
	return out
}

// sensitivityChanged reports whether the configuration marks other parts as
// sensitive than the state does.
func (m *managedPlan) sensitivityChanged(config *resourceConfig, planned cty.Value) bool {
	block := m.schema.Block
	_, before := m.prior.value.UnmarkDeepWithPaths()
	_, after := markSensitive(planned, block, config.paths).UnmarkDeepWithPaths()
	return !samePaths(before, after)
}

func samePaths(a, b []cty.PathValueMarks) bool {
	if len(a) != len(b) {
		return false
	}
	set := cty.NewPathSet()
	for _, x := range a {
		set.Add(x.Path)
	}
	for _, x := range b {
		if !set.Has(x.Path) {
			return false
		}
	}
	return true
}

// plannedObject is a checked answer to PlanResourceChange.
type plannedObject struct {
	value           cty.Value
	private         []byte
	identity        cty.Value
	requiresReplace []cty.Path
	legacy          bool
}

// providerPlan proposes, asks and checks. effective is the configuration with
// ignored changes put back, config the one as written.
func (m *managedPlan) providerPlan(prior, effective, config cty.Value, private []byte) (*plannedObject, diag.List) {
	block := m.schema.Block
	req := providers.PlanRequest{
		Instance: m.addr, TypeName: m.addr.Resource.Type, Prior: prior, Config: effective,
		Proposed:     objchange.ProposedNew(block, prior, effective),
		PriorPrivate: private, ProviderMeta: m.meta,
	}
	if !prior.IsNull() {
		req.Identity = m.priorIdentity()
	}
	var resp providers.PlanResponse
	m.p.call(m.h.builtIn, func() { resp = m.h.provider.PlanResourceChange(m.p.ctx, req) })
	diags := resp.Diags.InConfigBody(m.rs.config.Config, m.rs.config.DeclRange)
	if diags.HasErrors() {
		return nil, diags
	}
	name := m.h.addr.Provider.ForDisplay()
	planned := resp.Planned
	if planned == cty.NilVal || planned.IsNull() || !planned.IsKnown() {
		return nil, append(diags, providerBug(m.rs.config, "Provider produced invalid plan",
			"Provider %q planned an invalid value for %s: a planned object must not be null or wholly unknown.", name, m.addr)...)
	}
	for _, err := range planned.Type().TestConformance(block.ImpliedType()) {
		diags = append(diags, providerBug(m.rs.config, "Provider produced invalid plan",
			"Provider %q planned an invalid value for %s: %s.", name, m.addr, objchange.FormatError(err))...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	if problems := objchange.AssertPlanValid(block, prior, effective, planned); len(problems) > 0 && !resp.LegacyTypeSystem {
		for _, err := range problems {
			diags = append(diags, providerBug(m.rs.config, "Provider produced invalid plan",
				"Provider %q planned an invalid value for %s: %s.", name, m.addr, objchange.FormatError(err))...)
		}
		return nil, diags
	}
	if resp.LegacyTypeSystem {
		// The old SDK rewrites configuration values; what is ignored must stay.
		var d diag.List
		planned, d = ignoreChanges(m.rs.config, prior, planned, block)
		diags = append(diags, d...)
	}
	return &plannedObject{
		value: planned, private: resp.Private, identity: resp.Identity,
		requiresReplace: resp.RequiresReplace, legacy: resp.LegacyTypeSystem,
	}, diags
}

// providerBug words a diagnostic about a provider that broke its contract.
func providerBug(r *configs.Resource, summary, detail string, args ...any) diag.List {
	d := diag.Errorf(summary, detail+"\n\nThis is a bug in the provider, which should be reported in the provider's own issue tracker.", args...)
	if r != nil {
		d[0].Subject = r.DeclRange.Ptr()
	}
	return d
}

// finish marks values and fills in what every change carries.
func (m *managedPlan) finish(c *plans.Change, config *resourceConfig) {
	block := m.schema.Block
	if m.prior != nil {
		c.Before = m.prior.value
		if m.prior.inst != nil {
			c.PriorDependencies = m.prior.inst.Dependencies
		}
	}
	c.After = markSensitive(c.After, block, config.paths)
	c.CreateBeforeDestroy = m.cbd
	c.Dependencies = m.deps
	c.Importing = m.importing
	c.ConfigKnown = config.known
	if c.Action == plans.CreateThenDelete {
		c.DestroyLegDeposed = m.p.newDeposedKey(m.addr)
	}
}

func (m *managedPlan) preventDestroy(c *plans.Change) diag.List {
	if m.rs.config.PreventDestroy == nil || !(c.Action == plans.DeleteThenCreate || c.Action == plans.CreateThenDelete || c.Action == plans.Delete) {
		return nil
	}
	return checkPreventDestroy(m.rs, m.addr)
}

func checkPreventDestroy(rs *resourceScope, addr addrs.ResourceInstance) diag.List {
	val, diags := rs.scope.eval(rs.config.PreventDestroy, repetition{}, cty.NilVal)
	val, _ = val.UnmarkDeep()
	if !diags.HasErrors() && !val.IsKnown() {
		// Nobody can tell whether it is protected, so it is.
		if text := rs.scope.explainUnknown(`The "prevent_destroy" value of `+addr.String(), rs.config.PreventDestroy, "so it cannot be destroyed now"); text != "" {
			return append(diags, diag.ErrorAt(rs.config.PreventDestroy.Range(), "Instance cannot be destroyed", "%s", text)...)
		}
	}
	if diags.HasErrors() || val.IsNull() || !val.IsKnown() || val.Type() != cty.Bool || val.False() {
		return diags
	}
	return append(diags, diag.ErrorAt(rs.config.DeclRange, "Instance cannot be destroyed",
		"Resource %s has lifecycle.prevent_destroy set, but the plan calls for this resource to be destroyed. To avoid this error and continue with the plan, either disable lifecycle.prevent_destroy or reduce the scope of the plan using the -target option.", addr)...)
}

// providerMeta evaluates the module's provider_meta block for a provider.
func (p *planner) providerMeta(rs *resourceScope) (cty.Value, diag.List) {
	return evaluateProviderMeta(p.provs, rs)
}

func evaluateProviderMeta(provs *providerSet, rs *resourceScope) (cty.Value, diag.List) {
	schemas := provs.schemasOrNil(rs.config.Provider)
	if schemas == nil || schemas.ProviderMeta == nil {
		return cty.NilVal, nil
	}
	block := schemas.ProviderMeta
	meta := rs.scope.module.ProviderMetas[rs.config.ProviderLocal.LocalName]
	if meta == nil {
		return cty.NullVal(block.ImpliedType()), nil
	}
	val, diags := decodeBody(meta.Config, block, provs.ev.functions)
	return val, diags
}

// describePath writes a path the way it appears in configuration.
func describePath(path cty.Path) string {
	out := ""
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			out += "." + s.Name
		case cty.IndexStep:
			if !s.Key.IsKnown() || s.Key.IsNull() {
				out += "[...]"
			} else if s.Key.Type() == cty.String {
				out += fmt.Sprintf("[%q]", s.Key.AsString())
			} else if s.Key.Type() == cty.Number {
				out += "[" + s.Key.AsBigFloat().Text('f', -1) + "]"
			}
		}
	}
	return out
}
