package engine

import (
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// TargetingSummary is the summary of the warning that a plan is partial.
const TargetingSummary = "Resource targeting is in effect"

// selectTargets works out which nodes -target and -exclude leave: a target and
// everything it depends on; everything but an excluded block and what depends
// on it.
func (p *planner) selectTargets() {
	if len(p.in.Targets) == 0 && len(p.in.Excludes) == 0 {
		return
	}
	p.report(diag.Warningf(TargetingSummary,
		"You are creating a plan with the -target or -exclude option, which means that the result of this plan may not represent all of the changes requested by the current configuration.\n\nThese options are not for routine use: they are for exceptional situations such as recovering from errors or mistakes."))
	g := p.graph
	p.included = map[int]bool{}
	if len(p.in.Targets) > 0 {
		var include func(id int)
		include = func(id int) {
			if p.included[id] {
				return
			}
			p.included[id] = true
			for _, dep := range g.nodes[id].needs {
				include(dep)
			}
		}
		for id := range g.nodes {
			if n := &g.nodes[id]; n.kind == nodeResource && anyContainsConfig(p.in.Targets, n.resource.ConfigAddr()) {
				include(id)
			}
		}
		p.includeRootOutputs()
		return
	}
	p.excludeDependents()
}

// includeRootOutputs keeps root outputs whose needs are all included: they are
// evaluated anew even with -target.
func (p *planner) includeRootOutputs() {
	for id := range p.graph.nodes {
		n := &p.graph.nodes[id]
		if n.kind != nodeOutput || n.module.Parent != nil {
			continue
		}
		whole := true
		for _, dep := range p.graph.closure(id) {
			whole = whole && p.included[dep]
		}
		if !whole {
			continue
		}
		var include func(id int)
		include = func(id int) {
			if !p.included[id] {
				p.included[id] = true
				for _, dep := range p.graph.nodes[id].needs {
					include(dep)
				}
			}
		}
		include(id)
	}
}

func (p *planner) excludeDependents() {
	g := p.graph
	dependents := make([][]int, len(g.nodes))
	for id := range g.nodes {
		for _, dep := range g.nodes[id].needs {
			dependents[dep] = append(dependents[dep], id)
		}
	}
	excluded := map[int]bool{}
	var exclude func(id int)
	exclude = func(id int) {
		if excluded[id] {
			return
		}
		excluded[id] = true
		for _, d := range dependents[id] {
			exclude(d)
		}
	}
	for id := range g.nodes {
		n := &g.nodes[id]
		if n.kind == nodeResource && p.wholeBlockExcluded(n) {
			exclude(id)
		}
	}
	for id := range g.nodes {
		if !excluded[id] {
			p.included[id] = true
		}
	}
}

// wholeBlockExcluded reports whether an exclusion names the block, not only one
// of its instances.
func (p *planner) wholeBlockExcluded(n *node) bool {
	for _, t := range p.in.Excludes {
		if t.ContainsConfig(n.resource.ConfigAddr()) && t.Key == addrs.NoKey {
			return true
		}
	}
	return false
}

func anyContainsConfig(targets []addrs.Target, r addrs.ConfigResource) bool {
	for _, t := range targets {
		if t.ContainsConfig(r) {
			return true
		}
	}
	return false
}

// targeted reports whether an instance is to be planned. Blocks that are only
// needed by a target are planned whole.
func (p *planner) targeted(addr addrs.ResourceInstance) bool {
	for _, t := range p.in.Excludes {
		if t.Contains(addr) {
			return false
		}
	}
	if len(p.in.Targets) == 0 {
		return true
	}
	named := false
	for _, t := range p.in.Targets {
		if t.Contains(addr) {
			return true
		}
		named = named || t.ContainsConfig(addr.Config())
	}
	if named {
		return false // another instance of this block was asked for
	}
	id, ok := p.graph.index[nodeKey{kind: nodeResource, module: addr.Module.Module(), resource: addr.Resource}]
	return ok && p.included[id]
}

// targetedForDestroy reports whether an object is to be destroyed: what is
// targeted, and what depends on it.
func (p *planner) targetedForDestroy(inst *states.Instance) bool {
	if len(p.in.Targets) == 0 && len(p.in.Excludes) == 0 {
		return true
	}
	if p.destroySet == nil {
		p.destroySet = p.computeDestroySet()
	}
	return p.destroySet[inst.Object]
}

// computeDestroySet closes the targets over recorded dependents, and removes
// exclusions together with what they depend on.
func (p *planner) computeDestroySet() map[addrs.Object]bool {
	set := map[addrs.Object]bool{}
	dependents := map[addrs.ConfigResource][]*states.Instance{}
	for _, inst := range p.prior.Instances {
		for _, dep := range inst.Dependencies {
			dependents[dep] = append(dependents[dep], inst)
		}
	}
	var add func(inst *states.Instance)
	add = func(inst *states.Instance) {
		if set[inst.Object] {
			return
		}
		set[inst.Object] = true
		for _, d := range dependents[inst.Object.Instance.Config()] {
			add(d)
		}
	}
	byBlock := map[addrs.ConfigResource][]*states.Instance{}
	for _, inst := range p.prior.Instances {
		block := inst.Object.Instance.Config()
		byBlock[block] = append(byBlock[block], inst)
		if len(p.in.Targets) == 0 {
			set[inst.Object] = true
			continue
		}
		for _, t := range p.in.Targets {
			if t.Contains(inst.Object.Instance) {
				add(inst)
			}
		}
	}
	kept := map[addrs.Object]bool{}
	var keep func(inst *states.Instance)
	keep = func(inst *states.Instance) {
		if kept[inst.Object] {
			return
		}
		kept[inst.Object] = true
		delete(set, inst.Object)
		for _, dep := range inst.Dependencies {
			for _, d := range byBlock[dep] {
				keep(d)
			}
		}
	}
	for _, inst := range p.prior.Instances {
		for _, t := range p.in.Excludes {
			if t.Contains(inst.Object.Instance) {
				keep(inst)
			}
		}
	}
	return set
}

// keepUntargeted gives an instance that is not planned its stored value.
func (p *planner) keepUntargeted(rs *resourceScope, addr addrs.ResourceInstance) {
	inst := p.prior.Current(addr)
	if inst == nil {
		rs.set(addr.Key, cty.DynamicVal)
		return
	}
	p.adopt(inst.Object)
	o, diags := p.provs.decodeFor(p.ctx, inst, rs.config.Provider)
	if diags.HasErrors() {
		rs.set(addr.Key, cty.DynamicVal)
		return
	}
	rs.set(addr.Key, o.value)
}
