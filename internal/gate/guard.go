package gate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/zclconf/go-cty/cty"
)

// Guard judges again, during a run, what could not be judged before: the rules
// whose outcome was unknown, each time an object they wait for becomes known. Rules
// that judge each object by itself are given that object only; others the whole plan.
type Guard struct {
	o    *Case
	l    *Plan
	j    *Judgement
	rest *policy.Rest // the plan without its objects; nil where no open rule judges these by themselves

	turn sync.Mutex // of those that judge the whole plan; taken before mu

	mu    sync.Mutex
	open  map[string]*openRule // by "POLICY PACKAGE.RULE"
	known map[addrs.Object]cty.Value
	made  map[string]int  // addresses of objects that are there already; each has the number in which it became so
	told  map[string]bool // findings, by key
	// What became known that was not judged yet: objects, for rules that judge
	// each by itself, and the others among the rules.
	pending map[addrs.Object]*plans.Change
	stale   map[string]bool
	seen    int                   // how many objects were made when the whole plan was judged last
	next    *batch                // objects that wait for their turn
	outputs []*plans.OutputChange // with values, once they have any

	judged time.Time     // when what was pending was judged last
	took   time.Duration // how long that was
}

// batch are objects about to be made that are judged together, because they became
// known while others were being judged.
type batch struct {
	objects map[addrs.Object]cty.Value // as they are planned
	rules   []string                   // that wait for one of them
	judged  bool
	passed  bool // nothing is said against any of them
}

// openRule is a rule whose outcome is not known for all objects.
type openRule struct {
	alone  bool            // it judges each object by itself
	awaits map[string]bool // addresses
}

// patience is how many times as long as a judgement takes is waited for the next
// one, where nothing is about to be made that it could prevent: a provider that
// makes thousands of objects is not to wait for thousands of judgements.
const patience = 10

var _ engine.Guard = (*Guard)(nil)

// newGuard returns nil where nothing is open.
func newGuard(o *Case, l *Plan, j *Judgement) (*Guard, diag.List) {
	if !j.Decision.Open() {
		return nil, nil
	}
	g := &Guard{
		o: o, l: l, j: j, open: map[string]*openRule{}, known: map[addrs.Object]cty.Value{}, made: map[string]int{}, told: map[string]bool{},
		pending: map[addrs.Object]*plans.Change{}, stale: map[string]bool{},
	}
	for _, f := range j.Decision.Findings {
		switch f.Status {
		case policy.Unknown:
			g.waitFor(f)
		default:
			g.told[f.Key()] = true
		}
	}
	for _, r := range g.open {
		if r.alone {
			var err error
			if g.rest, err = j.apart(); err != nil {
				return nil, diag.FromError(err)
			}
			break
		}
	}
	return g, nil
}

// waitFor has a rule judged again when what it waits for is known.
func (g *Guard) waitFor(f policy.Finding) {
	key := f.Policy + " " + f.Rule
	r := g.open[key]
	if r == nil {
		r = &openRule{alone: true, awaits: map[string]bool{}}
		for _, p := range g.j.policies {
			r.alone = r.alone && (p.Name != f.Policy || p.ByObject(f.Rule))
		}
		g.open[key] = r
	}
	for _, address := range f.Awaits {
		g.await(key, address)
		if address != policy.CostObject || g.j.estimate == nil {
			continue
		}
		// The cost of the whole is known once all are on which it depends.
		for _, item := range g.j.estimate.Items {
			if item.Later() {
				g.await(key, item.Address)
			}
		}
	}
}

// await has a rule wait for an object, or for a variable or output. What is there
// already, but was not when the rule was judged, is judged at the next opportunity.
func (g *Guard) await(key, address string) {
	r := g.open[key]
	if r.alone {
		r.awaits[address] = true // it is asked of the object whenever that changes
		return
	}
	name, variable := strings.CutPrefix(address, "var.")
	if _, late := g.l.Late[name]; variable && late && !r.awaits[address] || g.made[address] > g.seen {
		g.stale[key] = true
	}
	r.awaits[address] = true
}

// waiting are the open rules that wait for an object: those that judge it by itself,
// and the others.
func (g *Guard) waiting(address string) (alone, others []string) {
	for key, r := range g.open {
		switch {
		case !r.awaits[address]:
		case r.alone:
			alone = append(alone, key)
		default:
			others = append(others, key)
		}
	}
	return alone, others
}

// Before implements [engine.Guard].
func (g *Guard) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	var diags diag.List
	// Where the configuration was known, nothing is known now that was not when the
	// plan was judged.
	if !c.ConfigKnown {
		g.mu.Lock()
		alone, others := g.waiting(c.Object.Instance.String())
		with := g.join(c.Object, planned, others)
		g.mu.Unlock()
		if len(alone) > 0 {
			decision, d := g.judgeObjects(ctx, alone, []*plans.Change{filled(c, planned)})
			diags = append(append(diags, d...), g.report(decision, func(policy.Finding) bool { return true })...)
		}
		if with != nil {
			diags = append(diags, g.judgeWith(ctx, with, c.Object, others)...)
		}
	}
	g.mu.Lock()
	due := (len(g.pending) > 0 || len(g.stale) > 0) && time.Since(g.judged) > patience*g.took
	g.mu.Unlock()
	if due {
		diags = append(diags, g.judgePending(ctx)...)
	}
	return diags
}

// join adds an object to the batch that is judged next, by rules that need the whole
// plan; nil where there are none.
func (g *Guard) join(object addrs.Object, planned cty.Value, rules []string) *batch {
	if len(rules) == 0 {
		return nil
	}
	if g.next == nil {
		g.next = &batch{objects: map[addrs.Object]cty.Value{}}
	}
	g.next.objects[object] = planned
	g.next.rules = append(g.next.rules, rules...)
	return g.next
}

// judgeWith judges the whole plan by rules that wait for an object: once for all
// objects of its batch and, where something is said against them, one by one, as if
// each had come by itself. What is said of another object holds that one up, not
// this.
func (g *Guard) judgeWith(ctx context.Context, b *batch, object addrs.Object, rules []string) diag.List {
	g.turn.Lock()
	defer g.turn.Unlock()
	if !b.judged {
		g.mu.Lock()
		g.next = nil
		before := maps.Clone(g.stale)
		maps.Copy(g.known, b.objects)
		g.outdated(b.rules)
		g.mu.Unlock()
		decision, diags := g.judgeStale(ctx)
		b.judged, b.passed = true, !diags.HasErrors() && !decision.Blocked()
		if b.passed {
			return append(diags, g.report(decision, nil)...)
		}
		g.mu.Lock()
		for other := range b.objects {
			delete(g.known, other)
		}
		maps.Copy(g.stale, before)
		g.mu.Unlock()
	}
	if b.passed {
		return nil
	}
	g.mu.Lock()
	g.known[object] = b.objects[object]
	g.outdated(rules)
	g.mu.Unlock()
	decision, diags := g.judgeStale(ctx)
	diags = append(diags, g.report(decision, func(f policy.Finding) bool {
		return f.Resource == "" || f.Resource == object.Instance.String()
	})...)
	if diags.HasErrors() {
		g.mu.Lock()
		delete(g.known, object) // it is not made
		g.mu.Unlock()
	}
	return diags
}

// outdated notes that something became known that rules wait for.
func (g *Guard) outdated(rules []string) {
	for _, key := range rules {
		g.stale[key] = true
	}
}

// After implements [engine.Guard].
func (g *Guard) After(c *plans.Change, value cty.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A rule may come to ask for it only when something else is known.
	address := c.Object.Instance.String()
	g.known[c.Object], g.made[address] = value, len(g.made)+1
	alone, others := g.waiting(address)
	if len(alone) > 0 {
		g.pending[c.Object] = c
	}
	g.outdated(others)
}

// Closing judges what became known last: attributes that a provider gave an
// object, which nothing came after, and outputs.
func (g *Guard) Closing(ctx context.Context, final engine.Final) diag.List {
	g.mu.Lock()
	g.outputs = final.Changes
	for key, r := range g.open {
		for _, o := range final.Changes {
			if r.awaits["output."+o.Name] {
				g.stale[key] = true
			}
		}
	}
	g.mu.Unlock()
	return g.judgePending(ctx)
}

// judgePending judges all that became known.
func (g *Guard) judgePending(ctx context.Context) diag.List {
	g.turn.Lock()
	defer g.turn.Unlock()
	began := time.Now()
	g.mu.Lock()
	var objects []*plans.Change
	var rules []string
	for object, c := range g.pending {
		objects = append(objects, filled(c, g.known[object]))
		alone, _ := g.waiting(object.Instance.String())
		rules = append(rules, alone...)
	}
	clear(g.pending)
	g.mu.Unlock()
	decision, diags := g.judgeObjects(ctx, rules, objects)
	diags = append(diags, g.report(decision, nil)...)
	decision, d := g.judgeStale(ctx)
	diags = append(append(diags, d...), g.report(decision, nil)...)
	g.mu.Lock()
	g.judged, g.took = time.Now(), time.Since(began)
	g.mu.Unlock()
	return diags
}

// filled is a change with what is known of its object by now.
func filled(c *plans.Change, v cty.Value) *plans.Change {
	out := *c
	out.After = v
	return &out
}

// judgeObjects judges objects, as far as they are known, by rules that judge each by
// itself. The decision is nil where there are none.
func (g *Guard) judgeObjects(ctx context.Context, rules []string, objects []*plans.Change) (*policy.Decision, diag.List) {
	if len(rules) == 0 {
		return nil, nil
	}
	only := map[string]bool{}
	for _, key := range rules {
		only[key] = true
	}
	data, err := jsonplan.Plan(&plans.Plan{Changes: objects}, nil, g.o.JSONOptions(ctx))
	if err != nil {
		return nil, diag.FromError(err)
	}
	doc, err := g.rest.With(data)
	if err != nil {
		return nil, diag.FromError(err)
	}
	return g.judge(ctx, doc, only)
}

// judgeStale judges the whole plan, as far as it is known, by the other rules for
// which something became known; the decision is nil where there are none. It is the
// caller's turn.
func (g *Guard) judgeStale(ctx context.Context) (*policy.Decision, diag.List) {
	g.mu.Lock()
	only := g.stale
	g.stale = map[string]bool{}
	if len(only) == 0 {
		g.mu.Unlock()
		return nil, nil
	}
	g.seen = len(g.made)
	plan := *g.l.Plan
	plan.Variables = g.l.variables()
	plan.Changes = slices.Clone(plan.Changes)
	for i, c := range plan.Changes {
		if v, ok := g.known[c.Object]; ok {
			plan.Changes[i] = filled(c, v)
		}
	}
	outputs := g.outputs
	g.mu.Unlock()
	if len(outputs) > 0 {
		plan.Outputs = slices.Clone(plan.Outputs)
		for i, o := range plan.Outputs {
			if known := slices.IndexFunc(outputs, func(k *plans.OutputChange) bool { return k.Name == o.Name }); known >= 0 {
				plan.Outputs[i] = outputs[known]
			}
		}
	}
	data, err := jsonplan.Plan(&plan, g.l.Config, g.o.JSONOptions(ctx))
	if err != nil {
		return nil, diag.FromError(err)
	}
	j := *g.j
	if j.estimate != nil {
		resources := func() ([]cost.Instance, error) { return cost.FromPlan("", &plan, regionsOf(g.l)), nil }
		if diags := g.o.TellCost(&j, resources); diags.HasErrors() {
			return nil, diags
		}
	}
	doc, err := j.document(data)
	if err != nil {
		return nil, diag.FromError(err)
	}
	return g.judge(ctx, doc, only)
}

// judge judges a document by some of the open rules.
func (g *Guard) judge(ctx context.Context, doc *policy.Document, only map[string]bool) (*policy.Decision, diag.List) {
	decision, diags := policy.Judge(ctx, g.j.policies, doc, policy.Options{Plan: g.l.Plan.Digest, Stack: g.o.Stack, Locate: g.j.Locate, Now: time.Now().UTC(), Only: only})
	if diags.HasErrors() {
		return nil, diags
	}
	for _, override := range g.j.Decision.Overrides {
		decision.Override(override)
	}
	return decision, diags
}

// report tells what rules had not said before, and has them wait for what is still
// not known. Denials for which about, where not nil, holds are told again: a second
// object must not pass because the same was said of the first.
func (g *Guard) report(decision *policy.Decision, about func(policy.Finding) bool) (diags diag.List) {
	if decision == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range decision.Findings {
		if f.Status == policy.Unknown {
			g.waitFor(f)
			continue
		}
		if g.told[f.Key()] && (about == nil || !f.Blocks() || !about(f)) {
			continue
		}
		g.told[f.Key()] = true
		diags = append(diags, findingDiag(f, g.made[f.Resource] > 0))
	}
	return diags
}
