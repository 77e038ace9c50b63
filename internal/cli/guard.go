package cli

import (
	"context"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
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

	judged time.Time     // when it was judged last
	cost   time.Duration // how long that took
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
			for _, address := range f.Awaits {
				g.await[address] = true
			}
		default:
			g.told[f.Key()] = true
		}
	}
	return g
}

// Before implements [engine.Guard].
func (g *guard) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Where the configuration was known, nothing is known now that was not when the
	// plan was judged.
	if g.await[c.Object.Instance.String()] && !c.ConfigKnown {
		g.known[c.Object] = planned
		return g.again(ctx)
	}
	if g.stale && time.Since(g.judged) > patience*g.cost {
		return g.again(ctx)
	}
	return nil
}

// After implements [engine.Guard].
func (g *guard) After(c *plans.Change, value cty.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.await[c.Object.Instance.String()] {
		g.known[c.Object], g.stale = value, true
		g.made[c.Object.Instance.String()] = true
	}
}

// Closing judges what became known last: attributes that a provider gave an
// object, which nothing came after.
func (g *guard) Closing(ctx context.Context) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stale {
		return nil
	}
	return g.again(ctx)
}

// again judges the open rules with what is known by now. Only what they had not
// said before is reported.
func (g *guard) again(ctx context.Context) diag.List {
	began := time.Now()
	defer func() { g.judged, g.cost = time.Now(), time.Since(began) }()
	g.stale = false
	plan := *g.l.plan
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
	doc, err := g.j.document(data)
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
		for _, address := range f.Awaits {
			g.await[address] = true
		}
		if f.Status == policy.Unknown || g.told[f.Key()] {
			continue
		}
		g.told[f.Key()] = true
		diags = append(diags, findingDiag(f, g.made[f.Resource]))
	}
	return diags
}
