package engine

import (
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
)

// buildOperations derives the execution graph from the planned changes.
//
// Every resource block gets two gates: "up", everything of the block and of what
// it depends on has been created or updated; and "down", everything of the block
// and of what depends on it that goes away first is gone. An operation then
// needs a handful of gates instead of every instance of its neighbours:
//
//	create, update, read of R    need  up(D) for the dependencies D of R
//	                             and   down(R') for the dependents R' of R in state
//	delete of R                  needs down(R') for the dependents R' of R in state
//	delete of R after its
//	replacement was created      needs the creation, up(R') and the late deletes of
//	                             the dependents R'
//
// Deletes belong to "down" if they happen before anything is created in their
// place; deletes of replaced objects that create before they destroy, and of
// deposed objects and orphans of such resources, are late: they wait until their
// dependents are up.
func buildOperations(plan *plans.Plan) []plans.Operation {
	b := opBuilder{plan: plan, blocks: map[addrs.ConfigResource]*opBlock{}}
	b.collect()
	for _, blk := range b.order {
		b.operations(blk)
	}
	b.connect()
	return sortOperations(b.ops)
}

// opBlock is a resource block as far as ordering is concerned.
type opBlock struct {
	addr       addrs.ConfigResource
	changes    []int
	needs      map[addrs.ConfigResource]bool // by configuration
	priorNeeds map[addrs.ConfigResource]bool // by state
	dependents []*opBlock                    // by state or configuration

	up, down, late int // gates
	ups            []int
	downs          []int
	lates          []int
	pairs          map[int]int // late delete → its create leg
}

type opBuilder struct {
	plan   *plans.Plan
	blocks map[addrs.ConfigResource]*opBlock
	order  []*opBlock
	ops    []plans.Operation
	needs  [][]int
}

func (b *opBuilder) block(addr addrs.ConfigResource) *opBlock {
	blk := b.blocks[addr]
	if blk == nil {
		blk = &opBlock{addr: addr, needs: map[addrs.ConfigResource]bool{}, priorNeeds: map[addrs.ConfigResource]bool{}, pairs: map[int]int{}}
		b.blocks[addr] = blk
		b.order = append(b.order, blk)
	}
	return blk
}

// collect groups changes by block and finds who depends on whom.
func (b *opBuilder) collect() {
	configOf := map[addrs.AbsResource]addrs.ConfigResource{}
	for i, c := range b.plan.Changes {
		abs := c.Object.Instance.AbsResource()
		addr, ok := configOf[abs]
		if !ok {
			addr = abs.Config()
			configOf[abs] = addr
		}
		blk := b.block(addr)
		blk.changes = append(blk.changes, i)
		for _, d := range c.Dependencies {
			blk.needs[d] = true
		}
		for _, d := range c.PriorDependencies {
			blk.priorNeeds[d] = true
		}
	}
	// Blocks without planned changes (-target) still order their neighbours.
	for _, inst := range b.plan.Prior.Instances {
		if inst.Object.Instance.Resource.Mode == addrs.Managed {
			continue
		}
		blk := b.block(inst.Object.Instance.Config())
		for _, d := range inst.Dependencies {
			blk.needs[d] = true
		}
	}
	for _, blk := range append([]*opBlock(nil), b.order...) {
		for d := range blk.needs {
			if d != blk.addr {
				b.block(d)
			}
		}
		for d := range blk.priorNeeds {
			if d != blk.addr {
				b.block(d)
			}
		}
	}
	for _, blk := range b.order {
		seen := map[addrs.ConfigResource]bool{}
		for _, set := range []map[addrs.ConfigResource]bool{blk.needs, blk.priorNeeds} {
			for d := range set {
				if d != blk.addr && !seen[d] {
					seen[d] = true
					dep := b.blocks[d]
					dep.dependents = append(dep.dependents, blk)
				}
			}
		}
	}
}

func (b *opBuilder) add(kind plans.OperationKind, change int) int {
	b.ops = append(b.ops, plans.Operation{Kind: kind, Change: change})
	b.needs = append(b.needs, nil)
	return len(b.ops) - 1
}

// operations adds a block's gates and the operations of its changes.
func (b *opBuilder) operations(blk *opBlock) {
	blk.up, blk.down, blk.late = b.add(plans.OpGate, -1), b.add(plans.OpGate, -1), b.add(plans.OpGate, -1)
	for _, i := range blk.changes {
		c := b.plan.Changes[i]
		switch c.Action {
		case plans.Create:
			blk.ups = append(blk.ups, b.add(plans.OpCreate, i))
		case plans.Update:
			blk.ups = append(blk.ups, b.add(plans.OpUpdate, i))
		case plans.Read:
			blk.ups = append(blk.ups, b.add(plans.OpRead, i))
		case plans.DeleteThenCreate:
			del, create := b.add(plans.OpDelete, i), b.add(plans.OpCreate, i)
			b.need(create, del)
			blk.downs = append(blk.downs, del)
			blk.ups = append(blk.ups, create)
		case plans.ForgetThenCreate:
			forget, create := b.add(plans.OpForget, i), b.add(plans.OpCreate, i)
			b.need(create, forget)
			blk.downs = append(blk.downs, forget)
			blk.ups = append(blk.ups, create)
		case plans.CreateThenDelete:
			create, del := b.add(plans.OpCreate, i), b.add(plans.OpDelete, i)
			blk.ups = append(blk.ups, create)
			blk.lates = append(blk.lates, del)
			blk.pairs[del] = create
		case plans.Delete:
			del := b.add(plans.OpDelete, i)
			if c.Object.Deposed != "" || (c.CreateBeforeDestroy && b.plan.Mode != plans.Destroy) {
				blk.lates = append(blk.lates, del)
			} else {
				blk.downs = append(blk.downs, del)
			}
		case plans.Forget:
			blk.downs = append(blk.downs, b.add(plans.OpForget, i))
		}
	}
}

func (b *opBuilder) need(op, dep int) { b.needs[op] = append(b.needs[op], dep) }

// connect adds the edges described at buildOperations.
func (b *opBuilder) connect() {
	for _, blk := range b.order {
		for _, op := range blk.ups {
			b.need(blk.up, op)
			for d := range blk.needs {
				if d != blk.addr {
					b.need(op, b.blocks[d].up)
				}
			}
		}
		for d := range blk.needs {
			if d != blk.addr {
				b.need(blk.up, b.blocks[d].up)
			}
		}
		for _, op := range blk.downs {
			b.need(blk.down, op)
		}
		for _, dependent := range blk.dependents {
			b.need(blk.down, dependent.down)
			for _, op := range blk.downs {
				b.need(op, dependent.down)
			}
			for _, op := range blk.ups {
				if dependent.priorNeeds[blk.addr] {
					b.need(op, dependent.down)
				}
			}
			for _, op := range blk.lates {
				b.need(op, dependent.up)
				b.need(op, dependent.down)
				b.need(op, dependent.late)
			}
			b.need(blk.late, dependent.late)
		}
		for d := range blk.priorNeeds {
			// What the state says this depended on goes first if it goes early.
			if d != blk.addr && !blk.needs[d] {
				for _, op := range blk.ups {
					for _, del := range b.blocks[d].downs {
						b.need(op, del)
					}
				}
			}
		}
		for _, op := range blk.lates {
			b.need(blk.late, op)
			if create, ok := blk.pairs[op]; ok {
				b.need(op, create)
			}
		}
	}
	for i := range b.ops {
		b.ops[i].Needs = b.needs[i]
	}
}

// sortOperations renumbers operations so that needs come before what needs them
// and drops gates that order nothing. Edges that would close a circle, which
// only contradictory records can ask for, are left out.
func sortOperations(ops []plans.Operation) []plans.Operation {
	number := make([]int, len(ops))
	state := make([]byte, len(ops))
	var out []plans.Operation
	type frame struct{ id, next int }
	for start := range ops {
		if state[start] != 0 {
			continue
		}
		stack := []frame{{id: start}}
		state[start] = 1
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next < len(ops[f.id].Needs) {
				dep := ops[f.id].Needs[f.next]
				f.next++
				if state[dep] == 0 {
					state[dep] = 1
					stack = append(stack, frame{id: dep})
				}
				continue
			}
			id := f.id
			stack = stack[:len(stack)-1]
			state[id] = 2
			op := plans.Operation{Kind: ops[id].Kind, Change: ops[id].Change}
			seen := map[int]bool{}
			for _, dep := range ops[id].Needs {
				if state[dep] != 2 {
					continue // would close a circle
				}
				n := number[dep]
				if n < 0 || seen[n] {
					continue // an empty gate
				}
				seen[n] = true
				op.Needs = append(op.Needs, n)
			}
			if op.Kind == plans.OpGate && len(op.Needs) == 0 {
				number[id] = -1
				continue
			}
			if op.Kind == plans.OpGate && len(op.Needs) == 1 {
				number[id] = op.Needs[0]
				continue
			}
			number[id] = len(out)
			out = append(out, op)
		}
	}
	return out
}
