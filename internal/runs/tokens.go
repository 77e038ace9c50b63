package runs

import (
	"context"
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// StateMachineOf reads the definition of a state machine, and what is bound to
// its resources, from what its run is pinned to.
func StateMachineOf(pinned []byte) (*asl.Definition, *StateMachine, diag.List) {
	steps := &StateMachine{}
	source := pinned
	if IsWorkflow(pinned) {
		d, diags := DecodeDefinition(pinned)
		if diags.HasErrors() {
			return nil, nil, diags
		}
		source, steps.Bindings = d.Project.DefinitionOf(d.Workflow), d.Workflow.Bindings
	}
	definition, err := asl.Parse(source)
	if err != nil {
		return nil, nil, diag.Errorf("Invalid state machine", "%s.", err)
	}
	return definition, steps, nil
}

// ErrNoMachine says that a run is none of a state machine.
var ErrNoMachine = errors.New("it is no run of a state machine")

// MachineResult says how a run of a state machine stands or ended, from its journal. The
// error may be [ErrNoMachine] or [ErrPruned].
func (r *Runner) MachineResult(ctx context.Context, run Run) (asl.Result, error) {
	m, err := r.machineOf(ctx, run, func(m *asl.Machine) { m.Forget() })
	if err != nil {
		return asl.Result{}, err
	}
	return m.Result(), nil
}

// MachineHistory is MachineResult with what happened, as recordings of the service have it.
// It holds what states were given and returned.
func (r *Runner) MachineHistory(ctx context.Context, run Run) (asl.Result, []asl.Event, error) {
	m, err := r.machineOf(ctx, run, func(*asl.Machine) {})
	if err != nil {
		return asl.Result{}, nil, err
	}
	return m.Result(), m.Recorded(), nil
}

// machineOf is the state machine of a run as its journal leaves it, prepared before it
// reads that.
func (r *Runner) machineOf(ctx context.Context, run Run, prepare func(*asl.Machine)) (*asl.Machine, error) {
	if !run.Machine() {
		return nil, ErrNoMachine
	}
	if err := run.Kept(); err != nil {
		return nil, err
	}
	pinned, err := r.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	if IsWorkflow(pinned) {
		d, diags := DecodeDefinition(pinned)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		if d.Workflow.Definition == "" {
			return nil, ErrNoMachine
		}
	}
	definition, _, diags := StateMachineOf(pinned)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	m := asl.NewMachine(definition)
	prepare(m)
	err = r.Store.Each(ctx, run.ID, 0, func(e workflow.Entry) error {
		_, err := m.Apply(e)
		return err
	})
	return m, err
}

// Waiting is a step of a state machine that somebody outside has to end.
type Waiting struct {
	Run    Run
	Step   int
	Effect asl.Effect
	Taken  bool // a worker has begun it
}

// EachWaiting calls f for every step of a state machine that waits for its token,
// oldest run first, until f returns false.
func (r *Runner) EachWaiting(ctx context.Context, f func(Waiting) bool) error {
	list, err := r.Store.Unended(ctx)
	if err != nil {
		return err
	}
	for _, run := range list {
		if run.Kind != WorkflowKind {
			continue
		}
		pinned, err := r.Store.Blob(ctx, run.Blob)
		if err != nil {
			return err
		}
		definition, _, diags := StateMachineOf(pinned)
		if diags.HasErrors() {
			continue // a workflow with steps of its own
		}
		m := asl.NewMachine(definition)
		m.Forget()
		taken := map[int]bool{}
		err = r.Store.Each(ctx, run.ID, 0, func(e workflow.Entry) error {
			if e.Kind == workflow.StepStarted {
				taken[e.Step] = true
			}
			_, err := m.Apply(e)
			return err
		})
		if err != nil {
			return fmt.Errorf("the journal of run %s cannot be followed: %w", run.ID, err)
		}
		for step := range m.Steps() {
			e := m.Effect(step)
			if e.Kind != asl.Activity && e.Kind != asl.Callback {
				continue
			}
			if !f(Waiting{Run: run, Step: step, Effect: e, Taken: taken[step]}) {
				return nil
			}
		}
	}
	return nil
}

// FindToken finds the step that waits for a token.
func (r *Runner) FindToken(ctx context.Context, token string) (found Waiting, ok bool, err error) {
	err = r.EachWaiting(ctx, func(w Waiting) bool {
		if w.Effect.Token == token {
			found, ok = w, true
		}
		return !ok
	})
	return found, ok, err
}

// Taken reports whether a worker's wish to begin a step was granted: whose name
// the journal has. decided is false as long as nobody's is there.
func (r *Runner) Taken(ctx context.Context, w Waiting, worker string) (mine, decided bool, err error) {
	err = r.Store.Each(ctx, w.Run.ID, 0, func(e workflow.Entry) error {
		if e.Kind != workflow.StepStarted || e.Step != w.Step {
			return nil
		}
		var data takenData
		decided = decode(e.Data, &data) == nil
		mine = data.Worker == worker
		return nil
	})
	return mine, decided, err
}
