package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/server/work"
	"github.com/tutti-dev/tutti/internal/triggers"
)

// serveOptions are the flags of schedules serve.
type serveOptions struct {
	outputOptions
	project.VariableOptions
	environment string
}

func schedulesServeCommand() *command {
	return &command{
		name: "serve", summary: "Start runs when schedules say so, until interrupted",
		about: `Drives the schedules of the project and the runs they start, in this process, and tells what it does. Runs of schedules that were interrupted are resumed, and what was missed meanwhile is done as the triggers say. Files that change are read again.

Several processes may do so at once: every instant is started once, and when one of them dies another goes on with its runs within a minute.

Interrupting it (Ctrl-C) starts nothing more and lets steps end that are at work. A second interrupt gives those up. Runs that have not ended are left for the next "tutti schedules serve", or for "tutti resume".`,
		setup: func(f *flagSet) action {
			o := &serveOptions{}
			o.registerJSON(f, "Print what happens as JSON objects, one per line.")
			f.text(&o.environment, "env", "NAME", "The environment for triggers that name none.")
			registerValues(f, &o.VariableOptions)
			return o.serve
		},
	}
}

func (o *serveOptions) serve(ctx context.Context, app *App, _ []string) int {
	op, diags := app.openRootOperation(false)
	app.jsonOut, app.prose = o.json, !o.json
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	before := work.Fingerprint()
	p, list, diags := work.ReadTriggers(app.Session)
	if !diags.HasErrors() {
		diags = append(diags, work.CheckSchedules(p, work.Scheduled(p))...)
	}
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if len(list) == 0 {
		return app.failf("No schedules", "This project has no triggers with a schedule.")
	}
	workflows, found := work.TriggerRuns(ctx, op.Operation, p, work.Scheduled(p), o.environment, &o.VariableOptions)
	if diags = append(diags, found...); diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	scheduler := &triggers.Scheduler{Store: op.Opened, Runs: workflows, Watch: app.showTriggered(o.json, time.Local)}
	lists := make(chan []*triggers.Trigger, 1)
	lists <- list
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		work.WatchFiles(ctx, op.Operation, o.environment, workflows, before, work.Scheduled, func(_ *projects.Project, list []*triggers.Trigger) {
			select {
			case lists <- list:
			case <-ctx.Done():
			}
		})
	}()
	scheduler.Run(ctx, lists)
	<-watching
	workflows.Runner.Wait()
	return exitOK
}

// triggeredJSON is an event of a scheduler for programs.
type triggeredJSON struct {
	Time     time.Time  `json:"time"`
	Event    string     `json:"event"`
	Schedule string     `json:"schedule,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	Run      string     `json:"run,omitempty"`
	Status   string     `json:"status,omitempty"`
	Problem  string     `json:"problem,omitempty"`
}

// showTriggered prints a line for everything that happens, with instants in a
// time zone.
func (a *App) showTriggered(asJSON bool, where *time.Location) func(triggers.Event) {
	return func(e triggers.Event) {
		problem := ""
		if e.Problem != nil {
			problem = e.Problem.Error()
		}
		if asJSON {
			doc := triggeredJSON{Time: time.Now(), Event: string(e.Kind), Schedule: e.Schedule, Run: e.Run, Status: string(e.Status), Problem: problem}
			if !e.At.IsZero() {
				doc.At = &e.At
			}
			a.printJSON(doc)
			return
		}
		text := map[triggers.EventKind]string{
			triggers.Started:   "run " + e.Run + " started",
			triggers.Queued:    "queued: the run before it has not ended",
			triggers.Skipped:   "skipped: another run stands in its way",
			triggers.Cancelled: "run " + e.Run + " is cancelled for a newer one",
			triggers.Ended:     "run " + e.Run + " " + string(e.Status),
			triggers.Left:      "run " + e.Run + " left as it is",
			triggers.Failed:    "run " + e.Run + " cannot be started: " + problem,
			triggers.Problem:   "trying again: " + problem,
		}[e.Kind]
		at := ""
		if !e.At.IsZero() {
			at = e.At.In(where).Format(instantLayout)
		}
		fmt.Fprintf(a.Out, "%s  %-16s %-26s  %s\n", time.Now().Format(time.TimeOnly), e.Schedule, at, text)
	}
}
