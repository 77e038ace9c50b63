package runs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// TestSecretsOfChildWorkflows hides in a workflow what another one gives it that
// is sensitive there.
func TestSecretsOfChildWorkflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		workflow "w" {
			variable "password" {
				type      = string
				sensitive = true
			}
			step "child" {
				workflow {
					run    = workflow.inner
					inputs = { token = var.password }
				}
			}
		}
		workflow "inner" {
			variable "token" { type = string }
			step "a" {
				exec { command = [var.token] }
			}
		}`)
		o := b.options()
		o.Inputs = map[string]cty.Value{"password": cty.StringVal("hunter2")}
		var secrets []string
		o.Actions["exec"] = func(_ context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			secrets = c.Secrets
			return runs.WorkflowResult{}, nil
		}
		if run, m, diags := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Succeeded {
			t.Fatalf("%s %v", words(diags), m.Result().Error)
		}
		if !slices.Contains(secrets, "hunter2") {
			t.Errorf("secrets told to the step are %v", secrets)
		}
	})
}

// TestEmitTellsNoSecrets refuses to put something sensitive into the feed,
// whatever it is, and takes what was said not to be.
func TestEmitTellsNoSecrets(t *testing.T) {
	for arguments, status := range map[string]runs.Status{
		`subject = var.password`:                               runs.Failed,
		`data = { at = var.password }`:                         runs.Failed,
		`data = { at = sensitive(true) }`:                      runs.Failed,
		`data = { size = length(nonsensitive(var.password)) }`: runs.Succeeded,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `workflow "w" {
				variable "password" {
					type      = string
					sensitive = true
				}
				step "a" {
					emit {
						type = "x"
						`+arguments+`
					}
				}
			}`)
			o := b.options()
			o.Inputs = map[string]cty.Value{"password": cty.StringVal("hunter2")}
			if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != status {
				t.Errorf("%s: it has %s", arguments, run.Status)
			}
		})
	}
}

// TestCancelWhileEnteringAPool lets a run be cancelled before the store knows
// who waits for a pool: a step of finally gets in.
func TestCancelWhileEnteringAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "one" { limit = 1 }
		workflow "w" {
			step "a" {
				for_each = ["x", "y"]
				pool     = pool.one
				exec { command = ["x"] }
			}
			finally {
				step "clean" {
					pool = pool.one
					exec { command = ["x"] }
				}
			}
		}`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		store := &slowPools{Store: b.store, entered: func() {
			cancel()
			time.Sleep(time.Minute)
		}}
		b.runner.Store, b.runner.Poll = store, time.Second
		o := b.options()
		hard := make(chan struct{})
		o.Hard = hard
		stop := time.AfterFunc(24*time.Hour, func() { close(hard) })
		defer stop.Stop()
		run, _, _ := b.runner.StartWorkflow(ctx, b.d, o)
		if run.Status != runs.Cancelled || !slices.Equal(b.world.order, []string{"clean"}) {
			t.Errorf("it has %s, done were %v", run.Status, b.world.order)
		}
	})
}

// slowPools is a store that takes its time to let somebody queue for a pool, or
// cannot say for a while who is in.
type slowPools struct {
	runs.Store
	entered func()
	once    sync.Once
	refuse  atomic.Int32
}

func (s *slowPools) EnterPools(ctx context.Context, lease runs.Lease, tickets []runs.Ticket) error {
	if s.entered != nil {
		s.once.Do(s.entered)
	}
	return s.Store.EnterPools(ctx, lease, tickets)
}

func (s *slowPools) GrantPools(ctx context.Context, run string, now time.Time) (runs.Grant, error) {
	if s.refuse.Add(-1) >= 0 {
		return runs.Grant{}, errors.New("the disk is busy")
	}
	return s.Store.GrantPools(ctx, run, now)
}

// TestPoolsOfABusyStore are asked again.
func TestPoolsOfABusyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "one" { limit = 1 }
		workflow "w" {
			step "a" {
				pool = pool.one
				exec { command = ["x"] }
			}
		}`)
		store := &slowPools{Store: b.store}
		store.refuse.Store(3)
		b.runner.Store = store
		if run, _, diags := b.start(); run.Status != runs.Succeeded {
			t.Errorf("%s %s", run.Status, words(diags))
		}
	})
}

// TestPoolsKeepToTheParallelism of the run.
func TestPoolsKeepToTheParallelism(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "many" { limit = 100 }
		workflow "w" {
			parallelism = 2
			step "a" {
				for_each = range(10)
				pool     = pool.many
				exec { command = ["x"] }
			}
		}`)
		var in, most atomic.Int32
		o := b.options()
		o.Actions["exec"] = func(context.Context, runs.WorkflowCall) (runs.WorkflowResult, error) {
			most.Store(max(most.Load(), in.Add(1)))
			time.Sleep(time.Second)
			in.Add(-1)
			return runs.WorkflowResult{}, nil
		}
		if run, _, diags := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Succeeded {
			t.Errorf("%s %s", run.Status, words(diags))
		}
		if most.Load() != 2 {
			t.Errorf("%d were at work at once", most.Load())
		}
	})
}

// TestDrainingRunsQueueForNoPool: the place is for others.
func TestDrainingRunsQueueForNoPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "one" { limit = 1 }
		workflow "w" {
			step "long" {
				http { url = "http://x" }
			}
			step "a" {
				for_each = ["x", "y", "z"]
				pool     = pool.one
				exec { command = ["x"] }
			}
		}`)
		b.runner.Poll = time.Second
		drain := make(chan struct{})
		o := b.options()
		o.Drain = drain
		o.Actions["http"] = func(context.Context, runs.WorkflowCall) (runs.WorkflowResult, error) {
			time.Sleep(time.Hour)
			return runs.WorkflowResult{}, nil
		}
		go func() {
			time.Sleep(500 * time.Millisecond) // x is at work
			close(drain)
			time.Sleep(10 * time.Minute)
			if list, err := b.store.Pools(t.Context()); err != nil || len(list) > 0 {
				t.Errorf("in the pool or waiting are %+v, %v", list, err)
			}
		}()
		if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Interrupted {
			t.Errorf("it has %s", run.Status)
		}
		if run, _, diags := b.runner.ContinueWorkflow(t.Context(), b.d, b.options()); run.Status != runs.Succeeded || len(b.world.order) != 3 {
			t.Errorf("%s %s %v", run.Status, words(diags), b.world.order)
		}
	})
}

// TestNothingBeginsAfterAHardCancel: the intent of a step is being written when
// everything is cut off.
func TestNothingBeginsAfterAHardCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "a" {
				exec { command = ["x"] }
			}
		}`)
		hard := make(chan struct{})
		b.store.OnCommit = func(n int) (bool, error) {
			if n == 1 {
				close(hard)
				time.Sleep(time.Second)
			}
			return true, nil
		}
		o := b.options()
		o.Hard = hard
		if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Interrupted || len(b.world.did) > 0 {
			t.Errorf("it has %s, done were %v", run.Status, b.world.order)
		}
		run, m, _ := b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
		if run.Status != runs.Succeeded {
			t.Errorf("it has %s: %v", run.Status, m.Result().Error)
		}
	})
}

// TestCancelAfterACrashInFinally asks a run to end that was cancelled before.
func TestCancelAfterACrashInFinally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "a" {
				wait { duration = "30d" }
			}
			finally {
				step "rest" {
					wait { duration = "1h" }
				}
				step "clean" {
					needs = [step.rest]
					exec { command = ["x"] }
				}
			}
		}`)
		for i, status := range []runs.Status{runs.Interrupted, runs.Cancelled} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			hard := make(chan struct{})
			o := b.options()
			o.Hard = hard
			stop := time.AfterFunc(map[int]time.Duration{0: 2 * time.Minute, 1: 24 * time.Hour}[i], func() { close(hard) })
			var run runs.Run
			if i == 0 {
				run, _, _ = b.runner.StartWorkflow(ctx, b.d, o)
			} else {
				run, _, _ = b.runner.ContinueWorkflow(ctx, b.d, o)
			}
			stop.Stop()
			cancel()
			if run.Status != status {
				t.Fatalf("%d: it has %s, not %s", i, run.Status, status)
			}
		}
		if !slices.Equal(b.world.order, []string{"clean"}) {
			t.Errorf("done were %v", b.world.order)
		}
	})
}

// TestHardCancelLeavesChildWorkflows: the run can be resumed, so the run of its
// own that a step is must not be cancelled.
func TestHardCancelLeavesChildWorkflows(t *testing.T) {
	for i := range 20 { // whoever hears first
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `
			workflow "w" {
				step "child" {
					workflow { run = workflow.inner }
				}
			}
			workflow "inner" {
				step "a" {
					http { url = "http://x" }
				}
			}`)
			hard := make(chan struct{})
			o := b.options()
			o.Hard = hard
			time.AfterFunc(time.Minute, func() { close(hard) })
			o.Actions["http"] = func(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
				<-ctx.Done()
				time.Sleep(time.Second)
				return runs.WorkflowResult{}, ctx.Err()
			}
			if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Interrupted {
				t.Fatalf("it has %s", run.Status)
			}
			run, m, _ := b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
			if run.Status != runs.Succeeded {
				t.Errorf("%d: it has %s: %v", i, run.Status, m.Result().Error)
			}
		})
	}
}

// TestDrainingKeepsOutcomes: a child workflow leaves its run, and a step that
// goes on fails. That is known, and not lost.
func TestDrainingKeepsOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		workflow "w" {
			step "child" {
				workflow { run = workflow.inner }
			}
			step "long" {
				exec { command = ["x"] }
				catch { errors = ["Oops"] }
			}
		}
		workflow "inner" {
			step "a" {
				wait { duration = "24h" }
			}
		}`)
		b.world.slow, b.world.fails["long"] = time.Hour, 1
		drain := make(chan struct{})
		o := b.options()
		o.Drain = drain
		time.AfterFunc(time.Minute, func() { close(drain) })
		if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Interrupted {
			t.Fatalf("it has %s", run.Status)
		}
		run, m, _ := b.runner.ContinueWorkflow(t.Context(), b.d, b.options())
		if run.Status != runs.Succeeded {
			t.Errorf("it has %s: %v", run.Status, m.Result().Error)
		}
	})
}

// TestChildWorkflowsBesideSteps is for the race detector.
func TestChildWorkflowsBesideSteps(t *testing.T) {
	b := newBench(t, `
	workflow "w" {
		step "child" {
			for_each = range(20)
			workflow { run = workflow.inner }
		}
	}
	workflow "inner" {
		step "a" {
			emit { type = "x" }
		}
	}`)
	if run, _, diags := b.start(); run.Status != runs.Succeeded {
		t.Error(fmt.Sprint(run.Status, words(diags)))
	}
}

// TestNoStepHoldsAPlaceThatItsSiblingNeeds: a run of its own takes the only room
// of a run and waits for the pool that a step without room is in.
func TestNoStepHoldsAPlaceThatItsSiblingNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		pool "one" { limit = 1 }
		workflow "w" {
			parallelism = 1
			step "child" {
				workflow { run = workflow.inner }
			}
			step "a" {
				pool = pool.one
				exec { command = ["x"] }
			}
		}
		workflow "inner" {
			step "b" {
				pool = pool.one
				exec { command = ["x"] }
			}
		}`)
		b.runner.Poll = time.Minute
		hard := make(chan struct{})
		o := b.options()
		o.Hard = hard
		stop := time.AfterFunc(24*time.Hour, func() { close(hard) })
		defer stop.Stop()
		run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o)
		if run.Status != runs.Succeeded {
			t.Errorf("it has %s", run.Status)
		}
	})
}

// TestCutOffTwice cuts a run off whose job does not let go, first from this
// process and then from another one: the job is left behind after the grace of
// the first time.
func TestCutOffTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "deaf" {
				exec { command = ["x"] }
			}
		}`)
		b.runner.Poll, b.runner.Grace = time.Second, 10*time.Second
		hard, let := make(chan struct{}), make(chan struct{})
		o := b.options()
		o.Hard = hard
		o.Actions["exec"] = func(context.Context, runs.WorkflowCall) (runs.WorkflowResult, error) {
			select {
			case <-let:
			case <-time.After(time.Hour):
			}
			return runs.WorkflowResult{}, nil
		}
		go func() {
			time.Sleep(time.Minute)
			close(hard)
			time.Sleep(3 * time.Second)
			for range 2 {
				if _, err := b.store.RequestCancel(t.Context(), "run1"); err != nil {
					t.Error(err)
				}
			}
		}()
		began := time.Now()
		run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o)
		if took := time.Since(began); run.Status != runs.Interrupted || took != 70*time.Second {
			t.Errorf("%s after %s", run.Status, took)
		}
		close(let)
	})
}
