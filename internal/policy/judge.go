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
	// Locate finds the line of an object's declaration; nil where nothing is known.
	Locate func(address string) *Place
	Now    time.Time
	// Time is how long one rule may take, and Memory by how many bytes the heap may
	// grow; 0 for [MostTime] and [MostMemory].
	Time   time.Duration
	Memory uint64
	// Only limits what is evaluated to rules, as "POLICY PACKAGE.RULE"; nil: all.
	Only map[string]bool
}

// prepared are the queries of a policy, by rule.
type prepared struct {
	queries map[string]rego.PreparedEvalQuery
	err     error
}

// Judge evaluates policies on a document.
func Judge(ctx context.Context, policies []*Policy, d *Document, o Options) (*Decision, diag.List) {
	out := &Decision{Plan: o.Plan, Stack: o.Stack, Status: Pass}
	input, err := d.plain()
	if err != nil {
		return nil, diag.Errorf("Cannot judge the plan", "%s.", err)
	}
	var jobs []*judging
	for _, p := range policies {
		p.prepare(ctx)
		for _, r := range p.rules {
			if o.Only == nil || o.Only[p.Name+" "+r.String()] {
				jobs = append(jobs, &judging{p: p, r: r, d: d, o: o, input: p.wants.of(input, d).Value})
			}
		}
	}
	watched := make([]*watchedDocument, runtime.GOMAXPROCS(0))
	bounds, done := limit(ctx, policies, o)
	defer done()
	each(len(jobs), len(watched), func(worker, i int) {
		if watched[worker] == nil {
			watched[worker] = &watchedDocument{}
		}
		jobs[i].watched = watched[worker]
		var busy bool
		if jobs[i], busy = bounds.run(jobs[i]); busy {
			watched[worker] = nil // it is still looked at
		}
	})
	var diags diag.List
	for _, p := range policies {
		j := Judged{Policy: p.Name, Level: p.Level, Status: Pass, Rules: p.Rules()}
		failed := 0
		for _, job := range jobs {
			if job.p != p {
				continue
			}
			diags = append(diags, job.diags...)
			out.Findings = append(out.Findings, job.findings...)
			for _, f := range job.findings {
				j.Status = worst(j.Status, f.Status)
			}
			if len(job.findings) > 0 {
				failed++
			}
		}
		j.Passed = max(0, j.Rules-failed)
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

// prepare makes the queries of the policy that are evaluated on any document.
func (p *Policy) prepare(ctx context.Context) {
	p.preparing.Lock()
	defer p.preparing.Unlock()
	if p.fast == nil {
		p.fast = p.queries(ctx, p.quick)
	}
}

// tracked are the queries for documents with unknown values.
func (p *Policy) tracked(ctx context.Context) *prepared {
	p.preparing.Lock()
	defer p.preparing.Unlock()
	if p.slow == nil {
		c, err := compile(p.modules, true)
		if err != nil {
			p.slow = &prepared{err: err}
		} else {
			p.slow = p.queries(ctx, c)
		}
	}
	return p.slow
}

func (p *Policy) queries(ctx context.Context, c *ast.Compiler) *prepared {
	out := &prepared{queries: map[string]rego.PreparedEvalQuery{}}
	add := func(query string) {
		if _, done := out.queries[query]; done || out.err != nil {
			return
		}
		var q rego.PreparedEvalQuery
		q, out.err = rego.New(rego.Query(query), rego.Compiler(c), rego.Store(p.store)).PrepareForEval(ctx)
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

// exceptions is the query for the names of rules that do not apply.
func (r *rule) exceptions() string { return strings.TrimSuffix(r.query, "."+r.name) + ".exception" }

// judging is the evaluation of one rule.
type judging struct {
	p     *Policy
	r     *rule
	d     *Document
	o     Options
	input ast.Value
	// watched is the worker's own: evaluations that share it follow each other.
	watched *watchedDocument

	findings []Finding
	diags    diag.List
}

func (j *judging) options(more ...rego.EvalOption) []rego.EvalOption {
	out := append([]rego.EvalOption{rego.EvalParsedInput(j.input)}, more...)
	if !j.o.Now.IsZero() {
		out = append(out, rego.EvalTime(j.o.Now))
	}
	return out
}

func (j *judging) run(ctx context.Context) {
	if j.p.fast.err != nil {
		j.fail(j.p.fast.err)
		return
	}
	excepted, asked, err := j.excepted(ctx)
	if err != nil {
		j.fail(err)
		return
	}
	if excepted && len(asked) == 0 {
		return
	}
	said, err := evaluate(ctx, j.p.fast.queries[j.r.query], j.r.says, j.options())
	if err != nil {
		j.fail(err)
		return
	}
	if len(asked) > 0 {
		j.uncertain(said, nil, asked)
		return
	}
	if !j.d.HasUnknown() {
		for _, m := range said {
			j.add(m, false, nil)
		}
		return
	}
	j.unknowns(ctx, said)
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
	said, err := evaluate(ctx, j.p.fast.queries[j.r.exceptions()], members, j.options())
	if err == nil && j.d.HasUnknown() {
		asked, err = j.askedFor(ctx, j.r.exceptions(), members, said)
	}
	if err != nil {
		return false, nil, err
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

// evaluate returns what a query says.
func evaluate(ctx context.Context, q rego.PreparedEvalQuery, says func(ast.Value) ([]said, error), options []rego.EvalOption) (out []said, err error) {
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

// says is how the value of the rule is understood.
func (r *rule) says(v ast.Value) ([]said, error) {
	if r.decides {
		return r.decided(v)
	}
	return members(v)
}
