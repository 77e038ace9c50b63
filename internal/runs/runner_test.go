package runs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

type fixture struct {
	store  *runstest.Store
	world  *runstest.World
	runner *runs.Runner
}

func setUp(t testing.TB, steps []runstest.Step) *fixture {
	t.Helper()
	store := runstest.NewStore()
	world, err := runstest.NewWorld(context.Background(), store, steps)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{store: store, world: world, runner: &runs.Runner{
		Store: store, NewID: func(time.Time) string { return "run1" },
	}}
}

func (f *fixture) request() runs.Request {
	return runs.Request{Run: runs.Run{ID: "run1", Kind: "apply", Key: runstest.Key}, Plan: f.world.Plan, Encoded: []byte("plan"), Parallelism: 4}
}

func (f *fixture) kinds(t testing.TB) string {
	t.Helper()
	entries, err := f.store.Read(context.Background(), "run1", 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		text := string(e.Kind)
		if e.Step >= 0 {
			text += fmt.Sprint(e.Step)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (f *fixture) value(t testing.TB, step int) string {
	t.Helper()
	st, err := f.store.State(context.Background(), runstest.Key)
	if err != nil {
		t.Fatal(err)
	}
	inst := st.Instances[runstest.Object(step)]
	if inst == nil {
		return ""
	}
	return string(inst.Attributes)
}

func create(needs ...int) runstest.Step {
	return runstest.Step{Kind: plans.OpCreate, Needs: needs, Findable: true}
}

func TestApplyRecordsIntentEffectOutcome(t *testing.T) {
	f := setUp(t, []runstest.Step{create(), {Kind: plans.OpGate, Needs: []int{0}}, {Kind: plans.OpUpdate, Needs: []int{1}}, {Kind: plans.OpDelete, Needs: []int{2}}})
	var watched []string
	req := f.request()
	req.Watch = func(e runs.Event) { watched = append(watched, fmt.Sprint(e.Kind, e.Operation)) }
	result, diags := f.runner.Apply(t.Context(), req, f.world.Open)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	want := "run_started step_started0 step_succeeded0 step_started2 step_succeeded2 step_started3 step_succeeded3 run_finished"
	if got := f.kinds(t); got != want {
		t.Errorf("journal\n%s\nwant\n%s", got, want)
	}
	if got, want := strings.Join(watched, " "), "began-1 step_began0 step_ended0 step_began2 step_ended2 step_began3 step_ended3"; got != want {
		t.Errorf("watched %s, want %s", got, want)
	}
	if result.Run.Status != runs.Succeeded || result.Done != (runs.Counts{Added: 1, Changed: 1, Destroyed: 1}) {
		t.Errorf("result %+v", result)
	}
	if result.Run.Steps != 3 || result.Run.Done != 3 || result.Run.Summary != "1 added, 1 changed, 1 destroyed" {
		t.Errorf("run %+v", result.Run)
	}
	if f.value(t, 0) == "" || !strings.Contains(f.value(t, 2), "after") || f.value(t, 3) != "" {
		t.Error("rows are not as the operations left them")
	}
	feed, _, _ := f.store.Events(t.Context(), 0, 0)
	var types []string
	ids := map[string]bool{}
	for _, e := range feed {
		types = append(types, e.Type)
		ids[e.ID] = true
	}
	if got := strings.Join(types, " "); got != "run.started resource.created resource.updated resource.deleted run.succeeded" || len(ids) != 5 {
		t.Errorf("events %s, %d ids", got, len(ids))
	}
	stored, _ := f.store.Run(t.Context(), "run1")
	if stored.Status != runs.Succeeded || stored.Ended.IsZero() {
		t.Errorf("stored %+v", stored)
	}
}

func TestFailureHaltsOnlyWhatDependsOnIt(t *testing.T) {
	bad, lost := create(), create()
	bad.Fails, lost.Loses = true, true
	f := setUp(t, []runstest.Step{bad, create(0), create(), create(2), lost, create(4)})
	result, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open)
	if !diags.HasErrors() || result.Run.Status != runs.Failed || result.Run.Failed != 2 || result.Run.Done != 4 {
		t.Errorf("result %+v, diagnostics %v", result.Run, diags)
	}
	for step, want := range []int{0, 0, 1, 1, 1, 0} {
		if got := f.world.Effects(step); got != want {
			t.Errorf("step %d had %d effects, want %d", step, got, want)
		}
	}
	for _, e := range must(f.store.Read(t.Context(), "run1", 0)) {
		if e.Kind == workflow.StepLost {
			if d := runs.ReadStepData(e); d.Address != "thing.n4" || len(d.Problems) != 1 || d.Problems[0].Summary != "Outcome unknown" {
				t.Errorf("lost step recorded as %+v", d)
			}
		}
	}
	_, diags = f.runner.Resume(t.Context(), f.request(), f.world.Open)
	if !diags.HasErrors() || diags[0].Summary != "Run has ended" {
		t.Errorf("resuming a failed run: %v", diags)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestHarmlessStepsNeedNoIntent(t *testing.T) {
	step := runstest.Step{Kind: plans.OpForget, Harmless: true}
	f := setUp(t, []runstest.Step{step, step})
	if _, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open); diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if got := f.kinds(t); strings.Contains(got, "step_started") {
		t.Error(got)
	}
}

func TestParallelismIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := make([]runstest.Step, 12)
		for i := range steps {
			steps[i] = create()
			steps[i].Takes = time.Second
		}
		f := setUp(t, steps)
		began := time.Now()
		if _, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open); diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("12 steps of a second, 4 at once, took %s", took)
		}
	})
}

func TestStaleAndClaimedObjectsKeepARunFromStarting(t *testing.T) {
	f := setUp(t, []runstest.Step{{Kind: plans.OpUpdate}})
	st := must(f.store.State(t.Context(), runstest.Key))
	inst := *st.Instances[runstest.Object(0)]
	if err := f.store.Write(t.Context(), runstest.Key, states.Write{Changes: []states.Change{{Object: inst.Object, Before: &inst, After: &inst}}}); err != nil {
		t.Fatal(err)
	}
	_, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open)
	if !diags.HasErrors() || diags[0].Summary != "Plan is out of date" {
		t.Fatal(diags)
	}
	f.world.Plan.Prior = must(f.store.State(t.Context(), runstest.Key))
	claim := runs.ClaimOf(f.world.Plan)
	lease := must(f.store.Start(t.Context(), runs.Run{ID: "other", Key: runstest.Key, Status: runs.Running}, nil, claim, nil))
	_, diags = f.runner.Apply(t.Context(), f.request(), f.world.Open)
	if !diags.HasErrors() || diags[0].Summary != "Another run is changing the same objects" || !strings.Contains(diags[0].Detail, "other") {
		t.Fatal(diags)
	}
	lease.Release()
}

func TestPoliteCancelRecordsWhatIsRunning(t *testing.T) {
	for _, way := range []string{"context", "store"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := make([]runstest.Step, 8)
				for i := range steps {
					steps[i] = create()
					steps[i].Takes = 10 * time.Second
				}
				f := setUp(t, steps)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Second, func() {
					if way == "context" {
						cancel()
					} else if _, diags := f.runner.Cancel(context.Background(), "run1"); diags.HasErrors() {
						t.Error(diags.Err())
					}
				})
				result, diags := f.runner.Apply(ctx, f.request(), f.world.Open)
				if diags.HasErrors() || result.Run.Status != runs.Cancelled || result.Done.Added != 4 || f.world.Stops() != 1 {
					t.Errorf("result %+v, %d stops, %v", result, f.world.Stops(), diags)
				}
				for i := range steps {
					if (f.world.Effects(i) == 1) != (f.value(t, i) != "") {
						t.Errorf("step %d: effect and row disagree", i)
					}
				}
			})
		})
	}
}

func TestHardCancelLeavesARunThatCanBeResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := make([]runstest.Step, 8)
		for i := range steps {
			steps[i] = create()
			steps[i].Takes = 10 * time.Second
		}
		f := setUp(t, steps)
		req := f.request()
		hard := make(chan struct{})
		req.Hard = hard
		time.AfterFunc(time.Second, func() { close(hard) })
		began := time.Now()
		result, diags := f.runner.Apply(t.Context(), req, f.world.Open)
		if result.Run.Status != runs.Interrupted || time.Since(began) != time.Second {
			t.Fatalf("result %+v after %s", result, time.Since(began))
		}
		if !diags.HasErrors() || !strings.Contains(diags[0].Detail, "create thing.n0") {
			t.Error(diags)
		}
		result, diags = f.runner.Resume(t.Context(), f.request(), f.world.Open)
		if diags.HasErrors() || result.Run.Status != runs.Succeeded || result.Done.Added != 8 {
			t.Errorf("resumed: %+v, %v", result, diags)
		}
		for i := range steps {
			if f.world.Effects(i) != 1 {
				t.Errorf("step %d had %d effects", i, f.world.Effects(i))
			}
		}
	})
}

func TestOperationsThatDoNotReturnAreLeftInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, []runstest.Step{{Kind: plans.OpCreate, Findable: true, Takes: time.Hour, Stubborn: true}})
		time.AfterFunc(time.Second, func() {
			f.runner.Cancel(context.Background(), "run1")
			f.runner.Cancel(context.Background(), "run1")
		})
		began := time.Now()
		result, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open)
		if took := time.Since(began); result.Run.Status != runs.Interrupted || took > 12*time.Second {
			t.Errorf("result %+v after %s, %v", result, took, diags)
		}
		if got := f.kinds(t); got != "run_started step_started0 cancel_requested" {
			t.Error(got)
		}
		time.Sleep(2 * time.Hour) // of the bubble: the operation returns at last
		if got := f.kinds(t); got != "run_started step_started0 cancel_requested" {
			t.Errorf("recorded after the run was given back: %s", got)
		}
	})
}

func TestAnExecutorThatCannotBeMadeEndsTheRun(t *testing.T) {
	f := setUp(t, []runstest.Step{create()})
	result, diags := f.runner.Apply(t.Context(), f.request(), func(context.Context) (runs.Executor, diag.List) {
		return nil, diag.Errorf("Broken", "It is.")
	})
	if result.Run.Status != runs.Failed || result.Run.Problem != "Broken" || !diags.HasErrors() {
		t.Errorf("result %+v, %v", result, diags)
	}
	if stored := must(f.store.Run(t.Context(), "run1")); stored.Status != runs.Failed {
		t.Errorf("stored %+v", stored)
	}
}

func TestCancelOfADeadRunNamesWhatIsInDoubt(t *testing.T) {
	f := setUp(t, []runstest.Step{create()})
	f.store.OnCommit = func(n int) (bool, error) {
		if n < 3 {
			return true, nil
		}
		return false, runs.ErrFenced
	}
	f.runner.Apply(t.Context(), f.request(), f.world.Open)
	f.store.OnCommit = nil
	run, diags := f.runner.Cancel(t.Context(), "run1")
	if run.Status != runs.Cancelled || len(diags) != 1 || diags[0].Address != "thing.n0" {
		t.Errorf("run %+v, %v", run, diags)
	}
	if _, diags := f.runner.Cancel(t.Context(), "nobody"); !diags.HasErrors() || diags[0].Summary != "No such run" {
		t.Error(diags)
	}
}

func TestFullDiskIsOvercome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, []runstest.Step{create(), create(0), create(1)})
		f.store.OnCommit = func(n int) (bool, error) {
			if n >= 3 && n <= 5 {
				return false, errors.New("disk is full")
			}
			return true, nil
		}
		var told int
		req := f.request()
		req.Watch = func(e runs.Event) {
			if e.Kind == runs.Unrecorded {
				told++
			}
		}
		result, diags := f.runner.Apply(t.Context(), req, f.world.Open)
		if diags.HasErrors() || result.Run.Status != runs.Succeeded || told != 3 {
			t.Errorf("result %+v, told %d times, %v", result, told, diags)
		}
	})
}

func TestWhatCannotBeRecordedIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, []runstest.Step{create(), create(0)})
		f.store.OnCommit = func(n int) (bool, error) {
			if n >= 3 {
				return false, errors.New("disk is full")
			}
			return true, nil
		}
		result, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open)
		if result.Run.Status != runs.Interrupted || len(result.Unrecorded) != 1 || result.Unrecorded[0].Object != runstest.Object(0) {
			t.Errorf("result %+v", result)
		}
		if text := fmt.Sprint(diags.Err()); !strings.Contains(text, "disk is full") || !strings.Contains(text, "thing.n0") {
			t.Error(text)
		}
		f.store.OnCommit = nil
		result, diags = f.runner.Resume(t.Context(), f.request(), f.world.Open)
		if diags.HasErrors() || result.Done.Added != 2 || f.world.Effects(0) != 1 {
			t.Errorf("resumed: %+v, %v", result, diags)
		}
	})
}

func TestATakenOverRunIsLeftAlone(t *testing.T) {
	f := setUp(t, []runstest.Step{create(), create(0)})
	f.store.OnCommit = func(n int) (bool, error) {
		if n == 3 {
			f.store.Steal("run1")
		}
		return true, nil
	}
	result, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open)
	if result.Run.Status != runs.Interrupted || len(result.Unrecorded) != 1 || !slices.ContainsFunc(diags, hasSummary("Run was taken over")) {
		t.Errorf("result %+v, %v", result, diags)
	}
	if f.world.Effects(1) != 0 {
		t.Error("went on after losing the run")
	}
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := make([]runstest.Step, 1000)
		for i := range steps {
			steps[i] = runstest.Step{Kind: plans.OpForget, Harmless: true, Takes: time.Millisecond}
		}
		f := setUp(t, steps)
		f.store.OnCommit = func(int) (bool, error) {
			time.Sleep(10 * time.Millisecond) // as a disk does
			return true, nil
		}
		if _, diags := f.runner.Apply(t.Context(), f.request(), f.world.Open); diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if n := f.store.Commits(); n > 30 {
			t.Errorf("%d commits for 1,000 steps", n)
		}
	})
}

func BenchmarkTenThousandSteps(b *testing.B) {
	steps := make([]runstest.Step, 10000)
	for i := range steps {
		steps[i] = runstest.Step{Kind: plans.OpCreate, Harmless: true}
		if i > 0 {
			steps[i].Needs = []int{i / 2}
		}
	}
	steps[1].Needs = []int{0}
	for b.Loop() {
		b.StopTimer()
		f := setUp(b, steps)
		b.StartTimer()
		if _, diags := f.runner.Apply(context.Background(), f.request(), f.world.Open); diags.HasErrors() {
			b.Fatal(diags.Err())
		}
	}
}
