package windows

import (
	"cmp"
	"container/heap"
	"time"
)

// deadline is when a key is to be looked at. Where the key has changed since, there
// is another deadline for it, and this one means nothing.
type deadline struct {
	at  time.Time
	key string
}

// queue has the earliest deadline first.
type queue []deadline

func (q *queue) push(d deadline) { heap.Push((*byTime)(q), d) }
func (q *queue) pop() deadline   { return heap.Pop((*byTime)(q)).(deadline) }

type byTime queue

func (q byTime) Len() int { return len(q) }
func (q byTime) Less(i, j int) bool {
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(q[i].key, q[j].key)) < 0
}
func (q byTime) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *byTime) Push(x any)   { *q = append(*q, x.(deadline)) }
func (q *byTime) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	*q = (*q)[:last]
	return d
}
