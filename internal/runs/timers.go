package runs

import (
	"container/heap"
	"slices"
	"time"
)

// timer is an instant the loop waits for: the end of a step that only waits,
// or a limit of one that works.
type timer struct {
	until     time.Time
	step      int
	task      *Task // whose limit it is; nil for steps that only wait
	heartbeat bool
}

// timers is a heap by instant and then by number.
type timers []timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(a, b int) bool {
	if c := h[a].until.Compare(h[b].until); c != 0 {
		return c < 0
	}
	return h[a].step < h[b].step
}
func (h timers) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *timers) Push(v any)   { *h = append(*h, v.(timer)) }
func (h *timers) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// addTimer adds a timer. Those of steps that have ended are thrown away once they
// are most of all.
func (x *execution) addTimer(t timer) {
	if len(x.timers) > 1024 && len(x.timers) > 2*(len(x.waits)+2*len(x.tasks)) {
		x.timers = slices.DeleteFunc(x.timers, func(t timer) bool {
			return t.task == nil && !x.waits[t.step] || t.task != nil && x.tasks[t.step] != t.task
		})
		heap.Init(&x.timers)
	}
	heap.Push(&x.timers, t)
}
