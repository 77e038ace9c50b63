package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// maxAtOnce bounds how many stacks are planned or applied at once.
const maxAtOnce = 8

// share divides what may be done in parallel among stacks: how many of them are
// at work at once, and how much each may do.
func (e *ensemble) share(parallelism int) (atOnce, each int) {
	atOnce = max(1, min(maxAtOnce, parallelism, e.graph.Width(e.names)))
	return atOnce, max(1, parallelism/atOnce)
}

// ensembleOperation is one command that plans or applies several stacks.
type ensembleOperation struct {
	*ensemble
	app    *App
	view   operationView
	shared *stacks.Plan           // what was planned, or read from a file
	plans  map[string]*loadedPlan // by stack
	judged *judged                // see judge
	// named says that somebody chose the stacks by name.
	named bool
	// by is the run that it is done for; the zero value: what somebody asked for here.
	by runs.StackRequest
}

// openEnsembleOperation opens the project where several stacks, or none by name,
// are to be planned together; nil where an operation on one directory is meant.
func (a *App) openEnsembleOperation(asJSON bool) (*ensembleOperation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	e, diags := a.openEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	if len(e.names) == 1 {
		a.found = e // for the operation on one directory
		a.show(diags)
		return nil, nil
	}
	a.show(append(diags, e.stray()...))
	return &ensembleOperation{ensemble: e, app: a, view: a.operationView(asJSON), plans: map[string]*loadedPlan{}, named: len(a.stacks) > 0}, nil
}

// member opens a stack for an operation.
func (o *ensembleOperation) operation(name string) *operation {
	return &operation{project: o.member(name), view: o.view.forStack(name), actor: o.by.Actor, authority: o.by.Authority, overrides: o.by.Overrides}
}

// operations are those on all stacks selected.
func (o *ensembleOperation) operations() []*operation {
	var out []*operation
	for _, name := range o.names {
		out = append(out, o.operation(name))
	}
	return out
}

// foretell shows what policy says of the plans; see [operation.foretell].
func (o *ensembleOperation) foretell(ctx context.Context, kind string) diag.List {
	var diags diag.List
	for _, op := range o.operations() {
		d := op.foretell(ctx, o.plans[op.stack], runOptions{kind: kind, parent: o.by.Parent})
		diags = append(diags, inStack(op.stack, d)...)
	}
	return diags
}

// may refuses what the roles do not allow on one of the stacks selected.
func (o *ensembleOperation) may(verb access.Verb) diag.List {
	var diags diag.List
	for _, name := range o.names {
		op := o.operation(name)
		who, _ := op.who()
		diags = append(diags, o.app.mayBe(who, verb, o.environment, op.stack, "")...)
	}
	return diags
}

// plan plans all stacks selected, each from what is planned for those before it.
// Stacks whose upstream could not be planned are left out.
func (o *ensembleOperation) plan(ctx context.Context, po *planOptions, kind string) diag.List {
	if diags := o.may(access.Plan); diags.HasErrors() {
		return diags
	}
	requests, mode, diags := o.requests(po)
	if diags.HasErrors() {
		return diags
	}
	scope, d := o.scope(ctx, &po.variableOptions)
	if diags = append(diags, d...); diags.HasErrors() {
		return diags
	}
	if diags = append(diags, o.check(scope)...); diags.HasErrors() {
		return diags
	}
	priors, moves, d := o.priors(ctx, mode)
	if diags = append(diags, d...); diags.HasErrors() {
		return diags
	}
	run := &planning{o: o, ctx: ctx, po: po, requests: requests, mode: mode, scope: scope, priors: priors, moves: moves, configs: map[string]*configs.Config{}}
	diags = append(diags, run.load()...)
	if diags.HasErrors() {
		return diags
	}
	diags = append(diags, run.all()...)
	o.view.settle()
	o.shared = &stacks.Plan{Environment: o.root.environment, Kind: kind, Created: time.Now().UTC(), Program: programVersion(), Moves: moves, Outputs: map[string][]string{}}
	o.shared.SetProject(o.declared, o.variables)
	for name, m := range o.modules {
		o.shared.Outputs[name] = sortedKeys(m.Outputs)
	}
	return diags
}

// finish makes one plan of those of the stacks, in the order they are applied.
func (o *ensembleOperation) finish(mode plans.Mode) diag.List {
	needs := o.graph.Among(o.names)
	order := slices.Clone(o.names)
	if mode == plans.Destroy {
		slices.Reverse(order)
		needs = reversedNeeds(o.names, needs)
	}
	var diags diag.List
	o.shared.Stacks = nil
	for _, name := range order {
		l := o.plans[name]
		if d := l.encode(o.root.keyring); d.HasErrors() {
			diags = append(diags, d...)
			continue
		}
		o.shared.Stacks = append(o.shared.Stacks, stacks.StackPlan{Name: name, Needs: needs[name], Digest: l.plan.Digest, Encoded: l.encoded})
	}
	return diags
}

// encode fills in the digest of the plan and returns its bytes.
func (o *ensembleOperation) encode() ([]byte, diag.List) {
	data, err := o.shared.Encode(o.root.keyring)
	return data, diag.FromError(err)
}

// requests says what is asked of each stack. Addresses name it: stack.NAME.ADDRESS.
// Where targets are given, stacks without any are left out, unless they were
// named.
func (o *ensembleOperation) requests(po *planOptions) (map[string]planRequest, plans.Mode, diag.List) {
	if po.generateConfigOut != "" {
		return nil, 0, diag.Errorf("Which stack?", "Option -generate-config-out writes the configuration of one stack: choose it with -stack=NAME.")
	}
	plain := *po
	plain.targets, plain.excludes, plain.replaces = nil, nil, nil
	general, diags := plain.request()
	byStack := map[string]*planOptions{}
	for _, name := range o.names {
		one := plain
		byStack[name] = &one
	}
	split := func(option string, list []string, put func(*planOptions, string)) {
		for _, s := range list {
			stack, address, ok := stackAddress(s)
			switch {
			case !ok:
				diags = append(diags, diag.Errorf("Address without a stack", "Option %s: %q does not say in which stack. Write stack.NAME.%s, or choose one stack with -stack=NAME.", option, s, s)...)
			case byStack[stack] == nil:
				diags = append(diags, diag.Errorf("No such stack", "Option %s: the stack %q is not among those that are planned: %s.", option, stack, strings.Join(o.names, ", "))...)
			default:
				put(byStack[stack], address)
			}
		}
	}
	split("-target", po.targets, func(p *planOptions, s string) { p.targets = append(p.targets, s) })
	split("-exclude", po.excludes, func(p *planOptions, s string) { p.excludes = append(p.excludes, s) })
	split("-replace", po.replaces, func(p *planOptions, s string) { p.replaces = append(p.replaces, s) })
	out := map[string]planRequest{}
	var kept []string
	for _, name := range o.names {
		if len(po.targets) > 0 && len(byStack[name].targets) == 0 && !o.named {
			continue
		}
		req, d := byStack[name].request()
		diags = append(diags, d...)
		out[name] = req
		kept = append(kept, name)
	}
	o.names = kept
	return out, general.mode, diags
}

// stackAddress takes an address apart that names its stack.
func stackAddress(s string) (stack, address string, ok bool) {
	rest, ok := strings.CutPrefix(s, "stack.")
	if !ok {
		return "", s, false
	}
	stack, address, ok = strings.Cut(rest, ".")
	return stack, address, ok
}

// priors are the states to plan from: as they will be once objects have moved
// between stacks.
func (o *ensembleOperation) priors(ctx context.Context, mode plans.Mode) (map[string]*states.State, []states.Transfer, diag.List) {
	names := slices.Clone(o.names)
	for _, m := range o.declared.Moves {
		names = append(names, m.FromStack, m.ToStack)
	}
	slices.Sort(names)
	priors, diags := o.states(ctx, slices.Compact(names), mode)
	if diags.HasErrors() || mode == plans.RefreshOnly {
		return priors, nil, diags
	}
	moved, moves, d := stacks.PlanMoves(o.declared, o.root.environment, priors)
	diags = append(diags, d...)
	return moved, moves, append(diags, apart(moves, o.names)...)
}

// apart reports objects that move between stacks of which only one is planned.
func apart(moves []states.Transfer, names []string) diag.List {
	var diags diag.List
	for _, t := range moves {
		if slices.Contains(names, t.From.Stack) != slices.Contains(names, t.To.Stack) {
			diags = append(diags, diag.Errorf("Object moves between stacks", "%s of stack %q moves to stack %q: plan both together, with -stack=%[2]s -stack=%[3]s.", t.Object, t.From.Stack, t.To.Stack)...)
		}
	}
	return diags
}

// pendingMoves reports objects that are to move into or out of a stack which is
// planned alone.
func (e *ensemble) pendingMoves(ctx context.Context, name string) diag.List {
	var names []string
	for _, m := range e.declared.Moves {
		if m.FromStack == name || m.ToStack == name {
			names = append(names, m.FromStack, m.ToStack)
		}
	}
	slices.Sort(names)
	priors, diags := e.states(ctx, slices.Compact(names), plans.Destroy)
	if diags.HasErrors() || len(priors) == 0 {
		return diags
	}
	_, moves, d := stacks.PlanMoves(e.declared, e.environment, priors)
	return append(append(diags, d...), apart(moves, []string{name})...)
}

// planning is the work of planning several stacks.
type planning struct {
	o        *ensembleOperation
	ctx      context.Context
	po       *planOptions
	requests map[string]planRequest
	mode     plans.Mode
	scope    *stacks.Scope
	priors   map[string]*states.State
	moves    []states.Transfer
	configs  map[string]*configs.Config

	mu      sync.Mutex
	reading sync.Mutex // of states of stacks that are not planned
	diags   map[string]diag.List
}

// load reads the configurations.
func (p *planning) load() diag.List {
	var diags diag.List
	for _, name := range p.o.names {
		cfg, d := p.o.member(name).config(p.ctx)
		diags = append(diags, d...)
		p.configs[name] = cfg
	}
	return diags
}

// all plans the stacks, several at a time, each after those it needs.
func (p *planning) all() diag.List {
	p.diags = map[string]diag.List{}
	done := map[string]chan struct{}{}
	for _, name := range p.o.names {
		done[name] = make(chan struct{})
	}
	atOnce, each := p.o.share(p.po.parallelism)
	po := *p.po
	po.parallelism = each
	p.po = &po
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for _, name := range p.o.names {
		wait.Go(func() {
			defer close(done[name])
			for _, need := range p.o.graph.Needs[name] {
				if done[need] != nil {
					<-done[need]
				}
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			loaded, diags := p.one(name)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.diags[name] = inStack(name, diags)
			if loaded != nil {
				p.o.plans[name] = loaded
			}
		})
	}
	wait.Wait()
	var diags diag.List
	for _, name := range p.o.names {
		diags = append(diags, p.diags[name]...)
	}
	return diags
}

// errSkipped says that a stack was not planned because another one was not.
var errSkipped = errors.New("a stack before it could not be planned")

func (p *planning) one(name string) (*loadedPlan, diag.List) {
	if p.blocked(name) {
		return nil, diag.Warningf("Stack was not planned", "The stack %q was not planned: %s.", name, errSkipped)
	}
	op := p.o.operation(name)
	values, diags := op.stackInputs(p.configs[name], p.scope, p.outputs(name))
	if diags.HasErrors() {
		return nil, diags
	}
	loaded, d := op.makePlan(p.ctx, op.inputFrom(p.configs[name], values, p.priors[name], p.requests[name], p.po))
	return loaded, append(diags, d...)
}

// blocked reports whether a stack that comes before could not be planned.
func (p *planning) blocked(name string) bool {
	if p.mode == plans.Destroy {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, need := range p.o.graph.Needs[name] {
		if slices.Contains(p.o.names, need) && (p.o.plans[need] == nil || p.o.plans[need].plan.Errored) {
			return true
		}
	}
	return false
}

// outputs gives what a stack sees of others: what their plans say, or their
// states where they are not planned along or are to be destroyed later.
func (p *planning) outputs(user string) func(string) (cty.Value, diag.List) {
	stored := p.o.fromState(p.ctx, user, p.mode)
	return func(name string) (cty.Value, diag.List) {
		p.mu.Lock()
		upstream := p.o.plans[name]
		p.mu.Unlock()
		if upstream == nil || p.mode != plans.Normal {
			p.reading.Lock()
			defer p.reading.Unlock()
			return stored(name)
		}
		values, err := upstream.plan.PlannedOutputs()
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		m, diags := p.o.module(name)
		return plans.OutputsObject(values, sortedKeys(m.Outputs)), diags
	}
}

// totals sums up what is planned.
func (o *ensembleOperation) totals() plans.Counts {
	var n plans.Counts
	for _, l := range o.plans {
		c := l.plan.Count()
		n.Add, n.Change, n.Destroy, n.Import, n.Forget, n.Move = n.Add+c.Add, n.Change+c.Change, n.Destroy+c.Destroy, n.Import+c.Import, n.Forget+c.Forget, n.Move+c.Move
	}
	n.Move += len(o.shared.Moves)
	return n
}

// changes reports whether anything is planned at all.
func (o *ensembleOperation) changes() bool {
	for _, l := range o.plans {
		if l.plan.HasChanges() {
			return true
		}
	}
	return o.shared != nil && len(o.shared.Moves) > 0
}

// show shows the plans in the order they are applied, and what they come to.
func (o *ensembleOperation) show(ctx context.Context, mode plans.Mode, diags diag.List) {
	order := slices.Clone(o.names)
	if mode == plans.Destroy {
		slices.Reverse(order)
	}
	for _, name := range order {
		l := o.plans[name]
		if l == nil || diags.HasErrors() && l.plan.Errored && len(l.plan.Changes) == 0 {
			continue
		}
		o.view.stack(name, o.shared.Moves)
		o.view.forStack(name).plan(ctx, o.operation(name), l)
	}
	if !diags.HasErrors() {
		o.view.total(len(order), o.totals(), "plan")
		if j := o.judge(ctx); j.worthTelling() {
			o.view.cost(j)
		}
	}
}

// summary says in a line what the plans do.
func (o *ensembleOperation) summary() string {
	n := o.totals()
	return fmt.Sprintf("%d stacks: %d to add, %d to change, %d to destroy", len(o.names), n.Add, n.Change, n.Destroy)
}
