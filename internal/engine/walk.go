package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// runGraph visits n nodes, each after all its needs, with a bounded number of
// workers. A visit that returns false halts everything that needs the node,
// directly or not. Nodes in a cycle are never visited. When ctx ends, no further
// node is visited.
func runGraph(ctx context.Context, n int, needs func(int) []int, workers int, visit func(int) bool) {
	if n == 0 {
		return
	}
	waiting := make([]int32, n)
	dependents := make([][]int32, n)
	for i := 0; i < n; i++ {
		for _, dep := range needs(i) {
			if dep == i {
				continue
			}
			waiting[i]++
			dependents[dep] = append(dependents[dep], int32(i))
		}
	}
	var (
		mu     sync.Mutex
		wake   = sync.NewCond(&mu)
		ready  []int32
		active int
		halted = make([]bool, n)
	)
	for i := 0; i < n; i++ {
		if waiting[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	worker := func() {
		mu.Lock()
		defer mu.Unlock()
		for {
			for len(ready) == 0 && active > 0 {
				wake.Wait()
			}
			if len(ready) == 0 {
				wake.Broadcast()
				return
			}
			id := ready[0]
			ready = ready[1:]
			active++
			ok := !halted[id]
			mu.Unlock()
			if ok && ctx.Err() == nil {
				ok = visit(int(id))
			} else {
				ok = false
			}
			mu.Lock()
			active--
			for _, d := range dependents[id] {
				if !ok {
					halted[d] = true
				}
				if waiting[d]--; waiting[d] == 0 {
					ready = append(ready, d)
				}
			}
			if len(ready) > 1 || active == 0 {
				wake.Broadcast()
			} else if len(ready) == 1 {
				wake.Signal()
			}
		}
	}
	var wg sync.WaitGroup
	for i := 0; i < min(workers, n); i++ {
		wg.Add(1)
		go func() { defer wg.Done(); worker() }()
	}
	wg.Wait()
}

// parallel calls f for 0 … n-1 with at most workers at a time.
func parallel(n, workers int, f func(int)) {
	if n == 1 {
		f(0)
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := 0; w < min(workers, n); w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		}()
	}
	wg.Wait()
}
