package policy

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Options is what a judgement needs besides policies and document.
type Options struct {
	Plan  string // digest
	Stack string
	// Locate finds the line where an attribute of an object is set, or the object is
	// declared; nil where nothing is known.
	Locate func(address, attribute string) *Place
	Now    time.Time
	// Time is how long one rule may take, and Memory by how many bytes the heap may
	// grow; 0 for [MostTime] and [MostMemory].
	Time   time.Duration
	Memory uint64
	// Only limits what is evaluated to rules, as "POLICY PACKAGE.RULE"; nil: all.
	Only map[string]bool

	twice bool // evaluates each rule on both documents, for tests
}

// program is a policy that was compiled in one way: its queries, by text.
type program struct {
	queries map[string]rego.PreparedEvalQuery
	tracks  bool // it is the same as the tracked variant would be
	err     error
}

// Judge evaluates policies on a document.
func Judge(ctx context.Context, policies []*Policy, d *Document, o Options) (*Decision, diag.List) {
	out := &Decision{Plan: o.Plan, Stack: o.Stack, Status: Pass}
	plain, err := d.plain()
	if err != nil {
		return nil, diag.Errorf("Cannot judge the plan", "%s.", err)
	}
	var jobs []*judging
	for _, p := range policies {
		for _, r := range p.rules {
			if o.Only == nil || o.Only[p.Name+" "+r.String()] {
				jobs = append(jobs, &judging{p: p, r: r, d: d, o: o, plain: plain.shaped(p, d)})
			}
		}
	}
	workers, unknown := make([]*worker, runtime.GOMAXPROCS(0)), d.HasUnknown()
	bounds, done := limit(ctx, policies, d, o)
	defer done()
	each(len(jobs), len(workers), func(worker, i int) {
		if workers[worker] == nil {
			workers[worker] = newWorker(d, plain)
			if unknown {
				workers[worker].watched() // making it is not to be on the time of a rule
			}
		}
		jobs[i].worker = workers[worker]
		var busy bool
		if jobs[i], busy = bounds.run(jobs[i]); busy {
			workers[worker] = nil // it is still at work
		}
	})
	var diags diag.List
	for _, p := range policies {
		j := Judged{Policy: p.Name, Level: p.Level, Status: Pass, Rules: p.Rules()}
		failed := map[Place]bool{}
		for _, job := range jobs {
			if job.p != p {
				continue
			}
			diags = append(diags, job.diags...)
			out.Findings = append(out.Findings, job.findings...)
			for _, f := range job.findings {
				j.Status = worst(j.Status, f.Status)
				if f.RuleAt != nil {
					failed[*f.RuleAt] = true
				}
			}
		}
		j.Passed = max(0, j.Rules-len(failed))
		out.Policies = append(out.Policies, j)
		out.Status = worst(out.Status, j.Status)
	}
	slices.SortStableFunc(out.Findings, func(a, b Finding) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return out, diags
}

func rank(f Finding) int {
	switch f.Status {
	case Deny:
		return 0
	case Unknown:
		return 1
	}
	return 2
}

// each does n things, by some workers side by side.
func each(n, workers int, do func(worker, i int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for worker := range min(n, workers) {
		all.Go(func() {
			for i := range next {
				do(worker, i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// program compiles the policy in one way, where that was not done before.
func (p *Policy) program(v variant) *program {
	p.preparing.Lock()
	defer p.preparing.Unlock()
	if plain := p.programs[variant{indexed: v.indexed}]; v.tracked && plain != nil && plain.tracks {
		return plain
	}
	out := p.programs[v]
	if out == nil {
		if c, err := p.compile(v, nil); err != nil {
			out = &program{err: err}
		} else {
			out = p.queries(c)
		}
		p.programs[v] = out
	}
	return out
}

func (p *Policy) queries(c *ast.Compiler) *program {
	out := &program{queries: map[string]rego.PreparedEvalQuery{}, tracks: !hasIndices(c)}
	add := func(query string) {
		if _, done := out.queries[query]; done || out.err != nil {
			return
		}
		var q rego.PreparedEvalQuery
		q, out.err = rego.New(rego.Query(query), rego.Compiler(c), rego.Store(p.store), rego.FunctionDyn(&byType, lookIndex)).PrepareForEval(context.Background())
		out.queries[query] = q
	}
	for _, r := range p.rules {
		add(r.query)
		if r.excepts {
			add(r.exceptions())
		}
	}
	return out
}

// hasIndices reports whether comprehensions are evaluated once for several uses.
func hasIndices(c *ast.Compiler) bool {
	found := false
	for _, m := range c.Modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			found = found || c.ComprehensionIndex(t) != nil
			return found
		})
	}
	return found
}

// exceptions is the query for the names of rules that do not apply.
func (r *rule) exceptions() string { return strings.TrimSuffix(r.query, "."+r.name) + ".exception" }

// judging is the evaluation of one rule.
type judging struct {
	p     *Policy
	r     *rule
	d     *Document
	o     Options
	plain input // in the shape that the policy wants
	// worker evaluates nothing else meanwhile.
	worker *worker
	// origins are the bodies that messages are of, where that is known.
	origins map[string]body

	findings []Finding
	diags    diag.List
}

// program is the policy, compiled for a document.
func (j *judging) program(tracked bool, in input) *program {
	return j.p.program(variant{tracked: tracked, indexed: in.index != nil})
}

// plainly evaluates a query on the document as it is.
func (j *judging) plainly(ctx context.Context, query string, says saying) ([]said, error) {
	of := j.program(false, j.plain)
	out, err := j.eval(ctx, of, query, says, j.plain, rego.EvalVirtualCache(j.worker.cache(of)))
	if err != nil {
		j.worker.forget(of)
	}
	return out, err
}

func (j *judging) eval(ctx context.Context, of *program, query string, says saying, in input, options ...rego.EvalOption) ([]said, error) {
	if of.err != nil {
		return nil, of.err
	}
	options = append(options, rego.EvalParsedInput(in.term.Value))
	if !j.o.Now.IsZero() {
		options = append(options, rego.EvalTime(j.o.Now))
	}
	return evaluate(withIndex(ctx, in.index), of.queries[query], says, options)
}

func (j *judging) run(ctx context.Context) {
	excepted, asked, err := j.excepted(ctx)
	if err != nil {
		j.fail(err)
		return
	}
	if excepted && len(asked) == 0 {
		return
	}
	unknown := j.d.HasUnknown()
	if unknown && len(asked) == 0 {
		if said, asked, ok := j.watchedOnly(ctx); ok {
			if len(said) > 0 {
				j.follow(ctx)
			}
			j.unknowns(ctx, said, asked)
			return
		}
	}
	said, err := j.plainly(ctx, j.r.query, j.says)
	if err != nil {
		j.fail(err)
		return
	}
	if len(said) > 0 {
		j.follow(ctx)
	}
	switch {
	case len(asked) > 0:
		j.uncertain(said, nil, asked)
	case unknown:
		j.unknowns(ctx, said, j.askedFor(ctx, j.r.query, j.says, said))
	default:
		j.unknowns(ctx, said, nil)
	}
}

func (j *judging) fail(err error) {
	d := fromOPA(err, "Policy cannot be evaluated")
	for i := range d {
		d[i].Detail = fmt.Sprintf("Rule %s of policy %q: %s", j.r, j.p.Name, d[i].Detail)
	}
	j.diags = append(j.diags, d...)
}

// excepted reports whether an exception rule names the rule, as conftest has it:
// deny_NAME, violation_NAME and warn_NAME by NAME, deny, violation and warn by "". Where that rests
// on something unknown, it says on what.
func (j *judging) excepted(ctx context.Context) (yes bool, asked []attribute, err error) {
	if !j.r.excepts {
		return false, nil, nil
	}
	said, err := j.plainly(ctx, j.r.exceptions(), members(mostSaid))
	if err != nil {
		return false, nil, err
	}
	if j.d.HasUnknown() {
		asked = j.askedFor(ctx, j.r.exceptions(), members(mostSaid), said)
	}
	_, name, _ := strings.Cut(j.r.name, "_")
	for _, v := range said {
		list, _ := v.value.([]any)
		for _, e := range list {
			if e == name {
				return true, asked, nil
			}
		}
	}
	return false, asked, nil
}

// said is one value of a rule: its text as OPA writes it, and itself.
type said struct {
	term  string
	value any
}

// saying is how the value of a query, nil where it is undefined, is understood.
type saying func(ast.Value) ([]said, error)

// evaluate returns what a query says.
func evaluate(ctx context.Context, q rego.PreparedEvalQuery, says saying, options []rego.EvalOption) (out []said, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	defined := false
	collect := func(t *ast.Term, _ *rego.EvalContext) (any, error) {
		defined = true
		out, err = says(t.Value)
		return nil, err
	}
	if _, err := q.Eval(ctx, append(options, rego.EvalGenerateJSON(collect))...); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if !defined {
		return says(nil)
	}
	return out, nil
}

// says is the [saying] of the rule.
func (j *judging) says(v ast.Value) ([]said, error) {
	if j.r.decides {
		return j.r.decided(v, j.d.most())
	}
	return membersOf(v, j.d.most())
}
