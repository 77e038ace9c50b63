package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/tutti-dev/tutti/bench/internal/compare"
	"golang.org/x/sync/errgroup"
)

// dbosSystem is DBOS Transact: workflows that are functions, whose steps are
// checkpointed when they have ended. It records no intent before a step.
type dbosSystem struct {
	ctx   dbos.Context
	queue dbos.Queue

	latencies []time.Duration // of the chain at work
	holds     chan struct{}
	held      atomic.Bool
}

func newDBOS(ctx context.Context) (*dbosSystem, error) {
	url, err := database(ctx, "bench_dbos")
	if err != nil {
		return nil, err
	}
	s := &dbosSystem{holds: make(chan struct{})}
	if s.ctx, err = dbos.NewContext(ctx, dbos.Config{AppName: "bench", DatabaseURL: url + "&pool_max_conns=32", Logger: silent}); err != nil {
		return nil, err
	}
	dbos.RegisterWorkflow(s.ctx, s.chain)
	dbos.RegisterWorkflow(s.ctx, s.hold)
	dbos.RegisterWorkflow(s.ctx, s.item)
	if err := dbos.Launch(s.ctx); err != nil {
		return nil, err
	}
	s.queue, err = dbos.RegisterQueue(s.ctx, "one", dbos.WithGlobalConcurrency(1))
	return s, err
}

// Name implements [compare.System].
func (s *dbosSystem) Name() string { return "DBOS" }

// chain does steps one after the other.
func (s *dbosSystem) chain(ctx dbos.Context, n int) (int, error) {
	s.latencies = nil
	var last time.Time
	for range n {
		_, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) {
			now := time.Now()
			if !last.IsZero() {
				s.latencies = append(s.latencies, now.Sub(last))
			}
			last = time.Now()
			return 0, nil
		}, dbos.WithStepName("nothing"))
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// item is a step of a fan that is a workflow of its own.
func (s *dbosSystem) item(dbos.Context, int) (int, error) { return 0, nil }

// hold never ends; it is what keeps the queue.
func (s *dbosSystem) hold(ctx dbos.Context, _ int) (int, error) {
	if s.held.CompareAndSwap(false, true) {
		close(s.holds)
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

func run1[P any](s *dbosSystem, f dbos.Workflow[P, int], input P) error {
	h, err := dbos.RunWorkflow(s.ctx, f, input)
	if err != nil {
		return err
	}
	_, err = h.GetResult()
	return err
}

// Sequential implements [compare.System].
func (s *dbosSystem) Sequential(_ context.Context, n int) error { return run1(s, s.chain, n) }

// Fan implements [compare.System]. Each item is a workflow: steps of one workflow
// wait for each other at its row, which makes them several times slower.
func (s *dbosSystem) Fan(_ context.Context, n int) error {
	var g errgroup.Group
	g.SetLimit(compare.AtOnce)
	for i := range n {
		g.Go(func() error {
			h, err := dbos.RunWorkflow(s.ctx, s.item, i)
			if err == nil {
				_, err = h.GetResult()
			}
			return err
		})
	}
	return g.Wait()
}

// Blocked implements [compare.Blocker]. What is blocked are workflows in a queue
// that one of them keeps for itself.
func (s *dbosSystem) Blocked(ctx context.Context, blocked, n int) ([]time.Duration, error) {
	enqueue := func(int) error {
		_, err := dbos.RunWorkflow(s.ctx, s.hold, 0, dbos.WithQueue(s.queue))
		return err
	}
	if err := enqueue(0); err != nil {
		return nil, err
	}
	select {
	case <-s.holds:
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("the queue does not begin")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var g errgroup.Group
	g.SetLimit(32)
	for i := range blocked {
		g.Go(func() error { return enqueue(i) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	err := run1(s, s.chain, n+1)
	return s.latencies, err
}

// Close implements [compare.System].
func (s *dbosSystem) Close() { _ = dbos.Shutdown(s.ctx, time.Second) }
