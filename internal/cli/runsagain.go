package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
)

func runsRetryCommand() *command {
	return &command{
		name: "retry", args: "RUN", summary: "Run a workflow again from a step on", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "Starts a new run of the workflow as it was then, with the same inputs, in the same environment. Steps that had succeeded are not done again: their outputs are taken over. With -from, the step named and all that depend on it are done again, whatever came of them; without, what did not succeed. What the run undid is done again with all that depends on it, and so are the steps of on_failure and finally.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var from string
			var cancel bool
			var gate gateOptions
			f.text(&from, "from", "STEP", "The step to begin with.")
			gate.register(f)
			o.registerJSON(f, "Print how it ended as JSON.")
			cancelOnInterrupt(f, &cancel)
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					return app.retryThere(ctx, args[0], from, cancel, o.json)
				}
				gate.hold(app)
				op, diags := app.openRootOperation(false)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer op.Close()
				p, diags := op.Past(ctx, args[0])
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if !p.Run.Status.Ended() {
					return app.failf("Run has not ended", "Run %s is %s: let it end, resume it, or give it up with \"tutti cancel %[1]s\".", p.Run.ID, p.Run.Status)
				}
				reuse, diags := p.Reusable(from)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				return op.again(ctx, p, p.Definition, reuse, "again after run "+p.Run.ID, o.json, nil)
			}
		},
	}
}

// again starts a new run that takes over what another one has done. instead,
// where not nil, ends that one, once it is clear that the new run may be made.
func (o *operation) again(ctx context.Context, p *operations.PastRun, d *flow.Definition, reuse map[string]flow.Outcome, why string, asJSON bool, instead func() error) int {
	if diags := o.app.May(access.Run, p.Run.Key.Environment, d.Workflow.Name); diags.HasErrors() {
		return o.app.fail(diags)
	}
	o.app.Sources = d.Project.Files
	o.UseKey(p.Run.Key)
	var overrides []runs.Override
	if len(o.app.Overrides) > 0 {
		declared, diags := projects.Load(".") // as the files are now, by which it is judged
		if !diags.HasErrors() {
			overrides, diags = gate.OverridesFor(o.app.Session, declared)
		}
		if diags.HasErrors() {
			return o.app.fail(diags)
		}
	}
	return o.workflow(ctx, d, asJSON, func(r *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = runs.Run{Kind: runs.WorkflowKind, Key: p.Run.Key, Actor: o.app.Actor(), Authority: o.app.Authority(), Program: project.ProgramVersion(), Summary: "workflow " + d.Workflow.Name + ", " + why, Overrides: overrides}
		w.Admit = func(ctx context.Context, a runs.Admission) ([]events.Event, diag.List) {
			told, diags := o.Admit(ctx, a)
			if instead != nil && a.Run.Parent == "" && !diags.HasErrors() {
				diags = append(diags, diag.FromError(instead())...)
			}
			return told, diags
		}
		w.Environment, w.Inputs, w.Reuse = p.Environment, p.Inputs, reuse
		return r.StartWorkflow(ctx, d, w)
	})
}

func runsUpgradeCommand() *command {
	return &command{
		name: "upgrade", args: "RUN", summary: "Let an interrupted run go on with the workflow as it is now", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "A run is pinned to the workflow as it was when the run began. This compares what the run has done with the workflow as the files have it now, says what is different and whether the run may switch. Where it may, it goes on as a new run that takes over everything done, and the old one ends as cancelled.\n\nA run may switch if every step it has begun is still there, does the same kind of thing, and needs nothing that is not done, and if nothing is in doubt: then resume it first.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var check, approve bool
			var gate gateOptions
			gate.register(f)
			f.toggle(&check, "check", "Only say whether the run may switch; the exit code is 1 where it may not.")
			f.toggle(&approve, "auto-approve", "Do not ask.")
			o.registerJSON(f, "Print how it ended as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				gate.hold(app)
				return app.upgrade(ctx, args[0], check, approve, o.json)
			}
		},
	}
}

func (a *App) upgrade(ctx context.Context, id string, check, approve, asJSON bool) int {
	op, diags := a.openRootOperation(false)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer op.Close()
	p, diags := op.Past(ctx, id)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if p.Run.Status.Ended() {
		return a.failf("Run has ended", "Run %s %s: there is nothing left to do differently.", id, p.Run.Status.Happened())
	}
	to, diags := a.currentWorkflow(p.Definition.Workflow.Name)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	may := true
	for _, d := range flow.Compare(p.Machine, to) {
		mark := " "
		if d.Bars {
			may, mark = false, "!"
		}
		fmt.Fprintf(a.Out, "%s step %s %s\n", mark, d.Step, d.Text)
	}
	if !may {
		fmt.Fprintf(a.Out, "\nRun %s cannot switch to the workflow as it is now. It can go on as it was, with \"tutti resume %[1]s\".\n", id)
		return exitFailed
	}
	fmt.Fprintf(a.Out, "Run %s can switch to the workflow as it is now.\n", id)
	if check {
		return exitOK
	}
	if diags := a.May(access.Run, p.Run.Key.Environment, to.Workflow.Name); diags.HasErrors() {
		return a.fail(diags)
	}
	if p.Run.Status != runs.Interrupted {
		return a.failf("Run is being worked on", "Another process works on run %s. Only a run whose process has ended can switch: interrupt it twice (Ctrl-C) first.", id)
	}
	if !approve {
		yes, err := a.prompter().confirm(ctx, "Do you want run "+id+" to go on with the workflow as it is now?", "It goes on as a new run; this one ends as cancelled.")
		if err != nil || !yes {
			fmt.Fprintln(a.Out, "\nNothing was done.")
			return exitFailed
		}
	}
	return op.again(ctx, p, to, p.Machine.Outcomes(nil), "continues run "+id, asJSON, func() error {
		ended := runs.AuditEvent(p.Run.Key, "run.cancel_requested", id, a.Actor(), map[string]bool{"abandoned": true, "upgraded": true})
		if err := op.Opened.Abandon(ctx, id, ended); err != nil {
			return diag.Errorf("Cannot end the run", "%s.", err).Err()
		}
		return nil
	})
}

// currentWorkflow is a workflow as the files have it now.
func (a *App) currentWorkflow(name string) (*flow.Definition, diag.List) {
	p, diags := a.OpenWorkflows()
	if diags.HasErrors() {
		return nil, diags
	}
	w := p.Workflows[name]
	if w == nil || w.Definition != "" {
		return nil, diag.Errorf("No such workflow", "The project has no workflow %q with steps any more.", name)
	}
	return flow.New(p, name, operations.StackOutputNames(p))
}

func runsWatchCommand() *command {
	return &command{
		name: "watch", args: "RUN", summary: "Watch a run until it ends", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "Tells what the steps of a run do, or its operations, until the run ends, and how it ended. The exit code is 1 where it does not succeed.",
		setup: func(f *flagSet) action {
			var cancel bool
			cancelOnInterrupt(f, &cancel)
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return app.remote.GetRun(ctx, args[0]) })
					if err != nil {
						return app.aboutRun(args[0], err)
					}
					return app.watchThere(ctx, run, cancel, false)
				}
				op, diags := app.openRootOperation(false)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer op.Close()
				run, m, diags := op.watched(ctx, args[0])
				if diags.HasErrors() {
					return app.fail(diags)
				}
				return op.watch(ctx, run, m)
			}
		},
	}
}

// watched is the run to watch, with a machine to follow it where its workflow has steps;
// the journal of any other tells by itself what is done.
func (o *operation) watched(ctx context.Context, id string) (runs.Run, *flow.Machine, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return runs.Run{}, nil, diags
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return run, nil, operations.NoRun(id, err)
	}
	if err := run.Kept(); err != nil {
		return run, nil, diag.Errorf("Journal was removed", "%s.", err)
	}
	if run.Kind != runs.WorkflowKind {
		return run, nil, nil
	}
	source, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return run, nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	d, diags := operations.DefinitionOf(o.Directory, source)
	if diags.HasErrors() || d == nil || d.Workflow.Definition != "" {
		return run, nil, diags
	}
	return run, flow.NewMachine(d), diags
}

// watch follows the journal of a run, with the machine where there is one.
func (o *operation) watch(ctx context.Context, run runs.Run, m *flow.Machine) int {
	view := newWorkflowView(o.app)
	view.began(run)
	if m != nil {
		m.Follow()
	}
	names := map[int]string{} // of operations that were begun
	ticker := time.NewTicker(logPolling)
	defer ticker.Stop()
	gone := false // already when it was looked at before
	for last := int64(0); ; {
		now, err := o.Opened.Run(ctx, run.ID)
		if err != nil {
			return o.app.failf("Cannot read the run", "%s.", err)
		}
		entries, err := o.Opened.Read(ctx, run.ID, last)
		if err != nil {
			return o.app.failf("Cannot read the journal", "%s.", err)
		}
		for _, e := range entries {
			last = e.Sequence
			if m == nil {
				view.operation(names, e)
				continue
			}
			if _, err := m.Apply(e); err != nil {
				return o.app.failf("Journal does not fit the definition", "%s.", err)
			}
			view.watch(m, e)
		}
		switch {
		case now.Status.Ended() && m != nil:
			view.rest(m)
			return o.app.reportWorkflow(now, m, false)
		case now.Status.Ended():
			return o.reportWatched(ctx, now)
		case now.Status == runs.Interrupted && gone:
			fmt.Fprintf(o.app.Err, "The process that worked on this run is gone: \"tutti resume %s\" goes on.\n", run.ID)
			return exitFailed
		}
		gone = now.Status == runs.Interrupted // whoever drives it may be about to go on
		select {
		case <-ctx.Done():
			return exitOK
		case <-ticker.C:
		}
	}
}

// reportWatched tells how a run ended that is none of a workflow with steps: of a state
// machine, also what it returned.
func (o *operation) reportWatched(ctx context.Context, run runs.Run) int {
	if run.Kind == runs.WorkflowKind && run.Status != runs.Cancelled {
		result, err := (&runs.Runner{Store: o.Opened}).MachineResult(ctx, run)
		if err != nil {
			return o.app.failf("Cannot read the run", "%s.", err)
		}
		return (&aslOptions{}).report(o.app, result, nil)
	}
	return o.app.reportEnd(run, flow.Result{}, nil, false)
}
