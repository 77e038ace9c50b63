package runs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

// children is an execution of a state machine that starts another one.
func children(t *testing.T, r *runs.Runner, definition, child string) runs.Execution {
	t.Helper()
	d, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	s := &runs.StateMachine{
		Machine: asl.NewMachine(d), Runner: r, Run: runs.Run{Key: runstest.Key},
		Definition: func(string) ([]byte, error) { return []byte(child), nil },
	}
	return runs.Execution{
		Run:        runs.Run{ID: "run1", Kind: runs.WorkflowKind, Key: runstest.Key},
		Definition: []byte(definition), Start: json.RawMessage(`{"name": "x", "input": {}}`), Machine: s.Machine, Steps: s,
	}
}

func starting(how string) string {
	return `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution` + how + `",
		"Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:inner", "Input": {}}, "End": true}}}`
}

const waiting = `{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86400, "Next": "P"}, "P": {"Type": "Pass", "Result": "first", "End": true}}}`

// TestChildExecutionsAreDrained: a run is left with the run of its own that a
// task is, and that goes on with the definition it began with.
func TestChildExecutionsAreDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runs.Runner{Store: runstest.NewStore(), Poll: time.Hour}
		drain := make(chan struct{})
		e := children(t, r, starting(".sync:2"), waiting)
		e.Drain = drain
		time.AfterFunc(time.Minute, func() { close(drain) })
		began := time.Now()
		if run, diags := r.Execute(t.Context(), e); run.Status != runs.Interrupted || time.Since(began) > time.Hour {
			t.Fatalf("%s after %s: %s", run.Status, time.Since(began), words(diags))
		}
		e = children(t, r, starting(".sync:2"), `{"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": "second", "End": true}}}`)
		run, diags := r.Continue(t.Context(), e)
		if run.Status != runs.Succeeded {
			t.Fatalf("%s %s", run.Status, words(diags))
		}
		if took := time.Since(began); took != 24*time.Hour {
			t.Errorf("it took %s", took)
		}
	})
}

// TestStartedExecutionsAreNotLost lets the process die at every commit of a run
// that starts another one and does not wait for it: it is there in the end, and
// has begun.
func TestStartedExecutionsAreNotLost(t *testing.T) {
	for n := 2; n < 6; n++ {
		synctest.Test(t, func(t *testing.T) {
			store := runstest.NewStore()
			r := &runs.Runner{Store: store, Poll: time.Hour}
			store.OnCommit = func(i int) (bool, error) {
				if i == n {
					return false, runs.ErrFenced
				}
				return true, nil
			}
			run, diags := r.Execute(t.Context(), children(t, r, starting(""), waiting))
			r.Wait()
			if run.Status == runs.Interrupted {
				run, diags = r.Continue(t.Context(), children(t, r, starting(""), waiting))
				r.Wait()
			}
			if run.Status == runs.Failed {
				return // that it did not begin is known
			}
			if run.Status != runs.Succeeded {
				t.Fatalf("%d: %s %s", n, run.Status, words(diags))
			}
			for i := range 3 {
				child, err := store.Run(t.Context(), fmt.Sprint("run1.", i))
				if errors.Is(err, runs.ErrNotFound) {
					continue
				}
				entries, err := store.Read(t.Context(), child.ID, 0)
				if err != nil || len(entries) == 0 {
					t.Errorf("commit %d: the execution %s has %d entries and is %s", n, child.ID, len(entries), child.Status)
				}
			}
		})
	}
}
