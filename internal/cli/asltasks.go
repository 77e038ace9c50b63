package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// taskCommands end tasks that wait for their token, and give work of activities
// away. They are named as the actions of the Step Functions API.
func taskCommands() []*command {
	return []*command{
		{
			name: "get-activity-task", args: "ACTIVITY", summary: "Take a task of an activity", minArgs: 1, maxArgs: 1,
			about: `Waits until a state machine has a task for an activity (a resource arn:aws:states:REGION:ACCOUNT:activity:NAME, by its NAME), takes it and prints its token and input as JSON: {"taskToken": ..., "input": ...}. Whoever took it ends it with send-task-success or send-task-failure, and tells meanwhile with send-task-heartbeat that it is alive.`,
			setup: func(f *flagSet) action {
				var worker string
				wait := time.Minute
				f.text(&worker, "worker", "NAME", "Who takes it, for the history.")
				f.duration(&wait, "wait", "LENGTH", "How long to wait for one; 1m unless given. With 0s, only what is there.")
				return func(ctx context.Context, app *App, args []string) int {
					return app.withRunner(ctx, func(r *runs.Runner) int { return app.takeTask(ctx, r, args[0], worker, wait) })
				}
			},
		},
		{
			name: "send-task-failure", args: "TOKEN", summary: "End a task that waits for its token as failed", minArgs: 1, maxArgs: 1,
			setup: func(f *flagSet) action {
				var failure runs.SignalFailure
				f.text(&failure.Error, "error", "NAME", "The name of the error, for Retry and Catch.")
				f.text(&failure.Cause, "cause", "TEXT", "What happened.")
				return func(ctx context.Context, app *App, args []string) int {
					data, _ := json.Marshal(failure) // two strings
					return app.endTask(ctx, args[0], workflow.SignalFail, data)
				}
			},
		},
		{
			name: "send-task-heartbeat", args: "TOKEN", summary: "Tell that a task is alive", minArgs: 1, maxArgs: 1,
			setup: func(*flagSet) action {
				return func(ctx context.Context, app *App, args []string) int {
					return app.endTask(ctx, args[0], workflow.SignalBeat, nil)
				}
			},
		},
		{
			name: "send-task-success", args: "TOKEN", summary: "End a task that waits for its token with a result", minArgs: 1, maxArgs: 1,
			setup: func(f *flagSet) action {
				output := "null"
				f.text(&output, "output", "JSON", "The result of the task, a JSON value; null unless given.")
				return func(ctx context.Context, app *App, args []string) int {
					if _, err := asl.Decode([]byte(output)); err != nil {
						return app.failf("The output is not JSON", "%s.", err)
					}
					return app.endTask(ctx, args[0], workflow.SignalSucceed, json.RawMessage(output))
				}
			},
		},
	}
}

// withRunner opens the project's store for a command that only talks to runs.
func (a *App) withRunner(ctx context.Context, do func(*runs.Runner) int) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	return do(&runs.Runner{Store: store, Actor: a.Actor()})
}

func (a *App) endTask(ctx context.Context, token string, kind workflow.SignalKind, data json.RawMessage) int {
	return a.withRunner(ctx, func(r *runs.Runner) int {
		if _, _, ok := asl.ParseToken(token); !ok {
			return a.failf("Invalid token", "This is not the token of a task.")
		}
		w, ok, err := r.FindToken(ctx, token)
		switch {
		case err != nil:
			return a.fail(diag.FromError(err))
		case !ok:
			return a.failf("Task does not wait", "No task waits for this token: it has ended, was given up, or its run has ended.")
		}
		if diags := a.MayRun(ctx, r.Store, w.Run, access.Signal); diags.HasErrors() {
			return a.fail(diags)
		}
		if diags := r.Signal(ctx, w.Run.ID, workflow.Signal{Kind: kind, Name: token, By: a.Actor(), Data: data}); diags.HasErrors() {
			return a.fail(diags)
		}
		return exitOK
	})
}

// takeTask takes the first task of an activity that nobody has, of a run that
// somebody drives: who does decides between workers that want the same one.
func (a *App) takeTask(ctx context.Context, r *runs.Runner, activity, worker string, wait time.Duration) int {
	me := worker + "/" + uuid.NewString()
	if worker == "" {
		me = uuid.NewString()
	}
	ticker := time.NewTicker(logPolling)
	defer ticker.Stop()
	asked := map[string]runs.Waiting{}
	for end := time.Now().Add(wait); ; {
		for token, w := range asked {
			mine, decided, err := r.Taken(ctx, w, me)
			if err != nil {
				return a.fail(diag.FromError(err))
			}
			if mine {
				return a.printJSON(struct {
					TaskToken string          `json:"taskToken"`
					Input     json.RawMessage `json:"input"`
				}{token, w.Effect.Input})
			}
			if decided {
				delete(asked, token)
			}
		}
		var wanted *runs.Waiting
		err := r.EachWaiting(ctx, func(w runs.Waiting) bool {
			if w.Run.Status == runs.Running && w.Effect.Kind == asl.Activity && !w.Taken && (w.Effect.Target.Name == activity || w.Effect.Resource == activity) {
				wanted = &w
			}
			return wanted == nil
		})
		if err != nil {
			return a.fail(diag.FromError(err))
		}
		if wanted != nil && len(asked) == 0 {
			if diags := a.MayRun(ctx, r.Store, wanted.Run, access.Signal); diags.HasErrors() {
				return a.fail(diags)
			}
			asked[wanted.Effect.Token] = *wanted
			if diags := r.Signal(ctx, wanted.Run.ID, workflow.Signal{Kind: workflow.SignalTake, Name: wanted.Effect.Token, By: me}); diags.HasErrors() {
				return a.fail(diags)
			}
			end = time.Now().Add(max(wait, 5*time.Second)) // it was asked for: wait for the answer
		}
		if !time.Now().Before(end) {
			fmt.Fprintf(a.Err, "There is no task of the activity %q.\n", activity)
			return exitFailed
		}
		select {
		case <-ctx.Done():
			return exitFailed
		case <-ticker.C:
		}
	}
}
