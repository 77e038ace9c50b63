//go:build unix

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/bench/internal/workload"
	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// folder makes a folder on a real disk: TUTTI_BENCH_DIR, or beside what the
// other benchmarks have built.
func folder(b *testing.B) string {
	b.Helper()
	parent := os.Getenv("TUTTI_BENCH_DIR")
	if parent == "" {
		parent = filepath.Join("..", ".cache")
	}
	dir, err := workload.Folder(parent)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func open(b *testing.B) *workload.Bench {
	b.Helper()
	w, err := workload.Open(b.Context(), folder(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Close() })
	return w
}

// perStep reports what each of n steps cost. The wall time is that of the disk
// and of whoever else uses the machine; the processor time is the program's.
func perStep(b *testing.B, n int, before usage) {
	b.Helper()
	all := float64(n * b.N)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/all, "ms/step")
	b.ReportMetric(all/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64((used().own-before.own).Microseconds())/all, "CPU-µs/step")
}

// BenchmarkSync is the floor under everything durable on the disk at hand.
func BenchmarkSync(b *testing.B) {
	const n = 400
	dir := folder(b)
	for b.Loop() {
		if err := workload.Sync(dir, n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n/1000, "ms/sync")
}

// BenchmarkSequential runs steps one after the other: what a durable step takes.
func BenchmarkSequential(b *testing.B) {
	const n = 400
	w := open(b)
	d := workload.Define(nil, workload.Chain("s", n)...)
	before := used()
	for b.Loop() {
		if err := w.Run(b.Context(), d, workload.Doing(workload.Nothing, 1)); err != nil {
			b.Fatal(err)
		}
	}
	perStep(b, n, before)
}

// BenchmarkEach runs the items of a for_each, with and without an intent before
// each.
func BenchmarkEach(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for name, idempotent := range map[string]bool{"intent": false, "idempotent": true} {
			b.Run(fmt.Sprintf("%d-%s", n, name), func(b *testing.B) {
				w := open(b)
				d := workload.Define(nil, workload.Each("each", n, idempotent))
				before := used()
				for b.Loop() {
					if err := w.Run(b.Context(), d, workload.Doing(workload.Nothing, 256)); err != nil {
						b.Fatal(err)
					}
				}
				perStep(b, n, before)
			})
		}
	}
}

// BenchmarkBlocked measures how soon a step begins that has become ready, among
// many that cannot begin: a chain of steps, each ready when the one before ends.
func BenchmarkBlocked(b *testing.B) {
	const many, stream = 100_000, 1_000
	// The steps that are blocked, handed out before the chain begins.
	kinds := []struct {
		name  string
		pools map[string]*projects.Pool
		steps func() []*projects.Step
	}{
		{"none", nil, func() []*projects.Step { return nil }},
		{"event", nil, func() []*projects.Step {
			s := workload.Each("blocked", many, false)
			s.Action, s.Concurrency = workload.Wait("", `"never ${each.value}"`).Action, many
			return []*projects.Step{s}
		}},
		{"one-event", nil, func() []*projects.Step {
			s := workload.Each("blocked", many, false)
			s.Action, s.Concurrency = workload.Wait("", `"never"`).Action, many
			return []*projects.Step{s}
		}},
		{"pool", map[string]*projects.Pool{"one": {Name: "one", Limit: 1}}, func() []*projects.Step {
			s := workload.Each("blocked", many, false)
			s.Concurrency, s.Pool = many, &projects.Reference{Kind: "pool", Name: "one"}
			return []*projects.Step{s}
		}},
		{"dependency", nil, func() []*projects.Step {
			steps := make([]*projects.Step, 0, many+1)
			steps = append(steps, workload.Wait("never", `"never"`))
			for i := range many {
				steps = append(steps, workload.Step(fmt.Sprint("blocked", i), "never"))
			}
			return steps
		}},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				began := time.Now()
				d := workload.Define(kind.pools, append(kind.steps(), workload.Chain("s", stream)...)...)
				compiled := time.Since(began)
				var keeps func(string) bool
				if kind.pools != nil {
					keeps = func(step string) bool { return strings.HasPrefix(step, "blocked") }
				}
				list, err := open(b).Latencies(b.Context(), d, stream, keeps)
				if err != nil {
					b.Fatal(err)
				}
				first, latencies := list[0], list[1:]
				slices.Sort(latencies)
				at := func(p float64) float64 {
					return float64(latencies[int(p*float64(len(latencies)-1))].Microseconds()) / 1000
				}
				b.ReportMetric(at(0.5), "ms-p50")
				b.ReportMetric(at(0.99), "ms-p99")
				b.ReportMetric(at(1), "ms-max")
				b.ReportMetric(first.Seconds(), "s-to-first")
				b.ReportMetric(compiled.Seconds(), "s-to-compile")
			}
		})
	}
}

// BenchmarkSideBySide runs workflows of sequential steps at once in one process.
func BenchmarkSideBySide(b *testing.B) {
	const workflows, n = 50, 100
	w := open(b)
	d := workload.Define(nil, workload.Chain("s", n)...)
	before := used()
	for b.Loop() {
		var wait sync.WaitGroup
		for range workflows {
			wait.Go(func() {
				if err := w.Run(b.Context(), d, workload.Doing(workload.Nothing, 1)); err != nil {
					b.Error(err)
				}
			})
		}
		wait.Wait()
	}
	perStep(b, workflows*n, before)
}

// BenchmarkPool runs items that have to get into a pool first, of one run and of
// several that share it.
func BenchmarkPool(b *testing.B) {
	for _, shape := range []struct{ workflows, n, limit int }{{1, 2000, 1}, {1, 2000, 64}, {20, 100, 1}} {
		b.Run(fmt.Sprintf("%dx%d-limit-%d", shape.workflows, shape.n, shape.limit), func(b *testing.B) {
			w := open(b)
			s := workload.Each("each", shape.n, false)
			s.Pool = &projects.Reference{Kind: "pool", Name: "p"}
			d := workload.Define(map[string]*projects.Pool{"p": {Name: "p", Limit: shape.limit}}, s)
			before := used()
			for b.Loop() {
				var wait sync.WaitGroup
				for range shape.workflows {
					wait.Go(func() {
						if err := w.Run(b.Context(), d, workload.Doing(workload.Nothing, 256)); err != nil {
							b.Error(err)
						}
					})
				}
				wait.Wait()
			}
			perStep(b, shape.workflows*shape.n, before)
		})
	}
}
