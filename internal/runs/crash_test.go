package runs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

func hasSummary(summary string) func(diag.Diagnostic) bool {
	return func(d diag.Diagnostic) bool { return d.Summary == summary }
}

// crashSteps has every kind of operation, gates, and independent branches.
func crashSteps(findable bool) []runstest.Step {
	made := func(needs ...int) runstest.Step {
		return runstest.Step{Kind: plans.OpCreate, Needs: needs, Findable: findable}
	}
	return []runstest.Step{
		made(), made(0), {Kind: plans.OpUpdate}, {Kind: plans.OpDelete},
		{Kind: plans.OpGate, Needs: []int{0, 1, 2, 3}},
		made(4), {Kind: plans.OpForget, Harmless: true}, {Kind: plans.OpDelete, Needs: []int{4, 6}},
		{Kind: plans.OpUpdate, Needs: []int{5, 7}}, made(8),
	}
}

// crashAt lets the process die at the n-th commit: before it is written, or
// after. dead says whether operations under way still have their effect.
func (f *fixture) crashAt(n int, written, dead bool) {
	f.store.OnCommit = func(i int) (bool, error) {
		if i < n {
			return true, nil
		}
		if dead {
			f.world.Die()
		}
		return written && i == n, runs.ErrFenced // not tried again
	}
}

func TestEveryCrashIsResumedWithoutDoingAnythingTwice(t *testing.T) {
	crashes := 0
	for n := 1; ; n++ {
		ended := false
		for _, written := range []bool{false, true} {
			for _, dead := range []bool{false, true} {
				f := setUp(t, crashSteps(true))
				name := fmt.Sprintf("commit %d written %t dead %t", n, written, dead)
				f.crashAt(n, written, dead)
				result, _ := f.runner.Apply(t.Context(), f.request(), f.world.Open)
				if result.Run.Status == runs.Succeeded {
					ended = true
					continue
				}
				crashes++
				f.crashAgain(t, name)
				f.checkWhole(t, name)
			}
		}
		if ended {
			break
		}
	}
	if crashes < 20 {
		t.Errorf("only %d crashes were tried", crashes)
	}
}

// crashAgain resumes, dying at each commit in turn, until the run has ended.
func (f *fixture) crashAgain(t *testing.T, name string) {
	t.Helper()
	for n := 2; ; n++ {
		f.crashAt(f.store.Commits()+n, n%2 == 0, n%3 == 0)
		run := must(f.store.Run(t.Context(), "run1"))
		if run.Status.Ended() {
			return // the answer to the last commit was lost
		}
		result, diags := f.runner.Resume(t.Context(), f.request(), f.world.Open)
		if result.Run.Status == runs.Succeeded {
			return
		}
		if n > 40 {
			t.Fatalf("%s: never ends: %v", name, diags)
		}
	}
}

// checkWhole fails unless everything happened once and is recorded.
func (f *fixture) checkWhole(t *testing.T, name string) {
	t.Helper()
	for i, s := range crashSteps(true) {
		if s.Kind == plans.OpGate {
			continue
		}
		// A harmless operation may run again.
		if got := f.world.Effects(i); got != 1 && (!s.Harmless || got == 0) {
			t.Errorf("%s: step %d had %d effects", name, i, got)
		}
		gone := s.Kind == plans.OpDelete || s.Kind == plans.OpForget
		if value := f.value(t, i); gone != (value == "") || (!gone && !strings.Contains(value, "after")) {
			t.Errorf("%s: step %d left %q", name, i, value)
		}
	}
	run := must(f.store.Run(t.Context(), "run1"))
	if run.Status != runs.Succeeded || run.Done != run.Steps {
		t.Errorf("%s: run %+v", name, run)
	}
}

// Wherever the process dies: once something may have been done, the values that
// arrived late are on disk.
func TestLateValuesAreThereWhenARunIsResumed(t *testing.T) {
	for n := 1; ; n++ {
		f := setUp(t, crashSteps(true))
		f.crashAt(n, false, false)
		request := f.request()
		request.Late = []byte("sealed")
		result, _ := f.runner.Apply(t.Context(), request, f.world.Open)
		late, err := runs.Late(t.Context(), f.store, "run1")
		if err != nil {
			t.Fatal(err)
		}
		effects := 0
		for i, s := range crashSteps(true) {
			if !s.Harmless {
				effects += f.world.Effects(i)
			}
		}
		if string(late) != "sealed" && (effects > 0 || late != nil) {
			t.Errorf("commit %d: %d effects, and late values are %q", n, effects, late)
		}
		if result.Run.Status == runs.Succeeded {
			break
		}
		f.store.OnCommit = nil
		if result, diags := f.runner.Resume(t.Context(), request, f.world.Open); result.Run.Status != runs.Succeeded {
			t.Fatal(diags.Err())
		}
		if late, err = runs.Late(t.Context(), f.store, "run1"); err != nil || string(late) != "sealed" {
			t.Errorf("commit %d: after resuming: %q, %v", n, late, err)
		}
	}
}

func TestCreatesThatCannotBeFoundAreNeverRepeatedNorForgotten(t *testing.T) {
	lost := 0
	for n := 1; n < 30; n++ {
		for _, dead := range []bool{false, true} {
			f := setUp(t, crashSteps(false))
			f.crashAt(n, false, dead)
			if result, _ := f.runner.Apply(t.Context(), f.request(), f.world.Open); result.Run.Status == runs.Succeeded {
				continue
			}
			f.store.OnCommit = nil
			result, diags := f.runner.Resume(t.Context(), f.request(), f.world.Open)
			if !result.Run.Status.Ended() {
				t.Fatalf("commit %d: %+v, %v", n, result, diags)
			}
			for i, s := range crashSteps(false) {
				if s.Kind != plans.OpCreate {
					continue
				}
				named := false
				for _, d := range diags {
					named = named || d.Summary == "Outcome unknown" && d.Address == runstest.Object(i).String()
				}
				if named {
					lost++
				}
				switch got := f.world.Effects(i); {
				case got > 1:
					t.Errorf("commit %d: step %d was created %d times", n, i, got)
				case got == 1 && f.value(t, i) == "" && !named:
					t.Errorf("commit %d: the object of step %d is forgotten", n, i)
				}
			}
		}
	}
	if lost == 0 {
		t.Error("no crash left a create in doubt")
	}
}
