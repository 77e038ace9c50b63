// Package workload makes workflows of steps that do nothing, and runs them on
// the store that the product uses: what is left to measure is what a durable
// step costs. The comparisons with other systems use it as well.
package workload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Action is the kind of the steps made here. It is one that may not simply be
// repeated: the intent is on disk before it begins.
const Action = "exec"

var key = states.Key{Stack: "bench", Environment: "default"}

// Bench is a runner with a store on disk.
type Bench struct {
	Dir    string
	Store  *sqlite.Store
	Runner *runs.Runner
}

// Open opens or makes a store in a folder.
func Open(ctx context.Context, dir string) (*Bench, error) {
	store, err := sqlite.Open(ctx, dir, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	return &Bench{Dir: dir, Store: store, Runner: &runs.Runner{Store: store}}, nil
}

// Close closes the store.
func (b *Bench) Close() error { return b.Store.Close() }

// Run runs a workflow to its end.
func (b *Bench) Run(ctx context.Context, d *flow.Definition, o runs.WorkflowOptions) error {
	o.Run.Key = key
	run, _, diags := b.Runner.StartWorkflow(ctx, d, o)
	if diags.HasErrors() {
		return diags.Err()
	}
	if run.Status != runs.Succeeded {
		return fmt.Errorf("run %s: %s %s", run.ID, run.Status, run.Problem)
	}
	return nil
}

// Nothing is a job that does nothing.
func Nothing(context.Context, runs.WorkflowCall) (runs.WorkflowResult, error) {
	return runs.WorkflowResult{}, nil
}

// Doing are options under which every step does the same.
func Doing(action runs.WorkflowAction, parallelism int) runs.WorkflowOptions {
	return runs.WorkflowOptions{Actions: map[string]runs.WorkflowAction{Action: action}, Parallelism: parallelism}
}

// Define makes a definition of steps.
func Define(pools map[string]*projects.Pool, steps ...*projects.Step) *flow.Definition {
	w := &projects.Workflow{Name: "bench", Steps: steps}
	p := &projects.Project{Dir: ".", Workflows: map[string]*projects.Workflow{"bench": w}, Pools: pools}
	return flow.Compile(p, w)
}

// Step makes a step that needs others.
func Step(name string, needs ...string) *projects.Step {
	s := &projects.Step{Name: name, Action: &projects.Action{Kind: Action, Arguments: map[string]hcl.Expression{"command": command}}}
	for _, need := range needs {
		s.Needs = append(s.Needs, projects.Reference{Kind: "step", Name: need})
	}
	return s
}

// Wait makes a step that waits for an event.
func Wait(name, event string) *projects.Step {
	return &projects.Step{Name: name, Action: &projects.Action{Kind: "wait", Arguments: map[string]hcl.Expression{"event": expression(event)}}}
}

// Each makes a step of n items. Idempotent ones need no intent.
func Each(name string, n int, idempotent bool) *projects.Step {
	s := Step(name)
	s.ForEach = numbers(n)
	s.Action.Arguments = map[string]hcl.Expression{"command": expression(`["do", each.value]`)}
	if idempotent {
		return Idempotent(s)
	}
	return s
}

// Idempotent lets a step be done again after a crash.
func Idempotent(s *projects.Step) *projects.Step {
	s.Action.Arguments["idempotent"] = expression("true")
	return s
}

// Chain makes n steps, each of which needs the one before.
func Chain(name string, n int) []*projects.Step {
	steps := make([]*projects.Step, n)
	for i := range steps {
		steps[i] = Step(name + strconv.Itoa(i))
		if i > 0 {
			steps[i].Needs = []projects.Reference{{Kind: "step", Name: steps[i-1].Name}}
		}
	}
	return steps
}

var command = expression(`["do"]`)

func expression(text string) hcl.Expression {
	e, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		panic(diags)
	}
	return e
}

// numbers is a list of n texts, as a variable would have it.
func numbers(n int) hcl.Expression {
	list := make([]cty.Value, n)
	for i := range list {
		list[i] = cty.StringVal(strconv.Itoa(i))
	}
	return hcl.StaticExpr(cty.ListVal(list), hcl.Range{})
}

// Folder makes a folder for a store below parent, which must be on a real disk:
// a store in memory would be measured without what makes it durable.
func Folder(parent string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	if InMemory(parent) {
		return "", fmt.Errorf("%s is in memory: name a folder on a disk", parent)
	}
	return os.MkdirTemp(parent, "bench-")
}

// Size is how many bytes the files of a folder have.
func Size(dir string) int64 {
	var size int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size
}

// Sync measures the floor of anything durable: n times 4 KiB are written and
// synced, one after the other. It returns when it has finished.
func Sync(dir string, n int) error {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	for range n {
		if _, err := f.Write(page); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Latencies runs a chain of n steps among others that cannot begin, and then cuts
// the run off. It measures how long it takes from the start until the first of
// the chain begins, and then from the end of the work of each until the next
// begins. Where keeps is not nil, the step it names never ends, and the chain
// goes on only once that step has begun.
func (b *Bench) Latencies(ctx context.Context, d *flow.Definition, n int, keeps func(step string) bool) ([]time.Duration, error) {
	hard, kept := make(chan struct{}), make(chan struct{})
	var list []time.Duration
	ended := time.Now()
	o := Doing(func(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
		now := time.Now()
		if keeps != nil && keeps(c.Effect.Key) {
			close(kept)
			<-ctx.Done()
			return runs.WorkflowResult{}, ctx.Err()
		}
		list = append(list, now.Sub(ended))
		if keeps != nil {
			<-kept
		}
		if len(list) == n {
			close(hard)
		}
		ended = time.Now()
		return runs.WorkflowResult{}, nil
	}, 10)
	o.Hard = hard
	o.Run.Key = key
	_, _, diags := b.Runner.StartWorkflow(ctx, d, o)
	if len(list) < n {
		return nil, fmt.Errorf("%d of %d steps began: %w", len(list), n, diags.Err())
	}
	return list, nil
}
