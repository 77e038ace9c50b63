package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// BenchmarkCommitTogether commits an entry at a time from several runs at once.
func BenchmarkCommitTogether(b *testing.B) {
	for _, writers := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s := open(b, b.TempDir())
			var leases []runs.Lease
			for i := range writers {
				leases = append(leases, start(b, s, fmt.Sprint("run", i)))
			}
			b.ResetTimer()
			var all sync.WaitGroup
			for i, lease := range leases {
				all.Go(func() {
					for n := int64(1); n <= int64(b.N/writers); n++ {
						c := runs.Commit{Lease: lease, Entries: []workflow.Entry{{Sequence: n, Time: time.Unix(0, n), Kind: workflow.StepSucceeded, Step: i}}}
						if err := s.Commit(context.Background(), []runs.Commit{c}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// steps are the entries of a fan-out of steps that do nothing.
func steps(after int64, count int) []workflow.Entry {
	out := make([]workflow.Entry, count)
	for i := range out {
		n := after + int64(i) + 1
		out[i] = workflow.Entry{Sequence: n, Time: time.Unix(1700000000, n), Kind: workflow.StepSucceeded, Step: int(n / 2)}
		if n%2 == 1 {
			out[i].Kind, out[i].Data = workflow.StepStarted, json.RawMessage(`{"name":"step[123456]","attempt":1}`)
		}
	}
	return out
}

// BenchmarkCommitEntries commits many entries of one run at a time, with what is
// stored about the run.
func BenchmarkCommitEntries(b *testing.B) {
	for _, size := range []int{256, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, b.TempDir())
			lease := start(b, s, "01JA2B3C4D5E6F7G8H9J0K1M2N")
			last := int64(0)
			for b.Loop() {
				run := runs.Run{ID: lease.Run, Kind: "workflow", Key: defaultKey, Status: runs.Running, Done: int(last)}
				if err := s.Commit(context.Background(), []runs.Commit{{Lease: lease, Run: &run, Entries: steps(last, size)}}); err != nil {
					b.Fatal(err)
				}
				last += int64(size)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(last), "ns/entry")
		})
	}
}

// BenchmarkReadJournal reads a million entries, all at once and one by one.
func BenchmarkReadJournal(b *testing.B) {
	const count = 1_000_000
	ctx := context.Background()
	s := open(b, b.TempDir())
	lease := start(b, s, "01JA2B3C4D5E6F7G8H9J0K1M2N")
	for last := int64(0); last < count; last += 10000 {
		if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: steps(last, 10000)}}); err != nil {
			b.Fatal(err)
		}
	}
	measure := func(b *testing.B, read func() int) {
		for b.Loop() {
			if n := read(); n != count {
				b.Fatalf("%d entries", n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/entry")
	}
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		measure(b, func() int {
			entries, err := s.Read(ctx, lease.Run, 0)
			if err != nil {
				b.Fatal(err)
			}
			return len(entries)
		})
	})
	b.Run("Each", func(b *testing.B) {
		b.ReportAllocs()
		measure(b, func() (n int) {
			if err := s.Each(ctx, lease.Run, 0, func(workflow.Entry) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
}

// BenchmarkGrantPools asks for places: idle while 10,000 steps wait and nothing
// changes, and handing one place on from step to step.
func BenchmarkGrantPools(b *testing.B) {
	ctx := context.Background()
	s := open(b, b.TempDir())
	lease := start(b, s, "run")
	var tickets []runs.Ticket
	for step := range 10000 {
		tickets = append(tickets, runs.Ticket{Pool: "pool", Step: step, Limit: 4})
	}
	if err := s.EnterPools(ctx, lease, tickets); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			if granted, err := s.GrantPools(ctx, "run", now); err != nil || len(granted.Steps) != 4 {
				b.Fatal(granted, err)
			}
		}
	})
	b.Run("handover", func(b *testing.B) {
		for b.Loop() {
			granted, err := s.GrantPools(ctx, "run", now)
			if err != nil || len(granted.Steps) == 0 {
				b.Fatal(granted, err)
			}
			leave := runs.Commit{Lease: lease, Leaves: []runs.Leaving{{Pool: "pool", Step: granted.Steps[0]}}}
			again := []runs.Ticket{{Pool: "pool", Step: granted.Steps[0], Limit: 4}}
			if err := s.Commit(ctx, []runs.Commit{leave}); err != nil {
				b.Fatal(err)
			}
			if err := s.EnterPools(ctx, lease, again); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCommitEvents commits an entry with its events at a time.
func BenchmarkCommitEvents(b *testing.B) {
	for _, count := range []int{1, 100} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			s := open(b, b.TempDir())
			lease := start(b, s, "01JA2B3C4D5E6F7G8H9J0K1M2N")
			list := make([]events.Event, count)
			for i := range list {
				list[i] = events.Event{
					ID: fmt.Sprint("01JA2B3C4D5E6F7G8H9J0K1M2N-", i), Source: "/state//default", Type: "resource.created",
					Subject: "module.site[\"eu\"].null_resource.node[17]", Time: time.Unix(1700000000, 0), Data: json.RawMessage(`{"run":"01JA2B3C4D5E6F7G8H9J0K1M2N","operation":"create"}`),
				}
			}
			var n int64
			for b.Loop() {
				n++
				c := runs.Commit{Lease: lease, Entries: []workflow.Entry{{Sequence: n, Time: time.Unix(0, n), Kind: workflow.StepSucceeded, Step: 1}}, Events: list}
				if err := s.Commit(context.Background(), []runs.Commit{c}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*int64(count)), "ns/event")
		})
	}
}

// BenchmarkManyRuns asks stores with many runs, one in ten of which failed, for what the
// overview of a server shows.
func BenchmarkManyRuns(b *testing.B) {
	for _, count := range []int{10_000, 100_000} {
		s, now := open(b, b.TempDir()), time.Unix(1_800_000_000, 0)
		err := s.write(b.Context(), func(tx *transaction) error {
			for i := range count {
				at := now.Add(time.Duration(i-count) * time.Minute)
				run := runs.Run{ID: fmt.Sprintf("r%07d", i), Kind: runs.WorkflowKind, Workflow: "deploy", Status: runs.Succeeded, Summary: "workflow deploy", Blob: "definition/1", Created: at, Started: at, Ended: at}
				if i%10 == 0 {
					run.Status, run.Problem = runs.Failed, "step fails: Tutti.CommandFailed"
				}
				if i >= count-100 {
					run.Status, run.Ended, run.Waits = runs.Pending, time.Time{}, runs.ForApproval
				}
				if err := tx.insertRun(run, 0, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, q := range []runs.RunQuery{{Status: runs.Failed, Top: true, EndedSince: now.Add(-24 * time.Hour)}, {Status: runs.Failed, Top: true}} {
			b.Run(fmt.Sprintf("count/%d/since=%t", count, !q.EndedSince.IsZero()), func(b *testing.B) {
				for b.Loop() {
					if n, err := s.CountRuns(b.Context(), q); err != nil || n == 0 {
						b.Fatal(n, err)
					}
				}
			})
		}
		b.Run(fmt.Sprint("open/", count), func(b *testing.B) {
			for b.Loop() {
				if list, err := s.Unended(b.Context()); err != nil || len(list) != 100 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}

// BenchmarkLastEvents asks for the last events of a feed.
func BenchmarkLastEvents(b *testing.B) {
	for _, count := range []int{10_000, 100_000} {
		s, began := open(b, b.TempDir()), time.Unix(1_800_000_000, 0)
		for n := 0; n < count; n += 1000 {
			var list []events.Event
			for i := range 1000 {
				list = append(list, events.Event{Source: "/state//default", Type: "run.started", Subject: fmt.Sprint("r", n+i), Time: began.Add(time.Duration(n+i) * time.Second), Data: json.RawMessage(`{"kind":"workflow"}`)})
			}
			if err := s.Record(b.Context(), list...); err != nil {
				b.Fatal(err)
			}
		}
		for name, q := range map[string]runs.EventQuery{
			"last": {Newest: true}, "since": {Since: began.Add(time.Duration(count-20) * time.Second)}, "type": {Type: "run.*", Newest: true}, "all": {},
		} {
			b.Run(fmt.Sprint(name, "/", count), func(b *testing.B) {
				for b.Loop() {
					n := 0
					err := s.FeedOf(b.Context(), q, func(*events.Link) error {
						if n++; n == 20 && q.Newest {
							return errEnough
						}
						return nil
					})
					if n < 20 || err != nil && !errors.Is(err, errEnough) {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

var errEnough = errors.New("enough")
