package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/tutti-dev/tutti/bench/internal/compare"
)

// riverSystem is River, a queue of jobs. Its open edition has no jobs that need
// others: a chain is made of jobs that insert the next one in the transaction
// that completes them.
type riverSystem struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	events <-chan *river.Event
	links  *links
}

type fanArgs struct{}

func (fanArgs) Kind() string { return "fan" }

type fanWorker struct{ river.WorkerDefaults[fanArgs] }

func (fanWorker) Work(context.Context, *river.Job[fanArgs]) error { return nil }

// linkArgs are those of a job of a chain.
type linkArgs struct {
	Left int `json:"left"`
}

func (linkArgs) Kind() string { return "link" }

type links struct {
	river.WorkerDefaults[linkArgs]
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	ended  chan struct{}

	// One job of a chain is at work at a time.
	last      time.Time
	latencies []time.Duration
	failed    atomic.Pointer[error]
}

func (l *links) Work(ctx context.Context, job *river.Job[linkArgs]) error {
	now := time.Now()
	if !l.last.IsZero() {
		l.latencies = append(l.latencies, now.Sub(l.last))
	}
	l.last = time.Now()
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if job.Args.Left > 0 {
			if _, err := l.client.InsertTx(ctx, tx, linkArgs{job.Args.Left - 1}, nil); err != nil {
				return err
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if job.Args.Left == 0 || err != nil {
		if err != nil {
			l.failed.Store(&err)
		}
		l.ended <- struct{}{}
	}
	return err
}

func newRiver(ctx context.Context) (*riverSystem, error) {
	url, err := database(ctx, "bench_river")
	if err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns = 32
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: silent})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	s := &riverSystem{pool: pool, links: &links{pool: pool, ended: make(chan struct{}, 1)}}
	workers := river.NewWorkers()
	river.AddWorker(workers, &fanWorker{})
	river.AddWorker(workers, s.links)
	// Fetching is as eager as River allows, so that a chain does not wait for it.
	s.client, err = river.NewClient(driver, &river.Config{
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: compare.AtOnce}},
		Workers:       workers,
		FetchCooldown: time.Millisecond, FetchPollInterval: 5 * time.Millisecond,
		Logger: silent,
	})
	if err != nil {
		return nil, err
	}
	s.links.client = s.client
	s.events, _ = s.client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 200_000, Kinds: []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed},
	})
	return s, s.client.Start(ctx)
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// Name implements [compare.System].
func (s *riverSystem) Name() string { return "River" }

// Sequential implements [compare.System].
func (s *riverSystem) Sequential(ctx context.Context, n int) error {
	_, err := s.chain(ctx, n)
	return err
}

func (s *riverSystem) chain(ctx context.Context, n int) ([]time.Duration, error) {
	s.links.last, s.links.latencies = time.Time{}, nil
	if _, err := s.client.Insert(ctx, linkArgs{n - 1}, nil); err != nil {
		return nil, err
	}
	select {
	case <-s.links.ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.links.failed.Load(); err != nil {
		return nil, *err
	}
	return s.links.latencies, nil
}

// Fan implements [compare.System]. An event comes once the completion of its job
// is on disk.
func (s *riverSystem) Fan(ctx context.Context, n int) error {
	for len(s.events) > 0 { // of chains
		<-s.events
	}
	jobs := make([]river.InsertManyParams, n)
	for i := range jobs {
		jobs[i].Args = fanArgs{}
	}
	if _, err := s.client.InsertManyFast(ctx, jobs); err != nil {
		return err
	}
	for left := n; left > 0; {
		select {
		case e := <-s.events:
			if e.Kind != river.EventKindJobCompleted {
				return fmt.Errorf("job %d failed", e.Job.ID)
			}
			if e.Job.Kind == "fan" {
				left--
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Blocked implements [compare.Blocker]. The open edition has no limits across
// queues: what is blocked waits for an instant that is far away.
func (s *riverSystem) Blocked(ctx context.Context, blocked, n int) ([]time.Duration, error) {
	jobs := make([]river.InsertManyParams, blocked)
	for i := range jobs {
		jobs[i] = river.InsertManyParams{Args: fanArgs{}, InsertOpts: &river.InsertOpts{ScheduledAt: time.Now().Add(24 * time.Hour)}}
	}
	if _, err := s.client.InsertManyFast(ctx, jobs); err != nil {
		return nil, err
	}
	return s.chain(ctx, n+1)
}

// Close implements [compare.System].
func (s *riverSystem) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.client.StopAndCancel(ctx)
	s.pool.Close()
}
