package policy

import (
	"context"
	"fmt"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// What a policy may use up. Rego ends always, but not always soon: a few nested
// loops over a large plan are enough. OPA looks at each step whether it is to go
// on; the few functions that take long in one step are left behind. What is cut off
// is an error, and lets nothing pass.
const (
	// MostTime is how long the evaluation of one rule may take, and mostTimeOfObject
	// how long for each object of a plan that is larger.
	MostTime         = 30 * time.Second
	mostTimeOfObject = 3 * time.Millisecond
	// MostMemory is by how many bytes the heap may grow during a judgement.
	MostMemory = 4 << 30
	// mostSaid is how many messages a rule may give, and mostOfObject how many for each
	// object of a plan that is larger; mostText is how long they may be on average, in
	// bytes, and mostMessage where one is cut.
	mostSaid     = 10_000
	mostOfObject = 2
	mostText     = 2 << 10
	mostMessage  = 8 << 10

	// grace is how long a step that does not look at whether it is to go on is
	// waited for.
	grace = time.Second
)

// most is how many messages a rule may give of a document.
func (d *Document) most() int { return max(mostSaid, mostOfObject*len(d.names)) }

// limited watches over a judgement: its context ends when it uses up more than it
// may. The rules of a policy that took too long once are not evaluated any more.
type limited struct {
	context.Context
	time    time.Duration // of one rule
	stopped map[*Policy]*atomic.Bool
}

func limit(ctx context.Context, policies []*Policy, d *Document, o Options) (*limited, context.CancelFunc) {
	l := &limited{time: max(MostTime, mostTimeOfObject*time.Duration(len(d.names))), stopped: map[*Policy]*atomic.Bool{}}
	memory := uint64(MostMemory)
	if o.Time > 0 {
		l.time = o.Time
	}
	if o.Memory > 0 {
		memory = o.Memory
	}
	for _, p := range policies {
		l.stopped[p] = &atomic.Bool{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l.Context = ctx
	most := heap() + memory
	go func() {
		often := time.NewTicker(50 * time.Millisecond)
		defer often.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-often.C:
				if heap() > most {
					cancel(fmt.Errorf("it needs more than %d MiB of memory, and was stopped", memory>>20))
				}
			}
		}
	}()
	return l, func() { cancel(nil) }
}

// heap is the size of all that is in memory.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// run evaluates a rule within the limits. It returns the judging that holds what
// came out, and whether the given one is still at work, left behind.
func (l *limited) run(j *judging) (out *judging, busy bool) {
	if l.stopped[j.p].Load() {
		return j, false
	}
	tooLong := fmt.Errorf("it takes more than %s, and was stopped. The other rules of the policy were not evaluated", l.time)
	ctx, cancel := context.WithTimeoutCause(l, l.time, tooLong)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.run(ctx)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		case <-time.After(grace):
			busy = true
			j = &judging{p: j.p, r: j.r, d: j.d, o: j.o}
			j.fail(context.Cause(ctx))
		}
	}
	if ctx.Err() != nil {
		l.stopped[j.p].Store(true)
	}
	return j, busy
}
