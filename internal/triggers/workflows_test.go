package triggers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

const pausing = `
variable "team" {
  type = string
}

workflow "pause" {
  variable "at" {
    type = string
    validation {
      condition     = var.at != "2026-05-03T02:00:00+02:00"
      error_message = "Not on this day."
    }
  }
  step "rest" {
    wait {
      duration = "1h"
    }
  }
  output "text" {
    value = "${var.at} ${var.team}"
  }
}

trigger "pause" {
  run      = workflow.pause
  schedule = "0 2 * * *"
  timezone = "Europe/Berlin"
  inputs = {
    at = event.time
  }
}
`

// workflows carries out runs in a store in memory, as a process of its own.
func workflows(store runs.Store, drain <-chan struct{}) *Workflows {
	return &Workflows{
		Runner: &runs.Runner{Store: store}, Environment: "default", Drain: drain,
		Key: func(environment string) states.Key { return states.Key{Environment: environment} },
		Values: func(*projects.Project, string) (map[string]cty.Value, diag.List) {
			return map[string]cty.Value{"team": cty.StringVal("ops")}, nil
		},
	}
}

func pauseOf(t *testing.T, day int) Start {
	trigger := project(t, pausing)[0]
	at := time.Date(2026, 5, day, 0, 0, 0, 0, time.UTC)
	return Start{Trigger: trigger, At: at, Run: RunID(trigger.Name, at, 0)}
}

func TestWorkflowsAreCarriedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := runstest.NewStore()
		w := workflows(store, nil)
		s := pauseOf(t, 1)
		if _, err := w.Run(ctx, s.Run); !errors.Is(err, runs.ErrNotFound) {
			t.Error(err)
		}
		for range 2 { // the second time it has ended already
			run, err := w.Do(ctx, s)
			if err != nil || run.Status != runs.Succeeded || run.Actor != "trigger:pause" {
				t.Errorf("%+v, %v", run, err)
			}
		}
		if all, _ := store.Runs(ctx, runs.RunQuery{}); len(all) != 1 {
			t.Errorf("%+v", all)
		}
		m, diags := w.Runner.ReplayWorkflow(ctx, runOf(t, store, s.Run))
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if got := m.Result().Outputs.GetAttr("text").AsString(); got != "2026-05-01T02:00:00+02:00 ops" {
			t.Error(got)
		}
	})
}

// TestTriggersActAsWhatTheyAreDeclared: a run is by the service that its trigger
// names, or by the trigger, and does not start without the right to.
func TestTriggersActAsWhatTheyAreDeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for _, c := range []struct{ as, by, actor string }{
			{"", "", "trigger:pause"}, {"service:nightly", "", "service:nightly"}, {"service:nightly", "ann", "ann"},
		} {
			store := runstest.NewStore()
			w := workflows(store, nil)
			var asked []string
			w.Authorize = func(by runs.Run, verb access.Verb, environment, resource string) error {
				asked = append(asked, by.Actor+" "+string(verb)+":"+environment+"/"+resource)
				return nil
			}
			s := pauseOf(t, 1)
			s.Actor = c.by
			trigger, declared := *s.Trigger, *s.Trigger.Declared // others read the same files
			trigger.Declared, declared.As = &declared, c.as
			s.Trigger = &trigger
			run, err := w.Do(ctx, s)
			if err != nil || run.Actor != c.actor || len(asked) != 1 || !strings.HasPrefix(asked[0], c.actor+" run:") || !strings.HasSuffix(asked[0], "/pause") {
				t.Errorf("%+v, %v, %v", run, err, asked)
			}
			feed, _, err := store.Events(ctx, 0, 0)
			if err != nil || len(feed) == 0 {
				t.Fatal(feed, err)
			}
			for _, e := range feed {
				if e.Actor != access.Subject(c.actor) {
					t.Errorf("%s is by %q", e.Type, e.Actor)
				}
			}
			// Without the right nothing begins.
			w.Authorize = func(runs.Run, access.Verb, string, string) error { return errors.New("it may not") }
			s = pauseOf(t, 2)
			var invalid *InvalidError
			if _, err := w.Do(ctx, s); !errors.As(err, &invalid) {
				t.Errorf("it began: %v", err)
			}
			if _, err := store.Run(ctx, s.Run); !errors.Is(err, runs.ErrNotFound) {
				t.Errorf("there is a run: %v", err)
			}
		}
	})
}

func runOf(t *testing.T, store runs.Store, id string) runs.Run {
	t.Helper()
	run, err := store.Run(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// TestWorkflowsAreLeft has one process let go of a run and another go on.
func TestWorkflowsAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := runstest.NewStore()
		drain := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(drain) })
		s := pauseOf(t, 1)
		if run, err := workflows(store, drain).Do(ctx, s); err != nil || run.Status != runs.Interrupted {
			t.Errorf("%+v, %v", run, err)
		}
		// Another one is at it while a third asks.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Trigger = nil // the files do not matter any more
			if run, err := workflows(store, nil).Do(ctx, s); err != nil || run.Status != runs.Succeeded {
				t.Errorf("%+v, %v", run, err)
			}
		}()
		synctest.Wait()
		if run, err := workflows(store, nil).Do(ctx, pauseOf(t, 1)); err != nil || run.Status != runs.Running {
			t.Errorf("%+v, %v", run, err)
		}
		<-ended
	})
}

// TestWorkflowsThatNeverBegan has a process die as it makes the run: there is none until
// somebody else does.
func TestWorkflowsThatNeverBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := runstest.NewStore()
		store.OnCommit = func(int) (bool, error) { return false, fmt.Errorf("the disk is gone") }
		s := pauseOf(t, 1)
		if run, err := workflows(store, nil).Do(ctx, s); err == nil {
			t.Errorf("%+v, %v", run, err)
		}
		store.OnCommit = nil
		if run, err := store.Run(ctx, s.Run); !errors.Is(err, runs.ErrNotFound) {
			t.Errorf("%+v, %v", run, err)
		}
		if run, err := workflows(store, nil).Do(ctx, s); err != nil || run.Status != runs.Succeeded {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

func TestWorkflowsAreCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runstest.NewStore()
		w := workflows(store, nil)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Minute, cancel)
		if run, err := w.Do(ctx, pauseOf(t, 1)); err != nil || run.Status != runs.Cancelled {
			t.Errorf("%+v, %v", run, err)
		}
		if run, err := w.Do(ctx, pauseOf(t, 2)); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", run, err)
		}
		// By another process.
		s := pauseOf(t, 2)
		time.AfterFunc(time.Minute, func() {
			if err := workflows(store, nil).Cancel(context.Background(), s.Run); err != nil {
				t.Error(err)
			}
		})
		if run, err := w.Do(context.Background(), s); err != nil || run.Status != runs.Cancelled {
			t.Errorf("%+v, %v", run, err)
		}
		if err := w.Cancel(context.Background(), s.Run); err != nil {
			t.Error(err) // it has ended: that is what was wanted
		}
	})
}

func TestWorkflowsThatCannotBegin(t *testing.T) {
	ctx := context.Background()
	store := runstest.NewStore()
	gone := pauseOf(t, 1)
	gone.Trigger = nil
	valueless := workflows(store, nil)
	valueless.Values = func(*projects.Project, string) (map[string]cty.Value, diag.List) {
		return nil, diag.Errorf("No value", "There is none.")
	}
	for what, do := range map[string]func() (runs.Run, error){
		"no trigger":   func() (runs.Run, error) { return workflows(store, nil).Do(ctx, gone) },
		"no values":    func() (runs.Run, error) { return valueless.Do(ctx, pauseOf(t, 1)) },
		"not accepted": func() (runs.Run, error) { return workflows(store, nil).Do(ctx, pauseOf(t, 3)) },
	} {
		var invalid *InvalidError
		if _, err := do(); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, _ := store.Runs(ctx, runs.RunQuery{}); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
