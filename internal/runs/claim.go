package runs

import (
	"slices"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
)

// ClaimOf returns what a run of the plan must reserve: the objects it writes,
// with the row versions the plan saw of them and of the objects they depend on.
func ClaimOf(plan *plans.Plan) Claim {
	adjusted := make(map[addrs.Object]int64, len(plan.Adjust))
	for _, row := range plan.Adjust {
		adjusted[row.Object] = version(row.Before)
	}
	stored := func(o addrs.Object) int64 {
		if v, ok := adjusted[o]; ok {
			return v
		}
		if plan.Prior == nil {
			return 0
		}
		return version(plan.Prior.Instances[o])
	}
	c := Claim{Expect: make(map[addrs.Object]int64, len(plan.Changes))}
	write := func(o addrs.Object) {
		if _, ok := c.Expect[o]; !ok {
			c.Expect[o] = stored(o)
			c.Objects = append(c.Objects, o)
		}
	}
	for _, row := range plan.Adjust {
		write(row.Object)
	}
	needed := map[addrs.ConfigResource]bool{}
	for _, change := range plan.Changes {
		if change.Action == plans.NoOp && !change.Moved() && change.Importing == nil {
			continue
		}
		write(change.Object)
		if change.Moved() {
			write(addrs.Object{Instance: change.PrevAddress})
		}
		if change.Action == plans.CreateThenDelete && change.DestroyLegDeposed != "" {
			write(addrs.Object{Instance: change.Object.Instance, Deposed: change.DestroyLegDeposed})
		}
		for _, r := range change.Dependencies {
			needed[r] = true
		}
	}
	if len(needed) > 0 && plan.Prior != nil {
		for o := range plan.Prior.Instances {
			if _, ok := c.Expect[o]; !ok && needed[o.Instance.Config()] {
				c.Expect[o] = stored(o)
			}
		}
	}
	slices.SortFunc(c.Objects, compareObjects)
	return c
}

func version(inst *states.Instance) int64 {
	if inst == nil {
		return 0
	}
	return inst.Version
}

func compareObjects(a, b addrs.Object) int {
	switch {
	case a == b:
		return 0
	case a.Instance.Less(b.Instance):
		return -1
	case b.Instance.Less(a.Instance):
		return 1
	case a.Deposed < b.Deposed:
		return -1
	}
	return 1
}
