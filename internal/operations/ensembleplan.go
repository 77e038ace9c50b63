package operations

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
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// maxAtOnce bounds how many stacks are planned or applied at once.
const maxAtOnce = 8

// Share divides what may be done in parallel among stacks: how many of them are
// at work at once, and how much each may do.
func Share(e *project.Ensemble, parallelism int) (atOnce, each int) {
	atOnce = max(1, min(maxAtOnce, parallelism, e.Graph.Width(e.Names)))
	return atOnce, max(1, parallelism/atOnce)
}

// EnsembleOperation is one command that plans or applies several stacks.
type EnsembleOperation struct {
	*project.Ensemble
	Session *project.Session
	View    View
	Shared  *stacks.Plan          // what was planned, or read from a file
	Plans   map[string]*gate.Plan // by stack
	judged  *gate.Costs           // see judge
	// Named says that somebody chose the stacks by name.
	Named bool
	// by is the run that it is done for; the zero value: what somebody asked for here.
	by runs.StackRequest
	// looks says that the plans are only looked at: see [gate.Case.Look].
	looks bool
}

// Operation is one on a stack.
func (o *EnsembleOperation) Operation(name string) *Operation {
	one := newBy(o.Member(name), o.View.ForStack(name), o.by.Actor, o.by.Authority, o.by.Overrides)
	if o.looks {
		one.Look()
	}
	return one
}

// Cases are those on all stacks selected.
func (o *EnsembleOperation) Cases() []*gate.Case {
	var out []*gate.Case
	for _, name := range o.Names {
		out = append(out, &o.Operation(name).Case)
	}
	return out
}

// foretell shows what policy says of the plans; see [gate.Case.Foretell].
func (o *EnsembleOperation) foretell(ctx context.Context, kind string) diag.List {
	var diags diag.List
	for _, name := range o.Names {
		d := o.Operation(name).Foretell(ctx, o.Plans[name], gate.Request{Kind: kind, Parent: o.by.Parent})
		diags = append(diags, project.InStack(name, d)...)
	}
	return diags
}

// May refuses what the roles do not allow on one of the stacks selected.
func (o *EnsembleOperation) May(verb access.Verb) diag.List {
	var diags diag.List
	for _, name := range o.Names {
		op := o.Operation(name)
		who, _ := op.Who()
		diags = append(diags, o.Session.MayBe(who, verb, o.Environment, op.Stack, "")...)
	}
	return diags
}

// Plan plans all stacks selected, each from what is planned for those before it.
// Stacks whose upstream could not be planned are left out.
func (o *EnsembleOperation) Plan(ctx context.Context, po *PlanOptions, kind string) diag.List {
	if diags := o.May(access.Plan); diags.HasErrors() {
		return diags
	}
	requests, mode, diags := o.requests(po)
	if diags.HasErrors() {
		return diags
	}
	scope, d := o.Scope(ctx, &po.VariableOptions)
	if diags = append(diags, d...); diags.HasErrors() {
		return diags
	}
	if diags = append(diags, o.Check(scope)...); diags.HasErrors() {
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
	o.View.Settle()
	o.Shared = &stacks.Plan{Environment: o.Root.Environment, Kind: kind, Created: time.Now().UTC(), Program: project.ProgramVersion(), Moves: moves, Outputs: o.OutputNames()}
	o.Shared.SetProject(o.Declared, o.Variables)
	return diags
}

// Finish makes one plan of those of the stacks, in the order they are applied.
func (o *EnsembleOperation) Finish(mode plans.Mode) diag.List {
	needs := o.Graph.Among(o.Names)
	order := slices.Clone(o.Names)
	if mode == plans.Destroy {
		slices.Reverse(order)
		needs = ReversedNeeds(o.Names, needs)
	}
	var diags diag.List
	o.Shared.Stacks = nil
	for _, name := range order {
		l := o.Plans[name]
		if d := l.Encode(o.Root.Keyring); d.HasErrors() {
			diags = append(diags, d...)
			continue
		}
		o.Shared.Stacks = append(o.Shared.Stacks, stacks.StackPlan{Name: name, Needs: needs[name], Digest: l.Plan.Digest, Encoded: l.Encoded})
	}
	return diags
}

// Encode fills in the digest of the plan and returns its bytes.
func (o *EnsembleOperation) Encode() ([]byte, diag.List) {
	data, err := o.Shared.Encode(o.Root.Keyring)
	return data, diag.FromError(err)
}

// requests says what is asked of each stack. Addresses name it: stack.NAME.ADDRESS.
// Where targets are given, stacks without any are left out, unless they were
// named.
func (o *EnsembleOperation) requests(po *PlanOptions) (map[string]PlanRequest, plans.Mode, diag.List) {
	if po.GenerateConfigOut != "" {
		return nil, 0, diag.Errorf("Which stack?", "Option -generate-config-out writes the configuration of one stack: choose it with -stack=NAME.")
	}
	plain := *po
	plain.Targets, plain.Excludes, plain.Replaces = nil, nil, nil
	general, diags := plain.Request()
	byStack := map[string]*PlanOptions{}
	for _, name := range o.Names {
		one := plain
		byStack[name] = &one
	}
	split := func(option string, list []string, put func(*PlanOptions, string)) {
		for _, s := range list {
			stack, address, ok := StackAddress(s)
			switch {
			case !ok:
				diags = append(diags, diag.Errorf("Address without a stack", "Option %s: %q does not say in which stack. Write stack.NAME.%s, or choose one stack with -stack=NAME.", option, s, s)...)
			case byStack[stack] == nil:
				diags = append(diags, diag.Errorf("No such stack", "Option %s: the stack %q is not among those that are planned: %s.", option, stack, strings.Join(o.Names, ", "))...)
			default:
				put(byStack[stack], address)
			}
		}
	}
	split("-target", po.Targets, func(p *PlanOptions, s string) { p.Targets = append(p.Targets, s) })
	split("-exclude", po.Excludes, func(p *PlanOptions, s string) { p.Excludes = append(p.Excludes, s) })
	split("-replace", po.Replaces, func(p *PlanOptions, s string) { p.Replaces = append(p.Replaces, s) })
	out := map[string]PlanRequest{}
	var kept []string
	for _, name := range o.Names {
		if len(po.Targets) > 0 && len(byStack[name].Targets) == 0 && !o.Named {
			continue
		}
		req, d := byStack[name].Request()
		diags = append(diags, d...)
		out[name] = req
		kept = append(kept, name)
	}
	o.Names = kept
	return out, general.mode, diags
}

// StackAddress takes an address apart that names its stack.
func StackAddress(s string) (stack, address string, ok bool) {
	rest, ok := strings.CutPrefix(s, "stack.")
	if !ok {
		return "", s, false
	}
	stack, address, ok = strings.Cut(rest, ".")
	return stack, address, ok
}

// priors are the states to plan from: as they will be once objects have moved
// between stacks.
func (o *EnsembleOperation) priors(ctx context.Context, mode plans.Mode) (map[string]*states.State, []states.Transfer, diag.List) {
	names := slices.Clone(o.Names)
	for _, m := range o.Declared.Moves {
		names = append(names, m.FromStack, m.ToStack)
	}
	slices.Sort(names)
	priors, diags := o.States(ctx, slices.Compact(names), mode)
	if diags.HasErrors() || mode == plans.RefreshOnly {
		return priors, nil, diags
	}
	moved, moves, d := stacks.PlanMoves(o.Declared, o.Root.Environment, priors)
	diags = append(diags, d...)
	return moved, moves, append(diags, apart(moves, o.Names)...)
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
func pendingMoves(ctx context.Context, e *project.Ensemble, name string) diag.List {
	var names []string
	for _, m := range e.Declared.Moves {
		if m.FromStack == name || m.ToStack == name {
			names = append(names, m.FromStack, m.ToStack)
		}
	}
	slices.Sort(names)
	priors, diags := e.States(ctx, slices.Compact(names), plans.Destroy)
	if diags.HasErrors() || len(priors) == 0 {
		return diags
	}
	_, moves, d := stacks.PlanMoves(e.Declared, e.Environment, priors)
	return append(append(diags, d...), apart(moves, []string{name})...)
}

// planning is the work of planning several stacks.
type planning struct {
	o        *EnsembleOperation
	ctx      context.Context
	po       *PlanOptions
	requests map[string]PlanRequest
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
	for _, name := range p.o.Names {
		cfg, d := p.o.Member(name).Config(p.ctx)
		diags = append(diags, d...)
		p.configs[name] = cfg
	}
	return diags
}

// all plans the stacks, several at a time, each after those it needs.
func (p *planning) all() diag.List {
	p.diags = map[string]diag.List{}
	done := map[string]chan struct{}{}
	for _, name := range p.o.Names {
		done[name] = make(chan struct{})
	}
	atOnce, each := Share(p.o.Ensemble, p.po.Parallelism)
	po := *p.po
	po.Parallelism = each
	p.po = &po
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for _, name := range p.o.Names {
		wait.Go(func() {
			defer close(done[name])
			for _, need := range p.o.Graph.Needs[name] {
				if done[need] != nil {
					<-done[need]
				}
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			loaded, diags := p.one(name)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.diags[name] = project.InStack(name, diags)
			if loaded != nil {
				p.o.Plans[name] = loaded
			}
		})
	}
	wait.Wait()
	var diags diag.List
	for _, name := range p.o.Names {
		diags = append(diags, p.diags[name]...)
	}
	return diags
}

// errSkipped says that a stack was not planned because another one was not.
var errSkipped = errors.New("a stack before it could not be planned")

func (p *planning) one(name string) (*gate.Plan, diag.List) {
	if p.blocked(name) {
		return nil, diag.Warningf("Stack was not planned", "The stack %q was not planned: %s.", name, errSkipped)
	}
	op := p.o.Operation(name)
	values, diags := op.StackInputs(p.configs[name], p.scope, p.outputs(name))
	if diags.HasErrors() {
		return nil, diags
	}
	loaded, d := op.MakePlan(p.ctx, op.inputFrom(p.configs[name], values, p.priors[name], p.requests[name], p.po))
	return loaded, append(diags, d...)
}

// blocked reports whether a stack that comes before could not be planned.
func (p *planning) blocked(name string) bool {
	if p.mode == plans.Destroy {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, need := range p.o.Graph.Needs[name] {
		if slices.Contains(p.o.Names, need) && (p.o.Plans[need] == nil || p.o.Plans[need].Plan.Errored) {
			return true
		}
	}
	return false
}

// outputs gives what a stack sees of others: what their plans say, or their
// states where they are not planned along or are to be destroyed later.
func (p *planning) outputs(user string) func(string) (cty.Value, diag.List) {
	stored := p.o.FromState(p.ctx, user, p.mode)
	return func(name string) (cty.Value, diag.List) {
		p.mu.Lock()
		upstream := p.o.Plans[name]
		p.mu.Unlock()
		if upstream == nil || p.mode != plans.Normal {
			p.reading.Lock()
			defer p.reading.Unlock()
			return stored(name)
		}
		values, err := upstream.Plan.PlannedOutputs()
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		m, diags := p.o.Module(name)
		return plans.OutputsObject(values, sortedKeys(m.Outputs)), diags
	}
}

// Totals sums up what is planned.
func (o *EnsembleOperation) Totals() plans.Counts {
	var n plans.Counts
	for _, l := range o.Plans {
		c := l.Plan.Count()
		n.Add, n.Change, n.Destroy, n.Import, n.Forget, n.Move = n.Add+c.Add, n.Change+c.Change, n.Destroy+c.Destroy, n.Import+c.Import, n.Forget+c.Forget, n.Move+c.Move
	}
	n.Move += len(o.Shared.Moves)
	return n
}

// Changes reports whether anything is planned at all.
func (o *EnsembleOperation) Changes() bool {
	for _, l := range o.Plans {
		if l.Plan.HasChanges() {
			return true
		}
	}
	return o.Shared != nil && len(o.Shared.Moves) > 0
}

// Show shows the plans in the order they are applied, and what they come to.
func (o *EnsembleOperation) Show(ctx context.Context, mode plans.Mode, diags diag.List) {
	order := slices.Clone(o.Names)
	if mode == plans.Destroy {
		slices.Reverse(order)
	}
	for _, name := range order {
		l := o.Plans[name]
		if l == nil || diags.HasErrors() && l.Plan.Errored && len(l.Plan.Changes) == 0 {
			continue
		}
		o.View.Stack(name, o.Shared.Moves)
		o.View.ForStack(name).Plan(ctx, o.Operation(name), l)
	}
	if !diags.HasErrors() {
		o.View.Total(len(order), o.Totals(), "plan")
		if j := o.Judge(ctx); j.WorthTelling() {
			o.View.Cost(j)
		}
	}
}

// Summary says in a line what the plans do.
func (o *EnsembleOperation) Summary() string {
	n := o.Totals()
	return fmt.Sprintf("%d stacks: %d to add, %d to change, %d to destroy", len(o.Names), n.Add, n.Change, n.Destroy)
}

// ReversedNeeds turns the order of stacks round: what is needed waits for those
// that need it.
func ReversedNeeds(names []string, needs map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, name := range names {
		for _, need := range needs[name] {
			out[need] = append(out[need], name)
		}
	}
	return out
}
