package cli

import (
	"context"
	"maps"
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

// guard judges again, during a run, what could not be judged before: the rules
// whose outcome was unknown, each time an object they wait for becomes known.
type guard struct {
	o *operation
	l *loadedPlan
	j *judgement

	mu    sync.Mutex
	only  map[string]bool // rules that are open, as "POLICY PACKAGE.RULE"
	await map[string]bool // addresses they wait for
	known map[addrs.Object]cty.Value
	made  map[string]bool // addresses of objects that are there already
	told  map[string]bool // findings, by key
	stale bool            // something became known that was not judged yet
	// arrived says that values of variables which came late were taken in.
	arrived bool

	judged time.Time     // when it was judged last
	took   time.Duration // how long that was
}

// patience is how many times as long as a judgement takes is waited for the next
// one, where nothing is about to be made that it could prevent: a provider that
// makes thousands of objects is not to wait for thousands of judgements.
const patience = 10

var _ engine.Guard = (*guard)(nil)

// newGuard returns nil where nothing is open.
func newGuard(o *operation, l *loadedPlan, j *judgement) *guard {
	if !j.decision.Open() {
		return nil
	}
	g := &guard{o: o, l: l, j: j, only: map[string]bool{}, await: map[string]bool{}, known: map[addrs.Object]cty.Value{}, made: map[string]bool{}, told: map[string]bool{}}
	for _, f := range j.decision.Findings {
		switch f.Status {
		case policy.Unknown:
			g.only[f.Policy+" "+f.Rule] = true
			g.waitFor(f.Awaits)
		default:
			g.told[f.Key()] = true
		}
	}
	return g
}

// variables are those of the plan, with the values that arrived since it was made.
func (l *loadedPlan) variables() map[string]plans.Variable {
	if len(l.late) == 0 {
		return l.plan.Variables
	}
	out := maps.Clone(l.plan.Variables)
	for name, v := range l.late {
		if variable, ok := out[name]; ok {
			variable.Value = v
			out[name] = variable
		}
	}
	return out
}

// waitFor has the rules judged again when one of these objects is known. The cost
// of the whole is known once all are on which it depends.
func (g *guard) waitFor(addresses []string) {
	for _, address := range addresses {
		g.await[address] = true
		if name, ok := strings.CutPrefix(address, "var."); ok && !g.arrived {
			_, late := g.l.late[name]
			g.arrived, g.stale = late, g.stale || late // it is known by now
		}
		if address != policy.CostObject || g.j.estimate == nil {
			continue
		}
		for _, item := range g.j.estimate.Items {
			if item.Later() {
				g.await[item.Address] = true
			}
		}
	}
}

// Before implements [engine.Guard].
func (g *guard) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Where the configuration was known, nothing is known now that was not when the
	// plan was judged.
	if g.await[c.Object.Instance.String()] && !c.ConfigKnown {
		g.known[c.Object] = planned
		// What is said of another object holds that one up, not this.
		diags := g.again(ctx, func(f policy.Finding) bool {
			return f.Resource == "" || f.Resource == c.Object.Instance.String()
		})
		if diags.HasErrors() {
			delete(g.known, c.Object) // it is not made
		}
		return diags
	}
	if g.stale && time.Since(g.judged) > patience*g.took {
		return g.again(ctx, nil)
	}
	return nil
}

// After implements [engine.Guard].
func (g *guard) After(c *plans.Change, value cty.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A rule may come to ask for it only when something else is known.
	address := c.Object.Instance.String()
	g.known[c.Object], g.made[address] = value, true
	g.stale = g.stale || g.await[address]
}

// Closing judges what became known last: attributes that a provider gave an
// object, which nothing came after.
func (g *guard) Closing(ctx context.Context) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stale {
		return nil
	}
	return g.again(ctx, nil)
}

// again judges the open rules with what is known by now. Reported is what they had
// not said before, and the denials that about, where not nil, holds for: a second
// object must not pass because the same was said of the first.
func (g *guard) again(ctx context.Context, about func(policy.Finding) bool) diag.List {
	began := time.Now()
	defer func() { g.judged, g.took = time.Now(), time.Since(began) }()
	g.stale = false
	plan := *g.l.plan
	plan.Variables = g.l.variables()
	plan.Changes = make([]*plans.Change, len(g.l.plan.Changes))
	for i, c := range g.l.plan.Changes {
		plan.Changes[i] = c
		if v, ok := g.known[c.Object]; ok {
			filled := *c
			filled.After = v
			plan.Changes[i] = &filled
		}
	}
	data, err := jsonplan.Plan(&plan, g.l.config, g.o.jsonOptions(ctx))
	if err != nil {
		return diag.FromError(err)
	}
	j := *g.j
	if j.estimate != nil {
		resources := func() ([]cost.Instance, error) { return cost.FromPlan("", &plan, regionsOf(g.l)), nil }
		if diags := g.o.tellCost(&j, resources); diags.HasErrors() {
			return diags
		}
	}
	doc, err := j.document(data)
	if err != nil {
		return diag.FromError(err)
	}
	decision, diags := policy.Judge(ctx, g.j.policies, doc, policy.Options{Plan: g.l.plan.Digest, Stack: g.o.stack, Locate: g.j.locate, Now: time.Now().UTC(), Only: g.only})
	if diags.HasErrors() {
		return diags
	}
	for _, override := range g.j.decision.Overrides {
		decision.Override(override)
	}
	for _, f := range decision.Findings {
		g.waitFor(f.Awaits)
		if f.Status == policy.Unknown || g.told[f.Key()] && (about == nil || !f.Blocks() || !about(f)) {
			continue
		}
		g.told[f.Key()] = true
		diags = append(diags, findingDiag(f, g.made[f.Resource]))
	}
	return diags
}
