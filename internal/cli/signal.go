package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

func approveCommand() *command {
	return decisionCommand("approve", "Approve a step of a run that waits for it", workflow.SignalApprove,
		"Approves a step of a run that waits for an approval; STEP may be left out where only one does. The run goes on by itself where a process works on it, and when it is resumed otherwise.")
}

func rejectCommand() *command {
	return decisionCommand("reject", "Reject a step of a run that waits for an approval", workflow.SignalReject,
		"Rejects a step of a run that waits for an approval: the step fails with Tutti.Rejected.")
}

func decisionCommand(name, summary string, kind workflow.SignalKind, about string) *command {
	return &command{
		name: name, args: "RUN [STEP]", summary: summary, about: about, minArgs: 1, maxArgs: 2, complete: completeRuns,
		setup: func(f *flagSet) action {
			var comment string
			f.text(&comment, "comment", "TEXT", "Kept with the decision.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.signalRun(ctx, args[0], func(r *runs.Runner, run runs.Run) (workflow.Signal, diag.List) {
					s := workflow.Signal{Kind: kind, By: actor(), Data: jsonText(comment)}
					m, diags := r.ReplayWorkflow(ctx, run)
					if diags.HasErrors() {
						return s, diags
					}
					if len(args) > 1 {
						s.Name = args[1]
					}
					step, err := m.Approval(s.Name, s.By)
					if err != nil {
						return s, diag.Errorf("Cannot "+name, "Run %s: %s.", run.ID, err)
					}
					s.Name = m.Key(step)
					return s, nil
				}, func(s workflow.Signal) string {
					return map[workflow.SignalKind]string{workflow.SignalApprove: "Approved", workflow.SignalReject: "Rejected"}[kind] + " step " + s.Name
				})
			}
		},
	}
}

func jsonText(s string) json.RawMessage {
	data, _ := json.Marshal(s) // a string can be written
	return data
}

func signalCommand() *command {
	return &command{
		name: "signal", args: "RUN EVENT", summary: "Tell a run that something happened", minArgs: 2, maxArgs: 2, complete: completeRuns,
		about:   "Tells a run that an event happened. A step that waits for it (wait with event) goes on; where none does yet, the event is kept for the first that will.",
		example: "tutti signal 7f3k2m build-finished -data '{\"version\": \"1.4.2\"}'",
		setup: func(f *flagSet) action {
			var data string
			f.text(&data, "data", "JSON", "What comes with it, as step.NAME.outputs.data; null without.")
			return func(ctx context.Context, app *App, args []string) int {
				s := workflow.Signal{Kind: workflow.SignalEvent, Name: args[1], By: actor(), Data: json.RawMessage("null")}
				if data != "" {
					if !json.Valid([]byte(data)) {
						return app.failf("Invalid data", "The value of -data is not JSON: %s.", data)
					}
					s.Data = json.RawMessage(data)
				}
				return app.signalRun(ctx, args[0], func(*runs.Runner, runs.Run) (workflow.Signal, diag.List) { return s, nil },
					func(s workflow.Signal) string { return "Told of " + s.Name })
			}
		},
	}
}

// signalRun finds a run, makes a signal for it and sends it.
func (a *App) signalRun(ctx context.Context, id string, make func(*runs.Runner, runs.Run) (workflow.Signal, diag.List), done func(workflow.Signal) string) int {
	p, diags := a.openRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return a.failf("No such run", "%q: %s. \"tutti runs\" lists them.", id, err)
	}
	if run.Status.Ended() {
		return a.failf("Run has ended", "Run %s %s already: nobody listens any more.", id, run.Status.Happened())
	}
	if run.Kind != runs.WorkflowKind {
		return a.failf("Not a workflow", "Run %s is no run of a workflow: it waits for nothing.", id)
	}
	r := &runs.Runner{Store: store}
	s, diags := make(r, run)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if diags := r.Signal(ctx, id, s); diags.HasErrors() {
		return a.fail(diags)
	}
	fmt.Fprintf(a.Out, "%s (run %s).\n", done(s), id)
	if run.Status == runs.Interrupted {
		fmt.Fprintf(a.Out, "No process works on this run: it goes on with \"tutti resume %s\".\n", id)
	}
	return exitOK
}
