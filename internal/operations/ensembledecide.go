package operations

import (
	"context"
	"slices"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
)

// Decide judges the plans of all stacks, before any of them is carried out.
func (o *EnsembleOperation) Decide(ctx context.Context, mode plans.Mode, kind string) diag.List {
	order := slices.Clone(o.Names)
	if mode == plans.Destroy {
		slices.Reverse(order)
	}
	var diags diag.List
	for _, name := range order {
		if l := o.Plans[name]; l != nil {
			_, d := o.Operation(name).Decide(ctx, l, gate.Request{Kind: kind, Parent: o.by.Parent})
			diags = append(diags, project.InStack(name, d)...)
		}
	}
	return diags
}

// MoveObjects carries out the moves between stacks, all of them or none, unless
// they were made before.
func (o *EnsembleOperation) MoveObjects(ctx context.Context, store runs.Store) error {
	pending, err := stacks.Pending(o.Shared.Moves, func(key states.Key) (*states.State, error) { return store.State(ctx, key) })
	if err != nil || len(pending) == 0 {
		return err
	}
	if err := store.Transfer(ctx, pending, transferEvents(o.Operation(o.Names[0]).By(), pending)...); err != nil {
		return diag.Errorf("Cannot move objects between stacks", "%s. Nothing was done; plan again.", err).Err()
	}
	return nil
}

// transferEvents says who moved what between states, once for each state that
// objects leave.
func transferEvents(actor string, moves []states.Transfer) []events.Event {
	type moved struct {
		Object string `json:"object"`
		To     string `json:"to"`
		As     string `json:"as"`
	}
	var order []states.Key
	by := map[states.Key][]moved{}
	for _, m := range moves {
		if by[m.From] == nil {
			order = append(order, m.From)
		}
		by[m.From] = append(by[m.From], moved{m.Object.String(), m.To.String(), m.As.String()})
	}
	var out []events.Event
	for _, key := range order {
		out = append(out, runs.AuditEvent(key, "state.transfer", project.PlaceOf(key), actor, map[string]any{"count": len(by[key]), "objects": by[key][:min(len(by[key]), project.MaxNamed)]}))
	}
	return out
}

// Judge is the same for the plans of several stacks.
func (o *EnsembleOperation) Judge(ctx context.Context) *gate.Costs {
	if o.judged == nil {
		if len(o.Names) == 0 {
			return &gate.Costs{}
		}
		o.judged = o.Operation(o.Names[0]).JudgePlans(ctx, o.Plans)
	}
	return o.judged
}
