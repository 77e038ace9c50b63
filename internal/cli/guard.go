package cli

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
	"github.com/zclconf/go-cty/cty"
)

// guard judges again, during a run, what could not be judged before: the rules
// whose outcome was unknown, each time an object they wait for becomes known. Rules
// that judge each object by itself are given that object only; others the whole plan.
type guard struct {
	o    *operation
	l    *loadedPlan
	j    *judgement
	rest *policy.Rest // the plan without its objects; nil where no open rule judges these by themselves

	mu    sync.Mutex
	open  map[string]*openRule // by "POLICY PACKAGE.RULE"
	known map[addrs.Object]cty.Value
	told  map[string]bool // findings, by key
	// What became known that was not judged yet: objects, for rules that judge
	// each by itself, and the others among the rules.
	pending map[addrs.Object]*plans.Change
	stale   map[string]bool
	outputs []*plans.OutputChange // with values, once they have any

	judged time.Time     // when what was pending was judged last
	took   time.Duration // how long that was
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

var _ engine.Guard = (*guard)(nil)

// newGuard returns nil where nothing is open.
func newGuard(o *operation, l *loadedPlan, j *judgement) (*guard, diag.List) {
	if !j.decision.Open() {
		return nil, nil
	}
	g := &guard{
		o: o, l: l, j: j, open: map[string]*openRule{}, known: map[addrs.Object]cty.Value{}, told: map[string]bool{},
		pending: map[addrs.Object]*plans.Change{}, stale: map[string]bool{},
	}
	for _, f := range j.decision.Findings {
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
			if g.rest, err = j.document.Rest(); err != nil {
				return nil, diag.FromError(err)
			}
			break
		}
	}
	j.document = nil // it is large
	return g, nil
}

// waitFor has a rule judged again when what it waits for is known.
func (g *guard) waitFor(f policy.Finding) {
	key := f.Policy + " " + f.Rule
	r := g.open[key]
	if r == nil {
		r = &openRule{awaits: map[string]bool{}}
		for _, p := range g.j.policies {
			r.alone = r.alone || p.Name == f.Policy && p.ByObject(f.Rule)
		}
		g.open[key] = r
	}
	for _, address := range f.Awaits {
		r.awaits[address] = true
		variable, late := strings.CutPrefix(address, "var.")
		if late || strings.HasPrefix(address, "output.") {
			r.alone = false // it needs more than an object
		}
		if _, known := g.l.late[variable]; late && known {
			g.stale[key] = true
		}
	}
}

// waiting are the open rules that wait for an object: whether there are some that
// judge it by itself, and the others.
func (g *guard) waiting(address string) (alone bool, others []string) {
	for key, r := range g.open {
		switch {
		case !r.awaits[address]:
		case r.alone:
			alone = true
		default:
			others = append(others, key)
		}
	}
	return alone, others
}

// Before implements [engine.Guard].
func (g *guard) Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	var diags diag.List
	// Where the configuration was known, nothing is known now that was not when the
	// plan was judged.
	if alone, others := g.waiting(c.Object.Instance.String()); !c.ConfigKnown && (alone || len(others) > 0) {
		g.known[c.Object] = planned
		if alone {
			objects := map[addrs.Object]*plans.Change{c.Object: c}
			diags = append(diags, g.judgeObjects(ctx, objects, func(policy.Finding) bool { return true })...)
		}
		if len(others) > 0 {
			for _, key := range others {
				g.stale[key] = true
			}
			// What is said of another object holds that one up, not this.
			diags = append(diags, g.judgeStale(ctx, func(f policy.Finding) bool {
				return f.Resource == "" || f.Resource == c.Object.Instance.String()
			})...)
		}
	}
	if (len(g.pending) > 0 || len(g.stale) > 0) && time.Since(g.judged) > patience*g.took {
		diags = append(diags, g.judgePending(ctx)...)
	}
	return diags
}

// After implements [engine.Guard].
func (g *guard) After(c *plans.Change, value cty.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A rule may come to ask for it only when something else is known.
	g.known[c.Object] = value
	alone, others := g.waiting(c.Object.Instance.String())
	if alone {
		g.pending[c.Object] = c
	}
	for _, key := range others {
		g.stale[key] = true
	}
}

// Closing judges what became known last: attributes that a provider gave an
// object, which nothing came after, and outputs.
func (g *guard) Closing(ctx context.Context, final engine.Final) diag.List {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outputs = final.Changes
	for key, r := range g.open {
		for _, o := range final.Changes {
			if r.awaits["output."+o.Name] {
				g.stale[key] = true
			}
		}
	}
	return g.judgePending(ctx)
}

// judgePending judges all that became known.
func (g *guard) judgePending(ctx context.Context) diag.List {
	began := time.Now()
	defer func() { g.judged, g.took = time.Now(), time.Since(began) }()
	pending := g.pending
	g.pending = map[addrs.Object]*plans.Change{}
	return append(g.judgeObjects(ctx, pending, nil), g.judgeStale(ctx, nil)...)
}

// judgeObjects judges objects by the rules that judge each by itself. See judge
// about again.
func (g *guard) judgeObjects(ctx context.Context, objects map[addrs.Object]*plans.Change, again func(policy.Finding) bool) diag.List {
	only := map[string]bool{}
	var plan plans.Plan
	for _, c := range objects {
		for key, r := range g.open {
			if r.alone && r.awaits[c.Object.Instance.String()] {
				only[key] = true
			}
		}
		plan.Changes = append(plan.Changes, g.filled(c))
	}
	if len(only) == 0 {
		return nil
	}
	data, err := jsonplan.Plan(&plan, nil, g.o.jsonOptions(ctx))
	if err != nil {
		return diag.FromError(err)
	}
	doc, err := g.rest.With(data)
	if err != nil {
		return diag.FromError(err)
	}
	return g.judge(ctx, doc, only, again)
}

// judgeStale judges the whole plan, as far as it is known, by the other rules for
// which something became known. See judge about again.
func (g *guard) judgeStale(ctx context.Context, again func(policy.Finding) bool) diag.List {
	if len(g.stale) == 0 {
		return nil
	}
	only := g.stale
	g.stale = map[string]bool{}
	plan := *g.l.plan
	plan.Changes = make([]*plans.Change, len(g.l.plan.Changes))
	for i, c := range g.l.plan.Changes {
		plan.Changes[i] = g.filled(c)
	}
	if len(g.l.late) > 0 {
		plan.Variables = maps.Clone(plan.Variables)
		for name, value := range g.l.late {
			v := plan.Variables[name]
			v.Value = value
			plan.Variables[name] = v
		}
	}
	if len(g.outputs) > 0 {
		plan.Outputs = slices.Clone(plan.Outputs)
		for i, o := range plan.Outputs {
			if known := slices.IndexFunc(g.outputs, func(k *plans.OutputChange) bool { return k.Name == o.Name }); known >= 0 {
				plan.Outputs[i] = g.outputs[known]
			}
		}
	}
	data, err := jsonplan.Plan(&plan, g.l.config, g.o.jsonOptions(ctx))
	if err != nil {
		return diag.FromError(err)
	}
	doc, err := policy.ParsePlan(data, g.j.about)
	if err != nil {
		return diag.FromError(err)
	}
	return g.judge(ctx, doc, only, again)
}

// filled is a change with what is known of its object by now.
func (g *guard) filled(c *plans.Change) *plans.Change {
	v, ok := g.known[c.Object]
	if !ok {
		return c
	}
	filled := *c
	filled.After = v
	return &filled
}

// judge judges a document by some of the open rules. Reported is what they had not
// said before, and the denials that again, where not nil, holds for: a second object
// must not pass because the same was said of the first.
func (g *guard) judge(ctx context.Context, doc *policy.Document, only map[string]bool, again func(policy.Finding) bool) diag.List {
	decision, diags := policy.Judge(ctx, g.j.policies, doc, policy.Options{Plan: g.l.plan.Digest, Stack: g.o.stack, Locate: g.j.locate, Now: time.Now().UTC(), Only: only})
	if diags.HasErrors() {
		return diags
	}
	for _, override := range g.j.decision.Overrides {
		decision.Override(override)
	}
	for _, f := range decision.Findings {
		if f.Status == policy.Unknown {
			g.waitFor(f)
			continue
		}
		if g.told[f.Key()] && (again == nil || !f.Blocks() || !again(f)) {
			continue
		}
		g.told[f.Key()] = true
		d := findingDiag(f)
		if !f.Blocks() {
			d.Severity = diag.Warning
			if f.Status == policy.Warn {
				d.Summary = "Policy warning"
			}
		}
		diags = append(diags, d)
	}
	return diags
}
