package workflow

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawGraph makes needs of up to 25 steps, each on earlier ones, and gates.
func drawGraph(t *rapid.T) (needs [][]int, gates []bool) {
	n := rapid.IntRange(0, 25).Draw(t, "steps")
	for i := range n {
		var list []int
		if i > 0 {
			list = rapid.SliceOfN(rapid.IntRange(0, i-1), 0, 4).Draw(t, "needs")
		}
		needs = append(needs, list)
		gates = append(gates, rapid.IntRange(0, 3).Draw(t, "gate") == 0)
	}
	return needs, gates
}

// simulation plays the runner: it starts what the machine wants, in any order.
type simulation struct {
	machine *Graph
	journal []Entry
	queue   []int
	running []int
	outcome map[int]Kind
	started map[int]int
	finish  bool
}

func (s *simulation) apply(t *rapid.T, kind Kind, step int) {
	e := Entry{Sequence: int64(len(s.journal) + 1), Kind: kind, Step: step}
	commands, err := s.machine.Apply(e)
	if err != nil {
		t.Fatal(err)
	}
	s.journal = append(s.journal, e)
	for _, c := range commands {
		switch c.Kind {
		case StartStep:
			s.queue = append(s.queue, c.Step)
		case FinishRun:
			s.finish = true
		}
	}
}

func take(t *rapid.T, list *[]int) int {
	i := rapid.IntRange(0, len(*list)-1).Draw(t, "pick")
	v := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return v
}

func (s *simulation) step(t *rapid.T) {
	if len(s.running) == 0 || (len(s.queue) > 0 && rapid.Bool().Draw(t, "start")) {
		step := take(t, &s.queue)
		s.started[step]++
		if rapid.Bool().Draw(t, "intent") {
			s.apply(t, StepStarted, step)
			if rapid.IntRange(0, 9).Draw(t, "withdraw") == 0 {
				s.started[step]--
				s.apply(t, StepWithdrawn, step)
				return
			}
		}
		s.running = append(s.running, step)
		return
	}
	step := take(t, &s.running)
	kind := StepSucceeded
	switch rapid.IntRange(0, 9).Draw(t, "outcome") {
	case 0:
		kind = StepFailed
	case 1:
		kind = StepLost
	}
	s.outcome[step] = kind
	s.apply(t, kind, step)
}

func TestGraphRunsEverythingNotBehindAFailureOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, gates := drawGraph(t)
		s := &simulation{machine: NewGraph(needs, gates), outcome: map[int]Kind{}, started: map[int]int{}}
		s.apply(t, RunStarted, -1)
		for len(s.queue)+len(s.running) > 0 {
			if s.finish {
				t.Fatal("finished while steps were running or could start")
			}
			s.step(t)
		}
		if !s.finish || !s.machine.Exhausted() {
			t.Fatal("not finished although nothing is left")
		}
		passed := make([]bool, len(needs))
		for step, list := range needs {
			may := true
			for _, need := range list {
				may = may && passed[need]
			}
			if gates[step] {
				passed[step] = may
				if s.started[step] != 0 {
					t.Fatalf("gate %d was started", step)
				}
				continue
			}
			passed[step] = may && s.outcome[step] == StepSucceeded
			want := 0
			if may {
				want = 1
			}
			if s.started[step] != want {
				t.Fatalf("step %d started %d times, want %d", step, s.started[step], want)
			}
		}
		checkOrder(t, needs, gates, s.journal)
		if s.machine.Succeeded()+s.machine.Failed() != len(s.outcome) {
			t.Fatal("counters are off")
		}
	})
}

// checkOrder fails where an entry about a step comes before its needs succeeded.
func checkOrder(t *rapid.T, needs [][]int, gates []bool, journal []Entry) {
	done := make([]bool, len(needs))
	var passed func(step int) bool
	passed = func(step int) bool {
		if !gates[step] {
			return done[step]
		}
		return !slices.ContainsFunc(needs[step], func(n int) bool { return !passed(n) })
	}
	for _, e := range journal {
		if e.Step < 0 {
			continue
		}
		for _, need := range needs[e.Step] {
			if !passed(need) {
				t.Fatalf("%s of step %d before step %d succeeded", e.Kind, e.Step, need)
			}
		}
		done[e.Step] = done[e.Step] || e.Kind == StepSucceeded
	}
}

func TestReplayingAnyPrefixGivesTheSameMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, gates := drawGraph(t)
		s := &simulation{machine: NewGraph(needs, gates), outcome: map[int]Kind{}, started: map[int]int{}}
		s.apply(t, RunStarted, -1)
		steps := rapid.IntRange(0, 40).Draw(t, "length")
		for range steps {
			if len(s.queue)+len(s.running) == 0 {
				break
			}
			s.step(t)
		}
		replayed := NewGraph(needs, gates)
		for _, e := range s.journal {
			if _, err := replayed.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(s.machine.status, replayed.status) || !reflect.DeepEqual(s.machine.waiting, replayed.waiting) ||
			!slices.Equal(s.machine.Running(), replayed.Running()) || !slices.Equal(s.machine.Ready(), replayed.Ready()) {
			t.Fatal("the replayed machine differs")
		}
		// Resumed, it runs to the end all the same.
		s.machine, s.queue, s.finish = replayed, nil, false
		doubt := replayed.Running()
		s.apply(t, RunResumed, -1)
		s.running = doubt
		for len(s.queue)+len(s.running) > 0 {
			s.step(t)
		}
		if !s.finish {
			t.Fatal("not finished")
		}
		checkOrder(t, needs, gates, s.journal)
	})
}

func TestCancelStartsNothingMore(t *testing.T) {
	g := NewGraph([][]int{{}, {}, {0}}, nil)
	run := func(seq int64, kind Kind, step int) []Command {
		t.Helper()
		c, err := g.Apply(Entry{Sequence: seq, Kind: kind, Step: step})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(c)
	}
	if got := run(1, RunStarted, -1); len(got) != 2 {
		t.Fatalf("commands %v", got)
	}
	run(2, StepStarted, 0)
	if got := run(3, CancelRequested, -1); len(got) != 0 {
		t.Fatalf("commands %v while a step is running", got)
	}
	if got := run(4, StepSucceeded, 0); !slices.Equal(got, []Command{{FinishRun, -1}}) {
		t.Fatalf("commands %v after the last running step", got)
	}
	if got := run(5, RunResumed, -1); !slices.Equal(got, []Command{{StartStep, 1}, {StartStep, 2}}) {
		t.Fatalf("commands %v after resuming", got)
	}
}

func TestGraphRefusesEntriesThatCannotFollow(t *testing.T) {
	start := Entry{Sequence: 1, Kind: RunStarted, Step: -1}
	for name, journal := range map[string][]Entry{
		"gap":                  {start, {Sequence: 3, Kind: StepStarted}},
		"no start":             {{Sequence: 1, Kind: StepStarted}},
		"started twice":        {start, {Sequence: 2, Kind: RunStarted, Step: -1}},
		"unknown kind":         {start, {Sequence: 2, Kind: "odd"}},
		"no such step":         {start, {Sequence: 2, Kind: StepStarted, Step: 7}},
		"needs not met":        {start, {Sequence: 2, Kind: StepStarted, Step: 1}},
		"gate":                 {start, {Sequence: 2, Kind: StepSucceeded, Step: 2}},
		"second outcome":       {start, {Sequence: 2, Kind: StepSucceeded}, {Sequence: 3, Kind: StepFailed}},
		"nothing to withdraw":  {start, {Sequence: 2, Kind: StepWithdrawn}},
		"after the end":        {start, {Sequence: 2, Kind: RunFinished, Step: -1}, {Sequence: 3, Kind: StepStarted}},
		"intent started twice": {start, {Sequence: 2, Kind: StepStarted}, {Sequence: 3, Kind: StepStarted}},
	} {
		g := NewGraph([][]int{{}, {0}, {}}, []bool{false, false, true})
		for i, e := range journal {
			_, err := g.Apply(e)
			if last := i == len(journal)-1; last != (err != nil) {
				t.Errorf("%s: entry %d: error %v", name, i+1, err)
			}
		}
	}
}

func BenchmarkGraphChainOfGates(b *testing.B) {
	const n = 10000
	needs, gates := make([][]int, n), make([]bool, n)
	for i := 1; i < n; i++ {
		needs[i], gates[i] = []int{i - 1}, i%2 == 1
	}
	for b.Loop() {
		g := NewGraph(needs, gates)
		seq := int64(1)
		next, _ := g.Apply(Entry{Sequence: seq, Kind: RunStarted, Step: -1})
		for len(next) > 0 && next[0].Kind == StartStep {
			seq++
			next, _ = g.Apply(Entry{Sequence: seq, Kind: StepSucceeded, Step: next[0].Step})
		}
	}
}
