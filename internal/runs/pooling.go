package runs

import (
	"context"
	"slices"
	"time"
)

// mayLookAtPools reports whether there is something to ask, and nothing under
// way: whoever leaves has left before anybody enters.
func (x *execution) mayLookAtPools() bool {
	leaving := len(x.pending.leaves) > 0 || x.writing != nil && len(x.writing.leaves) > 0
	return len(x.pooled) > 0 && !x.draining && !x.hard && !x.looking && !leaving && !x.poolTime.IsZero() && x.broken == nil
}

// lookAtPools asks the store who is in, beside the loop.
func (x *execution) lookAtPools() {
	if !x.mayLookAtPools() || x.poolTime.After(x.r.now()) {
		return
	}
	x.looking = true
	entering := x.entering
	x.entering = nil
	go func() {
		ctx := context.WithoutCancel(x.opCtx)
		var g grants
		g.err = patiently(func() error {
			if len(entering) == 0 {
				return nil
			}
			return x.r.Store.EnterPools(ctx, x.lease, entering)
		}, func(error) {})
		if g.err == nil {
			g.err = patiently(func() (err error) {
				g.Grant, err = x.r.Store.GrantPools(ctx, x.run.ID, x.r.now())
				return err
			}, func(error) {})
		}
		x.looked <- g
	}()
}

// granted queues steps that are in their pools, before others: they must not
// hold their places for nothing.
func (x *execution) granted(g grants) {
	x.looking = false
	if g.err != nil {
		x.broken = g.err
		return
	}
	var in []int
	for _, step := range g.Steps {
		if t, waits := x.pooled[step]; waits {
			delete(x.pooled, step)
			x.waitFor(t.Pool, -1)
			x.places[step] = t.Pool
			in = append(in, step)
		}
	}
	x.queue = slices.Insert(x.queue, x.head, in...)
	x.r.wakeOthers(g.Others)
	every := x.r.Poll
	if every <= 0 {
		every = 100 * time.Millisecond
	}
	x.poolTime = x.r.now().Add(every)
	if !g.Next.IsZero() && g.Next.Before(x.poolTime) {
		x.poolTime = g.Next
	}
	if len(x.entering) > 0 {
		x.poolTime = x.r.now()
	}
}

// waitFor counts the steps that wait for a pool, and lets the others of this
// process know whether there are any.
func (x *execution) waitFor(pool string, by int) {
	before := x.waiting[pool]
	x.waiting[pool] = before + by
	if before == 0 || before+by == 0 {
		x.r.hungers(x.run.ID, pool, before+by > 0)
	}
}

// leavePools gives up waiting for pools, and places that nobody uses yet.
func (x *execution) leavePools() {
	for step := range x.pooled {
		x.leavePool(step)
	}
	for step := range x.places {
		x.leavePool(step)
	}
}

// leavePool is leavePools of one step.
func (x *execution) leavePool(step int) {
	pool, ok := x.places[step]
	if t, waits := x.pooled[step]; waits {
		pool, ok = t.Pool, true
		x.waitFor(pool, -1)
	}
	if !ok {
		return
	}
	delete(x.pooled, step)
	delete(x.places, step)
	if i := slices.IndexFunc(x.entering, func(t Ticket) bool { return t.Step == step }); i >= 0 {
		x.entering = slices.Delete(x.entering, i, i+1) // the store has not heard of it
		return
	}
	x.pending.leaves = append(x.pending.leaves, Leaving{Pool: pool, Step: step})
}
