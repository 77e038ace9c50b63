package runstest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Step describes an operation of a pretended plan.
type Step struct {
	Kind  plans.OperationKind
	Needs []int
	// Fails and Loses make Do end so. Harmless says that it is idempotent.
	Fails, Loses, Harmless bool
	// Findable says that a create in doubt can be settled; updates and deletes
	// always can.
	Findable bool
	Takes    time.Duration
	Stubborn bool // does not return early when its context is cancelled
}

// World is what operations have an effect on. It outlives executors, as the
// real one outlives processes.
type World struct {
	Plan  *plans.Plan
	steps []Step

	mu      sync.Mutex
	effects []int
	began   []int // order in which operations had their effect
	dead    bool
	stops   int
	opened  int
}

// Key is the state that pretended plans are for.
var Key = states.Key{Environment: "default"}

// Object is the object of a pretended step.
func Object(step int) addrs.Object {
	return addrs.Object{Instance: addrs.ResourceInstance{Resource: addrs.Resource{
		Mode: addrs.Managed, Type: "thing", Name: fmt.Sprintf("n%d", step),
	}}}
}

// NewWorld makes a world, the plan of the steps, and writes the objects that
// the plan updates or deletes into the store.
func NewWorld(ctx context.Context, store runs.Store, steps []Step) (*World, error) {
	plan := &plans.Plan{Mode: plans.Normal, Digest: "digest", StateKey: Key}
	var rows []states.Change
	for i, s := range steps {
		op := plans.Operation{Kind: s.Kind, Change: -1, Needs: s.Needs}
		change := &plans.Change{Object: Object(i), Before: cty.NilVal, After: cty.NilVal}
		switch s.Kind {
		case plans.OpGate:
			plan.Operations = append(plan.Operations, op)
			continue
		case plans.OpCreate:
			change.Action = plans.Create
		case plans.OpUpdate:
			change.Action = plans.Update
		case plans.OpDelete:
			change.Action = plans.Delete
		case plans.OpForget:
			change.Action = plans.Forget
		default:
			return nil, fmt.Errorf("cannot pretend an operation of kind %s", s.Kind)
		}
		if s.Kind != plans.OpCreate {
			rows = append(rows, states.Change{Object: Object(i), After: instance(i, "before")})
		}
		op.Change = len(plan.Changes)
		plan.Changes = append(plan.Changes, change)
		plan.Operations = append(plan.Operations, op)
	}
	if err := store.Write(ctx, Key, states.Write{Cause: "push", Changes: rows}); err != nil {
		return nil, err
	}
	prior, err := store.State(ctx, Key)
	if err != nil {
		return nil, err
	}
	plan.Prior = prior
	return &World{Plan: plan, steps: steps, effects: make([]int, len(steps))}, nil
}

func instance(step int, value string) *states.Instance {
	attributes, _ := json.Marshal(map[string]string{"value": value})
	provider := addrs.ProviderConfig{Provider: addrs.DefaultProvider("thing")}
	return &states.Instance{Object: Object(step), Provider: provider, Status: states.Ready, Attributes: attributes}
}

// Open makes an executor; it fits [runs.Open].
func (w *World) Open(context.Context) (runs.Executor, diag.List) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
	w.opened++
	return &executor{w: w, restored: map[int]bool{}}, nil
}

// Die makes operations that have not had their effect yet have none any more:
// the process is gone. Opening another executor ends that.
func (w *World) Die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// Effects counts how often an operation had its effect.
func (w *World) Effects(step int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[step]
}

// Order lists operations in the order of their effects.
func (w *World) Order() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.began...)
}

// Stops counts how often executors were asked to stop.
func (w *World) Stops() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stops
}

type executor struct {
	w        *World
	mu       sync.Mutex
	restored map[int]bool
}

func (e *executor) Operations() []plans.Operation { return e.w.Plan.Operations }

func (e *executor) Idempotent(op int) bool { return e.w.steps[op].Harmless }

// Do has the operation's effect once its time has passed.
func (e *executor) Do(ctx context.Context, op int) engine.Outcome {
	s := e.w.steps[op]
	if s.Stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	if s.Takes > 0 {
		select {
		case <-time.After(s.Takes):
		case <-ctx.Done():
			return engine.Outcome{Lost: true, Diags: diag.Errorf("Cut off", "It was cancelled.")}
		}
	}
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if e.w.dead {
		return engine.Outcome{}
	}
	if s.Fails {
		return engine.Outcome{Diags: diag.Errorf("Step fails", "It was made to.").WithAddress(Object(op).String())}
	}
	e.w.effects[op]++
	e.w.began = append(e.w.began, op)
	if s.Loses {
		return engine.Outcome{Lost: true, Diags: diag.Errorf("Outcome unknown", "It was made to be.").WithAddress(Object(op).String())}
	}
	return outcome(op, s)
}

func outcome(op int, s Step) engine.Outcome {
	switch s.Kind {
	case plans.OpCreate:
		return engine.Outcome{Event: "resource.created", Rows: []states.Change{{Object: Object(op), After: instance(op, "after")}}}
	case plans.OpUpdate:
		return engine.Outcome{Event: "resource.updated", Rows: []states.Change{{Object: Object(op), Before: instance(op, "before"), After: instance(op, "after")}}}
	}
	return engine.Outcome{Event: "resource.deleted", Rows: []states.Change{{Object: Object(op), Before: instance(op, "before")}}}
}

// Settle looks whether the effect is there.
func (e *executor) Settle(ctx context.Context, op int) engine.Outcome {
	s := e.w.steps[op]
	if s.Kind == plans.OpCreate && !s.Findable && !s.Harmless {
		return engine.Outcome{Lost: true, Diags: diag.Errorf("Outcome unknown", "Nobody knows.").WithAddress(Object(op).String())}
	}
	if e.w.Effects(op) > 0 {
		return outcome(op, s)
	}
	return e.Do(ctx, op)
}

func (e *executor) Restore(op int, rows []states.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.restored[op] = true
}

func (e *executor) Stop(context.Context) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.stops++
}

func (e *executor) Finish(context.Context) engine.Final { return engine.Final{} }
