package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// effects stands for the world that steps change: it counts what was done, by
// key, and can be told to fail or to take its time.
type effects struct {
	mu    sync.Mutex
	did   map[string]int
	order []string
	slow  time.Duration
	fails map[string]int // how often, by step
}

func (e *effects) action(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
	select {
	case <-time.After(e.slow):
	case <-ctx.Done():
		return runs.WorkflowResult{}, ctx.Err()
	case <-c.Asked:
		return runs.WorkflowResult{}, errors.New("asked to stop")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.did[c.Key]++
	e.order = append(e.order, c.Effect.Key)
	if e.fails[c.Effect.Key] > 0 {
		e.fails[c.Effect.Key]--
		return runs.WorkflowResult{}, actions.Errorf("Oops", "told to fail")
	}
	_, _ = fmt.Fprintf(c.Logs("stdout"), "did %s\n", c.Effect.Key)
	return runs.WorkflowResult{Outputs: cty.ObjectVal(map[string]cty.Value{"exit_code": cty.NumberIntVal(0), "stdout": cty.StringVal(c.Effect.Key), "stderr": cty.StringVal(""), "result": cty.NullVal(cty.DynamicPseudoType)})}, nil
}

// bench is a runner with a world.
type bench struct {
	t      *testing.T
	store  *runstest.Store
	runner *runs.Runner
	world  *effects
	d      *flow.Definition
}

func newBench(t *testing.T, source string) *bench {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte(source)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, diags := flow.New(p, "w", nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	store := runstest.NewStore()
	return &bench{
		t: t, store: store, d: d, world: &effects{did: map[string]int{}, fails: map[string]int{}, slow: time.Second},
		runner: &runs.Runner{Store: store, NewID: func(time.Time) string { return "run1" }, Poll: time.Hour},
	}
}

func (b *bench) options() runs.WorkflowOptions {
	return runs.WorkflowOptions{
		Run:     runs.Run{ID: "run1", Kind: runs.WorkflowKind, Key: runstest.Key, Actor: "ann"},
		Actions: map[string]runs.WorkflowAction{"exec": b.world.action, "http": b.world.action},
	}
}

func (b *bench) start() (runs.Run, *flow.Machine, diag.List) {
	return b.runner.StartWorkflow(b.t.Context(), b.d, b.options())
}

// saga has steps side by side and one after the other, items, a wait, a retry,
// a step of a pool, and at the end a failure that has everything undone.
const saga = `
pool "two" { limit = 2 }
workflow "w" {
	step "once" {
		exec { command = ["1"] }
		undo {
			exec {
				command    = ["u"]
				idempotent = true
			}
		}
	}
	step "items" {
		for_each = ["a", "b", "c"]
		pool     = pool.two
		http { url = "http://x/${each.value}" }
		undo {
			http { url = "http://x/undo" }
		}
	}
	step "month" {
		needs = [step.items]
		wait { duration = "30d" }
	}
	step "last" {
		needs = [step.month, step.once]
		http { url = "http://x/last" }
		retry {
			attempts = 3
			backoff  = "1h"
		}
	}
	on_failure {
		step "page" {
			http { url = "http://x/page" }
		}
	}
	finally {
		step "clean" {
			http { url = "http://x/clean" }
		}
	}
}`

// TestEveryCrashOfAWorkflowIsContinued lets the process die at every commit,
// before and after it is on disk, and goes on with another one: whatever is not
// idempotent is done once at most, and the end is always the same.
func TestEveryCrashOfAWorkflowIsContinued(t *testing.T) {
	for n := 1; ; n++ {
		ended := false
		for _, written := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, saga)
				b.runner.Poll = time.Minute
				b.world.fails["last"] = 10
				b.store.OnCommit = func(i int) (bool, error) {
					if i < n {
						return true, nil
					}
					return written && i == n, runs.ErrFenced
				}
				run, _, _ := b.start()
				b.store.OnCommit = nil
				if run.Status.Ended() {
					ended = true
					return
				}
				run, m, diags := b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
				if n == 1 && !written {
					if !strings.Contains(words(diags), "No such run") {
						t.Errorf("%d %t: %s", n, written, words(diags))
					}
					return
				}
				if strings.Contains(words(diags), "Run has ended") {
					return
				}
				if run.Status != runs.Failed || diags.HasErrors() {
					t.Fatalf("%d %t: %s %s", n, written, run.Status, words(diags))
				}
				lost := m.Result().Error.Name == flow.UnknownOutcome
				for key, times := range b.world.did {
					if key == "run1-0" && times > 1 {
						t.Errorf("%d %t: %s was done %d times", n, written, key, times)
					}
				}
				for _, want := range []string{"page", "clean"} {
					if !slices.Contains(b.world.order, want) {
						t.Errorf("%d %t: %s was not done: %v", n, written, want, b.world.order)
					}
				}
				undone := 0
				for _, did := range b.world.order {
					if strings.HasSuffix(did, ".undo") {
						undone++
					}
				}
				if !lost && undone < 4 {
					t.Errorf("%d %t: undone were %v", n, written, b.world.order)
				}
			})
		}
		if ended {
			if n < 10 {
				t.Errorf("%d commits are not enough to tell", n)
			}
			return
		}
	}
}

// TestCancelAWorkflow asks a workflow to end while a step is at work: it is
// asked to hurry, the finally steps are carried out, and nothing else is.
func TestCancelAWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, saga)
		b.runner.Poll = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		b.world.slow = time.Minute
		go func() {
			time.Sleep(30 * time.Second)
			cancel()
		}()
		clean := b.options()
		clean.Actions["http"] = func(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			if c.Effect.Key == "clean" {
				b.world.order = append(b.world.order, "clean")
				return runs.WorkflowResult{}, nil
			}
			return b.world.action(ctx, c)
		}
		run, m, diags := b.runner.StartWorkflow(ctx, b.d, clean)
		if run.Status != runs.Cancelled || diags.HasErrors() {
			t.Fatalf("%s %s", run.Status, words(diags))
		}
		if got := strings.Join(b.world.order, " "); got != "clean" {
			t.Errorf("done were %s", got)
		}
		for _, s := range m.Steps() {
			if s.Name == "last" && s.Status == flow.Succeeded {
				t.Error("a step began after the cancel")
			}
		}
	})
}

// TestApprovalAcrossACrash lets a process die that waits for an approval, has
// it given, and goes on.
func TestApprovalAcrossACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "ask" {
				approval { expires = "24h" }
			}
			step "do" {
				needs = [step.ask]
				exec { command = ["x"] }
			}
			output "by" { value = step.ask.outputs.by }
		}`)
		hard := make(chan struct{})
		options := b.options()
		options.Hard = hard
		go func() {
			time.Sleep(time.Hour)
			close(hard)
		}()
		run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, options)
		if run.Status != runs.Interrupted {
			t.Fatalf("status is %s", run.Status)
		}
		m, diags := b.runner.ReplayWorkflow(t.Context(), run)
		if diags.HasErrors() {
			t.Fatal(words(diags))
		}
		if waits := m.Waiting(); len(waits) != 1 || !waits[0].Approval || waits[0].Key != "ask" {
			t.Fatalf("waiting: %+v", waits)
		}
		if diags := b.runner.Signal(t.Context(), "run1", workflow.Signal{Kind: workflow.SignalApprove, Name: "ask", By: "bob"}); diags.HasErrors() {
			t.Fatal(words(diags))
		}
		run, m, diags = b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
		if run.Status != runs.Succeeded || diags.HasErrors() {
			t.Fatalf("%s %s", run.Status, words(diags))
		}
		if by := m.Result().Outputs.GetAttr("by").AsValueSlice(); len(by) != 1 || by[0].AsString() != "bob" {
			t.Errorf("approved by %v", by)
		}
		told, _, err := b.store.Events(t.Context(), 0, 0)
		asked := slices.DeleteFunc(told, func(e events.Event) bool { return e.Type != "approval.needed" })
		if err != nil || len(asked) != 1 || asked[0].Subject != "run1" {
			t.Errorf("people were asked by %v, %v", asked, err)
		}
	})
}

// TestRunsSayWhatTheyWaitFor looks at what is stored about a run while it waits for people,
// for an event, for time, and across a crash.
func TestRunsSayWhatTheyWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "ask" {
				approval { expires = "24h" }
			}
			step "built" {
				wait { event = "built" }
			}
			step "rest" {
				needs = [step.ask, step.built]
				wait { duration = "1h" }
			}
			step "last" {
				needs = [step.rest]
				approval { expires = "2h" }
			}
		}`)
		look := func(when string, status runs.Status, waits runs.Waits) {
			t.Helper()
			synctest.Wait()
			run, err := b.store.Run(t.Context(), "run1")
			if err != nil || run.Status != status || run.Waits != waits {
				t.Errorf("%s: it is %s and waits for %q, %v", when, run.Status, run.Waits, err)
			}
			if n, err := b.store.CountRuns(t.Context(), runs.RunQuery{Waiting: true, Status: runs.Running}); err != nil || (n == 1) != (status == runs.Running && waits != "") {
				t.Errorf("%s: %d runs wait, %v", when, n, err)
			}
		}
		tell := func(s workflow.Signal) {
			t.Helper()
			if diags := b.runner.Signal(t.Context(), "run1", s); diags.HasErrors() {
				t.Fatal(words(diags))
			}
		}
		hard, over := make(chan struct{}), make(chan struct{})
		options := b.options()
		options.Hard = hard
		go func() {
			defer close(over)
			_, _, _ = b.runner.StartWorkflow(t.Context(), b.d, options)
		}()
		look("at first", runs.Running, runs.ForApproval)
		tell(workflow.Signal{Kind: workflow.SignalApprove, Name: "ask", By: "bob"})
		look("once it was approved", runs.Running, runs.ForSignal)
		close(hard)
		<-over
		look("after a crash", runs.Interrupted, runs.ForSignal)
		over = make(chan struct{})
		go func() {
			defer close(over)
			_, _, _ = b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
		}()
		look("when it goes on", runs.Running, runs.ForSignal)
		tell(workflow.Signal{Kind: workflow.SignalEvent, Name: "built", Data: json.RawMessage("{}")})
		look("after the event", runs.Running, "")
		time.Sleep(time.Hour + time.Minute)
		look("after an hour", runs.Running, runs.ForApproval)
		<-over
		look("when nobody has decided", runs.Failed, "")
	})
}

// TestSignalsReachARun tells a run that waits for an event.
func TestSignalsReachARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "wait" {
				wait {
					event = "built"
					match = event.data.version > 1
				}
			}
			output "version" { value = step.wait.outputs.data.version }
		}`)
		go func() {
			for version := range 3 {
				time.Sleep(time.Minute)
				data, _ := json.Marshal(map[string]int{"version": version})
				if diags := b.runner.Signal(t.Context(), "run1", workflow.Signal{Kind: workflow.SignalEvent, Name: "built", Data: data}); diags.HasErrors() {
					t.Error(words(diags))
				}
			}
		}()
		began := time.Now()
		run, m, diags := b.start()
		if run.Status != runs.Succeeded || diags.HasErrors() {
			t.Fatalf("%s %s", run.Status, words(diags))
		}
		if got := m.Result().Outputs.GetAttr("version"); !got.RawEquals(cty.NumberIntVal(2)) {
			t.Errorf("version is %#v", got)
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("it took %s: signals of the same process are heard at once", took)
		}
	})
}

// TestPoolsHoldAcrossRuns starts runs side by side whose steps share a pool.
func TestPoolsHoldAcrossRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "one" { limit = 1 }
		workflow "w" {
			step "a" {
				for_each = ["x", "y"]
				pool     = pool.one
				exec { command = ["x"] }
			}
		}`)
		in, most := 0, 0
		var mu sync.Mutex
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			in += by
			most = max(most, in)
		}
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				o := b.options()
				o.Run.ID = fmt.Sprint("run", i)
				o.Actions["exec"] = func(context.Context, runs.WorkflowCall) (runs.WorkflowResult, error) {
					count(1)
					time.Sleep(time.Second)
					count(-1)
					return runs.WorkflowResult{}, nil
				}
				if run, _, diags := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Succeeded {
					t.Errorf("%s %s", run.Status, words(diags))
				}
			})
		}
		began := time.Now()
		all.Wait()
		if most != 1 {
			t.Errorf("%d were in at once", most)
		}
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("ten seconds of work took %s", took)
		}
	})
}

// TestChildWorkflows runs a workflow as a step of another, and goes on with it
// after a crash at every commit.
func TestChildWorkflows(t *testing.T) {
	for n := 2; ; n++ {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `
			workflow "w" {
				step "child" {
					workflow {
						run    = workflow.inner
						inputs = { name = "x" }
					}
				}
				output "said" { value = step.child.outputs.said }
			}
			workflow "inner" {
				variable "name" { type = string }
				step "a" {
					http { url = "http://x/${var.name}" }
				}
				step "b" {
					needs = [step.a]
					http { url = "http://x" }
				}
				output "said" { value = "${step.a.outputs.stdout}, ${step.b.outputs.stdout}" }
			}`)
			b.store.OnCommit = func(i int) (bool, error) {
				if i < n {
					return true, nil
				}
				return false, runs.ErrFenced
			}
			run, m, _ := b.start()
			b.store.OnCommit = nil
			if run.Status == runs.Succeeded {
				ended = true
			} else if run, m, _ = b.runner.ContinueWorkflow(t.Context(), b.d, b.options()); run.Status != runs.Succeeded {
				t.Fatalf("commit %d: %s %v", n, run.Status, m.Result().Error)
			}
			if got := m.Result().Outputs.GetAttr("said").AsString(); got != "a, b" {
				t.Errorf("commit %d: said %q", n, got)
			}
		})
		if ended {
			return
		}
		if n > 50 {
			t.Fatal("it does not end")
		}
	}
}

// TestLimitsOfSteps lets steps run into their time limits, or be silent too
// long; the limits are errors like others.
func TestLimitsOfSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "slow" {
				timeout = "10s"
				exec { command = ["x"] }
				catch { errors = ["Tutti.Timeout"] }
			}
			step "silent" {
				heartbeat = "5s"
				exec { command = ["x"] }
				catch { errors = ["Tutti.HeartbeatTimeout"] }
			}
			step "lively" {
				heartbeat = "5s"
				exec { command = ["x"] }
			}
			step "patient" {
				timeout = "1h"
				wait { event = "never" }
				catch { errors = ["Tutti.Timeout"] }
			}
			output "all" { value = [step.slow.status, step.silent.status, step.lively.status, step.patient.error.name] }
		}`)
		o := b.options()
		o.Actions["exec"] = func(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			for range 8 {
				select {
				case <-ctx.Done():
					return runs.WorkflowResult{}, ctx.Err()
				case <-time.After(4 * time.Second):
				}
				if c.Effect.Key == "lively" {
					c.Beat()
				}
			}
			return runs.WorkflowResult{}, nil
		}
		began := time.Now()
		run, m, diags := b.runner.StartWorkflow(t.Context(), b.d, o)
		if run.Status != runs.Succeeded || diags.HasErrors() {
			t.Fatalf("%s %s %v", run.Status, words(diags), m.Result().Error)
		}
		var got []string
		for _, v := range m.Result().Outputs.GetAttr("all").AsValueSlice() {
			got = append(got, v.AsString())
		}
		if text := strings.Join(got, " "); text != "caught caught succeeded Tutti.Timeout" {
			t.Errorf("the steps are %s", text)
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it took %s", took)
		}
	})
}

// TestCachedSteps takes a result over from an earlier run until it expires.
func TestCachedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			variable "key" { type = string }
			step "build" {
				exec { command = ["x"] }
				cache {
					key = var.key
					ttl = "1h"
				}
			}
			output "said" { value = step.build.outputs.stdout }
		}`)
		for i, row := range []struct {
			key  string
			done int
			wait time.Duration
		}{{"a", 1, 0}, {"a", 1, 0}, {"b", 2, 0}, {"a", 3, 2 * time.Hour}} {
			time.Sleep(row.wait)
			o := b.options()
			o.Run.ID, o.Inputs = fmt.Sprint("run", i), map[string]cty.Value{"key": cty.StringVal(row.key)}
			run, m, _ := b.runner.StartWorkflow(t.Context(), b.d, o)
			if run.Status != runs.Succeeded || m.Result().Outputs.GetAttr("said").AsString() != "build" {
				t.Errorf("%d: %s %#v", i, run.Status, m.Result().Outputs)
			}
			if got := len(b.world.order); got != row.done {
				t.Errorf("%d: done %d times, not %d", i, got, row.done)
			}
		}
	})
}

// TestArtifactsAndLogsStay keeps what a step leaves behind.
func TestArtifactsAndLogsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "a" {
				exec { command = ["x"] }
			}
		}`)
		o := b.options()
		o.Actions["exec"] = func(_ context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			for i := range 100 {
				_, _ = fmt.Fprintf(c.Logs("stdout"), "line %d\n", i)
			}
			return runs.WorkflowResult{}, c.Artifact("report.txt", []byte("all is well"))
		}
		if run, _, diags := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Succeeded {
			t.Fatal(words(diags))
		}
		chunks, err := b.store.Logs(t.Context(), "run1", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, c := range chunks {
			text += string(c.Data)
		}
		if strings.Count(text, "\n") != 100 || !strings.HasSuffix(text, "line 99\n") {
			t.Errorf("the log is %q", text)
		}
		list, err := b.store.Artifacts(t.Context(), "run1")
		if err != nil || len(list) != 1 || list[0].Path != "report.txt" || list[0].Name != "a" {
			t.Fatalf("artifacts are %+v, %v", list, err)
		}
		if data, err := b.store.Blob(t.Context(), "artifact/"+list[0].Digest); err != nil || string(data) != "all is well" {
			t.Errorf("the artifact is %q, %v", data, err)
		}
	})
}

// TestSecretsStayHidden passes a secret to a step and looks at all that is
// written.
func TestSecretsStayHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			variable "password" {
				type      = string
				sensitive = true
			}
			step "a" {
				exec { command = ["login", "-p", "${var.password}!"] }
			}
			step "b" {
				exec { command = ["use", step.a.outputs.stdout] }
			}
			output "token" {
				value     = step.a.outputs.stdout
				sensitive = true
			}
		}`)
		o := b.options()
		o.Inputs = map[string]cty.Value{"password": cty.StringVal("hunter2")}
		seen := map[string][]string{}
		o.Actions["exec"] = func(_ context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			seen[c.Effect.Key] = c.Secrets
			return runs.WorkflowResult{Outputs: cty.ObjectVal(map[string]cty.Value{"stdout": cty.StringVal("token-4711")})}, nil
		}
		run, m, diags := b.runner.StartWorkflow(t.Context(), b.d, o)
		if run.Status != runs.Succeeded {
			t.Fatalf("%s %v", words(diags), m.Result().Error)
		}
		if !slices.Contains(seen["a"], "hunter2") || !slices.Contains(seen["b"], "token-4711") {
			t.Errorf("secrets told to the steps are %v", seen)
		}
		entries, err := b.store.Read(t.Context(), "run1", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if text := string(e.Data); !e.Sensitive && (strings.Contains(text, "hunter2") || strings.Contains(text, "4711")) {
				t.Errorf("entry %d (%s) is not sealed: %s", e.Sequence, e.Kind, text)
			}
		}
		list, _, err := b.store.Events(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.Contains(string(e.Data), "4711") {
				t.Errorf("event %s tells %s", e.Type, e.Data)
			}
		}
	})
}

// dying is a store whose process dies when a run is to be made.
type dying struct{ runs.Store }

func (s dying) Enqueue(context.Context, runs.NewRun) error { return errors.New("killed") }

// TestEnqueueIsWhole: a run waits to be driven with what it begins with, or there is
// none.
func TestEnqueueIsWhole(t *testing.T) {
	b := newBench(t, `
workflow "w" {
  step "a" {
    exec { command = ["true"] }
  }
}
`)
	b.runner.Store = dying{b.store}
	if _, diags := b.runner.EnqueueWorkflow(t.Context(), b.d, b.options()); !diags.HasErrors() {
		t.Error("a run was made by who died")
	}
	if list, err := b.store.Runs(t.Context(), runs.RunQuery{}); err != nil || len(list) != 0 {
		t.Errorf("there are runs %v, %v", list, err)
	}
	b.runner.Store = b.store
	run, diags := b.runner.EnqueueWorkflow(t.Context(), b.d, b.options())
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if run, err := b.store.Run(t.Context(), run.ID); err != nil || run.Status != runs.Pending || !run.Started.IsZero() {
		t.Errorf("it waits as %s since %s, %v", run.Status, run.Started, err)
	}
	if entries, err := b.store.Read(t.Context(), run.ID, 0); err != nil || len(entries) != 1 {
		t.Errorf("its journal is %v, %v", entries, err)
	}
}
