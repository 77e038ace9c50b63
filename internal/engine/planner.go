package engine

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// DefaultParallelism is how many provider calls run at once unless told otherwise.
const DefaultParallelism = 10

// Plan compares a configuration with a state and reality and returns what would
// have to be done. A plan is returned also where there are errors, marked as
// errored, holding what could be planned.
func Plan(ctx context.Context, in PlanInput) (*plans.Plan, diag.List) {
	p := newPlanner(ctx, in)
	return p.run()
}

// planner holds what one planning needs. Its fields are set before the walk, or
// guarded by mu.
type planner struct {
	ctx   context.Context
	in    PlanInput
	ev    *evaluator
	graph *graph
	provs *providerSet
	prior *states.State // stored state after moves; not written while walking

	workers int
	calls   chan struct{} // one token per running provider call

	forceCBD map[int]bool // resource nodes that must create before destroy
	// deps and explicit are, per resource node, the direct dependencies and the
	// nodes that depends_on leads to; made before the walk.
	deps     [][]addrs.ConfigResource
	explicit [][]int
	// included says which nodes a -target or -exclude leaves; nil: all.
	// hasTriggers says that some block uses replace_triggered_by.
	hasTriggers bool
	included    map[int]bool
	destroySet  map[addrs.Object]bool
	pending     map[addrs.ConfigResource]bool         // resources with planned changes; guarded by mu
	changesOf   map[addrs.AbsResource][]*plans.Change // planned changes by block; guarded by mu

	mu        sync.Mutex
	diags     diag.List
	changes   []*plans.Change
	drift     []*plans.Change
	refreshed map[addrs.Object]*states.Instance // nil value: gone
	adopted   map[addrs.Object]bool             // objects the configuration accounts for
	checks    *checkBook
	imports   map[addrs.ResourceInstance]*importTarget
	moves     map[addrs.ResourceInstance]addrs.ResourceInstance
	opened    []openedEphemeral
	warned    map[string]bool
	keepOpen  bool // the providers are closed by somebody else
}

func newPlanner(ctx context.Context, in PlanInput) *planner {
	if in.Prior == nil {
		in.Prior = states.New()
	}
	if in.Now.IsZero() {
		in.Now = time.Now()
	}
	if in.Progress == nil {
		in.Progress = func(Progress) {}
	}
	workers := in.Parallelism
	if workers <= 0 {
		workers = DefaultParallelism
	}
	return &planner{
		ctx: ctx, in: in, workers: max(workers, runtime.GOMAXPROCS(0)),
		calls:     make(chan struct{}, workers),
		refreshed: map[addrs.Object]*states.Instance{},
		adopted:   map[addrs.Object]bool{},
		pending:   map[addrs.ConfigResource]bool{},
		changesOf: map[addrs.AbsResource][]*plans.Change{},
		checks:    newCheckBook(in.Config),
		warned:    map[string]bool{},
	}
}

// run is the whole of planning, in order.
func (p *planner) run() (*plans.Plan, diag.List) {
	p.provs = newProviderSet(p.in.Config, p.in.Providers)
	p.provs.state = p.in.Prior
	p.report(p.provs.checkConfiguration(p.ctx))
	if p.failed() {
		return p.result(), p.diags
	}
	p.ev = newEvaluator(p.in.Config, p.functionContext())
	p.ev.inputs = p.in.Variables
	p.ev.rootDir, p.ev.workDir = p.in.RootDir, p.in.WorkDir
	if p.in.StateKey.Environment != "" {
		p.ev.workspace = p.in.StateKey.Environment
	}
	p.ev.skipped = p.skippedValue
	p.provs.ev = p.ev
	if !p.keepOpen {
		defer p.provs.close()
	}

	g, diags := buildGraph(p.in.Config, p.provs.schemasOrNil)
	p.report(diags)
	p.graph = g
	if p.failed() {
		return p.result(), p.diags
	}
	p.report(p.checkRootVariables())
	p.findDependencies()
	p.forceCBD = p.propagateCreateBeforeDestroy()
	p.applyMoves()
	p.selectTargets()
	if p.failed() {
		return p.result(), p.diags
	}
	if p.in.Mode == plans.Destroy {
		p.planDestroy()
	} else {
		p.resolveImports()
		p.walk()
		p.planGenerated()
		p.planOrphans()
	}
	p.closeEphemerals()
	return p.result(), p.diags
}

// functionContext builds the context every expression is evaluated in.
func (p *planner) functionContext() *hcl.EvalContext {
	table := functions.Table(functions.Options{BaseDir: p.in.WorkDir, PureOnly: true, PlanTimestamp: p.in.Now})
	return &hcl.EvalContext{Functions: withProviderFunctions(p.ctx, table, p.in.Config, p.provs)}
}

func (p *planner) report(diags diag.List) {
	if len(diags) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range diags {
		key := diagKey(d)
		if p.warned[key] {
			continue // the same value was asked for twice
		}
		p.warned[key] = true
		p.diags = append(p.diags, d)
	}
}

// diagKey identifies a diagnostic for leaving out repetitions.
func diagKey(d diag.Diagnostic) string {
	key := d.Summary + "\x00" + d.Detail + "\x00" + d.Address
	if d.Subject != nil {
		key += "\x00" + d.Subject.String()
	}
	return key
}

func (p *planner) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.diags.HasErrors()
}

// call runs a provider call under the concurrency limit.
func (p *planner) call(builtIn bool, f func()) {
	if builtIn {
		f()
		return
	}
	p.calls <- struct{}{}
	defer func() { <-p.calls }()
	f()
}

// walk visits every node of the graph, needs first.
func (p *planner) walk() {
	g := p.graph
	runGraph(p.ctx, len(g.nodes), func(i int) []int { return g.nodes[i].needs }, p.workers, func(id int) bool {
		if p.included != nil && !p.included[id] {
			p.skip(id)
			return true
		}
		return p.visit(id)
	})
	if err := p.ctx.Err(); err != nil {
		p.report(diag.Errorf("Planning was interrupted", "Planning ended before it was complete: %s. Nothing was changed.", context.Cause(p.ctx)))
	}
}

// skip marks a resource that is not planned: its value comes from the state.
func (p *planner) skip(id int) {
	n := &p.graph.nodes[id]
	if n.kind != nodeResource {
		return
	}
	scopes, _ := p.ev.scopes(n.module)
	for _, s := range scopes {
		s.resources[n.resource.Addr].absent = true
	}
}

// visit evaluates or plans one node; false halts what needs it.
func (p *planner) visit(id int) bool {
	n := &p.graph.nodes[id]
	if n.kind == nodeCallAfter || n.kind == nodeModule {
		return true
	}
	scopes, diags := p.ev.scopes(n.module)
	if diags.HasErrors() {
		p.report(diags)
		return false
	}
	ok := true
	for _, s := range scopes {
		var diags diag.List
		switch n.kind {
		case nodeVariable:
			_, diags = s.variable(n.name)
			diags = append(diags, p.checks.validateVariable(s, n.name)...)
		case nodeLocal:
			_, diags = s.local(n.name)
		case nodeOutput:
			diags = p.visitOutput(s, n.name)
		case nodeCall:
			diags = s.call(n.name).diags
		case nodeProvider:
			// Configured on first use, by whoever uses it.
		case nodeResource:
			diags = p.visitResource(id, n, s)
		case nodeCheck:
			diags = p.checks.runCheckBlock(s, s.module.Checks[n.name])
		}
		p.report(diags)
		ok = ok && !diags.HasErrors()
	}
	return ok
}

func (p *planner) visitOutput(s *scope, name string) diag.List {
	if p.in.Mode == plans.RefreshOnly {
		_, diags := s.output(name)
		return diags
	}
	out := s.module.Outputs[name]
	diags := p.checks.runOutput(s, out)
	if diags.HasErrors() {
		return diags
	}
	_, d := s.output(name)
	return append(diags, d...)
}

// visitResource plans every instance of a resource block in one module instance.
func (p *planner) visitResource(id int, n *node, s *scope) diag.List {
	rs := s.resources[n.resource.Addr]
	exp, diags := rs.expansion()
	if exp.failed {
		return diags
	}
	p.checks.expect(n.resource, rs, exp)
	results := make([]diag.List, len(exp.keys))
	parallel(len(exp.keys), p.workers, func(i int) {
		rep := exp.at(i)
		addr := rs.addr.Instance(rep.key)
		if !p.targeted(addr) {
			p.keepUntargeted(rs, addr)
			return
		}
		switch n.resource.Addr.Mode {
		case addrs.Managed:
			results[i] = p.planManaged(id, rs, rep)
		case addrs.Data:
			results[i] = p.planData(id, rs, rep)
		case addrs.Ephemeral:
			results[i] = p.openEphemeral(n, rs, rep)
		}
	})
	for i, d := range results {
		if len(d) > 0 {
			diags = append(diags, d.WithAddress(rs.addr.Instance(exp.keys[i]).String())...)
		}
	}
	return diags
}

// record adds a planned change.
func (p *planner) record(c *plans.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if prev, ok := p.moves[c.Object.Instance]; ok && c.Object.Deposed == "" {
		c.PrevAddress = prev
	}
	p.changes = append(p.changes, c)
	key := c.Object.Instance.AbsResource()
	if p.hasTriggers {
		p.changesOf[key] = append(p.changesOf[key], c)
	}
	if c.Action != plans.NoOp {
		p.pending[c.Object.Instance.Config()] = true
	}
}

// result assembles the plan from what was collected.
func (p *planner) result() *plans.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	plan := &plans.Plan{
		Mode: p.in.Mode, CreatedAt: p.in.Now, Program: p.in.Program,
		StateKey: p.in.StateKey, Lineage: p.in.Prior.Lineage, Serial: p.in.Prior.Serial,
		Targets: p.in.Targets, Excludes: p.in.Excludes, ForceReplace: p.in.ForceReplace,
		Variables: map[string]plans.Variable{}, Moves: p.moves,
		Providers: map[addrs.Provider]plans.ProviderLock{},
		Files:     p.in.Config.Files, RootDir: p.in.RootDir,
		Errored: p.diags.HasErrors(),
	}
	sort.Slice(p.changes, func(i, j int) bool { return lessObject(p.changes[i].Object, p.changes[j].Object) })
	sort.Slice(p.drift, func(i, j int) bool { return lessObject(p.drift[i].Object, p.drift[j].Object) })
	plan.Changes, plan.Drift = p.changes, p.drift
	plan.Prior, plan.Adjust = p.adjustments()
	if p.ev == nil || p.graph == nil {
		return plan
	}
	p.planVariables(plan)
	plan.Outputs = p.outputChanges()
	plan.Checks = p.checks.results()
	plan.Relevant = p.relevantAttributes(plan.Outputs)
	if !plan.Errored {
		plan.Operations = buildOperations(plan)
	}
	return plan
}

func lessObject(a, b addrs.Object) bool {
	if a.Instance != b.Instance {
		return a.Instance.Less(b.Instance)
	}
	return a.Deposed < b.Deposed
}

// adjustments folds what refreshing and moving found into the prior state, and
// lists the rows that differ from what is stored.
func (p *planner) adjustments() (*states.State, []states.Change) {
	stored, after := p.in.Prior, p.in.Prior
	var rows []states.Change
	if p.prior != nil && p.prior != stored { // something was moved
		after = p.prior.Clone()
		for obj, inst := range after.Instances {
			if _, read := p.refreshed[obj]; !read && stored.Instances[obj] != inst {
				rows = append(rows, states.Change{Object: obj, Before: stored.Instances[obj], After: inst})
			}
		}
		for obj, before := range stored.Instances {
			if _, read := p.refreshed[obj]; !read && after.Instances[obj] == nil {
				rows = append(rows, states.Change{Object: obj, Before: before})
			}
		}
	}
	for obj, inst := range p.refreshed {
		if before := stored.Instances[obj]; before != inst {
			rows = append(rows, states.Change{Object: obj, Before: before, After: inst})
		}
		if after.Instances[obj] == inst {
			continue
		}
		if after == stored {
			after = stored.Clone()
		}
		if inst == nil {
			delete(after.Instances, obj)
		} else {
			after.Instances[obj] = inst
		}
	}
	rows = p.reorder(after, rows)
	sort.Slice(rows, func(i, j int) bool { return lessObject(rows[i].Object, rows[j].Object) })
	return after, rows
}

// reorder has objects that do not change remember what the configuration makes
// them depend on now: that orders their destruction once it is gone.
func (p *planner) reorder(state *states.State, rows []states.Change) []states.Change {
	if p.in.Mode != plans.Normal {
		return rows
	}
	at := make(map[addrs.Object]int, len(rows))
	for i, row := range rows {
		at[row.Object] = i
	}
	for _, c := range p.changes {
		inst := state.Instances[c.Object]
		if c.Action != plans.NoOp || inst == nil || sameDependencies(inst.Dependencies, c.Dependencies) && inst.CreateBeforeDestroy == c.CreateBeforeDestroy {
			continue
		}
		next := *inst
		next.Dependencies, next.CreateBeforeDestroy = c.Dependencies, c.CreateBeforeDestroy
		if i, ok := at[c.Object]; ok {
			rows[i].After = &next
		} else {
			rows = append(rows, states.Change{Object: c.Object, Before: p.in.Prior.Instances[c.Object], After: &next})
		}
	}
	return rows
}

func (p *planner) planVariables(plan *plans.Plan) {
	for name, v := range p.in.Config.Root.Variables {
		val, _ := p.ev.root.variable(name)
		_, given := p.in.Variables[name]
		if v.Ephemeral {
			plan.Variables[name] = plans.Variable{Ephemeral: true, Sensitive: v.Sensitive, Given: given}
			continue
		}
		plan.Variables[name] = plans.Variable{Value: val, Sensitive: v.Sensitive, Given: given}
	}
}

// checkRootVariables reports required variables without a value and values
// without a variable.
func (p *planner) checkRootVariables() diag.List {
	var diags diag.List
	for _, name := range sortedKeys(p.in.Config.Root.Variables) {
		v := p.in.Config.Root.Variables[name]
		if _, ok := p.in.Variables[name]; !ok && v.Required() {
			diags = append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable",
				"The root module input variable %q is not set, and has no default value. Use a -var or -var-file command line argument to provide a value for this variable.", name)...)
		}
	}
	return diags
}

// propagateCreateBeforeDestroy returns the resource nodes that must create
// before they destroy: those that say so, and everything such a resource depends
// on, because the old dependency has to outlive the old dependent.
func (p *planner) propagateCreateBeforeDestroy() map[int]bool {
	forced := map[int]bool{}
	var force func(id int)
	force = func(id int) {
		if forced[id] {
			return
		}
		forced[id] = true
		for _, dep := range p.graph.resourcesBehind(id) {
			force(dep)
		}
	}
	for id := range p.graph.nodes {
		n := &p.graph.nodes[id]
		if n.kind == nodeResource && n.resource.CreateBeforeDestroy != nil && *n.resource.CreateBeforeDestroy {
			force(id)
		}
	}
	return forced
}

// findDependencies computes the dependencies of every resource before the walk,
// which only reads them.
func (p *planner) findDependencies() {
	p.deps = make([][]addrs.ConfigResource, len(p.graph.nodes))
	p.explicit = make([][]int, len(p.graph.nodes))
	for id := range p.graph.nodes {
		if p.graph.nodes[id].kind != nodeResource {
			continue
		}
		p.deps[id] = configDependencies(p.graph, id)
		p.explicit[id] = p.graph.explicitBehind(id)
		p.hasTriggers = p.hasTriggers || len(p.graph.nodes[id].resource.ReplaceTriggeredBy) > 0
	}
}

// configDependencies returns the direct dependencies of a resource node for
// state: sorted, with those behind ephemeral resources in their place.
func configDependencies(g *graph, id int) []addrs.ConfigResource {
	ids := g.resourcesBehind(id)
	if len(ids) == 0 {
		return nil
	}
	out := make([]addrs.ConfigResource, 0, len(ids))
	for _, dep := range ids {
		r := g.nodes[dep].resource
		if r.Addr.Mode == addrs.Ephemeral {
			out = append(out, configDependencies(g, dep)...)
			continue
		}
		out = append(out, r.ConfigAddr())
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// progress reports the start of something on an object and returns a function
// to report its end.
func (p *planner) progress(start, end ProgressKind, obj addrs.Object, idKey, idValue string) func() {
	p.in.Progress(Progress{Kind: start, Object: obj, IDKey: idKey, IDValue: idValue})
	began := time.Now()
	return func() {
		p.in.Progress(Progress{Kind: end, Object: obj, IDKey: idKey, IDValue: idValue, Elapsed: time.Since(began)})
	}
}

// skippedValue is the value of a resource that -target leaves out, or that is
// looked at while destroying: what the state has.
func (p *planner) skippedValue(addr addrs.AbsResource) cty.Value {
	return p.provs.stateValue(p.ctx, addr)
}

// importTarget is one resolved import block entry.
type importTarget struct {
	id       string
	identity cty.Value
	rng      hcl.Range
	local    *addrs.LocalProviderConfig
	module   addrs.Module
}
