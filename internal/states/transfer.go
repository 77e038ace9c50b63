package states

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// Transfer moves one object from a state to another one, which takes over
// managing it. Nothing happens to the object itself.
type Transfer struct {
	From   Key
	Object addrs.Object // as it is called there
	To     Key
	As     addrs.Object // as it is called from then on
	// Version is the version of the row as whoever decided on the transfer saw it.
	Version int64
}

// ArrivalVersion returns the version of the row where it arrives. It follows
// from the transfer alone, so that plans can be made from states as they will be
// after it: see [PlanTransfers]. Other versions count the changes of a state and
// stay far below it; and a row with the same version never leaves twice, so no
// row of one address gets the same version again.
func (t Transfer) ArrivalVersion() int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %q %q %q %d",
		t.From.Stack, t.From.Environment, t.Object.Instance.String(), t.Object.Deposed,
		t.To.Stack, t.To.Environment, t.As.Instance.String(), t.As.Deposed, t.Version))
	const arrived = 1 << 62
	return arrived | int64(binary.BigEndian.Uint64(sum[:])>>2)
}

// String says what is moved where.
func (t Transfer) String() string {
	return fmt.Sprintf("%s of %s to %s of %s", t.Object, t.From, t.As, t.To)
}

// String names a state for people.
func (k Key) String() string {
	if k.Stack == "" {
		return fmt.Sprintf("environment %q", k.Environment)
	}
	return fmt.Sprintf("stack %q in environment %q", k.Stack, k.Environment)
}

// TransferError says why objects cannot be moved, whatever the state of a store.
type TransferError struct {
	Transfer Transfer
	Reason   string
}

// Error names the transfer and the reason.
func (e *TransferError) Error() string { return "cannot move " + e.Transfer.String() + ": " + e.Reason }

// CheckTransfers reports transfers that contradict each other or themselves.
func CheckTransfers(list []Transfer) error {
	type place struct {
		key Key
		obj addrs.Object
	}
	leaving, arriving := map[place]bool{}, map[place]bool{}
	for _, t := range list {
		from, to := place{t.From, t.Object}, place{t.To, t.As}
		switch {
		case t.From == t.To:
			return &TransferError{t, "it stays in the same state"}
		case t.Version <= 0:
			return &TransferError{t, "it has never been stored"}
		case leaving[from]:
			return &TransferError{t, "it is moved twice"}
		case arriving[to]:
			return &TransferError{t, "something else is moved there as well"}
		case t.Object.Instance.Resource.Mode != t.As.Instance.Resource.Mode || t.Object.Instance.Resource.Type != t.As.Instance.Resource.Type:
			return &TransferError{t, "its type would be another"}
		}
		leaving[from], arriving[to] = true, true
	}
	return nil
}

// TransferredDependencies returns what an object depends on where it arrives: of
// what it depended on, only what is moved along, by its new name.
func TransferredDependencies(deps []addrs.ConfigResource, t Transfer, all []Transfer) []addrs.ConfigResource {
	var out []addrs.ConfigResource
	for _, d := range deps {
		for _, other := range all {
			if other.From == t.From && other.To == t.To && other.Object.Instance.Config() == d {
				out = append(out, other.As.Instance.Config())
			}
		}
	}
	slices.SortFunc(out, func(a, b addrs.ConfigResource) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// PlanTransfers returns states as they will be once objects have been moved
// between them, and the transfers with the versions they rest on. Plans made from
// these states can be applied after the transfers, and not before. What is
// returned shares nothing with priors that may be changed; states that no
// transfer concerns are returned as they are. A [*TransferError] says that
// something cannot be moved.
func PlanTransfers(priors map[Key]*State, moves []Transfer) (map[Key]*State, []Transfer, error) {
	list := slices.Clone(moves)
	out := make(map[Key]*State, len(priors))
	for key, st := range priors {
		out[key] = st
	}
	changed := func(key Key) *State {
		if out[key] == nil {
			out[key] = New()
		} else if out[key] == priors[key] {
			out[key] = priors[key].Clone()
		}
		return out[key]
	}
	objects := make([]*Instance, len(list))
	for i, t := range list {
		from := changed(t.From)
		if objects[i] = from.Instances[t.Object]; objects[i] == nil {
			if st := priors[t.From]; st != nil {
				objects[i] = st.Instances[t.Object] // it is moved twice, which is found out below
			}
		}
		if objects[i] == nil {
			return nil, nil, &TransferError{t, "there is no such object"}
		}
		list[i].Version = objects[i].Version
		delete(from.Instances, t.Object)
	}
	if err := CheckTransfers(list); err != nil {
		return nil, nil, err
	}
	for i, t := range list {
		to := changed(t.To)
		if to.Instances[t.As] != nil {
			return nil, nil, &TransferError{t, "there is such an object already"}
		}
		inst := *objects[i]
		inst.Object, inst.Version = t.As, t.ArrivalVersion()
		inst.Dependencies = TransferredDependencies(inst.Dependencies, t, list)
		to.Instances[t.As] = &inst
	}
	return out, list, nil
}
