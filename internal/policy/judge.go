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
	// Only limits what is evaluated to rules, as "POLICY PACKAGE.RULE"; nil: all.
	Only map[string]bool
}

// program is a policy that was compiled in one way: its queries, by text.
type program struct {
	queries map[string]rego.PreparedEvalQuery
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
				jobs = append(jobs, &judging{p: p, r: r, d: d, o: o, plain: plain})
			}
		}
	}
	workers := make([]*worker, runtime.GOMAXPROCS(0))
	for i := range workers {
		workers[i] = newWorker()
	}
	each(len(jobs), len(workers), func(worker, i int) {
		jobs[i].worker = workers[worker]
		jobs[i].run(ctx)
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

// program compiles the policy in one way, where that was not done before.
func (p *Policy) program(v variant) *program {
	p.preparing.Lock()
	defer p.preparing.Unlock()
	out := p.programs[v]
	if out == nil {
		out = &program{queries: map[string]rego.PreparedEvalQuery{}}
		p.programs[v] = out
		var c *ast.Compiler
		if c, out.err = p.compile(v); out.err == nil {
			p.addQueries(out, c)
		}
	}
	return out
}

func (p *Policy) addQueries(to *program, c *ast.Compiler) {
	add := func(query string) {
		if _, done := to.queries[query]; done || to.err != nil {
			return
		}
		var q rego.PreparedEvalQuery
		q, to.err = rego.New(rego.Query(query), rego.Compiler(c), rego.Store(p.store), rego.FunctionDyn(&byType, lookIndex)).PrepareForEval(context.Background())
		to.queries[query] = q
	}
	for _, r := range p.rules {
		add(r.query)
		if r.excepts {
			add(r.exceptions())
		}
	}
}

// exceptions is the query for the names of rules that do not apply.
func (r *rule) exceptions() string { return strings.TrimSuffix(r.query, "."+r.name) + ".exception" }

// judging is the evaluation of one rule.
type judging struct {
	p     *Policy
	r     *rule
	d     *Document
	o     Options
	plain input
	// worker evaluates nothing else meanwhile.
	worker *worker

	findings []Finding
	diags    diag.List
}

// program is the policy, compiled for a document.
func (j *judging) program(tracked bool, in input) *program {
	return j.p.program(variant{tracked: tracked, indexed: in.index != nil})
}

// plainly evaluates a query on the document as it is.
func (j *judging) plainly(ctx context.Context, query string) ([]said, error) {
	of := j.program(false, j.plain)
	out, err := j.eval(ctx, of, query, j.plain, rego.EvalVirtualCache(j.worker.cache(of)))
	if err != nil {
		j.worker.forget(of)
	}
	return out, err
}

func (j *judging) eval(ctx context.Context, of *program, query string, in input, options ...rego.EvalOption) ([]said, error) {
	if of.err != nil {
		return nil, of.err
	}
	options = append(options, rego.EvalParsedInput(in.term.Value))
	if !j.o.Now.IsZero() {
		options = append(options, rego.EvalTime(j.o.Now))
	}
	return evaluate(withIndex(ctx, in.index), of.queries[query], options)
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
	said, err := j.plainly(ctx, j.r.query)
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
// deny_NAME and violation_NAME by NAME, deny and violation by "". Where that rests
// on something unknown, it says on what.
func (j *judging) excepted(ctx context.Context) (yes bool, asked []attribute, err error) {
	if j.r.warns || !j.r.excepts {
		return false, nil, nil
	}
	said, err := j.plainly(ctx, j.r.exceptions())
	if err != nil {
		return false, nil, err
	}
	if j.d.HasUnknown() {
		asked = j.askedFor(ctx, j.r.exceptions(), said)
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

// evaluate returns the members of what a query comes to.
func evaluate(ctx context.Context, q rego.PreparedEvalQuery, options []rego.EvalOption) ([]said, error) {
	var out []said
	collect := func(t *ast.Term, _ *rego.EvalContext) (any, error) {
		add := func(e *ast.Term) error {
			v, err := ast.JSON(e.Value)
			out = append(out, said{e.String(), v})
			return err
		}
		switch v := t.Value.(type) {
		case ast.Set:
			return nil, v.Iter(add)
		case *ast.Array:
			return nil, v.Iter(add)
		case ast.Object:
			// deny[msg] { … } with a value, or nothing: the keys are the messages.
			return nil, v.Iter(func(k, _ *ast.Term) error { return add(k) })
		case ast.Boolean:
			if bool(v) {
				return nil, add(t)
			}
			return nil, nil
		}
		return nil, add(t)
	}
	_, err := q.Eval(ctx, append(options, rego.EvalGenerateJSON(collect))...)
	return out, err
}
