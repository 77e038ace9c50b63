package api

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// follower tells how the steps of a run stand, from its journal, and keeps up
// with it: what was read once is not read again.
type follower struct {
	a       *API
	run     runs.Run
	machine *flow.Machine // nil where the run is none of a workflow with steps
	last    int64         // entry read last
	heard   int64         // signal that was taken last

	numbers map[int]string    // of steps that have not ended: their names
	makers  map[string]bool   // steps that are runs of their own
	runs    map[string]string // of them, the run, by name of the step
	order   []string
	listed  map[string]*Step  // operations of a plan's run, by address and operation
	tried   map[string]*tried // items of steps, by name; nil where nobody asks for them
}

// follower makes one that has read the journal up to now.
func (a *API) follower(ctx context.Context, run runs.Run) (*follower, error) {
	f, err := a.newFollower(ctx, run)
	if err != nil {
		return nil, err
	}
	return f, f.read(ctx)
}

// newFollower makes one that has read nothing yet.
func (a *API) newFollower(ctx context.Context, run runs.Run) (*follower, error) {
	m, err := a.Work.Machine(ctx, run)
	if err != nil {
		return nil, err
	}
	f := &follower{
		a: a, run: run, machine: m, numbers: map[int]string{}, makers: map[string]bool{}, runs: map[string]string{},
		listed: map[string]*Step{},
	}
	if m != nil {
		for _, s := range m.Steps() {
			f.makers[s.Name] = slices.Contains([]string{"apply", "destroy", "rollback", "workflow"}, s.Action)
		}
	}
	return f, nil
}

// openRuns are followers of the runs that have not ended, kept from one request to the
// next: whoever looks at the UI asks what waits whenever something has happened.
type openRuns struct {
	mu        sync.Mutex
	followers map[string]*follower
}

// waiting is what these runs wait for, which are all that have not ended.
func (o *openRuns) waiting(ctx context.Context, a *API, list []runs.Run) iter.Seq2[runs.Run, flow.Wait] {
	return func(yield func(runs.Run, flow.Wait) bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		before := o.followers
		o.followers = make(map[string]*follower, len(list))
		for _, run := range list {
			if !run.Machine() {
				continue
			}
			f, err := before[run.ID], error(nil)
			if f == nil {
				f, err = a.follower(ctx, run)
			} else {
				err = f.read(ctx)
			}
			if err != nil {
				continue // what cannot be read waits for nobody here
			}
			o.followers[run.ID] = f
			if f.machine == nil {
				continue // a state machine, which waits for no approval
			}
			waits, err := f.waiting(ctx)
			if err != nil {
				continue
			}
			for _, w := range waits {
				if !yield(run, w) {
					return
				}
			}
		}
	}
}

// waiting is what a run of a workflow waits for, with the decisions that nobody who
// drives it has taken yet: they are made, and whoever asks is to hear of them.
func (f *follower) waiting(ctx context.Context) ([]flow.Wait, error) {
	waits := f.machine.Waiting()
	if !slices.ContainsFunc(waits, func(w flow.Wait) bool { return w.Approval }) {
		return waits, nil
	}
	made, err := f.a.Store.Signals(ctx, f.run.ID, f.heard)
	if err != nil || len(made) == 0 {
		return waits, err
	}
	return f.machine.WaitingAfter(made), nil
}

// read takes in what was written since.
func (f *follower) read(ctx context.Context) error {
	if f.machine == nil {
		entries, err := f.a.Store.Read(ctx, f.run.ID, f.last)
		for _, e := range entries {
			f.operation(e)
		}
		return err
	}
	return f.a.Store.Each(ctx, f.run.ID, f.last, func(e workflow.Entry) error {
		if f.tried != nil && e.Step >= 0 {
			f.noteAttempt(e)
		}
		if _, err := f.machine.Apply(e); err != nil {
			return err
		}
		f.last, f.heard = e.Sequence, max(f.heard, runs.SignalNumber(e))
		if e.Step < 0 {
			return nil
		}
		name := f.numbers[e.Step]
		if data := runs.ReadStepData(e); data.Step != "" {
			name = data.Step
		} else if data.Address != "" {
			name = data.Address
		}
		if name, _, _ = strings.Cut(name, "["); name != "" {
			f.numbers[e.Step] = name
			if f.makers[name] {
				f.runs[name] = runs.ChildRun(f.run.ID, e.Step)
			}
		}
		if e.Kind != workflow.StepStarted {
			delete(f.numbers, e.Step)
		}
		return nil
	})
}

// operation takes an entry of a plan's run, which tells by itself what it is
// about.
func (f *follower) operation(e workflow.Entry) {
	f.last = e.Sequence
	if e.Step < 0 {
		return
	}
	data := runs.ReadStepData(e)
	key := data.Operation + " " + data.Address
	if data.Address == "" {
		key = f.numbers[e.Step]
	}
	if key == "" {
		return
	}
	f.numbers[e.Step] = key
	s := f.listed[key]
	if s == nil {
		s = &Step{Name: data.Address, Action: data.Operation, Needs: []string{}, Begun: &e.Time}
		f.listed[key] = s
		f.order = append(f.order, key)
	}
	switch e.Kind {
	case workflow.StepStarted:
		s.Status = string(flow.Running)
		return
	case workflow.StepWithdrawn:
		s.Status = string(flow.Waiting)
		return
	case workflow.StepSucceeded:
		s.Status = string(flow.Succeeded)
	case workflow.StepFailed, workflow.StepLost:
		s.Status = string(flow.Failed)
	}
	s.Ended = &e.Time
	for _, p := range data.Problems {
		s.Error = &StepError{p.Summary, p.Detail}
	}
}

// steps are those of a workflow, all of them, or the operations of a plan that
// were begun.
func (f *follower) steps(ctx context.Context) ([]Step, error) {
	out := []Step{}
	if f.machine == nil {
		for _, key := range f.order {
			out = append(out, *f.listed[key])
		}
		return out, nil
	}
	waits, err := f.waiting(ctx)
	if err != nil {
		return nil, err
	}
	asks := map[string][]Ask{}
	for _, w := range waits {
		name, _, _ := strings.Cut(w.Key, "[")
		asks[name] = append(asks[name], Ask{Step: w.Key, Event: w.Event, Message: w.Message, Plan: w.Plan, Roles: w.Roles, Count: w.Count, By: w.By})
	}
	for _, s := range f.machine.Steps() {
		one := stepOf(s)
		one.Asks = asks[s.Name]
		one.Run = f.runs[s.Name]
		out = append(out, one)
	}
	return out, nil
}

// outputs are what a workflow returned; none before it has succeeded, and none of
// runs of other kinds.
func (f *follower) outputs() []Output {
	out := []Output{}
	if f.machine == nil {
		return out
	}
	values := f.machine.Result().Outputs
	if values == cty.NilVal || values.IsNull() {
		return out
	}
	members := values.AsValueMap()
	for _, name := range sortedKeys(members) {
		one := Output{Name: name, Sensitive: members[name].HasMarkDeep(marks.Sensitive)}
		bare, _ := members[name].UnmarkDeep()
		value, err := ctyjson.Marshal(bare, bare.Type())
		ty, bad := ctyjson.MarshalType(bare.Type())
		if err == nil && bad == nil && !one.Sensitive {
			one.Value, one.Type = value, ty
		}
		out = append(out, one)
	}
	return out
}
