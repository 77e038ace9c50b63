package stacks

import (
	"errors"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/states"
)

// PlanMoves finds the objects that the project's moved blocks let change stacks,
// in the states of an environment, and returns the states as they will be then.
// A block whose objects are not where they are to come from has nothing to do:
// it was carried out before, or there never was anything.
func PlanMoves(p *projects.Project, environment string, priors map[string]*states.State) (map[string]*states.State, []states.Transfer, diag.List) {
	key := func(stack string) states.Key { return states.Key{Stack: stack, Environment: environment} }
	var list []states.Transfer
	var blocks []*projects.Move
	for _, m := range p.Moves {
		from := priors[m.FromStack]
		if from == nil {
			continue
		}
		for _, inst := range from.Sorted() {
			as, ok := movesTo(m, inst.Object)
			if !ok {
				continue
			}
			list = append(list, states.Transfer{From: key(m.FromStack), Object: inst.Object, To: key(m.ToStack), As: as})
			blocks = append(blocks, m)
		}
	}
	if len(list) == 0 {
		return priors, nil, nil
	}
	byKey := map[states.Key]*states.State{}
	for name, st := range priors {
		byKey[key(name)] = st
	}
	moved, list, err := states.PlanTransfers(byKey, list)
	var refused *states.TransferError
	if errors.As(err, &refused) {
		return priors, nil, diag.ErrorAt(blockOf(blocks, refused.Transfer).DeclRange, "Cannot move object to another stack", "%s of stack %q cannot become %s of stack %q: %s.",
			refused.Transfer.Object, refused.Transfer.From.Stack, refused.Transfer.As, refused.Transfer.To.Stack, refused.Reason)
	}
	if err != nil {
		return priors, nil, diag.FromError(err)
	}
	out := map[string]*states.State{}
	for k, st := range moved {
		out[k.Stack] = st
	}
	return out, list, nil
}

// blockOf finds the block that a transfer comes from.
func blockOf(blocks []*projects.Move, t states.Transfer) *projects.Move {
	for _, m := range blocks {
		if as, ok := movesTo(m, t.Object); ok && as == t.As && m.FromStack == t.From.Stack {
			return m
		}
	}
	return blocks[0]
}

// movesTo says what an object is called where a block moves it. An address
// without a key stands for all instances of the resource, as in the moved blocks
// of a configuration.
func movesTo(m *projects.Move, o addrs.Object) (addrs.Object, bool) {
	as := o
	as.Instance = m.To
	if o.Instance == m.From {
		return as, true
	}
	if m.From.Key.Kind != addrs.KeyNone || m.To.Key.Kind != addrs.KeyNone || o.Instance.Module != m.From.Module || o.Instance.Resource != m.From.Resource {
		return o, false
	}
	as.Instance.Key = o.Instance.Key
	return as, true
}

// Pending says which of the moves of a plan are still to be made, given the
// states as they are: none where all have been made already, as one transaction.
func Pending(moves []states.Transfer, state func(states.Key) (*states.State, error)) ([]states.Transfer, error) {
	for _, t := range moves {
		to, err := state(t.To)
		if err != nil {
			return nil, err
		}
		if inst := to.Instances[t.As]; inst == nil || inst.Version != t.ArrivalVersion() {
			return moves, nil
		}
	}
	return nil, nil
}
