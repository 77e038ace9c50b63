package engine

import (
	"maps"
	"slices"
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// applyMoves gives the objects of the prior state the addresses the
// configuration has for them now: by moved blocks, chained, and by the implied
// move between a block without repetition and its instance zero.
func (p *planner) applyMoves() {
	p.prior = p.in.Prior
	statements := absoluteMoves(p.in.Config)
	p.report(checkMoves(statements))
	if p.failed() {
		return
	}
	// Most states have nothing to move: that is found out without copying them.
	m := mover{p: p, current: p.in.Prior.Instances, origin: map[addrs.ResourceInstance]addrs.ResourceInstance{}}
	if len(statements) == 0 && !m.implies() {
		return
	}
	m.current = maps.Clone(m.current)
	changed := false
	for _, st := range statements {
		changed = m.apply(st) || changed
	}
	changed = m.implied() || changed
	if !changed {
		return
	}
	p.moves = map[addrs.ResourceInstance]addrs.ResourceInstance{}
	for to, from := range m.origin {
		if to != from {
			p.moves[to] = from
		}
	}
	next := *p.in.Prior
	next.Instances = m.current
	m.rewriteDependencies(statements)
	p.prior = &next
}

// moveStatement is a moved block with addresses seen from the root.
type moveStatement struct {
	block    *configs.Moved
	from, to addrs.Target
}

func absoluteMoves(cfg *configs.Config) []moveStatement {
	var out []moveStatement
	for _, path := range sortedModules(cfg) {
		for _, mv := range cfg.Modules[path].Moved {
			out = append(out, moveStatement{block: mv, from: absoluteTarget(path, mv.From), to: absoluteTarget(path, mv.To)})
		}
	}
	// A chain a→b, b→c works in one pass when sources come before what follows
	// from them.
	sort.SliceStable(out, func(i, j int) bool { return out[i].to == out[j].from && out[j].to != out[i].from })
	return chainOrder(out)
}

// chainOrder orders statements so that one whose target is another's source
// comes first.
func chainOrder(in []moveStatement) []moveStatement {
	var out []moveStatement
	state := make([]byte, len(in))
	var visit func(i int)
	visit = func(i int) {
		if state[i] != 0 {
			return
		}
		state[i] = 1
		for j := range in {
			if j != i && in[j].to == in[i].from {
				visit(j)
			}
		}
		out = append(out, in[i])
	}
	for i := range in {
		visit(i)
	}
	return out
}

// checkMoves reports moves that contradict each other.
func checkMoves(moves []moveStatement) diag.List {
	var diags diag.List
	from := map[addrs.Target]*moveStatement{}
	to := map[addrs.Target]*moveStatement{}
	for i := range moves {
		mv := &moves[i]
		if (mv.from.Resource == addrs.Resource{}) != (mv.to.Resource == addrs.Resource{}) {
			diags = append(diags, diag.ErrorAt(mv.block.DeclRange, "Invalid \"moved\" addresses",
				"The \"from\" and \"to\" addresses must either both refer to resources or both refer to modules.")...)
			continue
		}
		if mv.from == mv.to {
			diags = append(diags, diag.ErrorAt(mv.block.DeclRange, "Redundant move statement",
				"This statement declares a move from %s to the same address, which is the same as not declaring this move at all.", mv.from)...)
			continue
		}
		if prev, ok := from[mv.from]; ok && prev.to != mv.to {
			diags = append(diags, diag.ErrorAt(mv.block.DeclRange, "Ambiguous move statements",
				"A statement at %s declared that %s moved to %s, but this statement instead declares that it moved to %s.\n\nEach resource can move to only one destination resource.", prev.block.DeclRange, mv.from, prev.to, mv.to)...)
		}
		if prev, ok := to[mv.to]; ok && prev.from != mv.from {
			diags = append(diags, diag.ErrorAt(mv.block.DeclRange, "Ambiguous move statements",
				"A statement at %s declared that %s moved to %s, but this statement instead declares that %s moved there.\n\nEach resource can have moved from only one source resource.", prev.block.DeclRange, prev.from, mv.to, mv.from)...)
		}
		from[mv.from], to[mv.to] = mv, mv
	}
	for i := range moves {
		seen := map[addrs.Target]bool{}
		for t := moves[i].from; ; {
			next, ok := from[t]
			if !ok {
				break
			}
			if seen[t] {
				diags = append(diags, diag.ErrorAt(moves[i].block.DeclRange, "Cyclic dependency in move statements",
					"The move of %s is part of a circle of moves, so there is no order in which they could be done.", moves[i].from)...)
				return diags
			}
			seen[t] = true
			t = next.to
		}
	}
	return diags
}

// mover carries out moves over a copy of the state's index.
type mover struct {
	p       *planner
	current map[addrs.Object]*states.Instance
	origin  map[addrs.ResourceInstance]addrs.ResourceInstance // by current address
}

// apply carries out one statement; it reports whether it moved something.
func (m *mover) apply(st moveStatement) bool {
	var hits []addrs.Object
	for obj := range m.current {
		if st.from.Contains(obj.Instance) && movable(st.from, obj.Instance) {
			hits = append(hits, obj)
		}
	}
	sort.Slice(hits, func(i, j int) bool { return lessObject(hits[i], hits[j]) })
	moved := false
	for _, obj := range hits {
		if to, ok := rebase(obj.Instance, st.from, st.to); ok && to != obj.Instance {
			moved = m.move(obj, to, st.block) || moved
		}
	}
	return moved
}

// movable refuses to treat "module.a" (all instances) as naming "module.a[0]"
// where the statement names one resource instance without key.
func movable(from addrs.Target, addr addrs.ResourceInstance) bool {
	if from.Resource == (addrs.Resource{}) {
		return true
	}
	return from.Resource == addr.Resource
}

// rebase returns the address that a moved block gives to an instance.
func rebase(addr addrs.ResourceInstance, from, to addrs.Target) (addrs.ResourceInstance, bool) {
	have, want := addr.Module.Steps(), from.Module.Steps()
	target := to.Module.Steps()
	if from.Resource != (addrs.Resource{}) && len(have) != len(want) {
		return addr, false
	}
	var m addrs.ModuleInstance
	for i, step := range target {
		key := step.Key
		if key == addrs.NoKey && i < len(want) && want[i].Key == addrs.NoKey {
			key = have[i].Key // the statement covers every instance: keys stay
		}
		m = m.Child(step.Name, key)
	}
	for _, step := range have[len(want):] {
		m = m.Child(step.Name, step.Key)
	}
	out := addrs.ResourceInstance{Module: m, Resource: addr.Resource, Key: addr.Key}
	if to.Resource != (addrs.Resource{}) {
		out.Resource = to.Resource
		if from.Key != addrs.NoKey || to.Key != addrs.NoKey {
			if from.Key == addrs.NoKey && addr.Key != addrs.NoKey {
				return addr, false // "a" → "b[0]" concerns only the instance without key
			}
			out.Key = to.Key
		}
	}
	return out, true
}

// move gives one object a new address, unless that is taken.
func (m *mover) move(obj addrs.Object, to addrs.ResourceInstance, block *configs.Moved) bool {
	target := addrs.Object{Instance: to, Deposed: obj.Deposed}
	inst := m.current[obj]
	if m.current[target] != nil {
		rng := block.DeclRange
		m.p.report(diag.WarningAt(rng, "Unresolved resource instance address changes",
			"Tutti tried to adjust the address of %s to %s, but there is already an object at that address. Remove one of them from the state if the configuration is meant to have only one.", obj.Instance, to))
		return false
	}
	if obj.Instance.Resource.Type != to.Resource.Type || obj.Instance.Resource.Mode != to.Resource.Mode {
		converted, diags := m.crossType(inst, to, block)
		m.p.report(diags)
		if diags.HasErrors() {
			return false
		}
		inst = converted
	} else {
		c := *inst
		c.Object = target
		inst = &c
	}
	delete(m.current, obj)
	m.current[target] = inst
	first := obj.Instance
	if o, ok := m.origin[obj.Instance]; ok {
		first = o
		delete(m.origin, obj.Instance)
	}
	m.origin[to] = first
	return true
}

// crossType asks the target's provider to take over an object of another type.
func (m *mover) crossType(inst *states.Instance, to addrs.ResourceInstance, block *configs.Moved) (*states.Instance, diag.List) {
	p := m.p
	r := p.in.Config.Resource(to.Config())
	if r == nil {
		return nil, diag.ErrorAt(block.DeclRange, "Unknown resource", "The target of this move, %s, is not in the configuration, so its provider cannot be asked to take over an object of type %s.", to, inst.Object.Instance.Resource.Type)
	}
	provider, err := p.in.Providers.Acquire(p.ctx, r.Provider, true)
	if err != nil {
		return nil, diag.Errorf("Cannot start provider", "The provider %s could not be started: %s.", r.Provider.ForDisplay(), err)
	}
	defer provider.Close()
	resp := provider.MoveResourceState(p.ctx, providers.MoveRequest{
		SourceProvider: inst.Provider.Provider, SourceType: inst.Object.Instance.Resource.Type,
		SourceSchemaVersion: inst.SchemaVersion, SourceJSON: inst.Attributes, SourcePrivate: inst.Private,
		SourceIdentity: inst.Identity, SourceIdentityVersion: inst.IdentitySchemaVersion, TargetType: to.Resource.Type,
	})
	if resp.Diags.HasErrors() {
		return nil, resp.Diags.InConfigBody(nil, block.DeclRange)
	}
	schema := resourceSchema(p.provs.schemasOrNil(r.Provider), to.Resource)
	addr, _ := p.in.Config.ResolveProvider(r.Module, r.ProviderLocal)
	addr.Provider = r.Provider
	identity := resp.Identity
	if identity == cty.NilVal && schema.Identity != nil {
		identity = cty.NullVal(schema.Identity.Type())
	}
	out, err := makeInstance(addrs.Object{Instance: to, Deposed: inst.Object.Deposed}, addr, schema,
		&object{value: markSensitive(resp.Value, schema.Block, nil), private: resp.Private, identity: identity})
	if err != nil {
		return nil, diag.ErrorAt(block.DeclRange, "Cannot move object", "The object moved from %s cannot be stored: %s.", inst.Object, err)
	}
	out.Status, out.Dependencies, out.CreateBeforeDestroy, out.Version = inst.Status, inst.Dependencies, inst.CreateBeforeDestroy, 0
	return out, resp.Diags
}

// implies reports whether there is anything for implied to look at.
func (m *mover) implies() bool {
	for obj := range m.current {
		if m.impliedAddress(obj.Instance) != obj.Instance {
			return true
		}
	}
	return false
}

// implied moves between "a" and "a[0]" where a resource gained or lost count. For
// module calls nothing is implied: their moves are written.
func (m *mover) implied() bool {
	moved := false
	var objs []addrs.Object
	for obj := range m.current {
		if m.impliedAddress(obj.Instance) != obj.Instance {
			objs = append(objs, obj)
		}
	}
	sort.Slice(objs, func(i, j int) bool { return lessObject(objs[i], objs[j]) })
	for _, obj := range objs {
		to := m.impliedAddress(obj.Instance)
		if m.current[addrs.Object{Instance: to, Deposed: obj.Deposed}] != nil {
			continue // both exist: the superfluous one is planned for deletion
		}
		moved = m.move(obj, to, nil) || moved
	}
	return moved
}

func (m *mover) impliedAddress(addr addrs.ResourceInstance) addrs.ResourceInstance {
	module := m.p.in.Config.Root
	if addr.Module != "" {
		module = m.p.in.Config.Modules[addr.Module.Module()]
	}
	if module == nil {
		return addr
	}
	if r := module.Resources[addr.Resource]; r != nil {
		addr.Key = impliedKey(addr.Key, r.Count != nil, r.ForEach != nil)
	}
	return addr
}

func impliedKey(key addrs.InstanceKey, count, forEach bool) addrs.InstanceKey {
	switch {
	case count && key == addrs.NoKey:
		return addrs.IntKey(0)
	case !count && !forEach && key == addrs.IntKey(0):
		return addrs.NoKey
	}
	return key
}

// rewriteDependencies lets recorded dependencies follow the moves. The former
// address stays beside the new one until the object is written again: it is
// what the record says, and it stands for nothing any more.
func (m *mover) rewriteDependencies(statements []moveStatement) {
	if len(statements) == 0 {
		return
	}
	for obj, inst := range m.current {
		var added []addrs.ConfigResource
		for _, dep := range inst.Dependencies {
			to := dep
			for _, st := range statements {
				to = rebaseConfig(to, st)
			}
			if to != dep && !slices.Contains(inst.Dependencies, to) && !slices.Contains(added, to) {
				added = append(added, to)
			}
		}
		if added == nil {
			continue
		}
		c := *inst
		c.Dependencies = append(added, inst.Dependencies...)
		sort.Slice(c.Dependencies, func(i, j int) bool { return c.Dependencies[i].String() < c.Dependencies[j].String() })
		m.current[obj] = &c
	}
}

func rebaseConfig(dep addrs.ConfigResource, st moveStatement) addrs.ConfigResource {
	if !st.from.ContainsConfig(dep) {
		return dep
	}
	if st.from.Resource != (addrs.Resource{}) {
		return addrs.ConfigResource{Module: st.to.Module.Module(), Resource: st.to.Resource}
	}
	from, to := st.from.Module.Module(), st.to.Module.Module()
	rest := dep.Module[len(from):]
	return addrs.ConfigResource{Module: to + rest, Resource: dep.Resource}
}
