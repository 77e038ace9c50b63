package cli

import (
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/states"
)

// The functions of this file work out what a state command changes. They are
// pure: the state comes in, rows to write go out.

// matching returns the objects that any of the targets covers, sorted; all
// objects where no target is given. Targets that cover nothing are reported.
func matching(st *states.State, targets []addrs.Target) ([]*states.Instance, diag.List) {
	all := st.Sorted()
	if len(targets) == 0 {
		return all, nil
	}
	var out []*states.Instance
	hits := make([]bool, len(targets))
	for _, inst := range all {
		covered := false
		for i, t := range targets {
			if t.Contains(inst.Object.Instance) {
				hits[i], covered = true, true
			}
		}
		if covered {
			out = append(out, inst)
		}
	}
	var diags diag.List
	for i, t := range targets {
		if !hits[i] {
			kind := "resource"
			if t.Resource == (addrs.Resource{}) {
				kind = "module"
			}
			diags = append(diags, diag.Errorf("Unknown "+kind, "The state contains no %s %s. If it was just added to the configuration, it has to be applied first.", kind, t)...)
		}
	}
	return out, diags
}

// removal returns the rows to write for forgetting objects.
func removal(list []*states.Instance) []states.Change {
	out := make([]states.Change, 0, len(list))
	for _, inst := range list {
		out = append(out, states.Change{Object: inst.Object, Before: inst})
	}
	return out
}

// moved is one object that a move gives another address.
type moved struct {
	from *states.Instance
	to   addrs.Object
}

// planMove finds what moves when from becomes to.
func planMove(st *states.State, from, to addrs.Target) ([]moved, diag.List) {
	invalid := func(format string, args ...any) diag.List {
		return diag.Errorf("Invalid target address", "Cannot move %s to %s: "+format+".", append([]any{from, to}, args...)...)
	}
	fromModule, toModule := from.Resource == (addrs.Resource{}), to.Resource == (addrs.Resource{})
	var list []moved
	switch {
	case fromModule && toModule:
		list = moveModule(st, from.Module, to.Module)
	case fromModule:
		return nil, invalid("the source is a module, so the target must be one too")
	case toModule:
		return nil, invalid("the source is a resource, so the target must be one too")
	case from.Resource.Mode != to.Resource.Mode || from.Resource.Type != to.Resource.Type:
		return nil, invalid("the resource types differ")
	default:
		var problem string
		if list, problem = moveResource(st, from, to); problem != "" {
			return nil, invalid("%s", problem)
		}
	}
	if len(list) == 0 {
		return nil, diag.Errorf("Invalid source address", "Cannot move %s: the state does not contain it.", from)
	}
	leaving := map[addrs.Object]bool{}
	for _, m := range list {
		leaving[m.from.Object] = true
	}
	for _, m := range list {
		if _, taken := st.Instances[m.to]; taken && !leaving[m.to] {
			return nil, invalid("the state already has %s", m.to)
		}
	}
	return list, nil
}

// moveModule moves everything in one module instance; where the source has no
// key and instances with keys exist, all of them, keys kept.
func moveModule(st *states.State, from, to addrs.ModuleInstance) []moved {
	var list []moved
	steps := from.Steps()
	if len(steps) == 0 {
		return nil
	}
	for _, inst := range st.Sorted() {
		have := inst.Object.Instance.Module
		var rest string
		switch {
		case from.Contains(have):
			rest = string(have[len(from):])
		case steps[len(steps)-1].Key == addrs.NoKey && len(have) > len(from) && have[:len(from)] == from && have[len(from)] == '[':
			rest = string(have[len(from):])
		default:
			continue
		}
		obj := inst.Object
		obj.Instance.Module = to + addrs.ModuleInstance(rest)
		list = append(list, moved{from: inst, to: obj})
	}
	return list
}

// moveResource moves one instance, or a resource with all its instances.
func moveResource(st *states.State, from, to addrs.Target) (list []moved, problem string) {
	keyed := 0
	for _, inst := range st.Sorted() {
		addr := inst.Object.Instance
		if addr.Module != from.Module || addr.Resource != from.Resource {
			continue
		}
		if from.Key != addrs.NoKey && addr.Key != from.Key {
			continue
		}
		if addr.Key != addrs.NoKey {
			keyed++
		}
		obj := inst.Object
		obj.Instance.Module, obj.Instance.Resource = to.Module, to.Resource
		if from.Key != addrs.NoKey || to.Key != addrs.NoKey {
			obj.Instance.Key = to.Key
		}
		list = append(list, moved{from: inst, to: obj})
	}
	if from.Key == addrs.NoKey && to.Key != addrs.NoKey && keyed > 0 {
		return nil, "the source is a resource with several instances, so the target must have no key"
	}
	return list, ""
}

// moveChanges returns the rows to write for a move. Whoever depended on a block
// that moved as a whole depends on its new address afterwards.
func moveChanges(st *states.State, list []moved) []states.Change {
	renamed := renamedBlocks(st, list)
	leaving := make(map[addrs.Object]addrs.Object, len(list))
	arriving := make(map[addrs.Object]bool, len(list))
	for _, m := range list {
		leaving[m.from.Object] = m.to
		arriving[m.to] = true
	}
	var out []states.Change
	for _, inst := range st.Sorted() {
		to, moves := leaving[inst.Object]
		deps, changed := renameDependencies(inst.Dependencies, renamed)
		if !moves && !changed {
			continue
		}
		after := *inst
		after.Dependencies = deps
		if !moves {
			out = append(out, states.Change{Object: inst.Object, Before: inst, After: &after})
			continue
		}
		if !arriving[inst.Object] {
			out = append(out, states.Change{Object: inst.Object, Before: inst})
		}
		after.Object, after.Version = to, 0
		out = append(out, states.Change{Object: to, Before: st.Instances[to], After: &after})
	}
	return out
}

// renamedBlocks maps configuration addresses of which nothing stays behind.
func renamedBlocks(st *states.State, list []moved) map[addrs.ConfigResource]addrs.ConfigResource {
	leaving := map[addrs.Object]bool{}
	renamed := map[addrs.ConfigResource]addrs.ConfigResource{}
	for _, m := range list {
		leaving[m.from.Object] = true
		from, to := m.from.Object.Instance.Config(), m.to.Instance.Config()
		if from != to {
			renamed[from] = to
		}
	}
	for obj := range st.Instances {
		if !leaving[obj] {
			delete(renamed, obj.Instance.Config())
		}
	}
	return renamed
}

func renameDependencies(deps []addrs.ConfigResource, renamed map[addrs.ConfigResource]addrs.ConfigResource) ([]addrs.ConfigResource, bool) {
	changed := false
	for _, d := range deps {
		if _, ok := renamed[d]; ok {
			changed = true
		}
	}
	if !changed {
		return deps, false
	}
	out := make([]addrs.ConfigResource, len(deps))
	for i, d := range deps {
		if to, ok := renamed[d]; ok {
			d = to
		}
		out[i] = d
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out, true
}

// replaceProvider returns the rows to write so that every object of provider
// from belongs to provider to.
func replaceProvider(st *states.State, from, to addrs.Provider) []states.Change {
	var out []states.Change
	for _, inst := range st.Sorted() {
		if inst.Provider.Provider != from {
			continue
		}
		after := *inst
		after.Provider.Provider = to
		out = append(out, states.Change{Object: inst.Object, Before: inst, After: &after})
	}
	return out
}

// retaint returns the row to write so that an instance has a status, or nothing
// where it has it already.
func retaint(st *states.State, addr addrs.ResourceInstance, status states.Status) ([]states.Change, error) {
	inst := st.Current(addr)
	if inst == nil {
		return nil, diag.Errorf("No such resource instance", "The state contains no resource instance %s. If it was just added to the configuration, it has to be applied first.", addr).Err()
	}
	if inst.Status == status {
		return nil, nil
	}
	after := *inst
	after.Status = status
	return []states.Change{{Object: inst.Object, Before: inst, After: &after}}, nil
}
