package tests

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// fileRunner runs one file.
type fileRunner struct {
	file    *configs.TestFile
	opts    Options
	globals map[string]cty.Value // variables that expressions of the file may refer to
	outputs map[string]cty.Value // of the runs so far
	states  map[string]*kept
	order   []string // keys of states, the one used last at the end
}

// kept is one state of a file with what is needed to destroy what is in it.
type kept struct {
	state *states.State
	input engine.PlanInput
}

func newFileRunner(f *configs.TestFile, opts Options) *fileRunner {
	return &fileRunner{file: f, opts: opts, globals: map[string]cty.Value{}, outputs: map[string]cty.Value{}, states: map[string]*kept{}}
}

func (r *fileRunner) run(ctx context.Context) *FileResult {
	out := &FileResult{File: r.file, Status: Pass}
	if d := r.evaluateGlobals(); d.HasErrors() {
		out.Diags, out.Status = d, Error
	}
	for _, run := range r.file.Runs {
		result := &RunResult{Run: run, Status: Skip, Began: time.Now()}
		out.Runs = append(out.Runs, result)
		if out.Status == Error || ctx.Err() != nil {
			r.opts.Watch.RunEnded(r.file, result)
			continue
		}
		r.opts.Watch.RunStarted(r.file, run)
		(&runRunner{fileRunner: r, run: run, result: result}).do(ctx)
		result.Elapsed = time.Since(result.Began)
		r.opts.Watch.RunEnded(r.file, result)
		out.Status = worse(out.Status, result.Status)
	}
	r.opts.Watch.TearingDown(r.file)
	diags, left := r.tearDown(context.WithoutCancel(ctx))
	out.Diags, out.Left = append(out.Diags, diags...), left
	if out.Diags.HasErrors() {
		out.Status = Error
	}
	return out
}

// evaluateGlobals evaluates the variables of the file.
func (r *fileRunner) evaluateGlobals() diag.List {
	for name, in := range r.opts.Variables {
		r.globals[name] = in.Value
	}
	var diags diag.List
	ctx := r.context()
	for name, expr := range r.file.Variables {
		val, d := expr.Value(ctx)
		diags = append(diags, diag.FromHCL(d)...)
		r.globals[name] = val
	}
	return diags
}

// context is what expressions outside of modules are evaluated in.
func (r *fileRunner) context() *hcl.EvalContext {
	ctx := engine.Standalone(r.opts.WorkDir).NewChild()
	ctx.Variables = map[string]cty.Value{"var": cty.ObjectVal(r.globals), "run": cty.ObjectVal(r.outputs)}
	return ctx
}

// tearDown destroys what the runs have made, the newest state first.
func (r *fileRunner) tearDown(ctx context.Context) (diag.List, []addrs.Object) {
	var diags diag.List
	var left []addrs.Object
	for _, key := range slices.Backward(r.order) {
		k := r.states[key]
		if !hasManaged(k.state) {
			continue
		}
		in := k.input
		in.Prior, in.Mode, in.Targets, in.ForceReplace = k.state, plans.Destroy, nil, nil
		plan, view, d := engine.PlanView(ctx, in)
		if view != nil {
			view.Close()
		}
		if !d.HasErrors() {
			var more diag.List
			k.state, _, _, more = apply(ctx, plan, in)
			d = append(d, more...)
		}
		diags = append(diags, errorsOf(d)...)
		for _, inst := range k.state.Sorted() {
			if inst.Object.Instance.Resource.Mode == addrs.Managed {
				left = append(left, inst.Object)
			}
		}
	}
	return diags, left
}

func hasManaged(st *states.State) bool {
	for obj := range st.Instances {
		if obj.Instance.Resource.Mode == addrs.Managed {
			return true
		}
	}
	return false
}

func errorsOf(l diag.List) diag.List {
	return slices.DeleteFunc(slices.Clone(l), func(d diag.Diagnostic) bool { return d.Severity != diag.Error })
}

// apply carries out a plan in memory. The view is nil where it could not begin.
func apply(ctx context.Context, plan *plans.Plan, in engine.PlanInput) (*states.State, *engine.View, engine.Final, diag.List) {
	ephemeral := map[string]cty.Value{}
	for name, v := range in.Config.Root.Variables {
		if given, ok := in.Variables[name]; ok && v.Ephemeral {
			if val, d := configs.PrepareVariable(v, given); !d.HasErrors() {
				ephemeral[name] = val
			}
		}
	}
	a, diags := engine.NewApply(ctx, engine.ApplyInput{
		Plan: plan, Config: in.Config, Ephemeral: ephemeral, Providers: in.Providers, WorkDir: in.WorkDir, Progress: in.Progress,
	})
	if diags.HasErrors() {
		return plan.Prior, nil, engine.Final{}, diags
	}
	state := plan.Prior.Clone()
	diags = append(diags, carryOut(ctx, a, state, max(in.Parallelism, engine.DefaultParallelism))...)
	final := a.Finish(ctx)
	state.Outputs = maps.Clone(final.Outputs)
	return state, a.View(), final, append(diags, final.Diags...)
}

// carryOut does the operations, needs first, and writes what came of them into
// the state.
func carryOut(ctx context.Context, a *engine.Apply, state *states.State, workers int) diag.List {
	ops := a.Operations()
	waits := make([]int, len(ops))
	dependents := make([][]int, len(ops))
	var ready []int
	for i, op := range ops {
		waits[i] = len(op.Needs)
		for _, need := range op.Needs {
			dependents[need] = append(dependents[need], i)
		}
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	type ended struct {
		op      int
		outcome engine.Outcome
	}
	results := make(chan ended)
	running := 0
	var diags diag.List
	for {
		for len(ready) > 0 && running < workers && ctx.Err() == nil {
			op := ready[0]
			ready, running = ready[1:], running+1
			go func() {
				if ops[op].Kind == plans.OpGate {
					results <- ended{op: op}
					return
				}
				results <- ended{op, a.Do(ctx, op)}
			}()
		}
		if running == 0 {
			return diags
		}
		e := <-results
		running--
		diags = append(diags, e.outcome.Diags...)
		for _, row := range e.outcome.Rows {
			if row.After == nil {
				delete(state.Instances, row.Object)
			} else {
				state.Instances[row.Object] = row.After
			}
		}
		if e.outcome.Failed() {
			continue // what depends on it is not done
		}
		for _, next := range dependents[e.op] {
			if waits[next]--; waits[next] == 0 {
				ready = append(ready, next)
			}
		}
	}
}
