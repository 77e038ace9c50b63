package workflowtests

import (
	"container/heap"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// pool is a named limit across the runs of a test, as the stores keep it: the
// first of the queue goes in when the limit and the rate allow.
type pool struct {
	def     *projects.Pool
	in      int
	queue   tickets
	entered []time.Time // as many as the rate counts, the last ones
	looks   time.Time   // when a rate lets somebody in; the zero time for never
}

// ticket is a step that waits for a pool.
type ticket struct {
	pool     string
	def      *projects.Pool
	priority int
	order    int64
	run      *run
	step     int
	gone     bool // nobody waits for it any more
}

// tickets is a heap by priority, and then by who came first.
type tickets []*ticket

func (h tickets) Len() int { return len(h) }
func (h tickets) Less(a, b int) bool {
	if h[a].priority != h[b].priority {
		return h[a].priority > h[b].priority
	}
	return h[a].order < h[b].order
}
func (h tickets) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *tickets) Push(v any)   { *h = append(*h, v.(*ticket)) }
func (h *tickets) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

// enterPool queues a step. Who goes in is decided when all that happens at this
// instant has queued: priorities count.
func (w *world) enterPool(t *ticket) {
	p := w.pools[t.pool]
	if p == nil {
		p = &pool{def: t.def}
		w.pools[t.pool] = p
	}
	w.order++
	t.order = w.order
	heap.Push(&p.queue, t)
	w.grant(p)
}

// grant has a look at a pool, at the end of what happens now.
func (w *world) grant(p *pool) {
	if p.looks.Equal(w.now) {
		return
	}
	p.looks = w.now
	w.at(w.now, places, func() { w.look(p) })
}

// look lets steps in while the pool allows. They are the next that their runs
// begin: they must not hold their places for nothing.
func (w *world) look(p *pool) {
	p.looks = time.Time{}
	in := map[*run][]int{}
	defer func() {
		for r, steps := range in {
			r.queue = slices.Insert(r.queue, r.head, steps...)
			r.stir()
		}
	}()
	for len(p.queue) > 0 {
		t := p.queue[0]
		if t.gone || t.run.finished {
			heap.Pop(&p.queue)
			continue
		}
		if p.def.Limit > 0 && p.in >= p.def.Limit {
			return
		}
		if n := len(p.entered); p.def.Rate > 0 && n >= p.def.Rate {
			if next := p.entered[n-p.def.Rate].Add(p.def.Per); next.After(w.now) {
				p.looks = next
				w.at(next, places, func() { w.look(p) })
				return
			}
		}
		heap.Pop(&p.queue)
		p.in++
		if p.def.Rate > 0 {
			p.entered = append(p.entered, w.now)
			if len(p.entered) > p.def.Rate {
				p.entered = append(p.entered[:0], p.entered[1:]...)
			}
		}
		delete(t.run.pooled, t.step)
		t.run.places[t.step] = p
		in[t.run] = append(in[t.run], t.step)
	}
}
