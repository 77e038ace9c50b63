package engine

import (
	"context"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Apply carries out the operations of one plan. Whoever drives it calls Do for
// an operation once all its needs are done, in any order and from several
// goroutines otherwise, records every Outcome, and calls Finish at the end.
type Apply struct {
	in    ApplyInput
	plan  *plans.Plan
	ev    *evaluator
	graph *graph
	provs *providerSet
	node  map[addrs.ConfigResource]int

	checks *checkBook

	mu      sync.Mutex
	current map[addrs.Object]*states.Instance
	byAddr  map[addrs.ResourceInstance]int // change that plans the current object
	done    map[int]bool                   // changes whose object has its final value
	// unprovisioned are changes whose provisioners are not to be run.
	unprovisioned map[int]bool
	opened        []*openedEphemeral
	late          diag.List // from renewals
	closing       context.CancelFunc
	lifetime      context.Context
}

// NewApply prepares applying a plan: evaluation scopes, graph and providers
// (started when first needed). The configuration must be the plan's.
func NewApply(ctx context.Context, in ApplyInput) (*Apply, diag.List) {
	if in.Progress == nil {
		in.Progress = func(Progress) {}
	}
	a := &Apply{
		in: in, plan: in.Plan, checks: newCheckBook(in.Config),
		current: make(map[addrs.Object]*states.Instance, len(in.Plan.Prior.Instances)),
		byAddr:  make(map[addrs.ResourceInstance]int, len(in.Plan.Changes)),
		done:    map[int]bool{},

		unprovisioned: map[int]bool{},
	}
	for obj, inst := range in.Plan.Prior.Instances {
		a.current[obj] = inst
	}
	for i, c := range in.Plan.Changes {
		if c.Object.Deposed == "" {
			a.byAddr[c.Object.Instance] = i
		}
	}
	a.lifetime, a.closing = context.WithCancel(context.WithoutCancel(ctx))
	a.provs = newProviderSet(in.Config, in.Providers)
	a.provs.state, a.provs.applying = in.Plan.Prior, true
	table := functions.Table(functions.Options{BaseDir: in.WorkDir, PlanTimestamp: in.Plan.CreatedAt})
	a.ev = newEvaluator(in.Config, &hcl.EvalContext{Functions: withProviderFunctions(ctx, table, in.Config, a.provs)})
	a.ev.applying = cty.True
	a.ev.rootDir, a.ev.workDir = in.Plan.RootDir, in.WorkDir
	if in.Plan.StateKey.Environment != "" {
		a.ev.workspace = in.Plan.StateKey.Environment
	}
	inputs, diags := a.inputs()
	if diags.HasErrors() {
		return nil, a.giveUp(diags)
	}
	a.ev.inputs = inputs
	a.ev.lookup = a.lookup
	a.ev.skipped = func(addr addrs.AbsResource) cty.Value { return a.provs.stateValue(ctx, addr) }
	a.ev.allAbsent = in.Plan.Mode == plans.Destroy
	a.provs.ev = a.ev
	g, d := buildGraph(in.Config, a.provs.schemasOrNil)
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, a.giveUp(diags)
	}
	a.graph = g
	a.node = make(map[addrs.ConfigResource]int, len(g.nodes))
	for id := range g.nodes {
		if n := &g.nodes[id]; n.kind == nodeResource {
			a.node[n.resource.ConfigAddr()] = id
		}
	}
	d = a.judgeDeferred()
	diags = append(diags, d...)
	if d.HasErrors() {
		return nil, a.giveUp(diags)
	}
	return a, diags
}

// giveUp ends what was begun before any operation.
func (a *Apply) giveUp(because diag.List) diag.List {
	a.closing()
	a.provs.close()
	return because
}

// Operations returns the plan's operations.
func (a *Apply) Operations() []plans.Operation { return a.plan.Operations }

// Idempotent reports whether an operation has no effect outside the state, so
// that it may simply run again after a crash.
func (a *Apply) Idempotent(operation int) bool {
	op := a.plan.Operations[operation]
	switch op.Kind {
	case plans.OpGate, plans.OpForget, plans.OpRead:
		return true
	}
	c := a.plan.Changes[op.Change]
	if !c.Provider.Provider.IsBuiltIn() {
		return false
	}
	if r := a.in.Config.Resource(c.Object.Instance.Config()); r != nil && len(r.Provisioners) > 0 {
		return false
	}
	return true
}

// Do carries out one operation. A cancelled context asks it to end early; what
// is known by then is in the outcome.
func (a *Apply) Do(ctx context.Context, operation int) Outcome {
	op := a.plan.Operations[operation]
	if op.Kind == plans.OpGate {
		return Outcome{}
	}
	c := a.plan.Changes[op.Change]
	var out Outcome
	switch op.Kind {
	case plans.OpCreate, plans.OpUpdate:
		out = a.write(ctx, op.Change, c, op.Kind == plans.OpCreate)
	case plans.OpDelete:
		out = a.remove(ctx, c)
	case plans.OpRead:
		out = a.read(ctx, op.Change, c)
	case plans.OpForget:
		out = a.forget(c)
	}
	out.Diags = out.Diags.WithAddress(c.Object.Instance.String())
	a.take(out.Rows)
	return out
}

// Restore puts back what an operation that ended before a crash had written.
func (a *Apply) Restore(operation int, rows []states.Change) {
	op := a.plan.Operations[operation]
	a.take(rows)
	if op.Kind == plans.OpCreate || op.Kind == plans.OpUpdate || op.Kind == plans.OpRead {
		a.mu.Lock()
		a.done[op.Change] = true
		a.mu.Unlock()
		a.tellGuard(a.plan.Changes[op.Change])
	}
}

// tellGuard tells what became of an object before a crash.
func (a *Apply) tellGuard(c *plans.Change) {
	inst := a.object(addrs.Object{Instance: c.Object.Instance})
	if a.in.Guard == nil || inst == nil {
		return
	}
	if o, diags := a.provs.decodeFor(a.lifetime, inst, c.Provider.Provider); !diags.HasErrors() {
		a.in.Guard.After(c, o.value)
	}
}

// take updates what is known about objects.
func (a *Apply) take(rows []states.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, row := range rows {
		if row.After == nil {
			delete(a.current, row.Object)
		} else {
			a.current[row.Object] = row.After
		}
	}
}

func (a *Apply) object(obj addrs.Object) *states.Instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current[obj]
}

// finished records the final value of a change's object for references to it.
func (a *Apply) finished(change int, rs *resourceScope, key addrs.InstanceKey, v cty.Value) {
	a.mu.Lock()
	a.done[change] = true
	a.mu.Unlock()
	rs.set(key, v)
}

// lookup gives the evaluator the value of an instance it has none for: an
// ephemeral resource is opened; an unchanged object has its planned value; any
// other has what the state says now.
func (a *Apply) lookup(rs *resourceScope, rep repetition) (cty.Value, diag.List) {
	addr := rs.addr.Instance(rep.key)
	if addr.Resource.Mode == addrs.Ephemeral {
		return a.open(rs, rep)
	}
	a.mu.Lock()
	i, planned := a.byAddr[addr]
	done := a.done[i]
	inst := a.current[addrs.Object{Instance: addr}]
	a.mu.Unlock()
	if planned && !done {
		c := a.plan.Changes[i]
		if c.Action == plans.NoOp {
			return c.After, nil
		}
		return cty.DynamicVal, nil // failed or not reached
	}
	if inst == nil {
		return cty.DynamicVal, nil
	}
	o, diags := a.provs.decodeFor(a.lifetime, inst, rs.config.Provider)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return o.value, diags
}

// open opens an ephemeral resource and keeps it renewed until Finish.
func (a *Apply) open(rs *resourceScope, rep repetition) (cty.Value, diag.List) {
	id := a.node[rs.config.ConfigAddr()]
	value, opened, diags := openEphemeral(a.lifetime, a.provs, a.in.Progress, a.graph.nodes[id].refs, rs, rep)
	if opened == nil {
		return value, diags
	}
	ctx, cancel := context.WithCancel(a.lifetime)
	opened.cancel = cancel
	a.mu.Lock()
	a.opened = append(a.opened, opened)
	a.mu.Unlock()
	go opened.renew(ctx, func(d diag.List) {
		a.mu.Lock()
		a.late = append(a.late, d...)
		a.mu.Unlock()
	})
	return value, diags
}

// Stop asks the providers to end running operations early.
func (a *Apply) Stop(ctx context.Context) { a.provs.stop(ctx) }

// Finish evaluates outputs and checks with the final values, closes what is
// open and gives the providers back. Values that depend on something that
// failed keep what was stored before.
func (a *Apply) Finish(ctx context.Context) Final {
	out := Final{Outputs: map[string]*states.Output{}}
	if a.plan.Mode != plans.Destroy {
		a.finishOutputs(&out)
		a.finishChecks(&out)
	}
	for i := len(a.opened) - 1; i >= 0; i-- {
		out.Diags = append(out.Diags, a.opened[i].close(context.WithoutCancel(ctx))...)
	}
	a.opened = nil
	a.closing()
	a.mu.Lock()
	out.Diags = append(out.Diags, a.late...)
	a.mu.Unlock()
	a.provs.close()
	return out
}

func (a *Apply) finishOutputs(out *Final) {
	for _, change := range a.plan.Outputs {
		decl := a.in.Config.Root.Outputs[change.Name]
		if decl == nil {
			continue // deleted
		}
		final := *change
		val, diags := a.ev.root.output(change.Name)
		bare, _ := val.UnmarkDeep()
		if diags.HasErrors() || !bare.IsWhollyKnown() {
			if stored := a.plan.Prior.Outputs[change.Name]; stored != nil {
				out.Outputs[change.Name] = stored
			}
			if diags.HasErrors() {
				out.Diags = append(out.Diags, diags...)
			}
			continue
		}
		out.Diags = append(out.Diags, a.checks.runOutput(a.ev.root, decl)...)
		final.After = val
		out.Changes = append(out.Changes, &final)
		if bare.IsNull() {
			continue
		}
		stored, err := makeOutput(val, decl.Sensitive)
		if err != nil {
			out.Diags = append(out.Diags, diag.ErrorAt(decl.DeclRange, "Cannot store output", "The value of output %q cannot be stored: %s.", change.Name, err)...)
			continue
		}
		out.Outputs[change.Name] = stored
	}
	for name, stored := range a.plan.Prior.Outputs {
		// With -target some outputs are not planned: they stay as they are.
		if _, planned := out.Outputs[name]; !planned && a.in.Config.Root.Outputs[name] != nil && !a.outputPlanned(name) {
			out.Outputs[name] = stored
		}
	}
}

func (a *Apply) outputPlanned(name string) bool {
	for _, c := range a.plan.Outputs {
		if c.Name == name {
			return true
		}
	}
	return false
}

func makeOutput(val cty.Value, sensitive bool) (*states.Output, error) {
	sensitive = sensitive || marks.Contains(val, marks.Sensitive)
	bare, _ := val.UnmarkDeep()
	ty, err := ctyjson.MarshalType(bare.Type())
	if err != nil {
		return nil, err
	}
	v, err := ctyjson.Marshal(bare, bare.Type())
	if err != nil {
		return nil, err
	}
	return &states.Output{Value: v, Type: ty, Sensitive: sensitive}, nil
}

// finishChecks evaluates check blocks with final values and carries over the
// outcomes of conditions that were settled while planning.
func (a *Apply) finishChecks(out *Final) {
	if a.plan.Mode == plans.Normal {
		for _, path := range sortedModules(a.in.Config) {
			m := a.in.Config.Modules[path]
			if len(m.Checks) == 0 {
				continue
			}
			scopes, _ := a.ev.scopes(m)
			for _, s := range scopes {
				for _, name := range sortedKeys(m.Checks) {
					out.Diags = append(out.Diags, a.checks.runCheckBlock(s, m.Checks[name])...)
				}
			}
		}
	}
	planned := map[checkKey]plans.CheckResult{}
	for _, r := range a.plan.Checks {
		planned[checkKey{r.Kind, r.Module, r.Name}] = r
	}
	for _, r := range a.checks.results() {
		if before, ok := planned[checkKey{r.Kind, r.Module, r.Name}]; ok && len(r.Instances) < len(before.Instances) {
			r = mergeChecks(before, r)
		}
		out.Checks = append(out.Checks, r)
	}
}

// mergeChecks takes the later outcome of every instance.
func mergeChecks(before, after plans.CheckResult) plans.CheckResult {
	later := map[checkInstanceKey]plans.CheckInstance{}
	for _, ci := range after.Instances {
		later[checkInstanceKey{ci.Module, ci.Key}] = ci
	}
	out := before
	out.Instances = nil
	status := plans.CheckStatus("")
	for _, ci := range before.Instances {
		if l, ok := later[checkInstanceKey{ci.Module, ci.Key}]; ok {
			ci = l
		}
		status = worst(status, ci.Status)
		out.Instances = append(out.Instances, ci)
	}
	if status != "" {
		out.Status = status
	}
	return out
}
