package compare

import (
	"context"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/bench/internal/workload"
	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// Tutti is the system of this tree, on a store in a folder. Its steps are not
// idempotent: each has its intent on disk before it begins.
type Tutti struct{ bench *workload.Bench }

// NewTutti opens the store.
func NewTutti(ctx context.Context, dir string) (*Tutti, error) {
	b, err := workload.Open(ctx, dir)
	return &Tutti{b}, err
}

// Name implements [System].
func (t *Tutti) Name() string { return "Tutti" }

// Sequential implements [System].
func (t *Tutti) Sequential(ctx context.Context, n int) error {
	return t.bench.Run(ctx, workload.Define(nil, workload.Chain("s", n)...), workload.Doing(workload.Nothing, 1))
}

// Fan implements [System].
func (t *Tutti) Fan(ctx context.Context, n int) error {
	return t.bench.Run(ctx, workload.Define(nil, workload.Each("each", n, false)), workload.Doing(workload.Nothing, AtOnce))
}

// Blocked implements [Blocker].
func (t *Tutti) Blocked(ctx context.Context, blocked, n int) ([]time.Duration, error) {
	s := workload.Each("blocked", blocked, false)
	s.Concurrency, s.Pool = blocked, &projects.Reference{Kind: "pool", Name: "one"}
	d := workload.Define(map[string]*projects.Pool{"one": {Name: "one", Limit: 1}}, append([]*projects.Step{s}, workload.Chain("s", n+1)...)...)
	list, err := t.bench.Latencies(ctx, d, n+1, func(step string) bool { return strings.HasPrefix(step, "blocked") })
	if err != nil {
		return nil, err
	}
	return list[1:], nil
}

// Close implements [System].
func (t *Tutti) Close() { _ = t.bench.Close() }
