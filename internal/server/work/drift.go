package work

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/observer"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// declaredStack reads the project's files and makes sure that they have a stack.
func (w *Work) declaredStack(ctx context.Context, key states.Key) (*projects.Project, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return nil, err
	}
	if plain := key.Stack == "" && len(p.Stacks) == 0; !plain && p.Stacks[key.Stack] == nil {
		return nil, fmt.Errorf("%w: the project declares no stack %q", api.ErrNotFound, key.Stack)
	}
	if len(p.Environments) > 0 && p.Environments[key.Environment] == nil {
		return nil, fmt.Errorf("%w: the project declares no environment %q", api.ErrNotFound, key.Environment)
	}
	return p, nil
}

// Drift implements [api.Work].
func (w *Work) Drift(ctx context.Context, key states.Key) (*api.Drift, error) {
	p, err := w.declaredStack(ctx, key)
	if err != nil {
		return nil, err
	}
	r, err := w.Observer.Observed(ctx, key)
	if err != nil {
		return nil, err
	}
	return DriftOf(p, key, r), nil
}

// Observe implements [api.Work].
func (w *Work) Observe(ctx context.Context, who access.Identity, key states.Key, reset bool) error {
	if _, err := w.declaredStack(ctx, key); err != nil {
		return err
	}
	if err := w.Authorize(ctx, who, access.Plan, key.Environment, key.Stack); err != nil {
		return err
	}
	if reset {
		if err := w.Authorize(ctx, who, access.Apply, key.Environment, key.Stack); err != nil {
			return err
		}
		if err := w.Observer.Reset(ctx, key, who.Subject); err != nil {
			return err
		}
	}
	return w.Observer.ask(ctx, key, observer.Asked{By: who.Subject, Authority: who.Authority(), At: time.Now().UTC()})
}

// driftSummary is what is known of a stack, in a line; nil where nobody has looked.
func driftSummary(r observer.Record) *api.DriftSummary {
	if r.Looked.IsZero() && r.Problem == "" {
		return nil
	}
	out := &api.DriftSummary{Looked: instantOf(r.Looked), Drifted: len(r.Drift), Problem: r.Problem}
	for _, f := range r.Fields {
		if !f.Flaps.IsZero() {
			out.Flapping++
		}
	}
	return out
}

func instantOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// DriftOf is what is known of a stack, as clients see it.
func DriftOf(p *projects.Project, key states.Key, r observer.Record) *api.Drift {
	block := p.Observed(key.Stack, key.Environment)
	out := &api.Drift{
		Stack: key.Stack, Environment: key.Environment, Observed: block != nil, Repairs: block != nil && block.Repair,
		Looking: r.Asked != nil, Failed: instantOf(r.Failed), TookMS: r.Took.Milliseconds(), Objects: r.Objects, Reads: r.Reads,
		Changes: []api.DriftChange{}, Flaps: []api.FlappingField{},
	}
	if s := driftSummary(r); s != nil {
		out.DriftSummary = *s
	}
	if block != nil {
		out.Next = instantOf(r.Next)
	}
	for _, d := range r.Drift {
		out.Changes = append(out.Changes, driftChange(d, r))
	}
	for _, key := range sortedKeys(r.Fields) {
		if f := r.Fields[key]; !f.Flaps.IsZero() {
			out.Flaps = append(out.Flaps, api.FlappingField{Address: f.Address, Path: f.Path, Since: f.Flaps, Times: len(f.Found), Because: f.Because})
		}
	}
	if r.Repair != nil {
		out.Repair = &api.DriftRepair{Run: r.Repair.Run, At: r.Repair.At, Targets: r.Repair.Targets, Problem: r.Repair.Problem}
	}
	return out
}

func driftChange(d observer.Drift, r observer.Record) api.DriftChange {
	out := api.DriftChange{Address: d.Address, Action: d.Action, Since: d.Since, Attributes: []api.DriftAttribute{}}
	for _, a := range d.Attributes {
		out.Attributes = append(out.Attributes, api.DriftAttribute{Path: a.Path, Before: a.Before, After: a.After, Sensitive: a.Sensitive})
	}
	out.Times, out.Flapping = r.Times(d.Change)
	return out
}

// Drifts implements [api.Work].
func (w *Work) Drifts(ctx context.Context) (map[states.Key]*api.DriftSummary, error) {
	documents, err := w.Observer.store.Observations(ctx)
	if err != nil {
		return nil, err
	}
	out := map[states.Key]*api.DriftSummary{}
	for key, document := range documents {
		r, err := observer.Read(document)
		if err != nil {
			return nil, err
		}
		if s := driftSummary(r); s != nil {
			out[key] = s
		}
	}
	return out, nil
}
