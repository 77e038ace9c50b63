// Package compare measures systems that carry steps out durably beside each
// other: the same work, in turns, on one machine.
package compare

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// System is one of them. Every method returns once all it did is on disk.
type System interface {
	Name() string
	// Sequential does n steps that do nothing, each after the one before.
	Sequential(ctx context.Context, n int) error
	// Fan does n steps that do nothing and need nothing, AtOnce at a time.
	Fan(ctx context.Context, n int) error
	Close()
}

// Blocker is a system that can have many steps that cannot begin.
type Blocker interface {
	// Blocked makes that many steps of a pool that only one may be in, and then
	// does a chain of n others. It returns how long each took to begin from when
	// the one before had done its work.
	Blocked(ctx context.Context, blocked, n int) ([]time.Duration, error)
}

// AtOnce is how many steps of a fan are at work.
const AtOnce = 256

// Options say how much there is to do.
type Options struct {
	Rounds     int
	Sequential int
	Fan        int
	Blocked    int // 0: not tried
	Stream     int
}

// result is what came of one measurement, round by round, in a unit in which less
// is better.
type result struct {
	list   []float64
	failed error
}

func (r *result) median() float64 { return median(r.list) }

// times is how many times another result this one is. Rounds are compared with
// each other, since what else the machine does changes from round to round.
func (r *result) times(other *result) float64 {
	var list []float64
	for i := range min(len(r.list), len(other.list)) {
		list = append(list, r.list[i]/other.list[i])
	}
	return median(list)
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// measured is a line of the table.
type measured struct {
	name    string
	show    func(float64) string
	results []result // by system
}

// Run measures systems in turns and writes a table in Markdown. The first
// system is the one the others are compared with.
func Run(ctx context.Context, out, log io.Writer, systems []System, o Options) error {
	ms := func(v float64) string { return fmt.Sprintf("%.2f ms", v*1000) }
	rate := func(v float64) string { return fmt.Sprintf("%.0f/s", 1/v) }
	sequential := &measured{name: fmt.Sprintf("a step of %d, one after the other", o.Sequential), show: ms}
	fan := &measured{name: fmt.Sprintf("%d steps, %d at once", o.Fan, AtOnce), show: rate}
	middle := &measured{name: fmt.Sprintf("to begin among %d blocked, median", o.Blocked), show: ms}
	late := &measured{name: "the same, 99th percentile", show: ms}
	table := []*measured{sequential, fan, middle, late}
	for _, m := range table {
		m.results = make([]result, len(systems))
	}
	timed := func(r *result, n int, f func() error) {
		began := time.Now()
		if err := f(); err != nil {
			r.failed = err
			return
		}
		r.list = append(r.list, time.Since(began).Seconds()/float64(n))
	}
	for round := range o.Rounds {
		for i, s := range systems {
			fmt.Fprintf(log, "round %d: %s\n", round+1, s.Name())
			if sequential.results[i].failed != nil || fan.results[i].failed != nil {
				continue // rounds would not match
			}
			timed(&sequential.results[i], o.Sequential, func() error { return s.Sequential(ctx, o.Sequential) })
			timed(&fan.results[i], o.Fan, func() error { return s.Fan(ctx, o.Fan) })
		}
	}
	// Last, because what is blocked stays.
	for i, s := range systems {
		b, ok := s.(Blocker)
		if !ok || o.Blocked == 0 {
			continue
		}
		fmt.Fprintf(log, "blocked: %s\n", s.Name())
		list, err := b.Blocked(ctx, o.Blocked, o.Stream)
		if err != nil {
			middle.results[i].failed, late.results[i].failed = err, err
			continue
		}
		slices.Sort(list)
		middle.results[i].list = []float64{list[len(list)/2].Seconds()}
		late.results[i].list = []float64{list[len(list)*99/100].Seconds()}
	}
	return write(out, log, systems, table)
}

func write(out, log io.Writer, systems []System, table []*measured) error {
	text, line := "| |", "|---|"
	for _, s := range systems {
		text += " " + s.Name() + " |"
		line += "---|"
	}
	text += "\n" + line + "\n"
	for _, m := range table {
		row, some := "| "+m.name+" |", false
		for i := range m.results {
			r := &m.results[i]
			switch {
			case r.failed != nil:
				fmt.Fprintf(log, "%s: %s: %s\n", systems[i].Name(), m.name, r.failed)
				row += " failed |"
			case len(r.list) == 0:
				row += " – |"
			default:
				some = true
				row += " " + m.show(r.median())
				if own := &m.results[0]; i > 0 && len(own.list) > 0 {
					row += fmt.Sprintf(" (×%.1f)", r.times(own))
				}
				row += " |"
			}
		}
		if some {
			text += row + "\n"
		}
	}
	_, err := io.WriteString(out, text)
	return err
}
