package runs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// tasks stands for the world that the tasks of a state machine change: it
// counts what was done, by key.
type tasks struct {
	runs.StateMachine
	mu   *sync.Mutex
	did  map[string]int
	slow time.Duration
}

func (s *tasks) Step(step int) runs.Step {
	what := s.StateMachine.Step(step)
	resource := s.Machine.Effect(step).Resource
	what.Job = func(ctx context.Context, t *runs.Task) runs.Ended {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return runs.Ended{Kind: workflow.StepFailed, Data: json.RawMessage(`{"error": "Stopped"}`)}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.did[resource+" "+t.Key]++
		return runs.Ended{Kind: workflow.StepSucceeded, Data: json.RawMessage(`{"output": 1}`)}
	}
	return what
}

// shipping has tasks that may be repeated and tasks that may not, at once and
// one after the other, with a month of waiting between them.
const shipping = `{"StartAt": "All", "States": {
	"All": {"Type": "Parallel", "Next": "Month", "Branches": [
		{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "safe", "Parameters": {"idempotent": true}, "Next": "B"},
			"B": {"Type": "Task", "Resource": "safe", "Parameters": {"idempotent": true}, "End": true}}},
		{"StartAt": "C", "States": {"C": {"Type": "Task", "Resource": "once", "End": true,
			"Catch": [{"ErrorEquals": ["Tutti.OutcomeUnknown"], "Next": "D"}]}, "D": {"Type": "Pass", "End": true}}}]},
	"Month": {"Type": "Wait", "Seconds": 2592000, "Next": "E"},
	"E": {"Type": "Task", "Resource": "once", "End": true, "Catch": [{"ErrorEquals": ["Tutti.OutcomeUnknown"], "Next": "F"}]},
	"F": {"Type": "Succeed"}}}`

func (s *tasks) execution(t *testing.T, definition string) runs.Execution {
	t.Helper()
	d, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	s.Machine = asl.NewMachine(d)
	return runs.Execution{
		Run:        runs.Run{ID: "run1", Kind: "workflow", Key: runstest.Key},
		Definition: []byte(definition), Start: json.RawMessage(`{"name": "x", "input": {}}`),
		Machine: s.Machine, Steps: s,
	}
}

// TestEveryCrashOfAStateMachineIsContinued lets the process die at every
// commit, before and after it is on disk, and goes on with another one.
func TestEveryCrashOfAStateMachineIsContinued(t *testing.T) {
	for n := 1; ; n++ {
		ended := false
		for _, written := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				name := fmt.Sprintf("commit %d written %t", n, written)
				store := runstest.NewStore()
				runner := &runs.Runner{Store: store, NewID: func(time.Time) string { return "run1" }, Poll: 24 * time.Hour}
				did, mu := map[string]int{}, &sync.Mutex{}
				start := time.Now()
				store.OnCommit = func(i int) (bool, error) {
					if i < n {
						return true, nil
					}
					return written && i == n, runs.ErrFenced
				}
				dying := &tasks{did: did, mu: mu, slow: time.Second}
				run, _ := runner.Execute(t.Context(), dying.execution(t, shipping))
				store.OnCommit = nil
				if run.Status == runs.Succeeded {
					ended = true
					return
				}
				next := &tasks{did: did, mu: mu, slow: time.Second}
				run, diags := runner.Continue(t.Context(), next.execution(t, shipping))
				if n == 1 && !written {
					if !strings.Contains(words(diags), "No such run") || len(did) > 0 {
						t.Errorf("%s: nothing was made, but %s, did %v", name, words(diags), did)
					}
					return
				}
				// Where the very end was written, there is nothing to continue.
				ended := strings.Contains(words(diags), "nothing left to do")
				if diags.HasErrors() && !ended || run.Status != runs.Succeeded {
					t.Fatalf("%s: %s %s", name, run.Status, words(diags))
				}
				lost := 0
				entries, err := store.Read(t.Context(), "run1", 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if e.Kind == workflow.StepLost {
						lost++
					}
				}
				once := 0
				for what, times := range did {
					if strings.HasPrefix(what, "once") {
						once += times
						if times > 1 {
							t.Errorf("%s: %s was done %d times", name, what, times)
						}
					}
				}
				if once > 2 || once+lost < 2 {
					t.Errorf("%s: %d done, %d lost, of two tasks", name, once, lost)
				}
				if took := time.Since(start); took < 30*24*time.Hour || took > 31*24*time.Hour {
					t.Errorf("%s: the month took %s", name, took)
				}
			})
		}
		if ended {
			return
		}
		if n > 50 {
			t.Fatal("it does not end")
		}
	}
}

// TestCancelStateMachine ends a state machine that waits, from this process and
// from another one.
func TestCancelStateMachine(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := runstest.NewStore()
			runner := &runs.Runner{Store: store, NewID: func(time.Time) string { return "run1" }, Poll: time.Minute}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				time.Sleep(time.Hour)
				if !elsewhere {
					cancel()
				} else if _, err := store.RequestCancel(t.Context(), "run1"); err != nil {
					t.Error(err)
				}
			}()
			s := &tasks{did: map[string]int{}, mu: &sync.Mutex{}, slow: time.Second}
			run, diags := runner.Execute(ctx, s.execution(t, shipping))
			cancel()
			if run.Status != runs.Cancelled || diags.HasErrors() {
				t.Errorf("%s: %s", run.Status, words(diags))
			}
			if _, diags := runner.Continue(t.Context(), s.execution(t, shipping)); !diags.HasErrors() {
				t.Error("a cancelled run was continued")
			}
		})
	}
}

// words are the diagnostics in a line.
func words(list diag.List) string {
	var out []string
	for _, d := range list {
		out = append(out, d.Summary+": "+d.Detail)
	}
	return strings.Join(out, "; ")
}
